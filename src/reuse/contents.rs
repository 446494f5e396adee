//! The content of a tree, with a stat cache: unchanged files are not read again.
//!
//! As in git's index, a file is identified by size, times and inode. The time of the last change of anything (ctime)
//! cannot be set back, so an edit that restores size and time is detected. A stat that was taken too soon after the
//! file's last change proves nothing, like git's "racily clean" entries: it is stored as not trusted, and the file is
//! read again next time. If a file differs from the listing after it was read, there is no digest, because its bytes
//! are not those of the listing.

use std::io;

use super::listing::{Fingerprint, Listing};
use super::machine::{Machine, Python};
use super::manifest::{Earlier, Manifest, Stat};
use super::stat::FileStat;
use super::{Reuse, ReuseError};
use crate::digest::{Digest, HashedFile};

/// The content of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The digest of the tree, as computed by [`Manifest::digest`].
    pub digest: Digest,
    /// The fingerprint of the listing.
    pub fingerprint: Fingerprint,
    /// The number of files.
    pub files: u64,
    /// Their total size.
    pub bytes: u64,
    /// How many files had to be read.
    pub read: u64,
}

impl Reuse {
    /// The content of the tree in `listing`. `place` is the name of the tree in the cache: the same tree, changed or
    /// not, must always have the same name.
    ///
    /// # Errors
    /// [`ReuseError::Read`] when a file cannot be read or differs from the listing; [`ReuseError::Database`].
    pub fn contents(&self, place: &str, listing: &Listing) -> Result<Contents, ReuseError> {
        let fingerprint = listing.fingerprint();
        let (files, bytes) = (listing.files.len() as u64, listing.bytes);
        let known = self.db.tree(place)?;
        let is_known = known.is_some();
        if let Some((digest, Some(trusted))) = known
            && trusted == fingerprint
        {
            return Ok(Contents { digest, fingerprint, files, bytes, read: 0 });
        }
        let earlier = if is_known { self.db.earlier(place)? } else { None };
        let (manifest, read) = bring_up_to_date(earlier.as_ref(), listing)?;
        let stats: Vec<Stat> = listing.files.iter().map(|file| Stat::of(file, file.rested(listing.began))).collect();
        let trusted = listing.files.iter().zip(&stats).all(|(file, stat)| stat.vouches_for(file));
        let digest = manifest.digest();
        self.db.put_tree(place, &digest, trusted.then_some(&fingerprint), &manifest, &stats)?;
        Ok(Contents { digest, fingerprint, files, bytes, read })
    }

    /// The content of the tree in `listing`, if it is known without reading files.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn known(&self, place: &str, listing: &Listing) -> Result<Option<Contents>, ReuseError> {
        let fingerprint = listing.fingerprint();
        let known = self.db.tree(place)?.filter(|(_, trusted)| trusted.as_ref() == Some(&fingerprint));
        let (files, bytes) = (listing.files.len() as u64, listing.bytes);
        Ok(known.map(|(digest, _)| Contents { digest, fingerprint, files, bytes, read: 0 }))
    }

    /// The files of a tree that [`Reuse::contents`] or [`Reuse::remember_many`] has stored, by the tree's digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, ReuseError> {
        self.db.manifest(digest)
    }

    /// The description of a machine, by its digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn machine(&self, digest: &Digest) -> Result<Option<Machine>, ReuseError> {
        self.db.described(digest)
    }

    /// The description of a Python, by its digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn python(&self, digest: &Digest) -> Result<Option<Python>, ReuseError> {
        self.db.described(digest)
    }

    /// Stores the descriptions of machines and Pythons, so that differences can be explained.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn remember_machines(&self, machines: &[Machine], pythons: &[Python]) -> Result<(), ReuseError> {
        self.db.put_machines(machines, pythons)
    }

    /// Stores the files of many trees.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn remember_many(&self, trees: &[(Digest, Manifest)]) -> Result<(), ReuseError> {
        self.db.put_manifests(&trees.iter().map(|(digest, manifest)| (digest, manifest)).collect::<Vec<_>>())
    }
}

/// Reads every file of a tree and returns its digest, without any cache.
///
/// # Errors
/// The first I/O error, with the path in its text; also for a file that differs from the listing.
pub fn digest_of(listing: &Listing) -> io::Result<Digest> {
    Ok(read_tree(listing)?.0)
}

/// Reads every file of a tree, without any cache. Returns its digest, and the digest of each file for
/// [`Reuse::remember_many`].
///
/// # Errors
/// As [`digest_of`].
pub fn read_tree(listing: &Listing) -> io::Result<(Digest, Manifest)> {
    let (manifest, _) = bring_up_to_date(None, listing)?;
    Ok((manifest.digest(), manifest))
}

/// The files of a listing, read unless the cache is still valid for them; and how many were read.
fn bring_up_to_date(earlier: Option<&Earlier>, listing: &Listing) -> io::Result<(Manifest, u64)> {
    let known = match earlier {
        Some(earlier) => earlier.known(listing),
        None => vec![None; listing.files.len()],
    };
    let unknown = listing.files.iter().zip(&known).filter(|(_, known)| known.is_none());
    let unknown: Vec<&FileStat> = unknown.map(|(file, _)| file).collect();
    let places: Vec<_> = unknown.iter().map(|file| listing.place(file)).collect();
    let wanted: Vec<_> =
        unknown.iter().zip(&places).map(|(file, place)| (file.path.as_str(), place.as_ref(), file.size)).collect();
    let is_still = |number: usize, now: &std::fs::Metadata| unknown[number].is_still(now);
    let mut fresh = HashedFile::read_all(&wanted, &is_still)?.into_iter();
    let as_listed = |(file, known): (&FileStat, Option<&HashedFile>)| {
        let hashed = known.cloned().or_else(|| fresh.next())?;
        Some(HashedFile { path: file.path.clone(), execute: file.execute, ..hashed })
    };
    let files = listing.files.iter().zip(known).filter_map(as_listed).collect();
    Ok((Manifest { is_file: listing.is_file, files, specials: listing.specials.clone() }, unknown.len() as u64))
}
