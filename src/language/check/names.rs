//! Names that this machine cannot use as they are: a step's name is a folder, an output's name is part of a path that the
//! command gets as bare text, an input's name is a folder and a variable. Azure ML takes many more.

use super::super::value::{Entry, Object, Value};
use super::nodes::{named, nodes, under};
use crate::diagnostic::Diagnostic;

/// The limit leaves room for the names of the run and of the pipelines around a step, which are part of the same path.
const LONGEST: usize = 128;

/// An error for each name that would lead out of its folder, or that a shell would not take as one plain word.
pub(super) fn check(object: &Object) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    level(object, "", &mut found);
    found
}

fn level(object: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    for (side, what) in [("inputs", "an input"), ("outputs", "an output"), ("jobs", "a node")] {
        each(object.map(side), what, &under(path, side), found);
    }
    if let Some(component) = object.get("component").and_then(Value::object) {
        level(component, path, found);
    }
    for (entry, node) in nodes(object) {
        let at = under(path, &format!("jobs.{}", entry.key));
        for (side, what) in [("inputs", "an input"), ("outputs", "an output")] {
            each(node.map(side), what, &under(&at, side), found);
        }
        if let Some(component) = named(node) {
            level(component, &at, found);
        }
    }
}

fn each(entries: &[Entry], what: &str, path: &str, found: &mut Vec<Diagnostic>) {
    for entry in entries {
        let name = &entry.key;
        let (message, help) = if name.len() > LONGEST {
            let start: String = name.chars().take(32).collect();
            (format!("'{start}…' is too long for the name of {what}"), format!("use at most {LONGEST} characters"))
        } else if !is_plain(name) {
            let help = "use letters, digits, '_', '-' and '.', and begin with a letter, a digit or '_'";
            (format!("'{name}' is not a valid name for {what}: names are used in paths and commands"), help.to_owned())
        } else {
            continue;
        };
        found.push(Diagnostic::error("bad-name", entry.key_span, message).at(under(path, name)).help(help));
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn plain_names_lead_nowhere_and_are_one_word() {
        for good in ["x", "_x", "group.member", "my-data", "2nd", "größe"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", ".", "..", "../x", "/x", "x/y", ".x", "-x", "a b", "a;b", "$(x)", "a\0b", "a\nb", "\u{202e}x"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
