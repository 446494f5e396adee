//! Steps, what they do, and the templates from which a step adds others while the run goes on: the trials of a sweep, and
//! the iterations of a loop.
//!
//! A template knows nothing of the steps around it. It gets everything through the inputs of its parent
//! ([`Part::Input`]), and the numbers in its [`Part::Output`]s count its own steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::body::Command;
use super::items::Items;
use super::ports::{InputMode, JobOutput, Phase, StepInput, StepOutput, Substitute};
use super::{Part, Remote, Value};
use crate::spec::data_transfer::CopyMode;
use crate::sweep::{Algorithm, EarlyTermination, Objective, SearchSpace};

/// A step: a process to run, steps that it adds, a copy or a condition, or its substitute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the pipeline; inside of nested pipelines with theirs before it: `prepare.clean`.
    pub path: String,
    /// Its name for people.
    pub display_name: Option<String>,
    /// The component that it runs, as `name` or `name:version`; `None` for an inline command.
    pub component: Option<String>,
    /// What it does.
    #[serde(flatten)]
    pub body: StepBody,
    /// Inputs, in the order of their declaration.
    pub inputs: Vec<StepInput>,
    /// Outputs, in the order of their declaration.
    pub outputs: Vec<StepOutput>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Whether the same inputs always give the same outputs, so that an earlier result can be reused.
    pub is_deterministic: bool,
    /// When its turn comes.
    pub phase: Phase,
    /// What is used instead of it on this machine.
    #[serde(alias = "stand_in")]
    pub substitute: Option<Substitute>,
    /// How often it is tried again after a failure.
    pub retries: u32,
    /// How many of the slots for steps it takes while it runs.
    pub slots: usize,
    /// The steps that must complete before it, by index, ascending.
    pub needs: Vec<usize>,
    /// Those of them that feed optional inputs only: when one fails the step runs without that input.
    pub optional_needs: Vec<usize>,
}

/// What a step does. In a stored plan its fields are beside those of the step.
#[derive(Clone, Debug)]
pub enum StepBody {
    /// It runs a command.
    Command(Box<Command>),
    /// It runs trials of a command.
    Sweep(Box<Sweep>),
    /// It copies its inputs into its output.
    Copy(CopyMode),
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
            Self::Command(_) | Self::Copy(_) | Self::IfElse(_) | Self::Unsupported { .. } => None,
        }
    }

    pub(super) fn template_mut(&mut self) -> Option<&mut Template> {
        match self {
            Self::Sweep(sweep) => Some(&mut sweep.trial),
            Self::DoWhile(repeated) => Some(&mut repeated.body),
            Self::ParallelFor(each) => Some(&mut each.body),
            Self::Command(_) | Self::Copy(_) | Self::IfElse(_) | Self::Unsupported { .. } => None,
        }
    }

    /// The values in it: variables, conditions, items.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let (variables, condition, items) = match self {
            Self::Command(command) => (command.environment_variables.as_slice(), None, None),
            Self::IfElse(condition) => ([].as_slice(), Some(&condition.value), None),
            Self::ParallelFor(each) => ([].as_slice(), None, Some(&each.items)),
            Self::Sweep(_) | Self::DoWhile(_) | Self::Copy(_) | Self::Unsupported { .. } => ([].as_slice(), None, None),
        };
        let items = items.into_iter().flat_map(Items::values);
        variables.iter().map(|(_, value)| value).chain(condition).chain(items)
    }

    /// The values in it, to be replaced.
    pub(super) fn values_mut(&mut self) -> Vec<&mut Value> {
        match self {
            Self::Command(command) => command.environment_variables.iter_mut().map(|(_, value)| value).collect(),
            Self::IfElse(condition) => vec![&mut condition.value],
            Self::ParallelFor(each) => each.items.values_mut(),
            Self::Sweep(_) | Self::DoWhile(_) | Self::Copy(_) | Self::Unsupported { .. } => Vec::new(),
        }
    }

    /// The type on Azure ML: `command`, `spark`, `sweep` …
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Sweep(_) => "sweep",
            Self::Copy(_) => "data_transfer",
            Self::IfElse(_) => "if_else",
            Self::DoWhile(_) => "do_while",
            Self::ParallelFor(_) => "parallel_for",
            Self::Command(command) => command.program.kind(),
            Self::Unsupported { kind } => kind,
        }
    }
}

/// A condition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// What decides.
    pub value: Value,
    /// The steps that run if it is true, by index.
    pub if_true: Vec<usize>,
    /// The steps that run if it is false, by index.
    pub if_false: Vec<usize>,
}

/// A loop that goes on while a condition is true.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DoWhile {
    /// What it repeats.
    pub body: Template,
    /// The output that decides whether it goes on.
    pub condition: Option<String>,
    /// Each output with the inputs that get it in the next iteration.
    pub mapping: Vec<(String, Vec<String>)>,
    /// The most iterations.
    pub max_iterations: u32,
}

/// A loop over items.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParallelFor {
    /// What it runs for each item.
    pub body: Template,
    /// The items.
    pub items: Items,
    /// The most items at the same time.
    pub max_concurrency: Option<usize>,
}

