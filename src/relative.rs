//! Paths in records. A path in a workspace, or beside it in its project, is stored relative to the workspace. A
//! workspace that is moved or copied with its project then finds its own files, and never those of the original.

use std::path::{Path, PathBuf};

/// The form in which a record in the workspace `base` stores a path.
#[must_use]
pub fn to(base: &Path, path: &Path) -> PathBuf {
    if let Ok(inner) = path.strip_prefix(base) {
        return Path::new(".").join(inner);
    }
    match base.parent().filter(|project| project.parent().is_some()) {
        Some(project) => {
            path.strip_prefix(project).map_or_else(|_| path.to_owned(), |inner| Path::new("..").join(inner))
        }
        None => path.to_owned(),
    }
}

/// The path that is stored in a record in the workspace `base`. Older records have absolute paths.
#[must_use]
pub fn from(base: &Path, kept: &Path) -> PathBuf {
    if let Ok(inner) = kept.strip_prefix(".") {
        return join(base, inner);
    }
    match (kept.strip_prefix(".."), base.parent()) {
        (Ok(inner), Some(project)) => join(project, inner),
        _ => kept.to_owned(),
    }
}

/// Joins two paths, without a trailing slash.
fn join(base: &Path, inner: &Path) -> PathBuf {
    if inner.as_os_str().is_empty() { base.to_owned() } else { base.join(inner) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_workspace_or_its_project_moves_with_it() {
        let (old, new) = (Path::new("/home/a/.amlrun"), Path::new("/mnt/b/.amlrun"));
        for (before, after) in [
            ("/home/a/.amlrun/store/v1/r.a.o", "/mnt/b/.amlrun/store/v1/r.a.o"),
            ("/home/a/data/x", "/mnt/b/data/x"),
            ("/home/a", "/mnt/b"),
            ("/home/a/.amlrun", "/mnt/b/.amlrun"),
            ("/home/ab/x", "/home/ab/x"),
            ("/data/x", "/data/x"),
            ("https://host/x", "https://host/x"),
            ("", ""),
        ] {
            assert_eq!(from(new, &to(old, Path::new(before))), Path::new(after), "{before}");
            assert_eq!(from(old, &to(old, Path::new(before))), Path::new(before), "{before}");
        }
        assert_eq!(to(Path::new("/w"), Path::new("/data/x")), Path::new("/data/x"), "the root is no project");
    }
}
