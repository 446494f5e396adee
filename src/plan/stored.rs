//! The form in which the body of a step is stored: its fields are beside those of the step.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::body::{Code, Command, Distribution, Program};
use super::model::{Condition, DoWhile, ParallelFor, StepBody, Sweep};
use super::{Environment, Value};
use crate::spec::component::ContainerSettings;
use crate::spec::data_transfer::CopyMode;

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
            Self::Copy(mode) => fields.serialize_entry("copy", mode)?,
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
    copy: Option<CopyMode>,
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
        let other = stored.sweep.map(Self::Sweep).or(stored.copy.map(Self::Copy)).or(stored.if_else.map(Self::IfElse));
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
