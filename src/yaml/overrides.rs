//! `--set a.b=c`: changes to the text before it is read (reference, section 1.4).

use std::path::Path;

use super::{Entry, Kind, Node, Scalar, scalar::Literal};
use crate::diagnostic::{Diagnostic, Sources, Span, source::Source, suggest};

/// One `--set`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The keys on the way, as in `jobs.train.inputs.lr`.
    pub keys: Vec<String>,
    /// The new value.
    pub value: String,
}

impl std::str::FromStr for Override {
    type Err = String;

    /// Reads `a.b=c`. The value may be empty and may hold further `=`.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((path, value)) = text.split_once('=') else {
            return Err(format!("'{text}' has no '=': use the form jobs.train.inputs.epochs=5"));
        };
        let keys: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(format!("'{path}' is not a path of keys: use the form jobs.train.inputs.epochs=5"));
        }
        Ok(Self { keys, value: value.to_owned() })
    }
}

/// Puts the values into the tree. A value is text, as `az` passes it: `--set inputs.flag=true` gives `true`, not `True`.
/// Mappings on the way are made; a path that leads through a scalar is a mistake.
pub fn apply(root: &mut Node, overrides: &[Override], sources: &mut Sources, found: &mut Vec<Diagnostic>) {
    for one in overrides {
        let text = format!("{}={}", one.keys.join("."), one.value);
        let source = sources.add(Path::new(Source::SET), &text);
        let end = one.keys.join(".").chars().count() + 1;
        let key_span = Span { source, line: 1, column: 1, end_line: 1, end_column: end };
        let width = one.value.chars().count().max(1);
        let span = Span { source, line: 1, column: end + 1, end_line: 1, end_column: end + 1 + width };
        let scalar = Scalar { text: one.value.clone(), plain: false };
        let value = Node { span, kind: Kind::Scalar(scalar) };
        if let Some(fault) = unknown_job(root, &one.keys, key_span) {
            found.push(fault);
        } else if let Err(key) = put(root, &one.keys, value, key_span) {
            let message = format!("cannot set '{text}': '{key}' is not a mapping in the file");
            let help = "to change a component that is in another file, edit that file";
            found.push(Diagnostic::error("bad-override", key_span, message).help(help));
        }
    }
}

/// A node of a pipeline that is not there: what is set in it would be a node with nothing else.
fn unknown_job(root: &Node, keys: &[String], span: Span) -> Option<Diagnostic> {
    let mut node = root;
    for (index, key) in keys.iter().enumerate().take(keys.len().saturating_sub(1)) {
        let entries = node.as_mapping()?;
        match entries.iter().find(|entry| entry.key == *key) {
            Some(entry) => node = &entry.value,
            None if index > 0 && keys[index - 1] == "jobs" => {
                let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
                let fault = Diagnostic::error("bad-override", span, format!("the job '{key}' does not exist"));
                return Some(match suggest::nearest(key, names.iter().copied()) {
                    Some(near) => fault.help(format!("did you mean '{near}'?")),
                    None => fault.help(format!("use one of: {}", names.join(", "))),
                });
            }
            None => return None,
        }
    }
    None
}

fn put(node: &mut Node, keys: &[String], value: Node, key_span: Span) -> Result<(), String> {
    let Some((first, rest)) = keys.split_first() else {
        *node = value;
        return Ok(());
    };
    if node.literal() == Some(Literal::Null) {
        node.kind = Kind::Mapping(Vec::new());
    }
    let Kind::Mapping(entries) = &mut node.kind else {
        return Err(first.clone());
    };
    // A grouped input such as `g.a` is one key with a dot in it.
    let joined = keys.join(".");
    if let Some(entry) = entries.iter_mut().find(|e| e.key == joined) {
        entry.value = value;
        return Ok(());
    }
    if let Some(entry) = entries.iter_mut().find(|e| e.key == *first) {
        return put(&mut entry.value, rest, value, key_span)
            .map_err(|key| if rest.first() == Some(&key) { first.clone() } else { key });
    }
    let mut fresh = Node { span: value.span, kind: Kind::Mapping(Vec::new()) };
    put(&mut fresh, rest, value, key_span)?;
    entries.push(Entry { key: first.clone(), key_plain: false, key_span, value: fresh });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse;

    fn set(text: &str, change: &str) -> (Node, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let id = sources.add(Path::new("t"), text);
        let mut found = Vec::new();
        let mut root = parse(text, id, &mut found).unwrap();
        apply(&mut root, &[change.parse().unwrap()], &mut sources, &mut found);
        (root, found)
    }

    #[test]
    fn values_replace_and_add() {
        let (root, found) = set("inputs: {a: 1}\n", "inputs.a=5");
        assert!(found.is_empty());
        assert_eq!(root.get("inputs").unwrap().get("a").unwrap().as_str(), Some("5"));
        let (root, _) = set("type: pipeline\n", "settings.force_rerun=true");
        assert_eq!(root.get("settings").unwrap().get("force_rerun").unwrap().as_str(), Some("true"));
    }

    #[test]
    fn a_path_through_a_reference_is_a_mistake() {
        let (_, found) = set("component: ./x.yml\n", "component.command=echo");
        assert_eq!(found[0].code, "bad-override");
        assert!(found[0].message.contains("'component' is not a mapping"));
    }

    #[test]
    fn nonsense_is_told() {
        assert!("novalue".parse::<Override>().is_err());
        assert!("a..b=1".parse::<Override>().is_err());
    }
}
