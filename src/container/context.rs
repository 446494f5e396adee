//! The folder from which an image is built: what Azure ML would upload of it, and its digest.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::digest::Digest;
use crate::store::snapshot::Snapshot;

/// The files of a build context.
pub(super) struct Context {
    files: Snapshot,
    /// The digest of its files and of the choice of the Dockerfile.
    pub(super) digest: Digest,
}

impl Context {
    /// Reads a folder. `.amlignore` is respected, as when Azure ML uploads the folder; the engine respects
    /// `.dockerignore`.
    ///
    /// # Errors
    /// A message, if the folder or a file in it cannot be read, or has no such Dockerfile.
    pub(super) fn read(folder: &Path, dockerfile: &str) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err(format!("the folder of its build does not exist: {}", folder.display()));
        }
        let files = Snapshot::of(Some(folder), &[], false, Path::new("")).map_err(|error| error.to_string())?;
        let all = files.files();
        let wanted = dockerfile.trim_start_matches("./");
        if !all.iter().any(|(name, _)| name == wanted) {
            return Err(format!("its build has no '{dockerfile}': {}", folder.join(dockerfile).display()));
        }
        let mut text = format!("{dockerfile}\n");
        for (name, source) in all {
            let broken = |error: std::io::Error| format!("cannot read {}: {error}", source.display());
            let mode = source.metadata().map_err(broken)?.permissions().mode() & 0o111;
            let digest = Digest::of_file(&source).map_err(broken)?;
            text.push_str(&format!("{name}\n{mode:o} {digest}\n"));
        }
        Ok(Self { files, digest: Digest::of(text.as_bytes()) })
    }

    /// Copies the files into a folder, so that the engine sees only these.
    ///
    /// # Errors
    /// A message, if something cannot be read or written.
    pub(super) fn lay(&self, folder: &Path) -> Result<(), String> {
        self.files.lay(folder).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_not_ignored_decides() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        write("Dockerfile", "FROM x");
        write(".amlignore", "*.log");
        write("tool.sh", "one");
        let digest = || Context::read(root.path(), "Dockerfile").unwrap().digest;
        let before = digest();
        write("a.log", "noise");
        assert_eq!(digest(), before);
        write("tool.sh", "two");
        assert_ne!(digest(), before);
        assert!(Context::read(root.path(), "other").err().unwrap().contains("'other'"));
    }
}
