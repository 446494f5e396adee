//! Parallel steps: the driver, a Python program that splits the input and calls the author's script, and what it needs.
//!
//! The driver is written into the step's folder before the step starts. Beside it is its state: the results of finished
//! mini-batches, which another attempt of the step uses.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Request;
use crate::digest::Digest;
use crate::plan::{Command, PortType, Program, Step, mltable};
use crate::store::{StepFolder, at};

/// The driver. Its parts are joined, so that none of their names can hide a module of the author.
const DRIVER: &str = concat!(
    include_str!("options.py"),
    include_str!("table.py"),
    include_str!("batches.py"),
    include_str!("journal.py"),
    include_str!("worker.py"),
    include_str!("master.py"),
);

/// The digest of the driver, for a command that runs it: another driver may give another result.
pub(super) fn driver(command: &Command) -> Option<String> {
    (command.program == Program::Parallel).then(|| Digest::of(DRIVER.as_bytes()).to_string())
}

/// The folder of the driver, and the one of its state, in the folder of a step.
fn folders(folder: &StepFolder) -> (PathBuf, PathBuf) {
    let own = folder.path.join("parallel");
    let state = own.join("state");
    (own, state)
}

/// Writes the driver of a step. Returns the variables that it needs; none for other steps.
pub(super) fn variables(
    index: usize,
    command: &Command,
    folder: &StepFolder,
    inputs: &HashMap<String, String>,
    request: &Request,
) -> Result<Vec<(String, String)>, String> {
    if command.program != Program::Parallel {
        return Ok(Vec::new());
    }
    let step = request.step(index);
    let (own, state) = folders(folder);
    fs::create_dir_all(&state).map_err(|e| at("create the folder", &state)(e).to_string())?;
    let driver = own.join("driver.py");
    write(&driver, DRIVER)?;
    let slots = step.slots.clamp(1, request.jobs.max(1));
    let mut variables = vec![("DRIVER", driver.display().to_string()), ("STATE", state.display().to_string())];
    variables.push(("SLOTS", slots.to_string()));
    if let Some(table) = table(step, command, inputs)? {
        let file = own.join("table.json");
        write(&file, &table)?;
        variables.push(("TABLE", file.display().to_string()));
    }
    Ok(variables.into_iter().map(|(name, value)| (format!("AMLRUN_PARALLEL_{name}"), value)).collect())
}

/// The MLTable file of the input that is split, as JSON: Python has no parser for YAML.
fn table(step: &Step, command: &Command, inputs: &HashMap<String, String>) -> Result<Option<String>, String> {
    let split = |name: &str| command.text.contains(&format!(" --input-name={name} "));
    let input = step.inputs.iter().find(|input| input.kind == PortType::Mltable && split(&input.name));
    let Some(file) = input.and_then(|input| Some(Path::new(inputs.get(&input.name)?).join(mltable::FILE))) else {
        return Ok(None);
    };
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).map_err(|e| at("read", &file)(e).to_string())?;
    let table: serde_json::Value = serde_yaml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(Some(table.to_string()))
}

/// Keeps the `outputs` folder of an earlier attempt, whose working directory is about to be removed. Finished mini-batches
/// may have written there.
pub(super) fn keep_outputs(folder: &StepFolder) {
    let (_, state) = folders(folder);
    if state.is_dir() && !state.join("outputs").exists() {
        // Without them, the driver runs all mini-batches again.
        let _ = fs::rename(folder.wd().join("outputs"), state.join("outputs"));
    }
}

/// Forgets the finished mini-batches of a step, if the user wants all of it, or of the loop that added it, to run again.
pub(super) fn forget_forced(index: usize, request: &Request) {
    let is_forced = |index: &usize| request.force.steps.contains(index);
    if request.force.all || std::iter::successors(Some(index), |index| request.parent(*index)).any(|i| is_forced(&i)) {
        forget(index, request);
    }
}

/// Forgets the finished mini-batches of a step that completed.
pub(super) fn forget(index: usize, request: &Request) {
    let step = request.step(index);
    if step.command().is_some_and(|command| command.program == Program::Parallel) {
        let (_, state) = folders(&request.paths.step(&step.path).real);
        let _ = fs::remove_dir_all(state);
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|e| at("write", file)(e).to_string())
}
