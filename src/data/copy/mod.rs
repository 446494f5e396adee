//! Transfers files and folders between this machine and remote storage, for `cp` and for downloads of assets.
//!
//! The caller resolves both sides. This module decides which file is copied where. [`local`] copies on this machine.
//! This module must not know assets or datastores, and does not print.

pub(crate) mod local;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::location::Place;
use crate::data::session::TransferSession;
use crate::spec::io::PortType;
use crate::store::remote::{Remote, RemoteFile, TransferError};
use crate::transfer::Transfer;
use crate::transfer::folder::{Offered, Wanted, below, receive_all, send_all};
use crate::transfer::listing::{Shape, look};
use crate::transfer::progress::Figures;
use crate::transfer::retry::with_retries;

/// One side of a copy.
#[derive(Clone)]
pub(crate) enum End {
    /// On this machine.
    Local(PathBuf),
    /// In remote storage.
    Remote(Source),
}

/// A name in remote storage.
#[derive(Clone)]
pub(crate) struct Source {
    remote: Arc<dyn Remote>,
    name: String,
    shape: Shape,
}

impl End {
    /// The source at a place, with its connection. `kind` is the type of the asset that it belongs to.
    pub(crate) fn of(place: Place, kind: Option<PortType>, session: &TransferSession) -> Result<Self, TransferError> {
        let reached = session.reach(&place)?;
        Ok(match (reached, place) {
            (Some((remote, name)), place) => {
                let shape = match (place, kind) {
                    (Place::Web { .. }, _) | (_, Some(PortType::UriFile)) => Shape::File,
                    (_, Some(PortType::UriFolder | PortType::Mltable)) => Shape::Folder,
                    _ => Shape::Any,
                };
                Self::Remote(Source { remote, name, shape })
            }
            (None, Place::Local(path)) => Self::Local(path),
            (None, Place::Blob { uri, .. }) => {
                return Err(TransferError::Permanent(format!("{} cannot be reached", uri.address())));
            }
            (None, Place::Web { url }) => return Err(TransferError::Permanent(format!("{url} cannot be reached"))),
        })
    }
}

/// Downloads to this machine, and returns the path of the downloaded file or folder. A file is written to `to`, or
/// `into` that folder.
pub(crate) async fn fetch(transfer: &Transfer, from: &Source, to: &Path, into: bool) -> Result<PathBuf, TransferError> {
    let found = look(transfer, &from.remote, &from.name, from.shape).await?;
    let mut place = to.to_owned();
    let wanted: Result<Vec<Wanted>, TransferError> = if found.is_file {
        if into || to.is_dir() {
            place.push(found.file_name());
        }
        found.files.into_iter().map(|file| Ok(Wanted { file, target: place.clone() })).collect()
    } else {
        let place = |file: RemoteFile| Ok(Wanted { target: below(to, &found.prefix, &file)?, file });
        found.files.into_iter().map(place).collect()
    };
    receive_all(transfer, &from.remote, wanted?).await?;
    Ok(place)
}

/// Uploads from this machine.
pub(crate) async fn send(transfer: &Transfer, from: &Path, to: &Source) -> Result<(), TransferError> {
    offer(transfer, &to.remote, local::gather(from)?, &to.name).await
}

/// Uploads the output of a step. A file is uploaded to a name, or below it if the name ends with a slash. Of a folder,
/// all files below it are uploaded; it may be empty.
pub(crate) async fn upload(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    from: &Path,
    name: &str,
) -> Result<(), TransferError> {
    offer(transfer, remote, local::everything(from)?, name).await
}

async fn offer(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    gathered: local::Gathered,
    name: &str,
) -> Result<(), TransferError> {
    let is_folder = name.is_empty() || name.ends_with('/');
    let prefix = if gathered.is_file || is_folder { name.to_owned() } else { format!("{name}/") };
    let mut offered = Vec::with_capacity(gathered.files.len());
    for local::File { inner, size } in gathered.files {
        let path = gathered.root.join(&inner);
        let Some(inner) = inner.to_str() else {
            return Err(TransferError::Permanent(format!(
                "{}: its name is not valid Unicode, as the names of blobs must be",
                path.display()
            )));
        };
        let name = if gathered.is_file && !is_folder { prefix.clone() } else { format!("{prefix}{inner}") };
        offered.push(Offered { from: path, size, name });
    }
    let there = match &*offered {
        [only] => with_retries(transfer, || remote.describe(&only.name)).await.map(|file| vec![file]),
        _ => look(transfer, remote, &prefix, Shape::Folder).await.map(|found| found.files),
    };
    let there: HashMap<_, _> = match there {
        Ok(files) => files.into_iter().map(|file| (file.name.clone(), file)).collect(),
        // Listing may not be allowed. Then everything is uploaded.
        Err(TransferError::NotFound(_) | TransferError::Denied(_) | TransferError::Permanent(_)) => HashMap::new(),
        Err(trouble) => return Err(trouble),
    };
    send_all(transfer, remote, offered, there).await
}

/// Copies between two remote places through a local folder. Returns the figures of the upload.
pub(crate) fn through(session: &TransferSession, from: Source, to: Source) -> Result<Figures, TransferError> {
    let between = std::env::temp_dir().join(format!("amlrun-cp-{:016x}", fastrand::u64(..)));
    let (transfer, folder) = (session.transfer.clone(), between.clone());
    let copied = session.block_on(async move {
        // Other users must not read the files in between.
        let alone = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&folder);
        alone.map_err(|e| crate::transfer::local("create the folder", &folder, &e))?;
        let fetched = fetch(&transfer, &from, &folder, true).await?;
        let sent = transfer.counted_within(&Arc::default());
        send(&sent, &fetched, &to).await?;
        Ok(sent.progress.figures())
    });
    // If removing fails, the system cleans its temporary folder.
    let _ = std::fs::remove_dir_all(&between);
    copied
}
