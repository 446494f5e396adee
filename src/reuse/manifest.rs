//! The files of a tree whose digest is known, and what the stat cache stores with them; both in a compact binary
//! form.
//!
//! Paths are sorted, so each is written as the length of the prefix that it shares with the one before, and the rest.
//! Invalid bytes give `None`: an entry that cannot be read counts as missing.

use super::listing::Listing;
use super::stat::{FileStat, Special};
use crate::digest::{Digest, HashedFile};

/// The files of a tree, each with its digest, and its empty folders and links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whether the tree is a single file.
    pub is_file: bool,
    /// The files, in the order of [`crate::digest::tree_order`].
    pub files: Vec<HashedFile>,
    /// Empty folders and the targets of links, sorted by path.
    pub specials: Vec<Special>,
}

/// The format number in the first byte of a manifest, beside the bit for a single file.
const FORMAT: u8 = 2;

impl Manifest {
    /// The digest of the tree: [`Digest::of_tree`] if it has only files that are not executable. It includes
    /// everything by which a step could distinguish two trees.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let files = match self.files.as_slice() {
            [file] if self.is_file && file.execute == 0 => file.digest(),
            [file] if self.is_file => Digest::of(format!("executable {} {}", file.execute, file.digest()).as_bytes()),
            files => Digest::of_hashed(files),
        };
        if self.specials.is_empty() {
            return files;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(files.as_str().as_bytes());
        Special::add_all(&self.specials, &mut hasher);
        Digest::from(hasher.finalize())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.files.len() * 64);
        bytes.push(FORMAT | u8::from(self.is_file));
        put(&mut bytes, self.specials.len() as u64);
        for special in &self.specials {
            put_text(&mut bytes, &special.path);
            bytes.push(u8::from(special.target.is_some()));
            special.target.iter().for_each(|target| put_text(&mut bytes, target));
        }
        let mut before: &[u8] = &[];
        for file in &self.files {
            let path = file.path.as_bytes();
            let shared = path.iter().zip(before).take_while(|(a, b)| a == b).count();
            put(&mut bytes, shared as u64);
            put(&mut bytes, (path.len() - shared) as u64);
            bytes.extend_from_slice(&path[shared..]);
            put(&mut bytes, file.size);
            bytes.push(file.execute);
            bytes.extend_from_slice(&file.hash);
            before = path;
        }
        bytes
    }

    pub(super) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let first = *bytes.split_off_first()?;
        let is_file = first & 1 == 1;
        if first & !1 != FORMAT {
            return None;
        }
        let mut specials = Vec::new();
        for _ in 0..take(&mut bytes)? {
            let path = take_text(&mut bytes)?;
            let target = if *bytes.split_off_first()? == 1 { Some(take_text(&mut bytes)?) } else { None };
            specials.push(Special { path, target });
        }
        let mut files = Vec::new();
        let mut path = Vec::new();
        while !bytes.is_empty() {
            let shared = usize::try_from(take(&mut bytes)?).ok()?;
            let rest = usize::try_from(take(&mut bytes)?).ok()?;
            path.truncate(shared);
            path.extend_from_slice(bytes.split_off(..rest)?);
            let size = take(&mut bytes)?;
            let execute = *bytes.split_off_first()?;
            let hash = bytes.split_off(..32)?.try_into().ok()?;
            files.push(HashedFile { path: String::from_utf8(path.clone()).ok()?, size, hash, execute });
        }
        Some(Self { is_file, files, specials })
    }
}

/// The stat of one file when it was read, if it can prove that the file is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    trusted: bool,
    numbers: [u64; 4],
}

impl Stat {
    /// The stat of `file` when the listing was made, and whether to trust it.
    pub(super) fn of(file: &FileStat, trusted: bool) -> Self {
        Self { trusted, numbers: [file.size, file.modified, file.changed, file.inode] }
    }

    /// Whether the file is unchanged.
    pub(super) fn vouches_for(&self, file: &FileStat) -> bool {
        self.trusted && *self == Self::of(file, true)
    }

    pub(super) fn all_to_bytes(stats: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(stats.len() * 33);
        for stat in stats {
            bytes.push(u8::from(stat.trusted));
            for number in stat.numbers {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    pub(super) fn all_from_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
        let one = |bytes: &[u8]| {
            let (trusted, numbers) = bytes.split_first()?;
            let mut all = [0; 4];
            for (number, bytes) in all.iter_mut().zip(numbers.chunks_exact(8)) {
                *number = u64::from_le_bytes(bytes.try_into().ok()?);
            }
            Some(Self { trusted: *trusted == 1, numbers: all })
        };
        if bytes.len().is_multiple_of(33) { bytes.chunks_exact(33).map(one).collect() } else { None }
    }
}

/// A tree as it was last read: its files, and the stat of each.
pub(super) struct Earlier {
    pub(super) manifest: Manifest,
    pub(super) stats: Vec<Stat>,
}

impl Earlier {
    /// For each file of a listing, what was read of it, if it is unchanged.
    pub(super) fn known<'a>(&'a self, listing: &Listing) -> Vec<Option<&'a HashedFile>> {
        if self.stats.len() != self.manifest.files.len() {
            return vec![None; listing.files.len()];
        }
        let mut earlier = self.manifest.files.iter().zip(&self.stats).peekable();
        let one = |file: &FileStat| {
            // A single file has the same digest under any name, so it may have the manifest of another.
            let alone = listing.is_file && self.manifest.is_file;
            while let Some((hashed, stat)) = earlier.peek() {
                match crate::digest::tree_order(&hashed.path, &file.path) {
                    std::cmp::Ordering::Greater if !alone => return None,
                    std::cmp::Ordering::Less if !alone => drop(earlier.next()),
                    _ => return stat.vouches_for(file).then_some(*hashed),
                }
            }
            None
        };
        listing.files.iter().map(one).collect()
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take(bytes)?).ok()?;
    String::from_utf8(bytes.split_off(..length)?.to_vec()).ok()
}

/// Writes seven bits per byte, the low ones first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_manifest_comes_back_as_it_went(
            files in prop::collection::vec(("[a-c/é]{0,6}", any::<u64>(), any::<[u8; 32]>(), any::<u8>()), 0..12),
            specials in prop::collection::vec(("[a-c/é]{0,6}", prop::option::of("[a-z/]{0,4}")), 0..3), is_file: bool,
        ) {
            let file = |(path, size, hash, execute)| HashedFile { path, size, hash, execute };
            let files = files.into_iter().map(file).collect();
            let specials = specials.into_iter().map(|(path, target)| Special { path, target }).collect();
            let manifest = Manifest { is_file, files, specials };
            prop_assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Some(manifest));
        }

        #[test]
        fn bytes_of_somebody_else_do_no_harm(bytes: Vec<u8>) {
            let _ = (Manifest::from_bytes(&bytes), Stat::all_from_bytes(&bytes));
        }
    }
}
