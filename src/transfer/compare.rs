//! Compares the content of a local file with a remote one.

use std::path::Path;

use super::task::broken;
use super::{BLOCK, checksum, local};
use crate::store::remote::{Checksums, RemoteFile, TransferError};

/// Whether a local file has those checksums. False if there are none to compare.
pub(super) async fn is_same(path: &Path, size: u64, checksums: Checksums) -> Result<bool, TransferError> {
    // One checksum is sufficient, and the CRC is faster.
    let wanted = if checksums.crc64.is_some() { Checksums { md5: None, ..checksums } } else { checksums };
    if wanted == Checksums::default() {
        return Ok(false);
    }
    let owned = path.to_owned();
    let read = move || checksum::of_file(&owned, wanted);
    let own = if size <= BLOCK { read() } else { tokio::task::spawn_blocking(read).await.map_err(broken)? };
    own.map(|own| own == wanted).map_err(|e| local("read", path, &e))
}

/// Whether the file already exists at its target with exactly that content.
pub(super) async fn is_there(target: &Path, file: &RemoteFile) -> bool {
    let Ok(stat) = std::fs::symlink_metadata(target) else { return false };
    let same_size = stat.is_file() && file.size == Some(stat.len());
    same_size && is_same(target, stat.len(), file.checksums).await.unwrap_or(false)
}
