//! What makes two definitions the same environment: their content, and that of the user's files that they install.

use std::path::Path;

use super::definition::Definition;
use crate::digest::Digest;
use crate::fs;

/// The digest of a definition and of the user's files that it installs.
pub(in crate::environment) fn digest(definition: &Definition) -> std::io::Result<Digest> {
    let mut text = definition.digest().to_string();
    for path in &definition.local {
        let content = content(path).map_err(|error| fs::at(path, &error))?;
        text.push_str(&format!("\n{content}"));
    }
    Ok(Digest::of(text.as_bytes()))
}

/// The digest of a file or folder of the user that is installed. What tools leave in a project does not count: hidden
/// folders, such as a workspace or a repository, byte code, and earlier builds.
fn content(path: &Path) -> std::io::Result<Digest> {
    let mut room = Room::default();
    if path.is_file() {
        room.take(&path.metadata()?)?;
        return Digest::of_file(path);
    }
    if path.parent().is_none() {
        return Err(std::io::Error::other("this is the root of the file system, and no project"));
    }
    let is_left = |name: &str, depth: usize| {
        name.starts_with('.')
            || name.ends_with(".egg-info")
            || ["__pycache__", "node_modules"].contains(&name)
            || (depth == 1 && ["build", "dist"].contains(&name))
    };
    let walk = walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
    let walk =
        walk.filter_entry(|entry| entry.depth() == 0 || !is_left(&entry.file_name().to_string_lossy(), entry.depth()));
    let mut text = String::new();
    for entry in walk {
        let entry = match entry {
            Err(error) if error.loop_ancestor().is_some() => continue,
            entry => entry?,
        };
        if entry.file_type().is_file() {
            room.take(&entry.metadata()?)?;
            let inner = entry.path().strip_prefix(path).unwrap_or(entry.path()).display();
            text.push_str(&format!("{inner}\n{}\n", Digest::of_file(entry.path())?));
        }
    }
    Ok(Digest::of(text.as_bytes()))
}

/// How much of a user's files is read: a project of a stranger may name any folder, such as the whole disk.
struct Room {
    files: u64,
    bytes: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { files: 100_000, bytes: 16 << 30 }
    }
}

impl Room {
    fn take(&mut self, file: &std::fs::Metadata) -> std::io::Result<()> {
        match (self.files.checked_sub(1), self.bytes.checked_sub(file.len())) {
            (Some(files), Some(bytes)) => {
                *self = Self { files, bytes };
                Ok(())
            }
            _ => Err(std::io::Error::other("it has more than 100,000 files or 16 GiB, too much for an environment")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let root = tempfile::tempdir().unwrap();
        let huge = std::fs::File::create(root.path().join("huge")).unwrap();
        huge.set_len(17 << 30).unwrap();
        assert!(content(root.path()).unwrap_err().to_string().contains("16 GiB"));
        assert!(content(Path::new("/")).is_err());
    }

    #[test]
    fn of_a_project_that_is_installed_only_its_files_count() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("pyproject.toml"), "[project]").unwrap();
        let before = content(root.path()).unwrap();
        for left in [".amlrun/runs/r", ".git", "src/__pycache__", "a.egg-info", "build/lib"] {
            std::fs::create_dir_all(root.path().join(left)).unwrap();
            std::fs::write(root.path().join(left).join("file"), "x").unwrap();
        }
        assert_eq!(content(root.path()).unwrap(), before);
        std::fs::write(root.path().join("src/code.py"), "x = 1").unwrap();
        assert_ne!(content(root.path()).unwrap(), before);
    }
}
