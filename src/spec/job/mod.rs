//! Jobs as written: what `az ml job create -f` takes (reference, section 2).

pub mod command;
mod common;
pub mod node;
pub mod pipeline;
pub mod service;

use crate::diagnostic::{Diagnostic, Sources};
use crate::language::value::Object;

pub use command::CommandJob;
pub use common::Common;
pub use node::Node;
pub use pipeline::PipelineJob;
pub use service::ServiceJob;

use super::spark::{self, SparkJob};
use super::sweep::{self, SweepJob};

/// A job file.
#[derive(Clone, Debug)]
pub enum Job {
    /// One command.
    Command(Box<CommandJob>),
    /// A graph of nodes.
    Pipeline(Box<PipelineJob>),
    /// A script for Spark.
    Spark(Box<SparkJob>),
    /// Trials of a command.
    Sweep(Box<SweepJob>),
    /// A job that only a service runs.
    Service(Box<ServiceJob>),
}

impl Job {
    /// The fields that all jobs have.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Command(job) => &job.common,
            Self::Pipeline(job) => &job.common,
            Self::Spark(job) => &job.common,
            Self::Sweep(job) => &job.common,
            Self::Service(job) => &job.common,
        }
    }

    /// The word that `type:` has for it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Command(_) => "command",
            Self::Pipeline(_) => "pipeline",
            Self::Spark(_) => "spark",
            Self::Sweep(_) => "sweep",
            Self::Service(job) => &job.kind,
        }
    }
}

/// Takes a job over. `None` when it cannot be taken over, which is then reported.
pub(super) fn of(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) -> Option<Job> {
    match object.class {
        "CommandJob" => command::of(object, found).map(|job| Job::Command(Box::new(job))),
        "SparkJob" => spark::job(object, found).map(|job| Job::Spark(Box::new(job))),
        "SweepJob" => sweep::job(object, found).map(|job| Job::Sweep(Box::new(job))),
        "PipelineJob" => Some(Job::Pipeline(Box::new(pipeline::of(object, found)))),
        _ => {
            let tag = object.get("type");
            let kind = tag.and_then(|t| t.text()).unwrap_or("other");
            let span = tag.map(|t| t.span).or(sources.first().map(|(start, _)| start))?;
            Some(Job::Service(Box::new(service::of(object, kind, span, found))))
        }
    }
}
