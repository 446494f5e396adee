//! What a step does: the command that it runs, or a type that is not run here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Condition, DoWhile, Environment, ParallelFor, Sweep, Template, Value};
use crate::spec::component::ContainerSettings;

/// What a step does. In a stored plan its fields are beside those of the step.
#[derive(Clone, Debug)]
pub enum StepBody {
    /// It runs a command.
    Command(Box<Command>),
    /// It runs trials of a command.
    Sweep(Box<Sweep>),
    /// It decides which steps run.
    IfElse(Box<Condition>),
    /// It repeats steps while a condition is true.
    DoWhile(Box<DoWhile>),
    /// It runs steps once for each item.
    ParallelFor(Box<ParallelFor>),
    /// It has a type that is not run here, such as `automl`. Such a step has a substitute.
    Unsupported {
        /// The type.
        kind: String,
    },
}

impl StepBody {
    /// Whether it runs no process itself, but other steps, which it adds while the run goes on.
    #[must_use]
    pub fn runs_others(&self) -> bool {
        self.template().is_some()
    }

    /// The steps that it adds while the run goes on.
    #[must_use]
    pub fn template(&self) -> Option<&Template> {
        match self {
            Self::Sweep(sweep) => Some(&sweep.trial),
            Self::DoWhile(repeated) => Some(&repeated.body),
            Self::ParallelFor(each) => Some(&each.body),
            Self::Command(_) | Self::IfElse(_) | Self::Unsupported { .. } => None,
        }
    }

    pub(super) fn template_mut(&mut self) -> Option<&mut Template> {
        match self {
            Self::Sweep(sweep) => Some(&mut sweep.trial),
            Self::DoWhile(repeated) => Some(&mut repeated.body),
            Self::ParallelFor(each) => Some(&mut each.body),
            Self::Command(_) | Self::IfElse(_) | Self::Unsupported { .. } => None,
        }
    }

    /// The values in it: variables, conditions, items.
    #[must_use]
    pub fn values(&self) -> Vec<&Value> {
        match self {
            Self::Command(command) => command.environment_variables.iter().map(|(_, value)| value).collect(),
            Self::IfElse(condition) => vec![&condition.value],
            Self::ParallelFor(each) => each.items.values().collect(),
            Self::Sweep(_) | Self::DoWhile(_) | Self::Unsupported { .. } => Vec::new(),
        }
    }

    /// The values in it, to be replaced.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Command(command) => command.environment_variables.iter_mut().map(|(_, value)| value).collect(),
            Self::IfElse(condition) => vec![&mut condition.value],
            Self::ParallelFor(each) => each.items.values_mut(),
            Self::Sweep(_) | Self::DoWhile(_) | Self::Unsupported { .. } => Vec::new(),
        }
    }

    /// The type on Azure ML: `command`, `spark`, `sweep` …
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Sweep(_) => "sweep",
            Self::IfElse(_) => "if_else",
            Self::DoWhile(_) => "do_while",
            Self::ParallelFor(_) => "parallel_for",
            Self::Command(command) => command.program.kind(),
            Self::Unsupported { kind } => kind,
        }
    }
}

impl Serialize for StepBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("kind", self.kind())?;
        match self {
            Self::Command(command) => {
                if command.program != Program::Shell {
                    fields.serialize_entry("program", &command.program)?;
                }
                fields.serialize_entry("command", &command.text)?;
                fields.serialize_entry("code", &command.code)?;
                fields.serialize_entry("environment", &command.environment)?;
                fields.serialize_entry("environment_variables", &command.environment_variables)?;
                fields.serialize_entry("distribution", &command.distribution)?;
                if !command.container.is_empty() {
                    fields.serialize_entry("container", &command.container)?;
                }
            }
            Self::Sweep(sweep) => fields.serialize_entry("sweep", sweep)?,
            Self::IfElse(condition) => fields.serialize_entry("if_else", condition)?,
            Self::DoWhile(repeated) => fields.serialize_entry("do_while", repeated)?,
            Self::ParallelFor(each) => fields.serialize_entry("parallel_for", each)?,
            Self::Unsupported { .. } => {}
        }
        fields.end()
    }
}

/// The fields of a body in a stored plan. Plans of earlier versions have them for every type.
#[derive(Deserialize)]
struct Stored {
    #[serde(default = "command")]
    kind: String,
    /// Plans of earlier versions have only commands of a shell, and a command's text also for other types.
    program: Option<Program>,
    command: Option<String>,
    code: Option<Code>,
    environment: Option<Environment>,
    /// What decides about the environment, in plans of versions whose `environment` is only a description.
    environment_definition: Option<String>,
    environment_variables: Option<Vec<(String, Value)>>,
    distribution: Option<Distribution>,
    #[serde(default)]
    container: ContainerSettings,
    sweep: Option<Box<Sweep>>,
    if_else: Option<Box<Condition>>,
    do_while: Option<Box<DoWhile>>,
    parallel_for: Option<Box<ParallelFor>>,
}

fn command() -> String {
    "command".to_owned()
}

impl<'de> Deserialize<'de> for StepBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        // A component that is not registered here has no command, but a substitute.
        let other = stored.sweep.map(Self::Sweep).or(stored.if_else.map(Self::IfElse));
        let other = other.or(stored.do_while.map(Self::DoWhile)).or(stored.parallel_for.map(Self::ParallelFor));
        if let Some(other) = other {
            return Ok(other);
        }
        let program = stored.program.or_else(|| (stored.kind == "command").then_some(Program::Shell));
        let (Some(program), Some(text)) = (program, stored.command) else {
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
            program,
            text,
            code: stored.code,
            environment,
            environment_variables: stored.environment_variables.ok_or_else(missing)?,
            distribution: stored.distribution,
            container: stored.container,
        })))
    }
}

/// What a command is for, which is the step's type on Azure ML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// The command that the author wrote.
    #[default]
    Shell,
    /// It runs the driver of a parallel step, which calls the author's script for each mini-batch.
    Parallel,
    /// It runs `spark-submit`.
    Spark,
}

impl Program {
    /// The step's type on Azure ML.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Shell => "command",
            Self::Parallel => "parallel",
            Self::Spark => "spark",
        }
    }
}

/// A command with its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// What it is for.
    pub program: Program,
    /// Its text with its expressions.
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
    /// `pytorch`, `mpi`, `tensorflow`, `ray`; `None` when the command runs once on every instance.
    pub kind: Option<String>,
    /// `resources.instance_count`.
    pub instances: u32,
    /// The numbers that the author gives, by field: `process_count_per_instance`, `worker_count` …
    pub counts: BTreeMap<String, u32>,
    /// What the author says of a Ray cluster, by field: `port`, `address`, `head_node_additional_args` …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Distribution {
    /// Whether the command runs beside a Ray cluster.
    #[must_use]
    pub fn is_ray(&self) -> bool {
        self.kind.as_deref() == Some("ray")
    }

    /// How many processes there are in all.
    #[must_use]
    pub fn processes(&self) -> usize {
        let count = |name: &str| self.counts.get(name).copied();
        let processes = match self.kind.as_deref() {
            Some("tensorflow") => {
                count("worker_count").unwrap_or(self.instances) + count("parameter_server_count").unwrap_or(0)
            }
            // The command runs on the head only.
            Some("ray") => 1,
            Some(_) => self.instances.saturating_mul(count("process_count_per_instance").unwrap_or(1)),
            None => self.instances,
        };
        usize::try_from(processes).unwrap_or(usize::MAX)
    }
}
