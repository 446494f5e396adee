//! Prepares a step: its folders, its code, its inputs, and the command for bash.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::mltable;
use super::outputs::OutputTable;
use super::parallel;
use super::protect::{self, OwnCopy};
use super::unchanged::{self, is_copied};
use super::{Request, is_made_by, value};
use crate::plan::PortType;
use crate::plan::command::{Names, address_word, expand};
use crate::plan::{Command, InputMode, Part, StepInput, Value};
use crate::secret::MASK;
use crate::store::shell_word::{shell_name, shell_safe};
use crate::store::snapshot::Snapshot;
use crate::store::{StepFolder, at, tree};

/// A step ready to start.
pub(super) struct Prepared {
    /// Its folder.
    pub folder: StepFolder,
    /// Its command, with all expressions replaced.
    pub command: String,
    /// The command for the record, without secrets.
    pub shown: String,
    /// The text of every input that has a value.
    pub inputs: HashMap<String, String>,
    /// The path of every output.
    pub outputs: HashMap<String, String>,
    /// The copies that protect its inputs.
    pub copies: Vec<OwnCopy>,
    /// Why the result cannot be stored for reuse: the step got something else than what was seen before the run.
    pub changed: Option<String>,
}

/// Prepares a step. On Azure ML, `outputs/` and `logs/` exist in the working directory before the command starts.
/// Folders of `uri_folder` outputs exist, except for Spark; files of `uri_file` outputs do not (reference, sections 3.4
/// and 7.1).
pub(super) fn prepare(
    index: usize,
    command: &Command,
    attempt: u32,
    request: &Request,
    output_table: &OutputTable,
) -> Result<Prepared, String> {
    let step = request.step(index);
    let folder = request.paths.step(&step.path).visible;
    if attempt > 1 {
        set_aside(&folder, attempt)?;
    }
    materialize_code(command, request, &folder)?;
    let outputs = outputs(index, request, &|output| request.paths.output(&step.path, output, attempt))?;
    let (inputs, copies) = inputs(index, request, output_table, &folder)?;
    // Compared after copying: what is still the same was the same all the time.
    let is_own = |input: &StepInput| copies.iter().any(|copy| copy.input == input.name);
    let mut copied = step.inputs.iter().filter(|input| is_copied(input.mode) || is_own(input));
    let input = copied.find_map(|input| unchanged::copied(input, request, output_table));
    let changed = match input {
        Some(changed) => Some(changed.in_words("before it was copied")),
        None if unchanged::code(step, request) => {
            Some("its code changed before it was copied: the result is not stored for reuse".to_owned())
        }
        None => None,
    };
    Ok(Prepared { changed, copies, ..prepared(index, command, request, folder, inputs, outputs) })
}

/// Makes the working directory with the step's code in it.
fn materialize_code(command: &Command, request: &Request, folder: &StepFolder) -> Result<(), String> {
    let wd = folder.wd();
    for part in [&folder.path, &wd, &wd.join("outputs")] {
        make_one(part)?;
    }
    if let Some(code) = &command.code {
        let in_pipeline = request.plan.kind == "pipeline";
        let snapshot = Snapshot::of(code.root.as_deref(), &code.includes, in_pipeline, request.paths.workspace());
        snapshot.and_then(|snapshot| snapshot.lay(&wd)).map_err(|e| e.to_string())?;
    }
    make_one(&wd.join("logs"))
}

/// Makes the folder of each output, and returns the path that the step gets.
fn outputs(index: usize, request: &Request, tree: &dyn Fn(&str) -> PathBuf) -> Result<HashMap<String, String>, String> {
    let mut outputs = HashMap::new();
    let step = request.step(index);
    for output in &step.outputs {
        let tree = tree(&output.name);
        make_one(&tree)?;
        let path = if is_made_by(step, output.kind) { tree.join(&output.name) } else { tree };
        outputs.insert(output.name.clone(), path.display().to_string());
    }
    Ok(outputs)
}

fn inputs(
    index: usize,
    request: &Request,
    output_table: &OutputTable,
    folder: &StepFolder,
) -> Result<(HashMap<String, String>, Vec<OwnCopy>), String> {
    let (mut inputs, mut copies) = (HashMap::new(), Vec::new());
    for input in &request.step(index).inputs {
        if let Some(text) = resolve_input(input, request, output_table, folder, &mut copies)? {
            inputs.insert(input.name.clone(), text);
        }
    }
    Ok((inputs, copies))
}

