//! Registers models and data, for `model create` and `data create`.
//!
//! A local path is copied into the workspace and made read-only, so that a version never changes. Outputs of runs and
//! registered assets are copied too. The address of a datastore, a blob or a web file is stored as written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::component::accepted;
use crate::cli::datastore::create::strings;
use crate::cli::format::Format;
use crate::cli::printer::Printer;
use crate::config::Config;
use crate::data::location::{Place, Places};
use crate::digest::Digest;
use crate::error::Failed;
use crate::language::{Kind, Target};
use crate::registry::asset::{check_name, check_version};
use crate::registry::versions::parse_stage;
use crate::registry::{Asset, AssetKind, AssetType, NewAsset, Registry, RegistryError, Selector};
use crate::runner::project::Project;
use crate::spec::data_uri::DataUri;
use crate::store::{Home, at, tree};
use crate::yaml::overrides::Override;

/// What `model create` and `data create` take.
#[derive(clap::Args)]
#[group(skip)]
pub(in crate::cli) struct Create {
    /// YAML file of the asset, as for 'az ml'
    #[arg(short, long)]
    file: Option<PathBuf>,

    /// Name of the asset [default: 'name' in the file]
    #[arg(short, long, required_unless_present = "file")]
    name: Option<String>,

    /// Version of the asset [default: 'version' in the file, else the next number]
    #[arg(short, long)]
    version: Option<String>,

    /// Local file or folder, or a URI: azureml://datastores/…, https://…, wasbs://…
    #[arg(short, long, required_unless_present = "file", conflicts_with = "file")]
    path: Option<String>,

    /// Description of the asset [default: 'description' in the file]
    #[arg(short, long)]
    description: Option<String>,

    /// Add a tag; repeat the option for more tags
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,

    /// Override values of the file, for example version=2
    #[arg(long, value_name = "PATH=VALUE", requires = "file")]
    set: Vec<Override>,

    #[command(flatten)]
    pub format: Format,
}

/// The asset to be registered, before anything is copied.
struct Draft {
    new: NewAsset,
    /// A path or an address, as written.
    path: String,
    /// The folder to which the path is relative.
    base: PathBuf,
    stage: Option<String>,
}

impl Create {
    /// Registers the asset. `asset_type` is the type on the command line, `default` the type if none is given.
    pub(crate) fn register(
        &self,
        asset_type: Option<AssetType>,
        default: AssetType,
        allow_pickle: bool,
        project: &Project,
        printer: &Printer,
    ) -> Result<Asset, Failed> {
        let near = self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let home = self.file.as_deref().map_or_else(|| project.home(), |file| project.home_of(file));
        let places = Places::new(home.clone(), &Config::near(near)?);
        let mut draft = self.draft(asset_type, default, project, printer)?;
        draft.new.allow_pickle = allow_pickle;
        // Before anything is copied: a mistake in a name should not take the time of copying gigabytes.
        check_name(&draft.new.name)?;
        draft.new.version.as_deref().map_or(Ok(()), check_version)?;
        draft.register(&home, &places, printer)
    }

