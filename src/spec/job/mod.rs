//! Jobs as written: what `az ml job create -f` takes (reference, section 2).

pub mod command;
pub mod node;
pub mod pipeline;
pub mod service;

use std::path::PathBuf;

use super::{Pairs, Spanned};
use crate::diagnostic::{Diagnostic, Sources};
use crate::id::RunName;
use crate::language::value::{Entry, Object};

pub use command::CommandJob;
pub use node::Node;
pub use pipeline::PipelineJob;
pub use service::ServiceJob;

/// A job file.
#[derive(Clone, Debug)]
pub enum Job {
    /// One command.
    Command(Box<CommandJob>),
    /// A graph of nodes.
    Pipeline(Box<PipelineJob>),
    /// What only a service runs.
    Service(Box<ServiceJob>),
}

impl Job {
    /// The fields that all jobs have.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Command(job) => &job.common,
            Self::Pipeline(job) => &job.common,
            Self::Service(job) => &job.common,
        }
    }

    /// The word that `type:` has for it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Command(_) => "command",
            Self::Pipeline(_) => "pipeline",
            Self::Service(job) => &job.kind,
        }
    }
}

/// The fields of every standalone job (reference, section 2.1).
#[derive(Clone, Debug)]
pub struct Common {
    /// The job's name, when the author gives one.
    pub name: Option<Spanned<String>>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The experiment that it belongs to.
    pub experiment_name: Option<String>,
    /// Free labels.
    pub tags: Pairs<Option<String>>,
    /// Free properties.
    pub properties: Pairs<Option<String>>,
    /// The folder that relative paths of the file are against.
    pub base: PathBuf,
}

impl Common {
    fn of(object: &Object, found: &mut Vec<Diagnostic>) -> Self {
        let text = |field: &str| object.text(field).map(str::to_owned);
        let pairs = |field: &str| {
            let pair = |e: &Entry| (e.key.clone(), e.value.text().map(str::to_owned));
            object.map(field).iter().map(pair).collect()
        };
        let name = object.get("name").and_then(|v| Some(Spanned::new(v.text()?.to_owned(), v.span)));
        if let Some(name) = &name
            && let Err(why) = RunName::parse(&name.value)
        {
            found.push(Diagnostic::error("bad-name", name.span, why.to_string()).at("name"));
        }
        Self {
            name,
            display_name: text("display_name"),
            description: text("description"),
            experiment_name: text("experiment_name"),
            tags: pairs("tags"),
            properties: pairs("properties"),
            base: object.base.to_path_buf(),
        }
    }
}

/// Takes a job over. `None` when it cannot be, which is then told.
pub(super) fn of(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) -> Option<Job> {
    match object.class {
        "CommandJob" => command::of(object, found).map(|job| Job::Command(Box::new(job))),
        "PipelineJob" => Some(Job::Pipeline(Box::new(pipeline::of(object, found)))),
        _ => {
            let tag = object.get("type");
            let kind = tag.and_then(|t| t.text()).unwrap_or("other");
            let span = tag.map(|t| t.span).or(sources.first().map(|(start, _)| start))?;
            Some(Job::Service(Box::new(service::of(object, kind, span, found))))
        }
    }
}
