//! The download cache: fetched data is stored once for all pipelines of a workspace.
//!
//! ```text
//! downloads/v1/<hash of the address>/
//!   lock                        held by the one process that fetches
//!   now.json                    the last state that was seen
//!   <state>/…                   the files, read-only; the name depends on the versions of all of them
//!   <state>.json                their versions, so that a later state can reuse unchanged files, and their stat, which
//!                               shows whether somebody touched them
//!   <state>.building/…          a state that is being fetched; an interrupted download continues with it
//! ```
//!
//! A state never changes: you can continue to read it while a newer one is fetched.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::folder::{Wanted, below, receive_all};
use super::listing::{Found, Shape};
use super::{Transfer, is_unfinished, local};
use crate::fs::atomic::{self, Durability, PARTIAL, Temporary};
use crate::fs::walk::files_below;
use crate::store::remote::{Remote, RemoteFile, TransferError};
use crate::store::tree;

/// How often to check whether another process has finished.
const PAUSE: Duration = Duration::from_millis(50);

/// The download cache of a workspace.
pub struct Cache {
    folder: PathBuf,
    /// The downloads of this process that are under way, by address.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Data on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The file or folder.
    pub path: PathBuf,
    /// How many files it has.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
}

/// The last state that was seen.
#[derive(Serialize, Deserialize)]
struct Now {
    address: String,
    state: String,
}

/// What is known of a state.
#[derive(Serialize, Deserialize)]
struct State {
    /// The name of the file, if it is a single file.
    name: Option<String>,
    files: u64,
    bytes: u64,
    /// A fingerprint of the stat of all files.
    stamp: String,
    /// The version of each file.
    versions: HashMap<String, String>,
}

impl State {
    /// A state whose files are unchanged since they were fetched.
    fn intact(place: &Path, state: &str) -> Option<Self> {
        let known = Self::read(place, state)?;
        (stamp(&place.join(state)).ok()? == known.stamp).then_some(known)
    }

    /// Its local copy. The path is not stored, because a workspace may move.
    fn kept(&self, place: &Path, state: &str) -> Kept {
        let folder = place.join(state);
        let path = self.name.as_ref().map_or(folder.clone(), |name| folder.join(name));
        Kept { path, files: self.files, bytes: self.bytes }
    }

    fn read(place: &Path, state: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(place.join(format!("{state}.json"))).ok()?).ok()
    }
}

/// Data that nobody needs. As long as this is held, nobody fetches there.
pub struct Old {
    /// The file or folder.
    pub path: PathBuf,
    _lock: Option<Arc<std::fs::File>>,
}

