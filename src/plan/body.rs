//! What a step does: the command that it runs, or a type that is not run here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Environment, Value};
use crate::spec::component::ContainerSettings;

/// What a step does, by its type on Azure ML. In a stored plan its fields are beside those of the step.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepBody {
    /// It runs a command.
    Command(Box<Command>),
    /// It has a type that is not run here, such as `spark`. Such a step has a substitute.
    #[serde(untagged)]
    Unsupported {
        /// The type.
        kind: String,
    },
}

impl StepBody {
    /// The type on Azure ML: `command`, `spark`, `sweep` …
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Command(_) => "command",
            Self::Unsupported { kind } => kind,
        }
    }
}

/// The fields of a body in a stored plan. Plans of earlier versions have them for every type.
#[derive(Deserialize)]
struct Stored {
    #[serde(default = "command")]
    kind: String,
    command: Option<String>,
    code: Option<Code>,
    environment: Option<Environment>,
    /// What decides about the environment, in plans of versions whose `environment` is only a description.
    environment_definition: Option<String>,
    environment_variables: Option<Vec<(String, Value)>>,
    distribution: Option<Distribution>,
    #[serde(default)]
    container: ContainerSettings,
}

fn command() -> String {
    "command".to_owned()
}

impl<'de> Deserialize<'de> for StepBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        // A component that is not registered here has no command, but a substitute.
        let (true, Some(text)) = (stored.kind == "command", stored.command) else {
            return Ok(Self::Unsupported { kind: stored.kind });
        };
        let missing = || serde::de::Error::missing_field("environment_variables");
        let environment = match (stored.environment, stored.environment_definition) {
            (Some(Environment::Reference(described)), Some(definition)) => {
                Some(Environment::described(&described, definition))
            }
            (environment, _) => environment,
        };
        Ok(Self::Command(Box::new(Command {
            text,
            code: stored.code,
            environment,
            environment_variables: stored.environment_variables.ok_or_else(missing)?,
            distribution: stored.distribution,
            container: stored.container,
        })))
    }
}

/// A command with its surroundings.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Command {
    /// Its text with its expressions.
    #[serde(rename = "command")]
    pub text: String,
    /// What becomes its working directory.
    pub code: Option<Code>,
    /// The environment that it has on Azure ML.
    pub environment: Option<Environment>,
    /// Variables, in order.
    pub environment_variables: Vec<(String, Value)>,
    /// The processes that it runs as; `None` for one.
    pub distribution: Option<Distribution>,
    /// What its container gets, where it runs in one.
    #[serde(skip_serializing_if = "ContainerSettings::is_empty")]
    pub container: ContainerSettings,
}

/// The code of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code {
    /// The file or folder that `code:` names.
    pub root: Option<PathBuf>,
    /// Files and folders that are placed beside it.
    pub includes: Vec<PathBuf>,
}

/// A step of several processes (reference, section 7.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `pytorch`, `mpi`, `tensorflow`; `None` when the command runs once on every instance.
    pub kind: Option<String>,
    /// `resources.instance_count`.
    pub instances: u32,
    /// The numbers that the author gives, by field: `process_count_per_instance`, `worker_count` …
    pub counts: BTreeMap<String, u32>,
}

impl Distribution {
    /// How many processes there are in all.
    #[must_use]
    pub fn processes(&self) -> usize {
        let count = |name: &str| self.counts.get(name).copied();
        let processes = match self.kind.as_deref() {
            Some("tensorflow") => {
                count("worker_count").unwrap_or(self.instances) + count("parameter_server_count").unwrap_or(0)
            }
            Some(_) => self.instances.saturating_mul(count("process_count_per_instance").unwrap_or(1)),
            None => self.instances,
        };
        usize::try_from(processes).unwrap_or(usize::MAX)
    }
}
