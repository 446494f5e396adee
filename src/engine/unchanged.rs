//! Checks whether a step reads what was seen before: before the run for local data and code, at sealing time for the
//! outputs of other steps. A result is stored under what was seen, so it is stored only if the step read exactly
//! that.

use std::path::Path;

use super::Request;
use super::cache::code_listing;
use super::outputs::OutputTable;
use super::protect::OwnCopy;
use crate::plan::{InputMode, Part, Step, StepInput, Value};
use crate::reuse::Listing;

/// An input that changed.
pub(super) struct ModifiedInput {
    /// The input or the variable.
    pub input: String,
    /// The file that changed; empty if it cannot be named.
    pub file: String,
    /// Whether it is another step's output or a copy that others read, too. Then only the step itself can have
    /// changed it.
    pub sealed: bool,
}

impl ModifiedInput {
    /// The message about an input that belongs to the user.
    pub(super) fn in_words(&self, when: &str) -> String {
        let what = if self.file.is_empty() { String::new() } else { format!(" ({})", self.file) };
        format!("its input '{}' changed {when}{what}: the result is not stored for reuse", self.input)
    }
}

/// Whether a step gets its own copy of an input, made before it starts.
pub(super) fn is_copied(mode: InputMode) -> bool {
    matches!(mode, InputMode::Download | InputMode::EvalMount | InputMode::EvalDownload)
}

/// The first input or variable that a step reads in place and that has changed.
pub(super) fn in_place(
    index: usize,
    request: &Request,
    output_table: &OutputTable,
    copies: &[OwnCopy],
) -> Option<ModifiedInput> {
    let step = request.step(index);
    let has_copy = |input: &StepInput| is_copied(input.mode) || copies.iter().any(|copy| copy.input == input.name);
    let inputs = step.inputs.iter().filter(|input| !has_copy(input));
    let inputs = inputs.filter_map(|input| Some((&input.name, input.value.as_ref()?)));
    let variables = step.environment_variables().iter().map(|(name, value)| (name, value));
    inputs.chain(variables).find_map(|(name, value)| value_changed(name, value, request, output_table))
}

/// Whether an input that has just been copied had changed before.
pub(super) fn copied(input: &StepInput, request: &Request, output_table: &OutputTable) -> Option<ModifiedInput> {
    value_changed(&input.name, input.value.as_ref()?, request, output_table)
}

/// Whether the code of a step changed since the run began.
pub(super) fn code(step: &Step, request: &Request) -> bool {
    let command = step.command().filter(|_| step.substitute.is_none());
    let Some(code) = command.and_then(|command| command.code.as_ref()) else { return false };
    let before = request.snapshot.code(code).and_then(|tree| tree.listing.as_ref().ok());
    let now = code_listing(code, request.plan.kind == "pipeline", request.paths.workspace());
    !before.is_some_and(|before| now.is_ok_and(|now| now.fingerprint() == before.fingerprint()))
}

/// Whether a local file or folder changed since the run began.
pub(super) fn local(path: &Path, request: &Request) -> bool {
    let before = request.snapshot.data(path).and_then(|tree| tree.listing.as_ref().ok());
    !before.is_some_and(|before| Listing::of(path).is_ok_and(|now| now.fingerprint() == before.fingerprint()))
}

fn value_changed(name: &str, value: &Value, request: &Request, output_table: &OutputTable) -> Option<ModifiedInput> {
    let changed = |file, sealed| Some(ModifiedInput { input: name.to_owned(), file, sealed });
    for part in &value.parts {
        match part {
            Part::Text(_) | Part::Secret(_) | Part::Input(_) => {}
            Part::Path(path) => {
                let Some(Ok(before)) = request.snapshot.data(path).map(|tree| tree.listing.as_ref()) else { continue };
                if let Some(file) = differs(before, path) {
                    return changed(file, false);
                }
            }
            Part::Remote(remote) => {
                let Some(copy) = request.snapshot.copy(remote) else { continue };
                let Ok(before) = &copy.tree.listing else { continue };
                if let Some(file) = differs(before, &copy.path) {
                    return changed(file, true);
                }
            }
            Part::Output { step, output } => {
                let Some(info) = output_table.output(*step, output) else { continue };
                let now = Listing::of(&info.path);
                if !now.as_ref().is_ok_and(|now| now.fingerprint().to_string() == info.fingerprint) {
                    let newest = now.ok().and_then(|now| now.files.into_iter().max_by_key(|file| file.changed));
                    return changed(newest.map(|file| file.path).unwrap_or_default(), true);
                }
            }
        }
    }
    None
}

/// The first file in which two states of a tree differ, or an empty text if that cannot be determined; `None` if they
/// are equal.
fn differs(before: &Listing, place: &Path) -> Option<String> {
    let now = match Listing::of(place) {
        Ok(now) if now.fingerprint() == before.fingerprint() => return None,
        now => now.ok(),
    };
    Some(now.and_then(|now| before.first_difference(&now)).unwrap_or_default())
}
