//! Reading a mapping field by field, noticing what was not asked for.
//!
//! `spec` takes each field it knows; [`Fields::finish`] then reports every key that nobody took, with "did you mean".
//! All findings go into one list, so that a person sees every mistake of a file at once.

use super::{Entry, Literal, Node};
use crate::diagnostic::{Diagnostic, Span, suggest};

/// A mapping on its way into a typed document.
pub struct Fields<'a> {
    entries: Vec<(&'a Entry, bool)>,
    known: Vec<&'static str>,
    /// Where the mapping stands.
    pub span: Span,
    /// Where the mapping stands in the document, as in `jobs.train`.
    pub path: String,
}

impl<'a> Fields<'a> {
    /// Opens a mapping. When the node is something else, says so and gives `None`.
    pub fn open(node: &'a Node, path: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Some(entries) = node.as_mapping() else {
            let what = if path.is_empty() { "the document".to_owned() } else { format!("'{path}'") };
            found.push(
                Diagnostic::error(
                    "wrong-type",
                    node.span,
                    format!("{what} must be a mapping, but is {}", node.describe()),
                )
                .at(path),
            );
            return None;
        };
        let entries = entries.iter().map(|e| (e, false)).collect();
        Some(Self { entries, known: Vec::new(), span: node.span, path: path.to_owned() })
    }

    /// The path of a key of this mapping.
    #[must_use]
    pub fn child(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes a field, if it is there, with the place of its key.
    pub fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        let (entry, taken) = self.entries.iter_mut().find(|(e, _)| e.key == key)?;
        *taken = true;
        Some(entry)
    }

    /// Takes a field's value, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// Takes a field's value unless it is absent or null.
    pub fn take_set(&mut self, key: &'static str) -> Option<&'a Node> {
        self.take(key).filter(|n| !n.is_null())
    }

    /// Takes fields that may be there and mean nothing here.
    pub fn pass_over(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Takes a string; anything else is a mistake (Azure ML: `Not a valid string.`).
    pub fn string(&mut self, key: &'static str, found: &mut Vec<Diagnostic>) -> Option<(String, Span)> {
        let node = self.take_set(key)?;
        if let Some(text) = node.as_str() {
            return Some((text.to_owned(), node.span));
        }
        let mut diagnostic =
            Diagnostic::error("wrong-type", node.span, format!("'{key}' must be a string, but is {}", node.describe()))
                .at(self.child(key));
        if let Some(literal) = node.literal() {
            diagnostic = diagnostic.help(format!("put it in quotes: {key}: \"{}\"", literal.python_str()));
        }
        found.push(diagnostic);
        None
    }

    /// Takes a version: a string or a number, as text (`1.10` is `1.1`, as PyYAML reads it).
    pub fn version(&mut self, key: &'static str, found: &mut Vec<Diagnostic>) -> Option<String> {
        let node = self.take_set(key)?;
        match node.literal() {
            Some(Literal::Str(text)) => Some(text),
            Some(literal @ (Literal::Int(_) | Literal::Float(_))) => Some(literal.python_str()),
            _ => {
                let message = format!("'{key}' must be a string or a number, but is {}", node.describe());
                found.push(Diagnostic::error("wrong-type", node.span, message).at(self.child(key)));
                None
            }
        }
    }

    /// Takes an integer. `1.5` is read as 1 and `"2"` as 2, as the SDK's field does; booleans are refused.
    pub fn integer(&mut self, key: &'static str, found: &mut Vec<Diagnostic>) -> Option<(i64, Span)> {
        let node = self.take_set(key)?;
        let number = match node.literal() {
            Some(Literal::Int(digits)) => digits.parse().ok(),
            #[allow(clippy::cast_possible_truncation)]
            Some(Literal::Float(x)) if x.is_finite() => Some(x.trunc() as i64),
            Some(Literal::Str(text)) => text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            let message = format!("'{key}' must be an integer, but is {}", node.describe());
            found.push(Diagnostic::error("wrong-type", node.span, message).at(self.child(key)));
        }
        number.map(|n| (n, node.span))
    }

    /// Takes a boolean in any of the spellings that the SDK accepts.
    pub fn boolean(&mut self, key: &'static str, found: &mut Vec<Diagnostic>) -> Option<bool> {
        let node = self.take_set(key)?;
        let value = match node.literal() {
            Some(Literal::Bool(b)) => Some(b),
            Some(literal @ (Literal::Int(_) | Literal::Str(_))) => match literal.python_str().to_lowercase().as_str() {
                "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
                "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if value.is_none() {
            let message = format!("'{key}' must be true or false, but is {}", node.describe());
            found.push(Diagnostic::error("wrong-type", node.span, message).at(self.child(key)));
        }
        value
    }

    /// Takes a mapping of strings to strings or nulls, such as `tags`.
    pub fn string_map(&mut self, key: &'static str, found: &mut Vec<Diagnostic>) -> Vec<(String, Option<String>)> {
        let Some(node) = self.take_set(key) else { return Vec::new() };
        let path = self.child(key);
        let Some(entries) = node.as_mapping() else {
            let message = format!("'{key}' must be a mapping, but is {}", node.describe());
            found.push(Diagnostic::error("wrong-type", node.span, message).at(path));
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for entry in entries {
            match entry.value.literal() {
                Some(Literal::Str(text)) => pairs.push((entry.key.clone(), Some(text))),
                Some(Literal::Null) => pairs.push((entry.key.clone(), None)),
                other => {
                    let text = other.map(|l| l.python_str());
                    let mut diagnostic = Diagnostic::error(
                        "wrong-type",
                        entry.value.span,
                        format!("a value of '{key}' must be a string, but is {}", entry.value.describe()),
                    )
                    .at(format!("{path}.{}", entry.key));
                    if let Some(text) = text {
                        diagnostic = diagnostic.help(format!("put it in quotes: {}: \"{text}\"", entry.key));
                    }
                    found.push(diagnostic);
                }
            }
        }
        pairs
    }

    /// Says that a field is missing.
    pub fn missing(&self, key: &str, what: &str, found: &mut Vec<Diagnostic>) {
        let message = format!("{what} needs the field '{key}'");
        found.push(Diagnostic::error("missing-field", self.span, message).at(self.child(key)));
    }

    /// Every key that nobody took is an unknown field of `what` (`a command job`, `a pipeline job`).
    pub fn finish(self, what: &str, found: &mut Vec<Diagnostic>) {
        let path = self.path.clone();
        for entry in self.entries.iter().filter(|(_, taken)| !taken).map(|(e, _)| e) {
            let child = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let message = format!("unknown field '{}' in {what}", entry.key);
            let mut diagnostic = Diagnostic::error("unknown-field", entry.key_span, message).at(child);
            diagnostic = match suggest::nearest(&entry.key, self.known.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                None => {
                    let shown: Vec<&str> = self.known.iter().copied().filter(|k| !k.starts_with('$')).collect();
                    diagnostic.help(format!("the fields of {what} are: {}", shown.join(", ")))
                }
            };
            found.push(diagnostic);
        }
    }
}
