//! Environments that amlrun builds from what a file names: a conda file, or a curated environment of Azure ML.

pub mod build;
pub mod conda;
pub mod curated;
pub mod definition;
mod interpreter;
pub mod requirements;
pub mod store;
