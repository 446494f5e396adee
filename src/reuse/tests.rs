//! What the room promises, by what a caller sees of it.

mod entries;
mod keys;
mod trees;

use std::fs;
use std::path::Path;

use super::Listing;

/// A listing as it would be if it was made when every file had rested.
fn rested(root: &Path) -> Listing {
    let mut listing = Listing::of(root).unwrap();
    listing.began += 3_600_000_000_000;
    listing
}

/// Comes back when the clock of the file system has moved on: what changes now gets another time than what was there.
fn tick(beside: &Path) {
    let probe = beside.join("probe");
    let changed = || {
        fs::write(&probe, "x").unwrap();
        Listing::of(&probe).unwrap().files[0].changed
    };
    let before = changed();
    while changed() == before {}
}
