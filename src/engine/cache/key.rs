//! The cache key of a step: what decides whether an earlier result can be reused (design decision 5).
//!
//! The key contains the command template, literal inputs, digests of data and code, the environment, variables, the
//! types of outputs, the distribution, and the names of files that are inputs. It does not contain other names, tags,
//! compute, paths or run ids.

use std::path::Path;
use std::sync::Arc;

use crate::digest::Digest;
use crate::environment::{StepTexts, words};
use crate::plan::{Command, InputMode, Part, Step, StepBody, Substitute, Value};
use crate::reuse::{Given, Key, Reuse};

use super::inputs::{InputSnapshot, InputTree};

/// A cache key as far as it is known.
pub(in crate::engine) struct Known {
    /// The key; digests that are not known yet are digests of an empty text.
    pub key: Key,
    /// The steps whose outputs have no digest yet.
    pub steps: Vec<usize>,
    /// Whether local data has not been read yet.
    pub unread: bool,
    /// Whether remote data has not been fetched yet.
    pub unfetched: bool,
    /// The inputs and variables whose digests are not known yet.
    pub unknown: Vec<String>,
}

impl Known {
    /// Whether all of the key is known.
    pub(super) fn is_complete(&self) -> bool {
        self.steps.is_empty() && !self.unread && !self.unfetched
    }
}

/// The cache key of a step. `output` gives the digest of another step's output if it is known. With `read`, local
/// data that is not in the stat cache is read. `None` if something cannot be read: then nothing is reused.
pub(in crate::engine) fn of(
    step: &Step,
    snapshot: &InputSnapshot,
    reuse: &Reuse,
    read: bool,
    output: &dyn Fn(usize, &str) -> Option<Digest>,
) -> Option<Known> {
    let mut known =
        Known { key: Key::default(), steps: Vec::new(), unread: false, unfetched: false, unknown: Vec::new() };
    known.key.outputs = step.outputs.iter().map(|o| (o.name.clone(), o.kind.to_string())).collect();
    if let Some(Substitute::Stub { outputs }) = &step.substitute {
        // Only the samples decide the outputs of a stub.
        known.key.settings.insert("policy".to_owned(), "stub".to_owned());
        for (name, sample) in outputs {
            let sample = Value { parts: vec![Part::Path(sample.clone())] };
            let given = given(&sample, name, false, snapshot, reuse, read, output, &mut known)?;
            known.key.inputs.insert(name.clone(), given);
        }
        return Some(known);
    }
    let nothing = Command::default();
    let command = match &step.body {
        StepBody::Copy(mode) => {
            // Later inputs win, so their order counts.
            let order = step.inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
            known.key.settings.insert("data_copy_mode".to_owned(), format!("{mode:?}"));
            known.key.settings.insert("order of inputs".to_owned(), order);
            &nothing
        }
        _ => step.command()?,
    };
    known.key.command.clone_from(&command.text);
    if let Some(code) = &command.code {
        let tree = snapshot.code(code)?;
        tree.listing.as_ref().ok()?;
        // The code is always read: it is small and only changed files are read. Without it nobody could say whether
        // waiting for data may save anything.
        known.key.code = Some(tree.digest(reuse)?);
    }
    for input in &step.inputs {
        let given = match &input.value {
            Some(value) => {
                given(value, &input.name, input.mode == InputMode::Direct, snapshot, reuse, read, output, &mut known)?
            }
            None => Given::Absent,
        };
        known.key.inputs.insert(input.name.clone(), given);
        if input.mode != InputMode::default() {
            let mode = match input.mode {
                InputMode::Download => "download",
                InputMode::EvalMount => "eval_mount",
                InputMode::EvalDownload => "eval_download",
                InputMode::Direct | InputMode::RoMount => "direct",
            };
            known.key.settings.insert(format!("mode of {}", input.name), mode.to_owned());
        }
    }
    for (name, value) in &command.environment_variables {
        let given = given(value, name, false, snapshot, reuse, read, output, &mut known)?;
        known.key.variables.insert(name.clone(), given);
    }
    if let Some(driver) = crate::engine::parallel::driver(command) {
        known.key.settings.insert("the driver of parallel steps".to_owned(), driver);
    }
    known.key.environment = command.environment.as_ref().map(|environment| environment.definition().to_owned());
    known.key.distribution = command.distribution.as_ref().map(|d| {
        let counts = d.counts.iter().map(|(name, count)| format!(", {name} {count}"));
        let counts: Vec<String> =
            counts.chain(d.options.iter().map(|(name, text)| format!(", {name} {text}"))).collect();
        let kind = d.kind.as_deref().unwrap_or("one process an instance");
        format!("{kind}, instances {}{}", d.instances, counts.concat())
    });
    // No program of the machine copies.
    if snapshot.host.is_some() && !matches!(step.body, StepBody::Copy(_)) {
        known.key.machine = Some(machine(step, snapshot, reuse)?);
    }
    known.steps.sort_unstable();
    known.steps.dedup();
    Some(known)
}

