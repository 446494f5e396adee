//! What a workspace knows about environments: those that are registered, and those that its runs recorded.

use std::path::Path;
use std::sync::Arc;

use super::project::Project;
use crate::again::{amlrun, word};
use crate::config::Config;
use crate::environment::Environments;
use crate::environment::managed::locked::{Locked, LockedEnvironment};
use crate::environment::resolve::{Policy, RegisteredEnvironments, Resolution, Settings};
use crate::error::Failed;
use crate::event::EventKind;
use crate::history::record;
use crate::language::value::{Data, Value};
use crate::language::{self, Kind};
use crate::registry::EnvironmentStore;
use crate::spec::environment::{CondaFile, Environment};
use crate::store::Home;

/// The registered environments of a workspace, by reference.
pub(crate) struct Registered(EnvironmentStore);

impl Registered {
    /// Those of a workspace; `None` if it has none.
    pub(crate) fn of(home: &Home) -> Option<Self> {
        EnvironmentStore::existing(&home.environments()).map(Self)
    }
}

impl RegisteredEnvironments for Registered {
    fn find(&self, reference: &str) -> Option<Environment> {
        read(&self.0.find(reference)?)
    }
}

/// An environment file, as a step would name its content.
pub(crate) fn read(file: &Path) -> Option<Environment> {
    let options = language::Options { kind: Some(Kind::Environment), ..language::Options::default() };
    let document = language::load(file, &options);
    Environment::of(document.value.as_ref()?, "environment", &mut Vec::new())
}

/// The environments of a workspace's jobs, according to the settings.
pub(crate) fn of(home: &Home, config: &Config) -> Environments {
    let registered = Registered::of(home).map(|all| Arc::new(all) as Arc<dyn RegisteredEnvironments>);
    Environments::new(Settings { registered, ..config.environments() })
}

