//! What a document means: an immutable, flat, bound plan.
//!
//! [`resolve()`] turns a [`spec::Document`](crate::spec::Document) into a [`Plan`]: pipelines inside the pipeline are
//! flattened ([`level`]), defaults are filled in, every binding is resolved to a literal, a path or another step's
//! output, and the steps are put in topological order. A step that cannot run on a laptop gets the substitute that the
//! project's `amlrun.toml` names ([`local`]). [`choice`] takes a part of a plan. A plan is not changed afterwards; steps
//! that are made while it runs come from a template ([`model`]).
//!
//! Pure: no clock, no process, no async. It only checks whether local input paths exist, and looks up registered assets
//! through [`spec::catalog::Catalog`](crate::spec::catalog::Catalog).

mod bind;
mod body;
pub mod choice;
pub mod command;
mod control_flow;
mod copy;
mod inputs;
pub mod items;
mod lay_open;
mod level;
pub mod local;
pub mod mltable;
pub mod model;
mod outputs;
mod parallel;
mod ports;
pub mod resolve;
mod site;
mod spark;
mod step;
mod stored;
mod sweep;
mod value;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use crate::spec::catalog::{Form, Located, Remote, Signed};
pub use crate::spec::data_transfer::CopyMode;
pub use crate::spec::environment::Environment;
pub use crate::spec::io::PortType;
pub use body::{Code, Command, Distribution, Program};
pub use local::Local;
pub use model::{Condition, DoWhile, ParallelFor, Step, StepBody, Sweep, Template};
pub use ports::{AssetName, DatastorePath, InputMode, JobInput, JobOutput, Phase, StepInput, StepOutput, Substitute};
pub use resolve::resolve;
pub use value::{Part, Value};

use crate::secret::Secret;

/// A job that can be run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// `pipeline`, `command`, or a type with a substitute.
    pub kind: String,
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
    /// Whether steps that do not depend on a failed one continue. The service's default is true (reference, section 5).
    pub continue_on_step_failure: bool,
    /// Whether no step may be reused (`settings.force_rerun`).
    pub force_rerun: bool,
    /// The value of `${{default_datastore}}`.
    pub default_datastore: String,
    /// What people should know about how this file runs here, once a run.
    pub notes: Vec<String>,
    /// The signatures that were written with addresses. They are kept nowhere.
    #[serde(skip)]
    pub signed: Vec<Signed>,
}

impl Plan {
    /// The same with other paths of local files and folders.
    #[must_use]
    pub fn with_paths(mut self, change: &dyn Fn(&Path) -> PathBuf) -> Self {
        let value = |value: &mut Value| {
            for part in &mut value.parts {
                if let Part::Path(path) = part {
                    *path = change(path);
                }
            }
        };
        self.inputs.iter_mut().for_each(|input| value(&mut input.value));
        self.each_step(&mut |step| {
            step.inputs.iter_mut().filter_map(|input| input.value.as_mut()).for_each(value);
            step.body.values_mut().into_iter().for_each(value);
            if let StepBody::Command(command) = &mut step.body
                && let Some(code) = &mut command.code
            {
                code.root.iter_mut().chain(&mut code.includes).for_each(|path| *path = change(path));
            }
            if let Some(Substitute::Stub { outputs }) = &mut step.substitute {
                outputs.values_mut().for_each(|path| *path = change(path));
            }
            for place in step.outputs.iter_mut().filter_map(|output| output.place.as_mut()) {
                if let Located::Here(folder) = &mut place.root {
                    *folder = change(folder);
                }
            }
        });
        self
    }
}

impl Plan {
    /// Its steps, and those of their templates after each.
    #[must_use]
    pub fn all_steps(&self) -> Vec<&Step> {
        self.steps.iter().flat_map(Step::with_templates).collect()
    }

    /// Changes every step, also those of templates.
    pub fn each_step(&mut self, change: &mut dyn FnMut(&mut Step)) {
        self.steps.iter_mut().for_each(|step| step.each(change));
    }

    /// The commands of steps without a substitute, each with the path of its step, also those of templates.
    pub fn commands(&self) -> impl Iterator<Item = (&str, &Command)> {
        let steps = self.steps.iter().filter(|step| step.substitute.is_none()).flat_map(Step::with_templates);
        steps.filter_map(|step| Some((step.path.as_str(), step.command()?)))
    }

