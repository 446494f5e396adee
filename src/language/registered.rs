//! Components that a workspace has registered, as the reader looks them up.

use std::path::{Path, PathBuf};

/// The components that a workspace has registered.
pub trait RegisteredComponents: std::fmt::Debug + Send + Sync {
    /// The component file behind `name:version`, `name@label` or `name`, when there is one. `from` is the folder of the
    /// file that names it: files that a registered component names keep the content that they had when it was
    /// registered.
    fn file(&self, reference: &str, from: &Path) -> Option<PathBuf>;
}