impl Cache {
    /// The cache in that folder, which is made at the first download.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, fetching: Mutex::default() }
    }

    fn place(&self, address: &str, shape: Shape) -> PathBuf {
        // A folder is the same with and without a trailing slash.
        let address = if shape == Shape::File { address } else { address.trim_end_matches('/') };
        let hash = blake3::hash(format!("{shape:?} {address}").as_bytes()).to_hex();
        self.folder.join(&hash[..24])
    }

    /// The local copy of an address in exactly that state.
    #[must_use]
    pub fn known(&self, address: &str, shape: Shape, found: &Found) -> Option<Kept> {
        let (place, state) = (self.place(address, shape), state(&found.files)?);
        Some(State::intact(&place, &state)?.kept(&place, &state))
    }

    /// The last local copy of an address, whatever its state is now.
    #[must_use]
    pub fn last(&self, address: &str, shape: Shape) -> Option<Kept> {
        let place = self.place(address, shape);
        let state = read_now(&place)?.state;
        Some(State::intact(&place, &state)?.kept(&place, &state))
    }

    /// Data that nobody needs: states of which there is a newer one, interrupted downloads, and, if a time is given,
    /// data that was fetched before that time. Downloads that are under way are not included.
    #[must_use]
    pub fn old(&self, older_than: Option<Duration>) -> Vec<Old> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let mut old = Vec::new();
        for place in below(&self.folder) {
            let lock = std::fs::File::open(place.join("lock")).map(Arc::new).ok();
            if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
                continue;
            }
            let mut add = |path| old.push(Old { path, _lock: lock.clone() });
            let age = std::fs::metadata(place.join("now.json")).and_then(|m| m.modified());
            let age = age.ok().and_then(|fetched| fetched.elapsed().ok());
            let now = read_now(&place).filter(|_| older_than.is_none_or(|limit| age.is_some_and(|age| age < limit)));
            match now {
                None => add(place),
                Some(Now { state, .. }) => {
                    let kept = ["lock".to_owned(), "now.json".to_owned(), state.clone(), format!("{state}.json")];
                    let is_kept =
                        |path: &PathBuf| path.file_name().is_some_and(|name| kept.iter().any(|k| name == k.as_str()));
                    below(&place).into_iter().filter(|path| !is_kept(path)).for_each(add);
                }
            }
        }
        old
    }

    /// Fetches what was found, unless there is a local copy. However many callers ask at the same time, it is fetched
    /// once.
    ///
    /// # Errors
    /// The error of the transfer; the next fetch uses what was fetched until then.
    pub async fn fetch(
        &self,
        transfer: &Transfer,
        remote: &Arc<dyn Remote>,
        address: &str,
        shape: Shape,
        found: Found,
    ) -> Result<Kept, TransferError> {
        let place = self.place(address, shape);
        let mine = {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            fetching.entry(place.display().to_string()).or_default().clone()
        };
        let _mine = mine.lock().await;
        if let Some(kept) = self.known(address, shape, &found) {
            return Ok(kept);
        }
        std::fs::create_dir_all(&place).map_err(|e| local("create the folder", &place, &e))?;
        let _lock = lock(&place, transfer).await?;
        if let Some(kept) = self.known(address, shape, &found) {
            return Ok(kept);
        }
        fetch(transfer, remote, address, &place, found).await
    }
}

/// Waits until no other process fetches the same.
async fn lock(place: &Path, transfer: &Transfer) -> Result<std::fs::File, TransferError> {
    let path = place.join("lock");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| local("write", &path, &e))?;
    loop {
        match file.try_lock() {
            Ok(()) => {
                transfer.progress.recovered();
                return Ok(file);
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                transfer.progress.waits("another run is downloading the same data");
                tokio::time::sleep(PAUSE).await;
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(local("lock", &path, &e)),
        }
    }
}

async fn fetch(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    address: &str,
    place: &Path,
    found: Found,
) -> Result<Kept, TransferError> {
    // Without versions nothing shows whether the remote data is still the same, so a partial download is useless.
    let seen = state(&found.files);
    let building = place.join(format!("{}.building", seen.as_deref().unwrap_or("unknown")));
    if seen.is_none() {
        remove(&building)?;
    }
    let old =
        read_now(place).and_then(|now| Some((place.join(&now.state), State::intact(place, &now.state)?.versions)));
    let mut wanted = Vec::with_capacity(found.files.len());
    let name = found.file_name();
    let target = |file: &RemoteFile| match found.is_file {
        true => Ok(building.join(&name)),
        false => below(&building, &found.prefix, file),
    };
    let mut there = Vec::new();
    for file in &found.files {
        let target = target(file)?;
        // Files appear here only when complete, and the folder's name contains their versions.
        if target.exists() || old.as_ref().is_some_and(|old| take_over(old, file, &target, &building)) {
            transfer.progress.expect(1, file.size.unwrap_or(0));
            transfer.progress.file_skipped(file.size.unwrap_or(0));
            there.push(file.clone());
        } else {
            wanted.push(Wanted { file: file.clone(), target });
        }
    }
    let mut files = receive_all(transfer, remote, wanted).await?;
    files.append(&mut there);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let state = state(&files).unwrap_or_else(unseen);
    finish(address, place, &building, &state, &files, found.is_file.then_some(name.as_str()))
}