    /// Whether an address in it was written with a signature.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let steps = self.all_steps();
        let read = steps.iter().flat_map(|step| step.values()).flat_map(Value::remotes);
        let places = self.steps.iter().flat_map(|step| &step.outputs).filter_map(|output| output.place.as_ref());
        let written = places.filter_map(|place| match &place.root {
            Located::Remote(remote) => Some(remote),
            Located::Here(_) => None,
        });
        read.chain(written).any(|remote| remote.signed)
    }

    /// Whether it reads remote data.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.all_steps().into_iter().flat_map(Step::values).flat_map(Value::remotes).next().is_some()
    }

    /// The address of remote data with the signature that was written with it.
    #[must_use]
    pub fn whole(&self, remote: &Remote) -> Secret {
        let signed = self.signed.iter().filter(|_| remote.signed).find_map(|signed| signed.of(&remote.uri));
        signed.unwrap_or_else(|| Secret::new(remote.uri.clone()))
    }

    /// The step with that path.
    #[must_use]
    pub fn step(&self, path: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.path == path)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Steps `s0`, `s1` …, each of which needs the one before.
    pub(crate) fn chain(length: usize) -> Plan {
        let step = |index: usize| Step {
            path: format!("s{index}"),
            display_name: None,
            component: None,
            body: StepBody::Command(Box::default()),
            inputs: Vec::new(),
            outputs: Vec::new(),
            timeout: None,
            is_deterministic: true,
            phase: Phase::Main,
            substitute: None,
            retries: 0,
            slots: 1,
            needs: index.checked_sub(1).into_iter().collect(),
            optional_needs: Vec::new(),
        };
        Plan { kind: "pipeline".to_owned(), steps: (0..length).map(step).collect(), ..Plan::default() }
    }

    #[test]
    fn the_earlier_key_of_a_substitute_is_read() {
        let mut stored = serde_json::to_value(chain(1)).unwrap();
        let step = stored["steps"][0].as_object_mut().unwrap();
        step.remove("substitute");
        step.insert("stand_in".to_owned(), serde_json::json!({ "policy": "skip" }));
        let read: Plan = serde_json::from_value(stored).unwrap();
        assert_eq!(read.steps[0].substitute, Some(Substitute::Skip));
    }

    #[test]
    fn the_body_of_a_step_is_stored_in_its_fields() {
        let mut plan = chain(2);
        let inline = Environment::Inline {
            image: Some("python:3.12".to_owned()),
            build: None,
            conda_file: None,
            conda: None,
            context: None,
            definition: "image: python:3.12".to_owned(),
        };
        let text = "python train.py".to_owned();
        plan.steps[0].body =
            StepBody::Command(Box::new(Command { text, environment: Some(inline.clone()), ..Command::default() }));
        plan.steps[1].body = StepBody::Unsupported { kind: "spark".to_owned() };
        let stored = serde_json::to_value(&plan).unwrap();
        assert_eq!(stored["steps"][0]["kind"], "command");
        assert_eq!(stored["steps"][0]["command"], "python train.py");
        assert_eq!(stored["steps"][1]["kind"], "spark");
        let read: Plan = serde_json::from_value(stored).unwrap();
        assert_eq!(read.steps[0].command().and_then(|command| command.environment.as_ref()), Some(&inline));
        assert_eq!(read.steps[1].body.kind(), "spark");
    }

    #[test]
    fn plans_of_earlier_versions_are_read() {
        let mut stored = serde_json::to_value(chain(2)).unwrap();
        for (step, kind) in [(0, "command"), (1, "spark")] {
            let step = &mut stored["steps"][step];
            step["kind"] = kind.into();
            step["command"] = "true".into();
            step["environment"] = "image python with a conda file".into();
            step["environment_definition"] = "image: python".into();
        }
        let read: Plan = serde_json::from_value(stored).unwrap();
        let command = read.steps[0].command().unwrap();
        assert_eq!(command.text, "true");
        let environment = command.environment.as_ref().unwrap();
        assert_eq!(environment.describe(), "image python with a conda file");
        assert_eq!(environment.definition(), "image: python", "it decides about reuse");
        assert_eq!(read.steps[1].body.kind(), "spark");
        // The first plans had no kind.
        let mut stored = serde_json::to_value(chain(1)).unwrap();
        stored["steps"][0].as_object_mut().unwrap().remove("kind");
        let read: Plan = serde_json::from_value(stored).unwrap();
        assert_eq!(read.steps[0].body.kind(), "command");
    }

    #[test]
    fn a_command_that_cannot_be_read_is_an_error_and_no_other_type() {
        for (field, value) in
            [("environment_variables", serde_json::Value::Null), ("environment", serde_json::json!(7))]
        {
            let mut stored = serde_json::to_value(chain(1)).unwrap();
            stored["steps"][0][field] = value;
            assert!(serde_json::from_value::<Plan>(stored).is_err(), "{field}");
        }
        // A component that is not registered has no command.
        let mut stored = serde_json::to_value(chain(1)).unwrap();
        stored["steps"][0].as_object_mut().unwrap().remove("command");
        assert!(serde_json::from_value::<Plan>(stored).unwrap().steps[0].command().is_none());
    }
}