/// The environments in a file: a conda file, an environment file, or those of a job's steps.
pub(crate) fn named_in(file: &Path, project: &Project, config: &Config) -> Result<Vec<Environment>, Failed> {
    let unreadable = |error| Failed::not_found(format!("cannot read {}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let root: serde_yaml::Value = serde_yaml::from_str(&text).unwrap_or_default();
    if root.get("dependencies").is_some() {
        let folder = std::path::absolute(file).ok().and_then(|path| path.parent().map(Path::to_owned));
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let conda = CondaFile { text: text.clone(), folder: folder.unwrap_or_default(), file: name };
        return Ok(vec![Environment::Inline {
            image: None,
            build: None,
            conda_file: None,
            conda: Some(conda),
            context: None,
            definition: text,
        }]);
    }
    let is_environment = ["image", "build", "conda_file"].iter().any(|field| root.get(field).is_some());
    if is_environment {
        let found = read(file);
        return found.map(|found| vec![found]).ok_or_else(|| {
            Failed::new(format!("{} is not an environment file", file.display()))
                .hint(format!("to see what is wrong: {}", amlrun(&format!("validate {}", word(file)))))
        });
    }
    let (plan, _) = project.accepted(file, &[], config)?;
    Ok(plan.all_steps().into_iter().filter_map(|step| step.command()?.environment.clone()).collect())
}

/// What the environments of a document become, each with the steps that name it. A step is known by its name; a document
/// that is a single step has an empty name.
pub(crate) fn in_document(document: &language::Document, all: &Environments) -> Vec<(Becomes, Vec<String>)> {
    let mut written = Vec::new();
    if let Some(value) = &document.value {
        if document.kind == Some(Kind::Environment) {
            written.extend(Environment::of(value, "", &mut Vec::new()).map(|found| (String::new(), found)));
        } else {
            collect(value, &mut Vec::new(), &mut written);
        }
    }
    let mut found: Vec<(Becomes, Vec<String>)> = Vec::new();
    for (step, environment) in written {
        let becomes = Becomes::of(&environment, all);
        match found.iter_mut().find(|(known, _)| *known == becomes) {
            Some((_, steps)) => steps.push(step),
            None => found.push((becomes, vec![step])),
        }
    }
    found
}

/// Finds the environments in a value. `path` are the names of the nodes that lead to it.
fn collect(value: &Value, path: &mut Vec<String>, found: &mut Vec<(String, Environment)>) {
    let Some(object) = value.object() else { return };
    for entry in &object.fields {
        match entry.key.as_str() {
            "environment" => {
                let environment = Environment::of(&entry.value, "environment", &mut Vec::new());
                found.extend(environment.map(|environment| (path.join("."), environment)));
            }
            "jobs" => {
                let nodes = match &entry.value.data {
                    Data::Map(nodes) => nodes.as_slice(),
                    Data::Object(nodes) => &nodes.fields,
                    _ => &[],
                };
                for node in nodes {
                    path.push(node.key.clone());
                    collect(&node.value, path, found);
                    path.pop();
                }
            }
            "component" | "trial" | "task" => collect(&entry.value, path, found),
            _ => {}
        }
    }
}

/// What a written environment becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Becomes {
    /// As it was written, in one line.
    pub written: String,
    /// `managed`, `container`, `host` or `refused`.
    pub kind: &'static str,
    /// The name of the environment that is built.
    pub name: Option<String>,
    /// Where its definition is from, or why nothing is built.
    pub why: String,
}

impl Becomes {
    fn of(environment: &Environment, all: &Environments) -> Self {
        let (kind, name, why) = match all.resolve(Some(environment)) {
            Ok(resolution) => match &*resolution {
                Resolution::Managed(managed) => ("managed", Some(managed.name.clone()), managed.source.to_owned()),
                Resolution::Container(container) => ("container", Some(container.name.clone()), container.describe()),
                Resolution::Host(why) => ("host", None, why.clone()),
            },
            Err(why) => ("refused", None, why),
        };
        Self { written: environment.describe(), kind, name, why }
    }

    /// A sentence without its end: what the steps get.
    pub(crate) fn sentence(&self) -> String {
        match (&self.name, self.kind) {
            (Some(name), "container") => format!("container '{name}' ({})", self.why),
            (Some(name), _) => format!("environment '{name}' ({})", self.why),
            (None, "refused") => format!("no environment: {}", self.why),
            (None, _) => format!("this machine's environment: {}", self.why),
        }
    }
}

/// The project's settings with what the user chose now: how environments are provided, and the run whose versions are
/// built again.
pub(crate) fn chosen(
    config: Config,
    policy: Option<Policy>,
    locked: Option<&str>,
    home: &Home,
) -> Result<Config, Failed> {
    let locked = locked.map(|run| self::locked(home, run)).transpose()?;
    let is_locked = locked.is_some();
    let config = config.with_environments(policy, locked);
    if is_locked && config.environments().policy != Policy::Managed {
        let message = "--locked needs environments that are built, and this run uses others";
        return Err(Failed::usage(message).hint("add --environment managed, or leave out --locked"));
    }
    Ok(config)
}

/// The exact versions of all environments that a run used.
pub(crate) fn locked(home: &Home, run: &str) -> Result<Locked, Failed> {
    let folder = home.find_run(run)?;
    let events = record::events(&folder)?;
    let ready = events.into_iter().filter_map(|event| match event.what {
        EventKind::EnvironmentReady { environment: name, digest, python, packages, .. } => {
            Some(LockedEnvironment { name, digest, python, packages })
        }
        _ => None,
    });
    let environments: Vec<LockedEnvironment> = ready.collect();
    if environments.is_empty() {
        let message = format!("the run '{}' used no environment that was built for it", folder.name);
        let hint = "a run records the versions of an environment when a step runs in it; choose a run whose steps ran";
        return Err(Failed::new(message).hint(hint));
    }
    Ok(Locked { run: folder.name.to_string(), environments })
}
