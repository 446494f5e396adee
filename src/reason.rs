//! Why a step is run again, or why an earlier result is reused: one difference for each reason.
//!
//! `reuse` finds reasons, the journal records them, `plan` and `why` show them. They never contain secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many characters of a value are shown.
const SHOWN: usize = 80;

/// One difference, or a free sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind: `command`, `code`, `input`, `parameter`, `variable`, `environment`, `output`, `distribution`,
    /// `setting`, `package`, `program`, `shell variable`, `file` (its content), `mode` (who may execute it), `link`,
    /// `folder`, or `reason` for a free sentence in `name`.
    pub what: String,
    /// Its name. For an entry of a tree, its path in the tree after `code/`, the input's name, or `$` and the
    /// variable's name.
    pub name: String,
    /// The value before. `None` if it did not exist.
    pub before: Option<String>,
    /// The value now. `None` if it does not exist.
    pub after: Option<String>,
}

impl Reason {
    /// A free sentence, without a full stop.
    #[must_use]
    pub fn sentence(sentence: impl Into<String>) -> Self {
        Self { what: "reason".to_owned(), name: sentence.into(), before: None, after: None }
    }

    /// A difference.
    pub(crate) fn new(what: &str, name: &str, before: Option<String>, after: Option<String>) -> Self {
        Self { what: what.to_owned(), name: name.to_owned(), before, after }
    }
}

/// The words for a tree whose entries have this prefix in their names.
pub(crate) fn tree_in_words(folder: &str) -> String {
    match folder.strip_prefix('$') {
        Some(variable) => format!("the variable {variable}"),
        None if folder == "code" => "its code".to_owned(),
        None => format!("the input {folder}"),
    }
}

/// A value in a sentence: its first line that is not empty, cut if it is long.
fn shown(value: &str) -> String {
    let line = value.trim().lines().next().unwrap_or_default();
    if line.is_empty() {
        return "nothing".to_owned();
    }
    let mut text: String = line.chars().take(SHOWN).collect();
    if text.len() < value.trim().len() {
        text.push('…');
    }
    text
}

impl fmt::Display for Reason {
    /// One sentence, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        let thing = match self.what.as_str() {
            "reason" => return f.write_str(&self.name),
            "command" => {
                return match (before, after) {
                    (Some(old), Some(new)) => write!(f, "the command changed: {} → {}", shown(old), shown(new)),
                    (Some(old), None) => write!(f, "the command changed: {} was removed", shown(old)),
                    (None, Some(new)) => write!(f, "the command changed: {} was added", shown(new)),
                    (None, None) => f.write_str("the command changed"),
                };
            }
            "file" | "mode" | "link" | "folder" => {
                let (folder, path) = self.name.split_once('/').unwrap_or(("code", &self.name));
                let kind = match self.what.as_str() {
                    "link" => "link",
                    "folder" => "empty folder",
                    _ => "file",
                };
                format!("the {kind} {path} of {}", tree_in_words(folder))
            }
            "code" => "its code".to_owned(),
            "environment" | "distribution" => format!("the {}", self.what),
            "output" => format!("the type of the output {}", self.name),
            what => format!("the {what} {}", self.name),
        };
        // Digests mean nothing to people, and secrets are not shown.
        let is_digest = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digests = self.what == "program" && [before, after].into_iter().flatten().all(is_digest);
        let silent = digests || matches!(self.what.as_str(), "file" | "folder" | "link" | "code" | "input");
        let is_secret = |value: &str| value.contains("(not shown)");
        let silent = silent || before.is_some_and(is_secret) || after.is_some_and(is_secret);
        match (before, after) {
            (Some(_), Some(_)) if silent => write!(f, "{thing} changed"),
            (Some(old), Some(new)) => write!(f, "{thing} changed from {} to {}", shown(old), shown(new)),
            (None, Some(_)) if silent => write!(f, "{thing} was added"),
            (None, Some(new)) => write!(f, "{thing} was added ({})", shown(new)),
            (Some(_), None) if silent => write!(f, "{thing} was removed"),
            (Some(old), None) => write!(f, "{thing} was removed ({})", shown(old)),
            (None, None) => write!(f, "{thing} is declared differently"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_read_as_sentences() {
        let it = |what: &str, name: &str, before: Option<&str>, after: Option<&str>| {
            Reason::new(what, name, before.map(str::to_owned), after.map(str::to_owned)).to_string()
        };
        assert_eq!(it("parameter", "epochs", Some("5"), Some("6")), "the parameter epochs changed from 5 to 6");
        assert_eq!(it("file", "code/prep.py", Some("a1"), Some("b2")), "the file prep.py of its code changed");
        assert_eq!(it("file", "data/x/y.csv", Some("a1"), None), "the file x/y.csv of the input data was removed");
        assert_eq!(it("variable", "MODE", None, Some("fast")), "the variable MODE was added (fast)");
    }
}
