//! Laying out a step: its folders, its code, its inputs, and the command as bash gets it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Request;
use crate::plan::PortType;
use crate::plan::command::{Names, expand};
use crate::plan::{InputMode, Part, StepInput};
use crate::store::layout::shell_safe;
use crate::store::{StepFolder, at, snapshot, tree};

/// A step ready to start.
pub(super) struct Prepared {
    /// Its working directory.
    pub wd: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Its command, expanded.
    pub command: String,
    /// The text of every input that has a value.
    pub inputs: HashMap<String, String>,
    /// The path of every output.
    pub outputs: HashMap<String, String>,
}

/// Lays out a step. On Azure ML `outputs/` and `logs/` exist in the working directory before the command starts; folders
/// of `uri_folder` outputs exist, files of `uri_file` outputs do not (reference, sections 3.4 and 7.1).
pub(super) fn prepare(index: usize, request: &Request) -> Result<Prepared, String> {
    let step = &request.plan.steps[index];
    // Under the path without spaces, since the step sees it.
    let run = request.home.run(&request.run.name);
    let folder = run.step(&step.path);
    let wd = folder.wd();
    make(&wd)?;
    if let Some(code) = &step.code {
        snapshot::copy_code(code, &wd, request.plan.kind == "pipeline", request.home.root())
            .map_err(|e| e.to_string())?;
    }
    make(&wd.join("outputs"))?;
    make(&wd.join("logs"))?;
    make(&folder.user_logs())?;
    let mut outputs = HashMap::new();
    for output in &step.outputs {
        let tree = request.home.output(&request.run.name, &step.path, &output.name);
        make(&tree)?;
        link(&tree, &folder.output(&output.name))?;
        outputs.insert(output.name.clone(), request.output(index, &output.name).display().to_string());
    }
    let mut inputs = HashMap::new();
    for input in &step.inputs {
        if let Some(text) = give(input, request, &folder)? {
            inputs.insert(input.name.clone(), text);
        }
    }
    let job = request.step_job(index);
    let command = expand(&step.command, &Bound { inputs: &inputs, outputs: &outputs, job: &job });
    Ok(Prepared { wd, log: folder.std_log(), command, inputs, outputs })
}

struct Bound<'a> {
    inputs: &'a HashMap<String, String>,
    outputs: &'a HashMap<String, String>,
    job: &'a str,
}

impl Names for Bound<'_> {
    fn input(&self, name: &str) -> Option<String> {
        self.inputs.get(name).cloned()
    }
    fn output(&self, name: &str) -> Option<String> {
        self.outputs.get(name).cloned()
    }
    fn job(&self) -> String {
        self.job.to_owned()
    }
}

/// The text that an input is in the command: a literal, or the path where the step finds its data.
fn give(input: &StepInput, request: &Request, folder: &StepFolder) -> Result<Option<String>, String> {
    let Some(value) = &input.value else { return Ok(None) };
    let data = match value.parts.as_slice() {
        [part @ (Part::Path(_) | Part::Output { .. })] if input.kind.is_data() => Some(address(part, request)),
        _ => None,
    };
    let Some(source) = data else {
        return Ok(Some(value.render(|part| match part {
            Part::Text(text) => text.clone(),
            part => address(part, request).display().to_string(),
        })));
    };
    if !source.exists() {
        let what = if input.kind == PortType::UriFile { "file" } else { "folder" };
        return Err(format!("the {what} of its input '{}' is not there: {}", input.name, source.display()));
    }
    let staged = || {
        let name = source.file_name().map_or_else(|| input.name.clone(), |n| n.to_string_lossy().into_owned());
        folder.inputs().join(&input.name).join(name)
    };
    let place = match input.mode {
        InputMode::Download => {
            let place = staged();
            make(place.parent().unwrap_or(&place))?;
            tree::copy_tree(&source, &place).map_err(|e| e.to_string())?;
            place
        }
        InputMode::RoMount | InputMode::Direct if shell_safe(&source) => source,
        InputMode::RoMount | InputMode::Direct => {
            let place = staged();
            link(&source, &place)?;
            place
        }
    };
    Ok(Some(place.display().to_string()))
}

fn address(part: &Part, request: &Request) -> PathBuf {
    match part {
        Part::Text(text) => PathBuf::from(text),
        Part::Path(path) => path.clone(),
        Part::Output { step, output } => request.output(*step, output),
    }
}

/// The text of an environment variable's value.
pub(super) fn variable(value: &crate::plan::Value, request: &Request) -> String {
    value.render(|part| match part {
        Part::Text(text) => text.clone(),
        part => address(part, request).display().to_string(),
    })
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| at("make the folder", folder)(e).to_string())
}

fn link(target: &Path, place: &Path) -> Result<(), String> {
    make(place.parent().unwrap_or(place))?;
    std::os::unix::fs::symlink(target, place).map_err(|e| at("make the link", place)(e).to_string())
}