    fn draft(
        &self,
        asset_type: Option<AssetType>,
        default: AssetType,
        project: &Project,
        printer: &Printer,
    ) -> Result<Draft, Failed> {
        let mut tags = BTreeMap::new();
        for tag in &self.tags {
            let Some((key, value)) = tag.split_once('=') else {
                return Err(Failed::usage(format!("'{tag}' is not of the form KEY=VALUE")));
            };
            tags.insert(key.to_owned(), value.to_owned());
        }
        let bare = |name: &str, asset_type| NewAsset::new(name, asset_type, PathBuf::new(), Digest::of(b""), 0);
        let mut draft = match &self.file {
            None => Draft {
                new: bare(self.name.as_deref().unwrap_or_default(), asset_type.unwrap_or(default)),
                path: self.path.clone().unwrap_or_default(),
                base: PathBuf::new(),
                stage: None,
            },
            Some(file) => {
                let mut set = self.set.clone();
                let given = [("name", &self.name), ("version", &self.version)];
                set.extend(given.into_iter().filter_map(|(key, value)| {
                    value.clone().map(|value| Override { keys: vec![key.to_owned()], value })
                }));
                let kind = if default.kind() == AssetKind::Model { Kind::Model } else { Kind::Data };
                let object = accepted(project.check(file, &set, Target::Local, Some(kind)), printer)?;
                let text = |field: &str| object.written(field).filter(|text| !text.is_empty());
                let Some(name) = text("name") else {
                    return Err(Failed::new(format!("{} has no 'name'", file.display()))
                        .hint("add 'name' to the file, or use --name"));
                };
                let Some(path) = text("path") else {
                    return Err(Failed::new(format!("{} has no 'path'", file.display()))
                        .hint("add 'path' to the file, relative to the folder of the file"));
                };
                let of_file = text("type").map(|word| word.parse::<AssetType>()).transpose()?;
                let mut new = bare(&name, asset_type.or(of_file).unwrap_or(default));
                new.version = text("version");
                new.description = text("description").unwrap_or_default();
                new.tags = strings(&object, "tags");
                new.properties = strings(&object, "properties");
                Draft { new, path, base: object.base.to_path_buf(), stage: text("stage") }
            }
        };
        draft.new.version = self.version.clone().or(draft.new.version);
        draft.new.description = self.description.clone().unwrap_or(draft.new.description);
        draft.new.tags.extend(tags);
        Ok(draft)
    }
}

impl Draft {
    fn register(self, home: &Home, places: &Places, printer: &Printer) -> Result<Asset, Failed> {
        let path = self.path.strip_prefix("file://").unwrap_or(&self.path);
        let place = match DataUri::parse(path) {
            None if path.starts_with("azureml:") => {
                return Err(Failed::new(format!("'{path}' is already an asset"))
                    .hint("use a local path or a URI as the path of the new asset"));
            }
            None => Place::Local(self.base.join(path)),
            Some(Err(why)) => return Err(Failed::new(why)),
            Some(Ok(DataUri::Datastore { .. } | DataUri::Blob(_) | DataUri::Web { .. })) => {
                return self.at_address(&self.path, home, printer);
            }
            Some(Ok(uri)) => places.resolve(&uri).map_err(Failed::not_found)?,
        };
        match place {
            Place::Local(local) => self.copied(&local, home, printer),
            // A registered model that is itself stored at an address.
            Place::Blob { uri, .. } => self.at_address(&uri.address(), home, printer),
            Place::Web { url } => self.at_address(&url, home, printer),
        }
    }

    fn at_address(&self, address: &str, home: &Home, printer: &Printer) -> Result<Asset, Failed> {
        let at = NewAsset::at_address(&self.new.name, self.new.asset_type, address)?;
        let mut new = NewAsset { path: at.path, digest: at.digest, bytes: 0, ..self.new.clone() };
        new.source = Some(address.to_owned());
        let registry = crate::history::registry::create(home)?;
        self.kept(&new, &registry, printer)
    }

