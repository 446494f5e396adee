//! Transfers many files: small files in parallel, large files a few at a time, in blocks.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::compare::is_there;
use super::receive::receive;
use super::send::{self, Sent};
use super::task::broken;
use super::{Transfer, local};
use crate::store::remote::{Remote, RemoteFile, TransferError};

/// How many files are handled at the same time. The concurrency limiter decides how many of them have a request.
const FILES: usize = 64;

/// The longest file name in common file systems, in bytes.
const NAME: usize = 255;

/// A file to download, and its target.
pub struct Wanted {
    /// The file.
    pub file: RemoteFile,
    /// Its local path.
    pub target: PathBuf,
}

/// A file to upload, and its remote name.
pub struct Offered {
    /// Its local path.
    pub from: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its remote name.
    pub name: String,
}

/// Downloads files and returns each in the version that was downloaded, in the same order. Files that are already at
/// their target with the same checksum are skipped. Folders are made.
///
/// # Errors
/// The first error that persisted; files that were downloaded before stay.
pub async fn receive_all(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    wanted: Vec<Wanted>,
) -> Result<Vec<RemoteFile>, TransferError> {
    wanted.iter().try_for_each(|wanted| remote.check_name(&wanted.file.name))?;
    let bytes = wanted.iter().filter_map(|wanted| wanted.file.size).sum();
    transfer.progress.expect(wanted.len() as u64, bytes);
    make_folders(&wanted)?;
    let mut fetched: Vec<Option<RemoteFile>> = vec![None; wanted.len()];
    let mut tasks: JoinSet<Result<(usize, RemoteFile), TransferError>> = JoinSet::new();
    for (index, wanted) in wanted.into_iter().enumerate() {
        while tasks.len() >= FILES
            && let Some(done) = tasks.join_next().await
        {
            let (index, file) = done.map_err(broken)??;
            fetched[index] = Some(file);
        }
        let (transfer, remote) = (transfer.clone(), remote.clone());
        tasks.spawn(async move {
            let Wanted { file, target } = wanted;
            if is_there(&target, &file).await {
                transfer.progress.file_skipped(file.size.unwrap_or(0));
                return Ok((index, file));
            }
            Ok((index, receive(&transfer, &remote, file, &target).await?))
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (index, file) = done.map_err(broken)??;
        fetched[index] = Some(file);
    }
    Ok(fetched.into_iter().flatten().collect())
}

fn make_folders(wanted: &[Wanted]) -> Result<(), TransferError> {
    let folders: HashSet<&Path> = wanted.iter().filter_map(|wanted| wanted.target.parent()).collect();
    for folder in folders {
        std::fs::create_dir_all(folder).map_err(|e| local("create the folder", folder, &e))?;
    }
    Ok(())
}

/// Uploads files. `there` are files that are known to exist in the remote storage.
///
/// # Errors
/// The first error that persisted; files that were uploaded before stay.
pub async fn send_all(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    offered: Vec<Offered>,
    there: HashMap<String, RemoteFile>,
) -> Result<(), TransferError> {
    offered.iter().try_for_each(|offered| remote.check_name(&offered.name))?;
    transfer.progress.expect(offered.len() as u64, offered.iter().map(|offered| offered.size).sum());
    let there = Arc::new(there);
    let mut tasks: JoinSet<Result<Sent, TransferError>> = JoinSet::new();
    for Offered { from, name, .. } in offered {
        while tasks.len() >= FILES
            && let Some(done) = tasks.join_next().await
        {
            done.map_err(broken)??;
        }
        let (transfer, remote, there) = (transfer.clone(), remote.clone(), there.clone());
        tasks.spawn(async move { send::send(&transfer, &remote, &from, &name, there.get(&name)).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(broken)??;
    }
    Ok(())
}

/// The local path of a file in a remote folder. `prefix` is the folder's name with its slash.
///
/// # Errors
/// When the name would lead out of the folder, or is not a valid file name here.
pub fn below(folder: &Path, prefix: &str, file: &RemoteFile) -> Result<PathBuf, TransferError> {
    let inner = file.name.strip_prefix(prefix).unwrap_or(&file.name);
    let plain = Path::new(inner).components().all(|part| matches!(part, Component::Normal(_)));
    // `a//b` and `a/` are valid names of blobs, but not of files.
    let same = inner.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !plain || !same || inner.contains('\0') {
        let name = file.name.escape_debug();
        return Err(TransferError::Permanent(format!(
            "the blob name '{name}' is not a valid file name on this machine"
        )));
    }
    if let Some(long) = inner.split('/').find(|part| part.len() > NAME) {
        return Err(TransferError::Permanent(format!(
            "the blob name '{}' is not a valid file name on this machine: '{long}' is longer than {NAME} bytes",
            file.name
        )));
    }
    Ok(folder.join(inner))
}

/// The files of a listing that would have to be both a file and a folder on this machine.
#[must_use]
pub fn clash(files: &[RemoteFile]) -> Option<&str> {
    let names: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let folders = |name: &'_ str| name.match_indices('/').map(|(at, _)| at).collect::<Vec<_>>();
    files.iter().find_map(|file| {
        let name = file.name.as_str();
        folders(name).into_iter().map(|at| &name[..at]).find(|folder| names.contains(folder))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::remote::Checksums;

    fn file(name: &str) -> RemoteFile {
        RemoteFile {
            name: name.into(),
            size: None,
            version: String::new(),
            checksums: Checksums::default(),
            ranges: true,
        }
    }

    #[test]
    fn names_stay_below_their_folder() {
        let place = |name: &str| below(Path::new("/x"), "p/", &file(name)).map(|p| p.display().to_string());
        assert_eq!(place("p/a/b c%.csv").unwrap(), "/x/a/b c%.csv");
        for name in ["p/../a", "p//a", "p/a/", "p/./a", "/etc/passwd", "p/a\0b", "p/"] {
            assert!(place(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_name_cannot_be_file_and_folder() {
        assert_eq!(clash(&[file("a/b"), file("a"), file("c")]), Some("a"));
        assert_eq!(clash(&[file("a/b"), file("a/c"), file("ab")]), None);
    }
}
