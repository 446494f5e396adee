//! `amlrun model …`: the local registry in the shape of `az ml model`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::format::Format;
use super::printer::Printer;
use crate::digest::Digest;
use crate::registry::{Asset, AssetKind, AssetType, NewAsset, Registry, Selector};
use crate::store::{Home, tree};

/// Register, list, show and download models, as 'az ml model' does
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Register a file or folder as a model
    #[command(after_help = "Examples:\n  \
        amlrun model create -n my-model -p ./model --type custom_model\n  \
        amlrun model create -n my-model -v 7 -p model.pt --tag stage=dev")]
    Create(Create),
    /// List models; with a name, its versions, newest first
    List {
        /// Only this model
        #[arg(short, long)]
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one version of a model
    #[command(after_help = "Examples:\n  \
        amlrun model show -n my-model -v 3\n  \
        amlrun model show -n my-model -l latest --query path -o tsv")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Copy the files of a model to a folder
    Download {
        #[command(flatten)]
        which: Which,
        /// Where to
        #[arg(short = 'p', long, default_value = ".", value_name = "DIR")]
        download_path: PathBuf,
    },
    Inspect(super::model_inspect::Args),
    Diff(super::model_diff::Args),
    Convert(super::model_convert::Args),
    Extract(super::model_extract::Args),
}

/// Which version of which model.
#[derive(clap::Args)]
pub(super) struct Which {
    /// The model's name
    #[arg(short, long)]
    name: String,

    /// Its version [default: the latest]
    #[arg(short, long, conflicts_with = "label")]
    version: Option<String>,

    /// A label of the version, such as latest
    #[arg(short, long)]
    label: Option<String>,
}

impl Which {
    fn selector(&self) -> Selector {
        match (&self.version, self.label.as_deref()) {
            (Some(version), _) => Selector::Version(version.clone()),
            (None, None | Some("latest")) => Selector::Latest,
            (None, Some(label)) => Selector::Label(label.to_owned()),
        }
    }
}

/// What `model create` takes.
#[derive(clap::Args)]
pub(super) struct Create {
    /// The model's name
    #[arg(short, long)]
    name: String,

    /// Its version [default: the next number]
    #[arg(short, long)]
    version: Option<String>,

    /// The file or folder
    #[arg(short, long)]
    path: PathBuf,

    /// What it is: custom_model, mlflow_model or triton_model
    #[arg(short, long = "type", value_name = "TYPE", default_value = "custom_model")]
    kind: String,

    /// What it is for
    #[arg(short, long, default_value = "")]
    description: String,

    /// Register it even if Python would run code of the file when it loads it
    #[arg(long)]
    allow_pickle: bool,

    /// A label with a value; may be given often
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,

    #[command(flatten)]
    format: Format,
}

pub(super) fn obey(verb: Verb, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let home = context.home();
    match verb {
        Verb::Inspect(args) => return super::model_inspect::inspect(&args, context, printer),
        Verb::Diff(args) => return super::model_diff::diff(&args, context, printer),
        Verb::Convert(args) => return super::model_convert::convert(&args, context, printer),
        Verb::Extract(args) => return super::model_extract::extract(&args, context, printer),
        Verb::Create(create) => {
            create.format.check()?;
            let asset = self::create(&create, &home)?;
            create.format.print(shown(&asset), printer)?;
        }
        Verb::List { name, format } => {
            format.check()?;
            let mut models = existing(&home)?.map_or(Ok(Vec::new()), |r| r.list(AssetKind::Model, name.as_deref()))?;
            models.retain(|m| !m.archived);
            format.print(Value::Array(models.iter().map(shown).collect()), printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            format.print(shown(&find(&which, &home)?), printer)?;
        }
        Verb::Download { which, download_path } => {
            let asset = find(&which, &home)?;
            let file = asset.path.file_name().filter(|_| asset.path.is_file());
            let folder = download_path.join(&asset.name);
            let target = file.map_or(folder.clone(), |name| folder.join(name));
            if target.exists() {
                return Err(Failed::new(format!("{} is there already", target.display()))
                    .hint("name another folder with --download-path, or remove it"));
            }
            tree::copy_tree(&asset.path, &target)?;
            printer.out(&format!("{}\n", target.display()));
        }
    }
    Ok(Exit::Ok)
}

fn create(create: &Create, home: &Home) -> Result<Asset, Failed> {
    let kind: AssetType = create.kind.parse().map_err(Failed::from)?;
    if kind.kind() != AssetKind::Model {
        return Err(Failed::usage(format!("'{}' is no model type", create.kind)));
    }
    if !create.path.exists() {
        return Err(Failed::not_found(format!("there is no file or folder '{}'", create.path.display())));
    }
    let mut tags = BTreeMap::new();
    for tag in &create.tags {
        let Some((key, value)) = tag.split_once('=') else {
            return Err(Failed::usage(format!("'{tag}' is no KEY=VALUE")));
        };
        tags.insert(key.to_owned(), value.to_owned());
    }
    let registry = Context::registry(home)?;
    // The registry keeps bytes that nobody can change: a copy of its own, at an address that never moves.
    let name = create.path.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
    let place = home.models().join("created").join(crate::id::RunName::generate().as_str());
    let sealed = if create.path.is_file() { place.join(name) } else { place.clone() };
    tree::copy_tree(&create.path, &sealed)?;
    tree::make_read_only(&sealed)?;
    let digest = Digest::of_tree(&sealed).map_err(|e| Failed::new(e.to_string()))?;
    let bytes = tree::size_of(&sealed)?.bytes;
    let mut new = NewAsset::new(&create.name, kind, sealed, digest, bytes);
    new.version.clone_from(&create.version);
    new.description.clone_from(&create.description);
    new.tags = tags;
    new.allow_pickle = create.allow_pickle;
    registry.register(new).map_err(|refused| {
        // Nobody knows of the copy; that it cannot be removed changes nothing.
        let _ = std::fs::remove_dir_all(&place);
        refused.into()
    })
}

/// The registry when there is one; looking makes none.
fn existing(home: &Home) -> Result<Option<Registry>, Failed> {
    home.check()?;
    let path = home.registry_db();
    Ok(if path.exists() { Some(Registry::open(&path)?) } else { None })
}

fn find(which: &Which, home: &Home) -> Result<Asset, Failed> {
    let Some(registry) = existing(home)? else {
        return Err(Failed::not_found(format!("there is no model '{}': none is registered here", which.name)));
    };
    Ok(registry.get(AssetKind::Model, &which.name, &which.selector())?)
}

fn shown(asset: &Asset) -> Value {
    serde_json::to_value(asset).unwrap_or_default()
}
