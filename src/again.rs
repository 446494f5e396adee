//! The commands in messages for the user to type. If this command was given `--home`, they have it too.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static HOME: OnceLock<PathBuf> = OnceLock::new();

/// Adds `--home` to every command in a message: it was given on the command line, so the next command needs it too.
pub fn with_home(home: &Path) {
    // Only the first call counts: a process has one command line.
    let _ = HOME.set(home.to_owned());
}

/// `amlrun …`, ready to be typed. In a message it comes last, after a colon, so that it is easy to copy.
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