/// Turns the finished download into a state, and makes it the last state.
fn finish(
    address: &str,
    place: &Path,
    building: &Path,
    state: &str,
    files: &[RemoteFile],
    name: Option<&str>,
) -> Result<Kept, TransferError> {
    let folder = place.join(state);
    let trouble = |e: tree::TreeError| TransferError::Permanent(e.to_string());
    tidy(place, building)?;
    tree::make_read_only(building).map_err(trouble)?;
    if State::intact(place, state).is_some() {
        remove(building)?;
    } else {
        // The state was changed, or its download ended before it was complete.
        remove(&folder)?;
        // Not a temporary folder: an interrupted download continues with it.
        std::fs::rename(building, &folder).map_err(|e| local("rename", building, &e))?;
    }
    let size = tree::size_of(&folder).map_err(trouble)?;
    let versions = files.iter().map(|f| (f.name.clone(), f.version.clone())).collect();
    let stamp = stamp(&folder).map_err(|e| local("read", &folder, &e))?;
    let made = State { name: name.map(str::to_owned), files: size.files, bytes: size.bytes, stamp, versions };
    write(&place.join(format!("{state}.json")), &made)?;
    write(&place.join("now.json"), &Now { address: address.to_owned(), state: state.to_owned() })?;
    Ok(made.kept(place, state))
}

/// Removes partial downloads of other states, or of files that changed meanwhile.
fn tidy(place: &Path, building: &Path) -> Result<(), TransferError> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    for other in entries.filter(|path| path.extension().is_some_and(|e| e == "building") && path != building) {
        remove(&other)?;
    }
    let files = files_below(building).map_err(|e| local("list", building, &e))?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if is_unfinished(&name) || name.starts_with(PARTIAL) {
            let path = building.join(&file);
            std::fs::remove_file(&path).map_err(|e| local("remove", &path, &e))?;
        }
    }
    Ok(())
}

/// Reuses a file of the state before, if it is the same in this state.
fn take_over(old: &(PathBuf, HashMap<String, String>), file: &RemoteFile, target: &Path, building: &Path) -> bool {
    let (folder, versions) = old;
    let same = !file.version.is_empty() && versions.get(&file.name) == Some(&file.version);
    let Ok(inner) = target.strip_prefix(building) else { return false };
    same && target.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
        && copy(&folder.join(inner), target).is_ok()
}

/// Copies a file, completely or not at all. A hard link would be sufficient, but it changes the stat of a file that
/// somebody may be reading.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let new = Temporary::beside(to);
    std::fs::copy(from, new.path())?;
    new.place()
}

/// A unique name for a state.
fn unseen() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// The name of the state that was found. It is unique each time if the remote storage reports no versions.
#[must_use]
pub fn state_of(found: &Found) -> String {
    state(&found.files).unwrap_or_else(unseen)
}

/// The name of a state: a digest of the names, sizes and versions of all its files. `None` if a version is unknown.
fn state(files: &[RemoteFile]) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        if file.version.is_empty() {
            return None;
        }
        hasher.update(format!("{}\0{}\0{:?}\n", file.name, file.version, file.size).as_bytes());
    }
    Some(hasher.finalize().to_hex()[..16].to_owned())
}

fn read_now(place: &Path) -> Option<Now> {
    serde_json::from_slice(&std::fs::read(place.join("now.json")).ok()?).ok()
}

/// A fingerprint that changes when anything in a folder is touched: the stat of files, including the times that
/// nobody can set, and the names of folders.
fn stamp(folder: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = Vec::new();
    for entry in WalkDir::new(folder).min_depth(1) {
        let entry = entry?;
        let stat = entry.metadata()?;
        let inner = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
        if stat.is_dir() {
            lines.push(inner);
        } else {
            let [modified, changed] = [(stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec())];
            lines.push(format!("{inner}\0{} {} {modified:?} {changed:?}", stat.len(), stat.ino()));
        }
    }
    lines.sort();
    Ok(blake3::hash(lines.join("\n").as_bytes()).to_hex()[..32].to_owned())
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), TransferError> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    atomic::write(path, text, Durability::Unsynced).map_err(|e| local("write", path, &e))
}

fn remove(folder: &Path) -> Result<(), TransferError> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(local("remove", folder, &e)),
        _ => Ok(()),
    }
}
