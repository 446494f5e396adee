//! What is in a tree, by a stat cache: what has not been touched is not read again.
//!
//! As in git's index, a file is known by size, times and inode; the time of the last change of anything (ctime) cannot
//! be set back, so an edit that restores size and time is noticed. And as git says of "racily clean" entries, a stat
//! that was taken too soon after the file's last change proves nothing: it is kept as not to be trusted, and the file
//! is read again next time. A file that is not what was listed any more when it has been read gives no digest: its bytes
//! are not those that whoever made the listing meant.

use std::io;

use super::listing::{Fingerprint, Listing};
use super::machine::{Machine, Python};
use super::manifest::{Earlier, Manifest, Stat};
use super::stat::FileStat;
use super::{Reuse, ReuseError};
use crate::digest::{Digest, HashedFile};

/// What is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The digest of the tree, as [`Manifest::digest`] gives it.
    pub digest: Digest,
    /// The fingerprint of the listing that it belongs to.
    pub fingerprint: Fingerprint,
    /// How many files there are.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many files had to be read to know.
    pub read: u64,
}

impl Reuse {
    /// What is in the tree that `listing` lists. `place` names the tree in the cache: the same tree, changed or not,
    /// must come with the same name.
    ///
    /// # Errors
    /// [`ReuseError::Read`] when a file cannot be read, or is not what was listed any more; [`ReuseError::Database`].
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

    /// What is in the tree that `listing` lists, when that is known without reading anything.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn known(&self, place: &str, listing: &Listing) -> Result<Option<Contents>, ReuseError> {
        let fingerprint = listing.fingerprint();
        let known = self.db.tree(place)?.filter(|(_, trusted)| trusted.as_ref() == Some(&fingerprint));
        let (files, bytes) = (listing.files.len() as u64, listing.bytes);
        Ok(known.map(|(digest, _)| Contents { digest, fingerprint, files, bytes, read: 0 }))
    }

    /// The files of a tree that [`Reuse::contents`] or [`Reuse::remember`] has met, by the tree's digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, ReuseError> {
        self.db.manifest(digest)
    }

    /// What a machine had, by its digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn machine(&self, digest: &Digest) -> Result<Option<Machine>, ReuseError> {
        self.db.described(digest)
    }

    /// What a Python was, by its digest.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn python(&self, digest: &Digest) -> Result<Option<Python>, ReuseError> {
        self.db.described(digest)
    }

    /// Keeps what machines and Pythons are, so that the difference to others can be told.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn remember_machines(&self, machines: &[Machine], pythons: &[Python]) -> Result<(), ReuseError> {
        self.db.put_machines(machines, pythons)
    }

    /// Keeps the files of a tree, so that the difference to another can be told file by file.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn remember(&self, digest: &Digest, manifest: &Manifest) -> Result<(), ReuseError> {
        self.db.put_manifests(&[(digest, manifest)])
    }

    /// Keeps the files of many trees at once.
    ///
    /// # Errors
    /// [`ReuseError::Database`].
    pub fn remember_many(&self, trees: &[(Digest, Manifest)]) -> Result<(), ReuseError> {
        self.db.put_manifests(&trees.iter().map(|(digest, manifest)| (digest, manifest)).collect::<Vec<_>>())
    }
}

/// Reads every file of a tree and gives its digest, without any cache.
///
/// # Errors
/// The first I/O error, with the path in its text; also for a file that is not what was listed any more.
pub fn digest_of(listing: &Listing) -> io::Result<Digest> {
    Ok(read_tree(listing)?.0)
}

/// Reads every file of a tree, without any cache: its digest, and that of each file for [`Reuse::remember`].
///
/// # Errors
/// As [`digest_of`].
pub fn read_tree(listing: &Listing) -> io::Result<(Digest, Manifest)> {
    let (manifest, _) = bring_up_to_date(None, listing)?;
    Ok((manifest.digest(), manifest))
}

/// The files of a listing, read where nothing vouches for them; and how many were.
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