/// Prepares a step again, so that a user can inspect it. Missing parts are made again. Other steps use the outputs of
/// a completed step, so new outputs go to a folder beside its working directory.
pub(super) fn again(
    index: usize,
    command: &Command,
    attempt: u32,
    request: &Request,
    output_table: &OutputTable,
) -> Result<Prepared, String> {
    let step = request.step(index);
    let folder = request.paths.step(&step.path).visible;
    if !folder.wd().is_dir() {
        materialize_code(command, request, &folder)?;
    }
    let completed = request.resumed.as_ref().is_some_and(|resumed| resumed.done.contains_key(&index));
    let outputs = outputs(index, request, &|output| match completed {
        true => folder.path.join("shell").join(output),
        false => request.paths.output(&step.path, output, attempt.max(1)),
    })?;
    let (inputs, copies) = inputs(index, request, output_table, &folder)?;
    Ok(Prepared { copies, ..prepared(index, command, request, folder, inputs, outputs) })
}

fn prepared(
    index: usize,
    command: &Command,
    request: &Request,
    folder: StepFolder,
    inputs: HashMap<String, String>,
    outputs: HashMap<String, String>,
) -> Prepared {
    let job = request.step_job(index);
    let names = Bound { inputs: &inputs, outputs: &outputs, job: &job, datastore: &request.plan.default_datastore };
    let step = request.step(index);
    let text = expand(&command.text, &names);
    let mask = |input: &StepInput| {
        let value = input.value.as_ref()?;
        let signed = value.remotes().find(|remote| remote.signed && input.mode == InputMode::Direct);
        let shown = signed.map(|remote| remote.uri.clone()).or_else(|| value.is_secret().then(|| MASK.to_owned()))?;
        Some((input.name.clone(), shown))
    };
    let masked: HashMap<String, String> = step.inputs.iter().filter_map(mask).collect();
    let shown = if masked.is_empty() {
        text.clone()
    } else {
        let inputs =
            inputs.iter().map(|(name, text)| (name.clone(), masked.get(name).unwrap_or(text).clone())).collect();
        expand(&command.text, &Bound { inputs: &inputs, ..names })
    };
    Prepared { folder, command: text, shown, inputs, outputs, copies: Vec::new(), changed: None }
}

/// Makes room for another attempt. The logs of the attempt before are kept; its working directory and staged inputs
/// are not.
fn set_aside(folder: &StepFolder, attempt: u32) -> Result<(), String> {
    parallel::keep_outputs(folder);
    for old in [folder.wd(), folder.inputs()] {
        match fs::remove_dir_all(&old) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(at("remove", &old)(e).to_string()),
            _ => {}
        }
    }
    let logs = fs::read_dir(folder.user_logs()).into_iter().flatten().flatten();
    for log in logs.map(|entry| entry.path()) {
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("attempt_") {
            let kept = log.with_file_name(format!("attempt_{}_{name}", attempt - 1));
            fs::rename(&log, &kept).map_err(|e| at("rename", &log)(e).to_string())?;
        }
    }
    Ok(())
}

struct Bound<'a> {
    inputs: &'a HashMap<String, String>,
    outputs: &'a HashMap<String, String>,
    job: &'a str,
    datastore: &'a str,
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
    fn default_datastore(&self) -> String {
        self.datastore.to_owned()
    }
}

