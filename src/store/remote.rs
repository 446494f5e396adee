//! Remote storage, as the code that transfers bytes sees it.
//!
//! A [`Remote`] is a container of blobs or a web server. It sends one request at a time and does not retry; whether
//! to retry, and for how long, is decided in `transfer`. An implementation classifies errors as [`TransferError`],
//! and never puts a credential into their text.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// An asynchronous result.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransferError>> + Send + 'a>>;

/// Content as a stream.
pub type Chunks = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, TransferError>> + Send>>;

/// Why a request to remote storage failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The file or folder does not exist.
    #[error("{0} was not found")]
    NotFound(String),
    /// Access was denied, or the caller could not authenticate.
    #[error("{0}")]
    Denied(String),
    /// The content changed since the transfer began.
    #[error("{0} changed while it was being read")]
    Changed(String),
    /// A transient error of the network or the server.
    #[error("{why}")]
    Transient {
        /// What happened.
        why: String,
        /// How long the server asks to wait (`Retry-After`).
        after: Option<Duration>,
    },
    /// The host name cannot be resolved. This may be transient, but only for a short time.
    #[error("{0}")]
    NoHost(String),
    /// A network error that persisted.
    #[error("{0}")]
    Unreachable(String),
    /// A permanent error: retrying does not help.
    #[error("{0}")]
    Permanent(String),
    /// The transfer was asked to stop.
    #[error("stopped")]
    Stopped,
}

impl TransferError {
    /// A transient error.
    #[must_use]
    pub fn transient(why: impl Into<String>) -> Self {
        Self::Transient { why: why.into(), after: None }
    }
}

/// Checksums of a whole file, as far as the remote storage knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Its MD5, as stored with blobs.
    pub md5: Option<[u8; 16]>,
    /// Its CRC-64/NVME, as stored by an earlier upload of amlrun.
    pub crc64: Option<u64>,
}

/// A file in remote storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its full name.
    pub name: String,
    /// Its size in bytes, if the remote storage reports it.
    pub size: Option<u64>,
    /// A version that changes whenever the content does: the `ETag`, or the time of the last change; empty if neither
    /// is known.
    pub version: String,
    /// Its checksums.
    pub checksums: Checksums,
    /// Whether parts of it can be read.
    pub ranges: bool,
}

/// Remote storage that contains files.
pub trait Remote: Send + Sync {
    /// The address of a file or folder for messages: without credentials.
    fn address(&self, name: &str) -> String;

    /// Checks whether a file can have that name there.
    ///
    /// # Errors
    /// A message that says why not.
    fn check_name(&self, name: &str) -> Result<(), TransferError> {
        let _ = name;
        Ok(())
    }

    /// Describes one file.
    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, RemoteFile>;

    /// Lists all files whose names begin with `prefix`, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<RemoteFile>>;

    /// Reads a file, or a part of it, provided that it is still that version.
    fn read<'a>(&'a self, file: &'a RemoteFile, part: Option<Range<u64>>) -> Answer<'a, Chunks>;

    /// Writes a small file as a whole, and replaces an existing one. The remote side verifies the checksums.
    fn write<'a>(&'a self, name: &'a str, content: Bytes, checksums: Checksums) -> Answer<'a, ()> {
        let _ = (content, checksums);
        self.read_only(name)
    }

    /// The uploaded blocks of a file that are not committed yet: their ids, with their sizes in bytes.
    fn staged<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move { self.read_only(name).await.map(|()| Vec::new()) })
    }

    /// Uploads a block. All ids of one file have the same length.
    fn stage<'a>(&'a self, name: &'a str, id: &'a str, content: Bytes, crc64: u64) -> Answer<'a, ()> {
        let _ = (id, content, crc64);
        self.read_only(name)
    }

    /// Commits the blocks as a file, and replaces an existing one.
    fn commit<'a>(&'a self, name: &'a str, ids: &'a [String], checksums: Checksums) -> Answer<'a, ()> {
        let _ = (ids, checksums);
        self.read_only(name)
    }

    /// The result for remote storage that cannot be written to.
    fn read_only<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let why = format!("cannot write to {}", self.address(name));
        Box::pin(async move { Err(TransferError::Permanent(why)) })
    }
}
