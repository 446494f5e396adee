//! Files and folders between this machine and remote places: what `cp` does, and the downloads of assets.
//!
//! Who calls has found out where both sides are; here it is decided which file goes where. [`here`] copies where no network
//! is needed. Refuses to know of assets and datastores, and to print.

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
    /// Anywhere else.
    Remote(Source),
}

/// A name in a remote place.
#[derive(Clone)]
pub(crate) struct Source {
    remote: Arc<dyn Remote>,
    name: String,
    shape: Shape,
}

impl End {
    /// What a place is, once it is reached. `kind` is the type of the asset that it is of.
    pub fn of(place: Place, kind: Option<PortType>, session: &TransferSession) -> Result<Self, TransferError> {
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
                return Err(TransferError::Permanent(format!("{} is not reached", uri.address())));
            }
            (None, Place::Web { url }) => return Err(TransferError::Permanent(format!("{url} is not reached"))),
        })
    }
}

/// From a remote place to this machine; gives the file or folder that is there now. A file goes to `to`, or `into` it.
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

/// From this machine to a remote place.
pub(crate) async fn send(transfer: &Transfer, from: &Path, to: &Source) -> Result<(), TransferError> {
    offer(transfer, &to.remote, local::gather(from)?, &to.name).await
}

/// Sends what a step made: a file to a name, or into it when it ends with a slash; of a folder, all files below it, which
/// may be none.
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
                "{}: its name is not Unicode, and those of blobs are",
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
        // Nobody may be allowed to look; then all is simply sent.
        Err(TransferError::NotFound(_) | TransferError::Denied(_) | TransferError::Permanent(_)) => HashMap::new(),
        Err(trouble) => return Err(trouble),
    };
    send_all(transfer, remote, offered, there).await
}

/// Between two remote places, through a folder of this machine. Gives the figures of what was sent.
pub(crate) fn through(session: &TransferSession, from: Source, to: Source) -> Result<Figures, TransferError> {
    let between = std::env::temp_dir().join(format!("amlrun-cp-{:016x}", fastrand::u64(..)));
    let (transfer, folder) = (session.transfer.clone(), between.clone());
    let copied = session.block_on(async move {
        // Others have no business with what passes through.
        let alone = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&folder);
        alone.map_err(|e| crate::transfer::local("make the folder", &folder, &e))?;
        let fetched = fetch(&transfer, &from, &folder, true).await?;
        let sent = transfer.counted_within(&Arc::default());
        send(&sent, &fetched, &to).await?;
        Ok(sent.progress.figures())
    });
    // What stays of it is the system's to remove.
    let _ = std::fs::remove_dir_all(&between);
    copied
}