/// The text of an input in the command: a literal, or the path of its data.
fn resolve_input(
    input: &StepInput,
    request: &Request,
    output_table: &OutputTable,
    folder: &StepFolder,
    copies: &mut Vec<OwnCopy>,
) -> Result<Option<String>, String> {
    let Some(value) = &input.value else { return Ok(None) };
    // An optional input is absent if the step that should write it did not complete.
    if input.optional && value.steps().any(|step| output_table.outputs(step).is_none()) {
        return Ok(None);
    }
    let data = match value.parts.as_slice() {
        [Part::Remote(_)] if input.mode == InputMode::Direct => None,
        [part @ (Part::Path(_) | Part::Remote(_) | Part::Output { .. })] if input.kind.is_data() => {
            Some(address(part, request, output_table)?)
        }
        // A table with the files that it selects.
        [part, ..] if input.kind.is_data() && evaluates(input.mode) => Some(address(part, request, output_table)?),
        _ => None,
    };
    let Some(source) = data else {
        let links = folder.inputs().join(&input.name);
        return text_of(value, request, output_table, input.mode == InputMode::Direct, &links).map(Some);
    };
    if !source.exists() {
        let what = if input.kind == PortType::UriFile { "file" } else { "folder" };
        return Err(format!("the {what} of its input '{}' does not exist: {}", input.name, source.display()));
    }
    // A file name must not become part of the command: the shell gets one plain word.
    let staged = || folder.inputs().join(&input.name).join(source.file_name().map_or_else(String::new, shell_name));
    if let Some(copy) =
        protect::source(input, request).and_then(|listing| protect::make(&input.name, listing, staged()))
    {
        let place = copy.place.display().to_string();
        copies.push(copy);
        return Ok(Some(place));
    }
    let place = match input.mode {
        InputMode::Download => {
            let place = staged();
            if !place.exists() {
                make(place.parent().unwrap_or(&place))?;
                tree::copy_tree(&source, &place).map_err(|e| e.to_string())?;
            }
            place
        }
        InputMode::EvalMount | InputMode::EvalDownload => {
            let place = staged();
            if !place.exists() {
                make(place.parent().unwrap_or(&place))?;
                let selected = value.parts.iter().skip(1).map(|part| address(part, request, output_table));
                let selected = selected.collect::<Result<Vec<_>, _>>()?;
                mltable::lay(&source, &selected, &place)?;
            }
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

/// The place of a part that is data.
pub(super) fn address(part: &Part, request: &Request, output_table: &OutputTable) -> Result<PathBuf, String> {
    Ok(match part {
        Part::Text(text) | Part::Secret(text) => PathBuf::from(text),
        Part::Path(path) => path.clone(),
        Part::Input(name) => return Err(format!("the value of '{name}' is not known")),
        Part::Remote(remote) => {
            let copy = request.snapshot.copy(remote).ok_or_else(|| format!("'{}' was not fetched", remote.uri))?;
            request.paths.to_visible(&copy.path)
        }
        Part::Output { step, output } => {
            let missing = || format!("the step '{}' did not write '{output}'", request.step(*step).path);
            request.paths.to_visible(&output_table.output(*step, output).ok_or_else(missing)?.path)
        }
    })
}

/// Whether the mode gives the step the files that a table selects.
fn evaluates(mode: InputMode) -> bool {
    matches!(mode, InputMode::EvalMount | InputMode::EvalDownload)
}

/// A value as text: data is its path, or its address if the step reads it by itself. If a shell would not read the
/// path as one plain word, the text is the path of a link in the folder `links`.
pub(super) fn text_of(
    value: &Value,
    request: &Request,
    output_table: &OutputTable,
    is_direct: bool,
    links: &Path,
) -> Result<String, String> {
    let texts = value.parts.iter().enumerate().map(|(number, part)| match part {
        Part::Text(text) | Part::Secret(text) => Ok(text.clone()),
        Part::Output { step, output } if let Some(text) = value::of_output(*step, output, request, output_table) => {
            text
        }
        Part::Remote(remote) if is_direct => Ok(address_word(request.plan.whole(remote).reveal())),
        part => {
            let mut place = address(part, request, output_table)?;
            if !shell_safe(&place) {
                let name = place.file_name().map_or_else(String::new, shell_name);
                let plain = links.join(number.to_string()).join(name);
                link(&place, &plain)?;
                place = plain;
            }
            Ok(place.display().to_string())
        }
    });
    texts.collect()
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| at("create the folder", folder)(e).to_string())
}

/// Makes a folder whose parent usually exists. Checking each parent would cost more than making the folder.
fn make_one(folder: &Path) -> Result<(), String> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => make(folder),
        _ => Ok(()),
    }
}

fn link(target: &Path, place: &Path) -> Result<(), String> {
    make(place.parent().unwrap_or(place))?;
    match std::os::unix::fs::symlink(target, place) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(at("create the link", place)(e).to_string()),
        _ => Ok(()),
    }
}
