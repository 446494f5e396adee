//! What a document means: an immutable, flat, bound plan.
//!
//! [`resolve()`] goes through the one-way door from [`spec::Document`](crate::spec::Document) to [`Plan`]: defaults are
//! filled in, every binding is followed to a literal, a path or another step's output, the graph is checked and put in
//! order. Nobody changes a plan afterwards.
//!
//! Pure: no clock, no process, no async. The one thing asked of the outside is whether local input paths are there,
//! and registered assets, through [`spec::catalog::Catalog`](crate::spec::catalog::Catalog).

mod bind;
pub mod command;
mod inputs;
mod outputs;
pub mod resolve;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

pub use crate::spec::io::PortType;
pub use resolve::resolve;

/// A job that can be run.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// `pipeline` or `command`.
    pub kind: &'static str,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The experiment that it belongs to.
    pub experiment_name: Option<String>,
    /// Free labels.
    pub tags: Vec<(String, String)>,
    /// The job's own inputs, for people.
    pub inputs: Vec<JobInput>,
    /// The steps, each after those that it needs.
    pub steps: Vec<Step>,
    /// The job's own outputs: which step's output each one is.
    pub outputs: Vec<JobOutput>,
    /// Whether steps that do not depend on a failed one go on. The service's default is true (reference, section 5).
    pub continue_on_step_failure: bool,
}

/// An input of the whole job.
#[derive(Clone, Debug, Serialize)]
pub struct JobInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// Its value.
    pub value: Value,
}

/// An output of the whole job.
#[derive(Clone, Debug, Serialize)]
pub struct JobOutput {
    /// Its name.
    pub name: String,
    /// The step that writes it.
    pub step: usize,
    /// That step's name for it.
    pub output: String,
}

/// One process to run.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its name in the pipeline.
    pub path: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// The component that it runs, as `name` or `name:version`; `None` for an inline command.
    pub component: Option<String>,
    /// The command's text with its expressions.
    pub command: String,
    /// The file or folder that becomes its working directory.
    pub code: Option<PathBuf>,
    /// The environment that it would have on Azure ML, in one line.
    pub environment: Option<String>,
    /// Variables, in order.
    pub environment_variables: Vec<(String, Value)>,
    /// Inputs, in the order of their declaration.
    pub inputs: Vec<StepInput>,
    /// Outputs, in the order of their declaration.
    pub outputs: Vec<StepOutput>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// The steps whose outputs it reads, by index, ascending.
    pub needs: Vec<usize>,
}

/// An input of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// How data is given.
    pub mode: InputMode,
    /// Its value; `None` for an optional input that was left out.
    pub value: Option<Value>,
}

/// How data is given to a step (reference, section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// A path that must not be written to.
    #[default]
    RoMount,
    /// A private copy.
    Download,
    /// A URI; locally the path itself.
    Direct,
}

/// An output of a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepOutput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// The asset that it becomes when the step succeeds.
    pub asset: Option<AssetName>,
}

/// The name, and perhaps the version, under which an output is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssetName {
    /// The asset's name.
    pub name: String,
    /// Its version; the next integer when not given.
    pub version: Option<String>,
}

/// A value, known but for the addresses of outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Value {
    /// Its parts, to be joined without anything between them.
    pub parts: Vec<Part>,
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// A local file or folder.
    Path(PathBuf),
    /// Another step's output.
    Output {
        /// That step.
        step: usize,
        /// Its name for the output.
        output: String,
    },
}

impl Value {
    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The text, when no part of the value is data.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The value with every part turned into text.
    pub fn render(&self, mut place: impl FnMut(&Part) -> String) -> String {
        self.parts.iter().map(&mut place).collect()
    }

    /// The steps whose outputs it mentions.
    pub fn steps(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Output { step, .. } => Some(*step),
            _ => None,
        })
    }

    fn push(&mut self, more: Value) {
        for part in more.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Text(text)), Part::Text(new)) => text.push_str(&new),
                (_, part) => self.parts.push(part),
            }
        }
    }
}
