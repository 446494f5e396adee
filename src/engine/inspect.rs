//! Shows a step as it was or would be launched, for `amlrun shell`.

use std::path::PathBuf;

use super::launch::PreparedLaunch;
use super::outputs::OutputTable;
use super::protect::OwnCopy;
use super::{Request, Services, StepEnvironment, launch, prepare};
use crate::exec::StopWatch;
use crate::plan::Command;

/// The working directory of a step, and what the step sees there.
pub struct Scene {
    /// Its working directory.
    pub wd: PathBuf,
    /// The command, as bash gets it.
    pub command: String,
    /// Its variables, in addition to the runner's own.
    pub variables: Vec<(String, String)>,
    /// Variables of the runner that it does not see.
    pub hidden: Vec<String>,
    /// The copies that protect its inputs, as long as the user looks at it.
    _copies: Vec<OwnCopy>,
    /// The same for its environment.
    _environment: StepEnvironment,
}

/// The scene of a step of an existing run: its last attempt as it was left. The request must be that of a resumed
/// run.
///
/// # Errors
/// A message, if an input is missing or a folder cannot be made.
pub async fn scene(index: usize, request: &Request, services: &Services, stop: StopWatch) -> Result<Scene, String> {
    let output_table = OutputTable::new(request.count());
    let resumed = request.resumed.as_ref();
    for (step, outputs) in resumed.iter().flat_map(|resumed| &resumed.done) {
        output_table.sealed(*step, outputs.clone());
    }
    let attempt = resumed.and_then(|resumed| resumed.attempts.get(&index)).copied().unwrap_or(1);
    // A step of another type has no command, but a folder and inputs.
    let nothing = Command::default();
    let command = request.step(index).command().unwrap_or(&nothing);
    let prepared = prepare::again(index, command, attempt, request, &output_table)?;
    let environment = services.environments.provide(&request.step(index).path, command, stop).await;
    let environment = environment.map_err(|error| error.to_string())?;
    let launched = launch::launch(index, command, &environment, request, services, &output_table, prepared);
    let PreparedLaunch { launch, copies, environment } = launched.map_err(|failure| failure.to_string())?;
    let mut variables = launch.variables;
    if let Some(first) = launch.processes.first() {
        variables.extend(first.variables.iter().cloned());
    }
    Ok(Scene {
        wd: launch.cwd,
        command: launch.command,
        variables,
        hidden: launch.hidden.to_vec(),
        _copies: copies,
        _environment: environment,
    })
}
