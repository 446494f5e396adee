//! Environments that amlrun builds from what a file names: a conda file, or a curated environment of Azure ML.

pub mod build;
pub mod conda;
mod content;
pub mod curated;
pub mod definition;
mod error;
pub mod gpu;
pub(super) mod identity;
pub(super) mod image;
pub(super) mod interpreter;
pub mod locked;
pub mod requirements;
pub mod store;
pub(crate) mod tool;

pub use error::BuildError;
