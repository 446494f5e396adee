//! Steps that are made while a run goes on: the trials of a sweep, and the iterations of a loop.
//!
//! A template knows nothing of the steps around it. It gets everything through the inputs of its parent
//! ([`Part::Input`]), and the numbers in its [`Part::Output`]s count its own steps.

use serde::{Deserialize, Serialize};

use super::{JobOutput, Part, Step, StepBody, Value};

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
