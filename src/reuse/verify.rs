//! Verifies that the outputs of an earlier step are still there and unchanged.

use std::io;

use rayon::prelude::*;

use super::contents::digest_of;
use super::entry::Kept;
use super::listing::{Fingerprint, Listing};

/// How many outputs one thread checks.
const FEW: usize = 32;

/// The state of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputState {
    /// Nobody touched it.
    Same,
    /// It was touched (copied back, for example), but its bytes are the same. This is its new fingerprint, for
    /// [`super::Reuse::refreshed`].
    SameBytes(Fingerprint),
    /// Its content is different, or cannot be read.
    Edited,
    /// It does not exist any more.
    Missing,
}

/// Checks an output, and reads it only if its stat has changed.
#[must_use]
pub fn verify(kept: &Kept) -> OutputState {
    let listing = match Listing::of(&kept.path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound && kept.path.symlink_metadata().is_err() => {
            return OutputState::Missing;
        }
        Err(_) => return OutputState::Edited,
    };
    let fingerprint = listing.fingerprint();
    if fingerprint == kept.fingerprint {
        return OutputState::Same;
    }
    let as_large = listing.bytes == kept.bytes && listing.files.len() as u64 == kept.files;
    if as_large && digest_of(&listing).is_ok_and(|digest| digest == kept.digest) {
        OutputState::SameBytes(fingerprint)
    } else {
        OutputState::Edited
    }
}

/// Checks many outputs, on all cores; returns the states in the same order.
#[must_use]
pub fn verify_many(kept: &[&Kept]) -> Vec<OutputState> {
    if kept.len() <= FEW {
        return kept.iter().map(|kept| verify(kept)).collect();
    }
    kept.par_iter().with_min_len(8).map(|kept| verify(kept)).collect()
}