/// The digest of what the machine provides for a step. Call this before the step starts: the programs that the first
/// call finds are the ones that the key contains.
pub(in crate::engine) fn machine(step: &Step, snapshot: &InputSnapshot, reuse: &Reuse) -> Option<Digest> {
    let scripts = scripts(step, snapshot);
    let texts = texts(step).chain(scripts.iter().map(|script| &**script));
    let environment = step.command().and_then(|command| command.environment.as_ref());
    snapshot.host.as_ref()?.machine(StepTexts { environment, texts, path: own_path(step) }, reuse)
}

/// The texts that may name programs: the command, and literal inputs, which become part of it.
fn texts(step: &Step) -> impl Iterator<Item = &str> {
    let inputs = step.inputs.iter().filter_map(|input| input.value.as_ref());
    let literals = inputs.flat_map(|value| &value.parts).filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    step.command().map(|command| command.text.as_str()).into_iter().chain(literals)
}

/// The shell scripts of a step's code that its command names, and the scripts that these name.
fn scripts(step: &Step, snapshot: &InputSnapshot) -> Vec<Arc<str>> {
    let Some(Command { text, code: Some(code), .. }) = step.command() else { return Vec::new() };
    let named = |text: &str| words(text).filter_map(|word| snapshot.script(code, word)).collect::<Vec<_>>();
    let mut found = Vec::new();
    let mut open = named(text);
    while let Some(script) = open.pop() {
        if !found.contains(&script) {
            open.extend(named(&script));
            found.push(script);
        }
    }
    found
}

/// The shell scripts with Windows line endings that a step's command names, by the words that name them.
#[must_use]
pub fn windows_scripts<'s>(step: &'s Step, snapshot: &InputSnapshot) -> Vec<&'s str> {
    let Some(Command { text, code: Some(code), .. }) = step.command() else { return Vec::new() };
    let is_windows = |word: &&str| snapshot.script(code, word).is_some_and(|text| text.contains("\r\n"));
    let mut found: Vec<&str> = words(text).filter(is_windows).collect();
    found.dedup();
    found
}

/// The `PATH` that a step sets for itself.
fn own_path(step: &Step) -> Option<&str> {
    let (_, value) = step.environment_variables().iter().find(|(name, _)| name == "PATH")?;
    match value.parts.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// The path that a step gets ends with the name of an input file, so the name is part of the key. The name of a
/// folder is not.
fn name_of_file(path: &Path, tree: &InputTree, input: &str, key: &mut Key) -> Option<()> {
    if tree.listing.as_ref().ok()?.is_file {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        key.settings.insert(format!("file name of {input}"), file);
    }
    Some(())
}

#[expect(clippy::too_many_arguments, reason = "what a key rests on")]
fn given(
    value: &Value,
    name: &str,
    is_direct: bool,
    snapshot: &InputSnapshot,
    reuse: &Reuse,
    read: bool,
    output: &dyn Fn(usize, &str) -> Option<Digest>,
    known: &mut Known,
) -> Option<Given> {
    let mut parts = Vec::with_capacity(value.parts.len());
    for part in &value.parts {
        let digest = match part {
            Part::Text(text) => {
                parts.push(Given::Text(text.clone()));
                continue;
            }
            Part::Secret(text) => {
                parts.push(Given::Secret(Digest::of(text.as_bytes())));
                continue;
            }
            Part::Path(path) => {
                let tree = snapshot.data(path)?;
                name_of_file(path, tree, name, &mut known.key)?;
                let digest = if read { Some(tree.digest(reuse)?) } else { tree.known(reuse) };
                known.unread |= digest.is_none();
                digest
            }
            // Only in templates, whose steps are never looked up.
            Part::Input(_) => return None,
            // For data that a step reads by itself, only the state is known.
            Part::Remote(remote) if is_direct => {
                Some(Digest::of(format!("{} {}", remote.uri, snapshot.state(remote)?).as_bytes()))
            }
            Part::Remote(remote) => match snapshot.copy(remote) {
                Some(copy) => {
                    name_of_file(&copy.path, &copy.tree, name, &mut known.key)?;
                    let digest = if read { Some(copy.tree.digest(reuse)?) } else { copy.tree.known(reuse) };
                    known.unread |= digest.is_none();
                    digest
                }
                None => {
                    known.unfetched = true;
                    None
                }
            },
            Part::Output { step, output: port } => {
                let digest = output(*step, port);
                if digest.is_none() {
                    known.steps.push(*step);
                }
                digest
            }
        };
        if digest.is_none() {
            known.unknown.push(name.to_owned());
        }
        parts.push(Given::Data(digest.unwrap_or_else(|| Digest::of(b""))));
    }
    Some(match parts.len() {
        0 => Given::Text(String::new()),
        1 => parts.remove(0),
        _ => Given::Mixed(parts),
    })
}
