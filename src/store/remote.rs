//! Places that hold files and are reached over a network, as those who move bytes see them.
//!
//! A [`Remote`] is a container of blobs or a web server. It answers one question at a time and tries nothing twice: whether
//! to try again, and for how long, is the business of `transfer`. Whoever implements it sorts what went wrong into
//! [`TransferError`], and never puts a credential into its words.

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

/// An answer that takes a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransferError>> + Send + 'a>>;

/// Content as it comes.
pub type Chunks = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, TransferError>> + Send>>;

/// Why a remote place did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// It is not there.
    #[error("there is nothing at {0}")]
    NotFound(String),
    /// Whoever asks may not, or could not say who they are.
    #[error("{0}")]
    Denied(String),
    /// The content is not what it was when the transfer began.
    #[error("{0} changed while it was being read")]
    Changed(String),
    /// The network or the server is in trouble; it may be over in a moment.
    #[error("{why}")]
    Transient {
        /// What happened.
        why: String,
        /// How long the server asks to be left alone.
        after: Option<Duration>,
    },
    /// No host has that name. A moment later it may be found again, but hardly later than that.
    #[error("{0}")]
    NoHost(String),
    /// TransferError of the network that did not pass.
    #[error("{0}")]
    Unreachable(String),
    /// Asking again would not help.
    #[error("{0}")]
    Permanent(String),
    /// Somebody asked for the end of it.
    #[error("stopped")]
    Stopped,
}

impl TransferError {
    /// TransferError that may pass.
    #[must_use]
    pub fn transient(why: impl Into<String>) -> Self {
        Self::Transient { why: why.into(), after: None }
    }
}

/// Checksums of a whole file, as far as the place knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Its MD5, as blobs keep it.
    pub md5: Option<[u8; 16]>,
    /// Its CRC-64/NVME, as an earlier upload of ours left it.
    pub crc64: Option<u64>,
}

/// A file of a remote place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its whole name in the place.
    pub name: String,
    /// Its size in bytes, when the place tells it.
    pub size: Option<u64>,
    /// What changes whenever its content does: the `ETag`, else the time of the last change; empty when nothing is told.
    pub version: String,
    /// Its checksums.
    pub checksums: Checksums,
    /// Whether parts of it can be read.
    pub ranges: bool,
}

/// A place that holds files.
pub trait Remote: Send + Sync {
    /// The address of a file or folder in it, for people: without credentials.
    fn address(&self, name: &str) -> String;

    /// Whether a file can have that name there.
    ///
    /// # Errors
    /// A sentence that says why not.
    fn check_name(&self, name: &str) -> Result<(), TransferError> {
        let _ = name;
        Ok(())
    }

    /// One file.
    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, RemoteFile>;

    /// All files whose names begin so, in order.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<RemoteFile>>;

    /// The content of a file, or part of it, provided that it is still that version.
    fn read<'a>(&'a self, file: &'a RemoteFile, part: Option<Range<u64>>) -> Answer<'a, Chunks>;

    /// Writes a small file as a whole, in place of what was there. The other side checks what `proof` says.
    fn write<'a>(&'a self, name: &'a str, content: Bytes, checksums: Checksums) -> Answer<'a, ()> {
        let _ = (content, checksums);
        self.read_only(name)
    }

    /// The blocks of a file that are there and belong to no file yet: their ids, with their sizes in bytes.
    fn staged<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move { self.read_only(name).await.map(|()| Vec::new()) })
    }

    /// Hands over a block. Ids of one file have one length.
    fn stage<'a>(&'a self, name: &'a str, id: &'a str, content: Bytes, crc64: u64) -> Answer<'a, ()> {
        let _ = (id, content, crc64);
        self.read_only(name)
    }

    /// Makes a file of its blocks, in place of what was there.
    fn commit<'a>(&'a self, name: &'a str, ids: &'a [String], checksums: Checksums) -> Answer<'a, ()> {
        let _ = (ids, checksums);
        self.read_only(name)
    }

    /// The answer of a place that cannot be written to.
    fn read_only<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let why = format!("nothing can be written to {}", self.address(name));
        Box::pin(async move { Err(TransferError::Permanent(why)) })
    }
}
