//! Environments that amlrun builds from what a file names: a conda file, or a curated environment of Azure ML.

pub mod conda;
pub mod curated;
pub mod definition;
pub mod requirements;
