//! A large file during its download: its bytes beside the target, and a ledger of its blocks.
//!
//! The names of both files depend on the remote file. Another version of it has other names, and an interrupted
//! download, even of an earlier process, finds its own files again and continues. That is why this is not
//! [`crate::fs::atomic`], which removes unfinished files. One process uses them at a time; others wait.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::{PART, local};
use crate::store::remote::{RemoteFile, TransferError};

/// The size of a ledger entry: whether the block is there, and its CRC.
const RECORD: u64 = 9;

/// A file that is not complete yet.
pub(super) struct Partial {
    content: File,
    blocks: File,
    path: PathBuf,
    ledger: PathBuf,
    size: u64,
    /// Serializes writes. The system lets only one thread write to a file at a time, and others spin meanwhile; with
    /// this lock they can continue to read.
    turn: tokio::sync::Mutex<()>,
}

/// The path for the bytes of a file until it is complete. It is short, so that it works for every name that a file
/// system allows.
pub(super) fn place(address: &str, file: &RemoteFile, target: &Path, ending: &str) -> PathBuf {
    let what = format!("{address}\n{}\n{:?}\n{}\n{PART}", file.version, file.size, target.display());
    let hash = blake3::hash(what.as_bytes()).to_hex();
    target.with_file_name(format!(".amlrun-{}.{ending}", &hash[..16]))
}

/// Whether a name is that of an incomplete file or of its ledger.
#[must_use]
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(".amlrun-") && name.ends_with(".part")
}

/// Opens a file for one process; `None` while another process uses it.
pub(super) fn alone(path: &Path) -> Result<Option<File>, TransferError> {
    let file = open(path)?;
    // Without locks in the file system, other processes cannot be excluded.
    if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
        return Ok(None);
    }
    let is = |stat: std::io::Result<std::fs::Metadata>| stat.map(|stat| (stat.dev(), stat.ino())).ok();
    // The process that used it may have renamed it to its final name meanwhile, or removed it.
    let same = is(file.metadata()) == is(std::fs::metadata(path));
    Ok(same.then_some(file))
}

fn open(path: &Path) -> Result<File, TransferError> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(|e| local("write", path, &e))
}

impl Partial {
    /// Starts, or continues with the content that [`alone`] opened.
    pub(super) fn open(
        content: File,
        address: &str,
        file: &RemoteFile,
        size: u64,
        target: &Path,
    ) -> Result<Self, TransferError> {
        let path = place(address, file, target, "part");
        let ledger = place(address, file, target, "blocks.part");
        let blocks = open(&ledger)?;
        let there = content.metadata().map_err(|e| local("read", &path, &e))?.len();
        if there != size {
            // The ledger first: it must never list a block that does not exist.
            blocks.set_len(0).map_err(|e| local("write", &ledger, &e))?;
            content.set_len(size).map_err(|e| local("write", &path, &e))?;
        }
        Ok(Self { content, blocks, path, ledger, size, turn: tokio::sync::Mutex::default() })
    }

    /// The byte range of a block.
    pub(super) fn part(&self, block: u64) -> std::ops::Range<u64> {
        block * PART..((block + 1) * PART).min(self.size)
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.size.div_ceil(PART)
    }

    /// The CRC of each block that is there.
    pub(super) fn known(&self) -> Result<Vec<Option<u64>>, TransferError> {
        let count = usize::try_from(self.blocks()).unwrap_or(usize::MAX);
        let read = std::fs::read(&self.ledger).map_err(|e| local("read", &self.ledger, &e))?;
        let mut known = vec![None; count];
        for (record, known) in read.chunks_exact(RECORD as usize).zip(&mut known) {
            if record[0] == 1 {
                *known = record[1..].try_into().ok().map(u64::from_le_bytes);
            }
        }
        Ok(known)
    }

    /// Writes bytes of the file.
    pub(super) async fn write(&self, at: u64, bytes: &[u8]) -> Result<(), TransferError> {
        let _turn = self.turn.lock().await;
        self.content.write_all_at(bytes, at).map_err(|e| local("write", &self.path, &e))
    }

    /// Records in the ledger that a block is there.
    pub(super) fn done(&self, block: u64, crc: u64) -> Result<(), TransferError> {
        let mut record = [1; RECORD as usize];
        record[1..].copy_from_slice(&crc.to_le_bytes());
        self.blocks.write_all_at(&record, block * RECORD).map_err(|e| local("write", &self.ledger, &e))
    }

    /// The path of the bytes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the complete file to its target.
    pub(super) fn finish(self, target: &Path) -> Result<(), TransferError> {
        // In this order: a ledger without its content would never be removed.
        std::fs::remove_file(&self.ledger).map_err(|e| local("remove", &self.ledger, &e))?;
        std::fs::rename(&self.path, target).map_err(|e| local("write", target, &e))
    }

    /// Removes the file, which is useless.
    pub(super) fn discard(self) {
        let _ = std::fs::remove_file(&self.ledger);
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::remote::Checksums;

    #[tokio::test]
    async fn what_was_fetched_before_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("big.bin");
        let size = PART + 5;
        let file = |version: &str| RemoteFile {
            name: "big.bin".into(),
            size: Some(size),
            version: version.into(),
            checksums: Checksums::default(),
            ranges: true,
        };
        let open = |version: &str| {
            let content = alone(&place("x", &file(version), &target, "part")).unwrap()?;
            Some(Partial::open(content, "x", &file(version), size, &target).unwrap())
        };
        let partial = open("1").unwrap();
        assert!(open("1").is_none(), "somebody has it");
        assert_eq!((partial.blocks(), partial.part(1)), (2, PART..size));
        partial.write(PART, b"hello").await.unwrap();
        partial.done(1, 42).unwrap();
        drop(partial);
        let again = open("1").unwrap();
        assert_eq!(again.known().unwrap(), [None, Some(42)]);
        let other = open("2").unwrap();
        assert_eq!(other.known().unwrap(), [None, None]);
        other.discard();
        again.finish(&target).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
