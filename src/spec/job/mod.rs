//! Jobs as written: what `az ml job create -f` takes (reference, section 2).

pub mod command;
pub mod node;
pub mod pipeline;

use std::path::PathBuf;

use super::{Pairs, Spanned};
use crate::diagnostic::Diagnostic;
use crate::id::RunName;
use crate::yaml::Fields;

pub use command::CommandJob;
pub use node::Node;
pub use pipeline::PipelineJob;

/// A job file.
#[derive(Clone, Debug)]
pub enum Job {
    /// One command.
    Command(Box<CommandJob>),
    /// A graph of nodes.
    Pipeline(Box<PipelineJob>),
}

impl Job {
    /// The fields that all jobs have.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Command(job) => &job.common,
            Self::Pipeline(job) => &job.common,
        }
    }

    /// The word that `type:` has for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Pipeline(_) => "pipeline",
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
    pub(super) fn read(fields: &mut Fields<'_>, base: PathBuf, found: &mut Vec<Diagnostic>) -> Self {
        // The SDK drops these silently when they are given.
        fields.pass_over(&["$schema", "type", "id", "creation_context", "status", "log_files", "parameters"]);
        fields.pass_over(&["compute", "identity", "services"]);
        let name = fields.string("name", found).map(|(text, span)| Spanned::new(text, span));
        if let Some(name) = &name
            && let Err(why) = RunName::parse(&name.value)
        {
            found.push(Diagnostic::error("bad-name", name.span, why.to_string()).at("name"));
        }
        Self {
            name,
            display_name: fields.string("display_name", found).map(|(text, _)| text),
            description: fields.string("description", found).map(|(text, _)| text),
            experiment_name: fields.string("experiment_name", found).map(|(text, _)| text),
            tags: fields.string_map("tags", found),
            properties: fields.string_map("properties", found),
            base,
        }
    }
}
