//! Protection of the user's data: on Azure ML a `ro_mount` is read-only, here a step could write through the path that it
//! gets. So a small input is given as a copy, and a copy that its step wrote to is reported and thrown away; a large one is
//! mounted read-only where the kernel allows it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Request;
use crate::plan::{InputMode, Part, Step, StepInput};
use crate::reuse::Listing;

/// As many bytes are copied in well under the time in which an interpreter starts; where the file system can share
/// blocks, none are.
const MOST_BYTES: u64 = 32 << 20;

/// As many files are copied.
const MOST_FILES: usize = 256;

/// A copy of an input that only one try of one step has.
#[derive(Debug)]
pub(super) struct OwnCopy {
    /// The input.
    pub input: String,
    /// Where the step finds it.
    pub place: PathBuf,
    /// What was copied.
    before: Listing,
}

/// What the copy of an input would be made from: its files, as they were seen before the run. `None` for an input that
/// is read where it lies, because it is no local data, too large, or nothing that a copy would be like.
pub(super) fn source<'a>(input: &StepInput, request: &'a Request) -> Option<&'a Listing> {
    let path = local(input)?;
    let listing = request.snapshot.data(path)?.listing.as_ref().ok()?;
    let fits = listing.bytes <= MOST_BYTES && listing.files.len() <= MOST_FILES;
    // A name that is not Unicode is not known to the letter.
    let is_known = |path: &str| !path.contains(char::REPLACEMENT_CHARACTER);
    let is_like_it = fits && listing.files.iter().all(|file| is_known(&file.path));
    (is_like_it && (listing.is_file || !holds_what_is_written(path, request))).then_some(listing)
}

/// The local file or folder that an input is, when the step must not write to it.
fn local(input: &StepInput) -> Option<&Path> {
    let value = input.value.as_ref().filter(|_| input.mode == InputMode::RoMount && input.kind.is_data())?;
    match value.parts.as_slice() {
        [Part::Path(path)] => Some(path),
        _ => None,
    }
}

/// Whether a folder holds the workspace, the person's own folder or the one for temporary files: no copy of it can lie
/// outside of it, and steps write there.
fn holds_what_is_written(folder: &Path, request: &Request) -> bool {
    let written = [Some(request.home.root().to_owned()), std::env::home_dir(), Some(std::env::temp_dir())];
    let Ok(folder) = folder.canonicalize() else { return true };
    written.into_iter().flatten().any(|path| path.canonicalize().is_ok_and(|path| path.starts_with(&folder)))
}

/// The inputs that a step reads where they lie and must not write to, as the file system knows them.
pub(super) fn read_in_place(step: &Step, copies: &[OwnCopy], request: &Request) -> Vec<PathBuf> {
    let inputs = step.inputs.iter().filter(|input| copies.iter().all(|copy| copy.input != input.name));
    let real = inputs.filter_map(|input| local(input)?.canonicalize().ok());
    real.filter(|path| path.is_file() || path.is_dir() && !holds_what_is_written(path, request)).collect()
}

/// Copies an input to `place`; what a try before left there is removed. `None` when that is not possible: then the step
/// reads it where it lies, as it does a large one.
pub(super) fn make(input: &str, source: &Listing, place: PathBuf) -> Option<OwnCopy> {
    let folder = place.parent()?;
    let made = remove(folder).and_then(|()| fs::create_dir_all(folder)).and_then(|()| copy(source, &place));
    match made.and_then(|()| Listing::of(&place)) {
        Ok(before) => Some(OwnCopy { input: input.to_owned(), place, before }),
        Err(_) => {
            let _ = remove(folder);
            None
        }
    }
}

fn copy(source: &Listing, place: &Path) -> io::Result<()> {
    if source.is_file {
        let file = source.files.first().ok_or(io::ErrorKind::NotFound)?;
        return fs::copy(source.place(file), place).map(drop);
    }
    fs::create_dir(place)?;
    // Links become what they lead to: through them a step could write to what is protected.
    for empty in source.specials.iter().filter(|special| special.target.is_none()) {
        fs::create_dir_all(place.join(&empty.path))?;
    }
    for file in &source.files {
        let target = place.join(&file.path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(source.place(file), target)?;
    }
    Ok(())
}

impl OwnCopy {
    /// The file that its step wrote to, made or removed; empty when it cannot be named.
    pub fn written(&self) -> Option<String> {
        let now = Listing::of(&self.place).ok();
        if now.as_ref().is_some_and(|now| now.fingerprint() == self.before.fingerprint()) {
            return None;
        }
        Some(now.and_then(|now| self.before.first_difference(&now)).unwrap_or_default())
    }
}

impl Drop for OwnCopy {
    /// Nobody needs it when its step has ended, and many steps would fill a disk.
    fn drop(&mut self) {
        if let Some(folder) = self.place.parent() {
            let _ = remove(folder);
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