    /// Registers content in its final place. It is no error if the same version with the same content exists, even if
    /// another process registered it. The same content under another version is worth a message.
    fn kept(&self, new: &NewAsset, registry: &Registry, printer: &Printer) -> Result<Asset, Failed> {
        let same = registry.list(new.asset_type.kind(), Some(&new.name))?.into_iter().find(|old| is_same(old, new));
        match registry.register(new.clone()) {
            Ok(asset) => {
                self.warn(&asset, printer);
                if let Some(same) = same {
                    printer.err(&format!("note: {} has the same content as {}\n", asset.id(), same.id()));
                }
                self.staged(asset, registry)
            }
            Err(RegistryError::Exists { kind, id }) => {
                let old = again(registry, new).ok_or(RegistryError::Exists { kind, id })?;
                printer.err(&format!("note: {} is already registered with this content: nothing changed\n", old.id()));
                Ok(old)
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Warns about what loading a model would run, or what the file is instead of a model.
    fn warn(&self, asset: &Asset, printer: &Printer) {
        if asset.kind() == AssetKind::Model && asset.uri().is_some() {
            printer.err(&format!("warning: {}: its files are stored elsewhere and were not checked\n", asset.id()));
        }
        let Some(summary) = &asset.summary else { return };
        let what = match summary.safety.as_str() {
            "safe" => return,
            "unknown" => "",
            "dangerous" => "dangerous to load in Python: ",
            _ => "may run any code when Python loads it: ",
        };
        printer.err(&format!("warning: {}: {what}{}\n", asset.id(), summary.runs));
    }

    /// Copies a file or folder to a permanent location in the workspace, and registers the copy.
    fn copied(&self, local: &Path, home: &Home, printer: &Printer) -> Result<Asset, Failed> {
        fits(self.new.asset_type, local)?;
        let registry = crate::history::registry::create(home)?;
        // Nothing refers to the copy until it is registered.
        let copying = home.copying()?;
        copying.lock_shared().map_err(at("lock", home.root()))?;
        let model = self.new.asset_type.kind() == AssetKind::Model;
        let family = if model { home.models().join("created") } else { home.data() };
        let place = family.join(crate::id::RunName::generate().as_str());
        let name = local.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        let sealed = if local.is_file() { place.join(name) } else { place.clone() };
        let registered = tree::copy_tree(local, &sealed)
            .map_err(Failed::from)
            .and_then(|()| self.sealed(&sealed, &registry, home, printer));
        if !registered.as_ref().is_ok_and(|asset| asset.path == sealed) {
            // Nothing refers to the copy, so failing to remove it does no harm.
            let _ = std::fs::remove_dir_all(&place);
        }
        registered
    }

    fn sealed(&self, sealed: &Path, registry: &Registry, home: &Home, printer: &Printer) -> Result<Asset, Failed> {
        tree::make_read_only(sealed)?;
        let digest = Digest::of_tree(sealed).map_err(|e| Failed::new(e.to_string()))?;
        let bytes = tree::size_of(sealed)?.bytes;
        let mut new = NewAsset { path: sealed.to_owned(), digest, bytes, ..self.new.clone() };
        let same = registry.list(new.asset_type.kind(), Some(&new.name))?.into_iter().find(|old| is_same(old, &new));
        if let Some(same) = &same
            && same.path.starts_with(home.root())
            && same.path.exists()
        {
            // The content is stored only once.
            new.path.clone_from(&same.path);
        }
        self.kept(&new, registry, printer)
    }

    /// Moves the version to the stage in its file, if the registry knows that stage.
    fn staged(&self, asset: Asset, registry: &Registry) -> Result<Asset, Failed> {
        match self.stage.as_deref().and_then(|stage| parse_stage(stage).ok()) {
            None => Ok(asset),
            Some(stage) => Ok(registry.set_stage(asset.kind(), &asset.name, &asset.version, stage, false)?),
        }
    }
}

/// Whether a version has the same content as the new one. For a file, the name counts too.
fn is_same(old: &Asset, new: &NewAsset) -> bool {
    let names = old.uri().is_some() || !new.path.is_file() || old.path.file_name() == new.path.file_name();
    old.digest == new.digest && old.asset_type == new.asset_type && names
}

/// The existing version, if it is the same as the new one.
fn again(registry: &Registry, new: &NewAsset) -> Option<Asset> {
    let selector = Selector::Version(new.version.clone()?);
    registry.get(new.asset_type.kind(), &new.name, &selector).ok().filter(|old| is_same(old, new))
}

/// Checks that a local path matches the asset's type (reference, sections 3.2 and 9.1).
fn fits(asset_type: AssetType, local: &Path) -> Result<(), Failed> {
    let shown = local.display();
    if !local.exists() {
        return Err(Failed::not_found(format!("the file or folder '{shown}' does not exist")));
    }
    let failed = match asset_type {
        AssetType::UriFile if local.is_dir() => {
            Failed::new(format!("'{shown}' is a folder, but uri_file needs a file")).hint("use --type uri_folder")
        }
        AssetType::UriFolder if local.is_file() => {
            Failed::new(format!("'{shown}' is a file, but uri_folder needs a folder")).hint("use --type uri_file")
        }
        AssetType::Mltable if !local.join("MLTable").is_file() => {
            Failed::new(format!("'{shown}' is not an MLTable: an MLTable is a folder with a file named MLTable"))
                .hint("add the file MLTable, or use --type uri_folder or uri_file")
        }
        _ => return Ok(()),
    };
    Err(failed)
}
