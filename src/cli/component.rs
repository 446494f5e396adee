//! `amlrun component …`: components with the commands of `az ml component`, and the REST bodies of documents.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value as Json;

use super::asset::Which;
use super::format::Format;
use super::printer::Printer;
use crate::diagnostic::{Diagnostic, Diagnostics, Sources};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::value::Object;
use crate::language::{self, Kind, Target, rest};
use crate::registry::component::NewComponent;
use crate::registry::copies::Registered;
use crate::registry::footprint::Footprint;
use crate::registry::{ComponentStore, ComponentVersion};
use crate::runner::project::Project;
use crate::yaml::{self, overrides::Override};

/// Manage components, like 'az ml component'
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Register a component for use as azureml:NAME:VERSION in pipelines
    #[command(after_help = "Examples:\n  \
        amlrun component create -f train.yml\n  \
        amlrun component create -f train.yml -v 7 --query version -o tsv\n  \
        amlrun component create -f train.yml --dry-run\n\n\
        The component file is copied together with all files that it refers to: code, includes, environment \
        files, nested components. A version cannot be changed. Registering the same content again has no effect.")]
    Create(Create),
    /// List components, or the versions of one component, newest first
    List {
        /// List the versions of this component only
        #[arg(short, long)]
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one version of a component
    #[command(after_help = "Examples:\n  \
        amlrun component show -n train -v 3\n  \
        amlrun component show -n train -l latest --query path -o tsv")]
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
}

/// What `component create` takes.
#[derive(clap::Args)]
pub(super) struct Create {
    /// YAML file of the component
    #[arg(short, long)]
    file: PathBuf,

    /// Name of the component [default: 'name' in the file]
    #[arg(short, long)]
    name: Option<String>,

    /// Version of the component [default: 'version' in the file, else the next number]
    #[arg(short, long)]
    version: Option<String>,

    /// Print the request body for Azure ML, without registering the component
    #[arg(long)]
    dry_run: bool,

    /// Override values of the file, for example version=2
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    #[command(flatten)]
    format: Format,
}

pub(super) fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Create(create) => {
            create.format.check()?;
            let answer = if create.dry_run {
                rest_body(&create.file, &create.overrides(), Kind::Component, printer)?
            } else {
                self::create(&create, project, printer)?
            };
            create.format.print(answer, printer)?;
        }
        Verb::List { name, format } => {
            format.check()?;
            let store = ComponentStore::at(project.home().components());
            let found = store.list(name.as_deref());
            format.print(Json::Array(found.iter().map(|record| shown(record, &store)).collect()), printer)?;
        }
        Verb::Show { which, format } => {
            format.check()?;
            let store = ComponentStore::at(project.home().components());
            format.print(shown(&store.get(&which.name, &which.selector())?, &store), printer)?;
        }
    }
    Ok(Exit::Ok)
}

impl Create {
    /// The values of `--set`, and the name and version on the command line.
    fn overrides(&self) -> Vec<Override> {
        let given = [("name", &self.name), ("version", &self.version)];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some(Override { keys: vec![key.to_owned()], value: value.clone()? }));
        self.set.iter().cloned().chain(given).collect()
    }
}

