//! The versions of registered environments in a plan.

use crate::plan::{Plan, StepBody};
use crate::registry::EnvironmentStore;
use crate::spec::environment::Environment;
use crate::store::Home;

/// Replaces references to the latest version of a registered environment by that version: a run that is resumed uses the
/// same one.
pub(crate) fn pin(plan: &mut Plan, home: &Home) {
    let Some(store) = EnvironmentStore::existing(&home.environments()) else { return };
    plan.each_step(&mut |step| {
        let StepBody::Command(command) = &mut step.body else { return };
        let Some(Environment::Reference(reference)) = &mut command.environment else { return };
        if let Some(version) = reference.strip_prefix("azureml:").and_then(|name| store.named(name).ok()) {
            *reference = format!("azureml:{}:{}", version.name, version.version);
        }
    });
}
