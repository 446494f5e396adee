//! The commands that people are told to type: they begin as this one did, with `--home` where it was given.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static HOME: OnceLock<PathBuf> = OnceLock::new();

/// Has every command that is told name that workspace: it was given on the command line, and whoever types the next one
/// has to give it again.
pub fn with_home(home: &Path) {
    // The first one counts: a process has one command line.
    let _ = HOME.set(home.to_owned());
}

/// `amlrun …`, to be typed as it stands. In a message it comes last, after a colon: then it is easy to copy.
#[must_use]
pub fn amlrun(rest: &str) -> String {
    match HOME.get() {
        Some(home) => format!("amlrun --home {} {rest}", word(home)),
        None => format!("amlrun {rest}"),
    }
}

/// A path as one word for a shell.
#[must_use]
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(word(Path::new("/a/b-1")), "/a/b-1");
        assert_eq!(word(Path::new("it's here")), r"'it'\''s here'");
    }
}
