//! Protects the user's data. On Azure ML a `ro_mount` is read-only; here a step could write through the path that it
//! gets. So the step gets a copy of a small input. If the step writes to the copy, that is reported and the copy is
//! discarded. A large input is mounted read-only where the kernel allows it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Request;
use crate::plan::{InputMode, Part, Step, StepInput};
use crate::reuse::Listing;

/// The largest input that is copied. Copying it takes much less time than starting an interpreter, and no time where
/// the file system can share blocks.
const MOST_BYTES: u64 = 32 << 20;

/// The most files that are copied.
const MOST_FILES: usize = 256;

/// A copy of an input for one attempt of one step.
#[derive(Debug)]
pub(super) struct OwnCopy {
    /// The input.
    pub input: String,
    /// The path that the step gets.
    pub place: PathBuf,
    /// The folder of the copy, which also shows what a step writes beside a file.
    before: Listing,
    /// Whether an output links to it: then it stays.
    kept: bool,
}

/// The files to copy for an input, as seen before the run. `None` if the input is read in place, because it is not
/// local data, too large, or a copy would differ from it.
pub(super) fn source<'a>(input: &StepInput, request: &'a Request) -> Option<&'a Listing> {
    let path = local(input)?;
    let listing = request.snapshot.data(path)?.listing.as_ref().ok()?;
    let fits = listing.bytes <= MOST_BYTES && listing.files.len() + listing.specials.len() <= MOST_FILES;
    // A name with a backslash, or one that is not Unicode, is listed in another form.
    let is_known = |path: &str| !path.contains(['\\', char::REPLACEMENT_CHARACTER]);
    let is_like_it = fits && listing.files.iter().all(|file| is_known(&file.path));
    (is_like_it && (listing.is_file || !holds_what_is_written(path, request))).then_some(listing)
}

/// The local file or folder of an input that the step must not write to.
fn local(input: &StepInput) -> Option<&Path> {
    let value = input.value.as_ref().filter(|_| input.mode == InputMode::RoMount && input.kind.is_data())?;
    match value.parts.as_slice() {
        [Part::Path(path)] => Some(path),
        _ => None,
    }
}

/// Whether a folder contains the workspace, the home folder or the folder for temporary files. A copy of it would be
/// inside itself, and steps write there.
fn holds_what_is_written(folder: &Path, request: &Request) -> bool {
    let written = [Some(request.paths.visible.root().to_owned()), std::env::home_dir(), Some(std::env::temp_dir())];
    let Ok(folder) = folder.canonicalize() else { return true };
    written.into_iter().flatten().any(|path| path.canonicalize().is_ok_and(|path| path.starts_with(&folder)))
}

/// The inputs that a step reads in place and must not write to, by their real paths.
pub(super) fn read_in_place(step: &Step, copies: &[OwnCopy], request: &Request) -> Vec<PathBuf> {
    let inputs = step.inputs.iter().filter(|input| copies.iter().all(|copy| copy.input != input.name));
    let real = inputs.filter_map(|input| local(input)?.canonicalize().ok());
    real.filter(|path| path.is_file() || path.is_dir() && !holds_what_is_written(path, request)).collect()
}

/// Copies an input to `place`. What an earlier attempt left there is removed. `None` if that is not possible: then
/// the step reads the input in place, like a large one.
pub(super) fn make(input: &str, source: &Listing, place: PathBuf) -> Option<OwnCopy> {
    let folder = place.parent()?;
    let made = remove(folder).and_then(|()| fs::create_dir_all(folder)).and_then(|()| copy(source, &place));
    match made.and_then(|()| listed(folder)) {
        Ok(before) => Some(OwnCopy { input: input.to_owned(), place, before, kept: false }),
        Err(_) => {
            let _ = remove(folder);
            None
        }
    }
}

fn copy(source: &Listing, place: &Path) -> io::Result<()> {
    if source.is_file {
        let file = source.files.first().ok_or(io::ErrorKind::NotFound)?;
        return copy_file(&source.place(file), place);
    }
    fs::create_dir(place)?;
    // Links are replaced by their targets: through a link a step could write to protected data.
    for empty in source.specials.iter().filter(|special| special.target.is_none()) {
        fs::create_dir_all(place.join(&empty.path))?;
    }
    for file in &source.files {
        let target = place.join(&file.path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        copy_file(&source.place(file), &target)?;
    }
    Ok(())
}

/// Copies a file with its time: steps look for the newest checkpoint.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    match fs::File::open(to)?.set_modified(modified) {
        // Only its owner, or somebody who may write, can set it.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

/// A copy as it is now. Byte code of Python does not count: where it cannot be written, as on Azure ML, Python goes without.
fn listed(place: &Path) -> io::Result<Listing> {
    Ok(Listing::of(place)?.only(|path| !path.split('/').any(|part| part == "__pycache__")))
}

impl OwnCopy {
    fn folder(&self) -> &Path {
        self.place.parent().unwrap_or(&self.place)
    }

    /// Keeps the copy when an output of its step links to it, by a symbolic or a hard link.
    pub(super) fn keep_if_linked(&mut self, output: &Path) {
        let Ok(listing) = Listing::of(output) else { return };
        let real = self.folder().canonicalize().unwrap_or_default();
        let is_inside = |target: &String| {
            let target = Path::new(target);
            target.starts_with(self.folder()) || target.starts_with(&real)
        };
        let mut links = listing.specials.iter().filter_map(|special| special.target.as_ref());
        let mut files = listing.files.iter().filter(|file| file.size > 0);
        let is_same = |inode: u64| self.before.files.iter().any(|own| own.inode == inode);
        self.kept |= links.any(is_inside) || files.any(|file| is_same(file.inode));
    }

    /// The file that the step changed, made or removed; empty if it cannot be named.
    pub(super) fn written(&self) -> Option<String> {
        let now = listed(self.folder()).ok();
        if now.as_ref().is_some_and(|now| now.fingerprint() == self.before.fingerprint()) {
            return None;
        }
        Some(now.and_then(|now| self.before.first_difference(&now)).unwrap_or_default())
    }
}

impl Drop for OwnCopy {
    /// The copy is not needed after its step, and the copies of many steps would fill the disk.
    fn drop(&mut self) {
        if !self.kept {
            let _ = remove(self.folder());
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