/// Registers the component in the workspace of its file.
fn create(create: &Create, project: &Project, printer: &Printer) -> Result<Json, Failed> {
    let set = create.overrides();
    let checked = project.check(&create.file, &set, Target::Local, Some(Kind::Component));
    let component = accepted(checked, printer)?;
    let text = |field: &str| component.written(field).filter(|text| !text.is_empty());
    let kind = text("type").unwrap_or_else(|| "command".to_owned());
    const KINDS: [&str; 4] = ["CommandComponent", "PipelineComponent", "ParallelComponent", "SparkComponent"];
    if !KINDS.contains(&component.class) {
        return Err(Failed::new(format!(
            "{}: components of type '{kind}' cannot be registered yet: only command, parallel, pipeline and spark \
             components can",
            create.file.display()
        )));
    }
    // Read again with unresolved references: assets that are registered already are not copied again.
    let options = language::Options {
        components: None,
        kind: Some(Kind::Component),
        ..project.local_options(&create.file, &set)
    };
    let plain = language::load(&create.file, &options);
    let plain = plain.value.as_ref().and_then(|v| v.object()).unwrap_or(&component);
    let home = project.home_of(&create.file);
    home.create()?;
    let file = std::path::absolute(&create.file).unwrap_or_else(|_| create.file.clone());
    let footprint = Footprint::of(&file, plain, home.root())?;
    let new = NewComponent {
        name: text("name").unwrap_or_default(),
        version: text("version"),
        display_name: text("display_name"),
        description: text("description"),
        kind,
        file,
        text: changed_text(&create.file, &create.set)?,
    };
    let store = ComponentStore::at(home.components());
    Ok(match store.add(&new, &footprint)? {
        Registered::New(record) => shown(&record, &store),
        Registered::Same(record) => {
            let id = format!("{}:{}", record.name, record.version);
            printer.err(&format!("the component '{id}' is already registered with this content: nothing changed\n"));
            shown(&record, &store)
        }
    })
}

/// The accepted document. Warnings are shown; an error ends the command.
pub(super) fn accepted(mut checked: language::Document, printer: &Printer) -> Result<Object, Failed> {
    checked.diagnostics.drop_notes();
    let accepted = checked.accepted();
    match checked.value.as_ref().and_then(|v| v.object()).filter(|_| accepted) {
        Some(object) => {
            printer.diagnostics(&checked.diagnostics, &checked.sources);
            Ok(object.clone())
        }
        None => {
            let exit = if checked.not_found { Exit::NotFound } else { Exit::Failed };
            Err(Failed::Refused { diagnostics: checked.diagnostics, sources: checked.sources, exit })
        }
    }
}

/// The file's text with the `--set` values applied. `None` if there are none. The name and version are stored in the
/// record.
pub(super) fn changed_text(file: &Path, set: &[Override]) -> Result<Option<String>, Failed> {
    if set.is_empty() {
        return Ok(None);
    }
    let unreadable = |error| Failed::new(format!("cannot read {}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let (mut sources, mut found) = (Sources::default(), Vec::new());
    let source = sources.add(file, &text);
    let root = yaml::parse(&text, source, &mut found);
    Ok(root.map(|mut root| {
        yaml::overrides::apply(&mut root, set, &mut sources, &mut found);
        yaml::write::flow(&root) + "\n"
    }))
}

fn shown(record: &ComponentVersion, store: &ComponentStore) -> Json {
    let mut answer = serde_json::to_value(record).unwrap_or_default();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("id".to_owned(), format!("azureml:{}:{}", record.name, record.version).into());
        fields.insert("created".to_owned(), record.created.to_string().into());
        fields.insert("path".to_owned(), store.file_of(record).to_string_lossy().into());
    }
    answer
}

/// The REST body of a document that Azure ML accepts. Warnings are shown; an error ends the command.
pub(super) fn rest_body(file: &Path, set: &[Override], kind: Kind, printer: &Printer) -> Result<Json, Failed> {
    let mut checked = Project::check_for_azure(file, set, kind);
    let accepted = checked.accepted();
    let refused = |diagnostics: Diagnostics, sources, exit| Err(Failed::Refused { diagnostics, sources, exit });
    let Some(object) = checked.value.as_ref().and_then(|v| v.object()).filter(|_| accepted) else {
        let exit = if checked.not_found { Exit::NotFound } else { Exit::Failed };
        return refused(checked.diagnostics, checked.sources, exit);
    };
    match rest::body(object) {
        Ok(body) => {
            printer.diagnostics(&checked.diagnostics, &checked.sources);
            Ok(body)
        }
        Err(why) => {
            let message = format!("{}: {why}", file.display());
            checked.diagnostics.push(Diagnostic::without_place("not-sent", message));
            refused(checked.diagnostics, checked.sources, Exit::Failed)
        }
    }
}