/// A sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {
    /// What each trial runs: one step.
    pub trial: Template,
    /// What is tried.
    pub space: SearchSpace,
    /// In which order.
    pub algorithm: Algorithm,
    /// What is optimized.
    pub objective: Objective,
    /// When trials are ended early.
    pub early_termination: Option<EarlyTermination>,
    /// The most trials.
    pub max_total_trials: usize,
    /// The most trials at the same time.
    pub max_concurrent_trials: usize,
    /// How long the sweep may take.
    pub timeout: Option<Duration>,
}

/// The name of a parameter in [`Part::Input`], which no input has.
#[must_use]
pub fn parameter(name: &str) -> String {
    format!("search_space.{name}")
}

/// Steps that are made from the values of their inputs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Template {
    /// The steps, each after those that it needs. Their paths are below that of the parent; the only one has the same.
    pub steps: Vec<Step>,
    /// What the parent takes as its outputs.
    pub outputs: Vec<JobOutput>,
}

impl Template {
    /// The steps of one instance. `path` is its path instead of that of the `parent`, `first` is the number of its first
    /// step, and `input` gives the value of an input.
    #[must_use]
    pub fn instantiate(
        &self,
        parent: &str,
        path: &str,
        first: usize,
        input: &dyn Fn(&str) -> Option<Value>,
    ) -> Vec<Step> {
        let steps = self.steps.iter().map(|step| {
            let mut step = step.clone();
            step.path = format!("{path}{}", step.path.strip_prefix(parent).unwrap_or_default());
            for given in &mut step.inputs {
                given.value = given.value.take().and_then(|value| bound(value, first, input));
            }
            for value in step.body.values_mut() {
                *value = bound(std::mem::take(value), first, input).unwrap_or_default();
            }
            if let StepBody::IfElse(condition) = &mut step.body {
                condition.if_true.iter_mut().chain(&mut condition.if_false).for_each(|step| *step += first);
            }
            // Conditions are needed, too, though nothing of them is read.
            let inside: Vec<usize> = step.needs.iter().map(|need| need + first).collect();
            step.find_needs();
            step.needs.extend(inside);
            step.needs.sort_unstable();
            step.needs.dedup();
            step
        });
        steps.collect()
    }
}

/// A value with the inputs put in. `None` if it is an input without a value.
fn bound(value: Value, first: usize, input: &dyn Fn(&str) -> Option<Value>) -> Option<Value> {
    let only = value.parts.len() == 1;
    let mut all = Value::default();
    for part in value.parts {
        match part {
            Part::Input(name) => match input(&name) {
                Some(given) if only => return Some(given),
                Some(given) => all.push(given),
                None if only => return None,
                None => {}
            },
            Part::Output { step, output } => all.parts.push(Part::Output { step: step + first, output }),
            part => all.push(Value { parts: vec![part] }),
        }
    }
    Some(all)
}

impl Step {
    /// The step, and those of its template.
    #[must_use]
    pub fn with_templates(&self) -> Vec<&Step> {
        let inner = self.body.template().into_iter().flat_map(|template| &template.steps);
        std::iter::once(self).chain(inner.flat_map(Step::with_templates)).collect()
    }

    pub(super) fn each(&mut self, change: &mut dyn FnMut(&mut Step)) {
        change(self);
        if let Some(template) = self.body.template_mut() {
            template.steps.iter_mut().for_each(|step| step.each(change));
        }
    }

    /// The remote data that is fetched before it begins: not what it gets as a URI.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        let given = self.inputs.iter().filter(|input| input.mode != InputMode::Direct || !input.kind.is_data());
        let values = given.filter_map(|input| input.value.as_ref());
        let values = values.chain(self.environment_variables().iter().map(|(_, value)| value));
        values.filter(|_| self.substitute.is_none()).flat_map(Value::remotes)
    }

    /// Every value that it is given: inputs, then those of its body.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let inputs = self.inputs.iter().filter_map(|i| i.value.as_ref());
        inputs.chain(self.body.values())
    }

    /// Its values, to be replaced.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let inputs = self.inputs.iter_mut().filter_map(|input| input.value.as_mut());
        inputs.chain(self.body.values_mut())
    }

    /// Its command, if it runs one.
    #[must_use]
    pub fn command(&self) -> Option<&Command> {
        match &self.body {
            StepBody::Command(command) => Some(command),
            _ => None,
        }
    }

    /// The variables that its author sets.
    #[must_use]
    pub fn environment_variables(&self) -> &[(String, Value)] {
        self.command().map_or(&[], |command| &command.environment_variables)
    }
}

impl Step {
    /// Finds the steps whose outputs it reads, and those of them that only optional inputs read.
    pub(super) fn find_needs(&mut self) {
        let mut needs: Vec<usize> = self.values().flat_map(Value::steps).collect();
        needs.sort_unstable();
        needs.dedup();
        let required = self.inputs.iter().filter(|i| !i.optional).filter_map(|i| i.value.as_ref());
        let required = required.chain(self.body.values());
        let required: Vec<usize> = required.flat_map(Value::steps).collect();
        self.optional_needs = needs.iter().copied().filter(|need| !required.contains(need)).collect();
        self.needs = needs;
    }
}
