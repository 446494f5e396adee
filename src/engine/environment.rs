//! The environment of a step: the variables that Azure ML sets and scripts read (reference, section 7.2).

use super::outputs::OutputTable;
use super::prepare::{Prepared, text_of};
use super::{Request, StepEnvironment};
use crate::plan::{Command, Step, StepBody};
use crate::store::RunFolder;

/// All variables of a step, in addition to the runner's own environment. Later ones override earlier ones, so the
/// author's come last.
pub(super) fn variables(
    index: usize,
    request: &Request,
    output_table: &OutputTable,
    command: &Command,
    prepared: &Prepared,
    environment: &StepEnvironment,
    tracking: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, String> {
    let step = request.step(index);
    let job = request.step_job(index);
    let mut all: Vec<(String, String)> = request.common.clone();
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    environment.search_path.iter().for_each(|path| set("PATH", path));
    environment.variables.iter().for_each(|(name, value)| set(name, value));
    set("AZUREML_RUN_ID", &job);
    set("AZUREML_NODE_COUNT", &command.distribution.as_ref().map_or(1, |d| d.instances).to_string());
    let wd = prepared.folder.wd().display().to_string();
    set("AZUREML_CR_EXECUTION_WORKING_DIR_PATH", &wd);
    set("AZUREML_CR_HT_CAP_logs_PATH", &format!("{wd}/logs"));
    set("AZUREML_CR_HT_CAP_user_logs_PATH", &prepared.folder.user_logs().display().to_string());
    ports(step, prepared, &mut set);
    for name in swept(index, request) {
        let input = [name.to_owned(), format!("search_space.{name}")];
        let text = input.iter().rev().find_map(|input| prepared.inputs.get(input));
        text.iter().for_each(|text| set(&format!("AZUREML_SWEEP_{name}"), text));
    }
    all.extend(tracking);
    // The name of an input never begins with a dot.
    let links = prepared.folder.inputs().join(".variables");
    for (number, (name, value)) in command.environment_variables.iter().enumerate() {
        all.push((name.clone(), text_of(value, request, output_table, false, &links.join(number.to_string()))?));
    }
    Ok(all)
}

/// The parameters of a step, if it is a trial of a sweep.
fn swept(index: usize, request: &Request) -> impl Iterator<Item = &str> {
    let is_trial = |parent: usize| matches!(request.step(parent).body, StepBody::Sweep(_));
    let parameters = if request.parent(index).is_some_and(is_trial) { request.parameters(index) } else { &[] };
    parameters.iter().map(|(name, _)| name.as_str())
}

/// The variables that all steps of a run share.
#[must_use]
pub fn common(run: &RunFolder, experiment: &str) -> Vec<(String, String)> {
    let mut all = vec![run.marker()];
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    set("AZUREML_ROOT_RUN_ID", run.name.as_str());
    set("AZUREML_EXPERIMENT_SCOPE", experiment);
    set("AZUREML_ARM_PROJECT_NAME", experiment);
    // There is no workspace in the cloud. Scripts that only print these get an obvious placeholder.
    set("AZUREML_ARM_SUBSCRIPTION", "00000000-0000-0000-0000-000000000000");
    set("AZUREML_ARM_RESOURCEGROUP", "local");
    set("AZUREML_ARM_WORKSPACE_NAME", "local");
    set("AZUREML_PROCESS_NAME", "main");
    set("AZUREML_CR_NODE_RANK", "0");
    set("NODE_RANK", "0");
    // A log that can be followed needs lines as they are printed; Python would keep them in a buffer.
    set("PYTHONUNBUFFERED", "1");
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, &no_proxy(&std::env::var(name).unwrap_or_default()));
    }
    all
}

/// The `NO_PROXY` of a step. The tracking server is on loopback, so a proxy must not get its requests.
fn no_proxy(own: &str) -> String {
    let loopback = "127.0.0.1,localhost";
    if own.is_empty() { loopback.to_owned() } else { format!("{own},{loopback}") }
}

/// Literal inputs are `AZUREML_PARAMETER_<name>`. Data has its path under two names, the second from SDK v1.
fn ports(step: &Step, prepared: &Prepared, set: &mut impl FnMut(&str, &str)) {
    for input in &step.inputs {
        let Some(text) = prepared.inputs.get(&input.name) else { continue };
        if input.kind.is_data() {
            set(&format!("AZURE_ML_INPUT_{}", input.name), text);
            set(&format!("AZUREML_DATAREFERENCE_{}", input.name), text);
        } else {
            set(&format!("AZUREML_PARAMETER_{}", input.name), text);
        }
    }
    for output in &step.outputs {
        let Some(path) = prepared.outputs.get(&output.name) else { continue };
        set(&format!("AZURE_ML_OUTPUT_{}", output.name), path);
        set(&format!("AZUREML_DATAREFERENCE_{}", output.name), path);
    }
}
