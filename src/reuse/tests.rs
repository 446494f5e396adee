//! Tests of the module through its public functions.

mod entries;
mod keys;
mod trees;

use std::fs;
use std::path::Path;

use super::Listing;

/// A listing as if it was made after every file had been unchanged long enough.
fn rested(root: &Path) -> Listing {
    let mut listing = Listing::of(root).unwrap();
    listing.began += 3_600_000_000_000;
    listing
}

/// Returns when the clock of the file system has advanced, so that a change gets another time than before.
fn tick(beside: &Path) {
    let probe = beside.join("probe");
    let changed = || {
        fs::write(&probe, "x").unwrap();
        Listing::of(&probe).unwrap().files[0].changed
    };
    let before = changed();
    while changed() == before {}
}
