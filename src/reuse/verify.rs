//! Whether what an earlier step made is still there, as it was.

use std::io;

use rayon::prelude::*;

use super::contents::digest_of;
use super::entry::Kept;
use super::listing::{Fingerprint, Listing};

/// As many outputs are looked at by one thread.
const FEW: usize = 32;

/// What became of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputState {
    /// Nobody touched it.
    Same,
    /// It was touched (copied back, say) but its bytes are the same; its fingerprint now, for
    /// [`super::Reuse::refreshed`].
    SameBytes(Fingerprint),
    /// Its content is another, or cannot be read.
    Edited,
    /// It is gone.
    Missing,
}

/// Looks at an output; reads it only when its stat has changed.
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

/// Looks at many outputs, on all cores; the states have their order.
#[must_use]
pub fn verify_many(kept: &[&Kept]) -> Vec<OutputState> {
    if kept.len() <= FEW {
        return kept.iter().map(|kept| verify(kept)).collect();
    }
    kept.par_iter().with_min_len(8).map(|kept| verify(kept)).collect()
}
