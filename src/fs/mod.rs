//! Helpers for files and folders that every module may use.

pub mod atomic;
pub mod program;
pub mod user;
pub mod walk;

use std::io;
use std::path::Path;

/// The same error with the path in its text.
pub fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
