//! A document with everything resolved: components in the place where they are named, references with their prefix
//! again, defaults filled in, and the origin of every value.
//!
//! Paths in an inserted file are relative to the folder of the document. Values that look like secrets are masked here,
//! so that no output format can show them (`secret`); the defaults of Azure ML are in `defaults`.

mod defaults;
mod model;
mod secret;
pub use model::{Resolved, What};
pub(crate) use secret::is_secret;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::grammar::{Shape, grammar};
use super::value::{Data, Entry, Object, Origin, Value};
use crate::diagnostic::{SourceId, Sources, Span};
use crate::yaml::Literal;

/// The whole document.
#[must_use]
pub fn document(object: &Object, sources: &Sources) -> Resolved {
    let compute = defaults::compute(object);
    let mut walk = Walk { sources, lines: HashMap::new(), base: &object.base, compute: None };
    walk.compute = compute.map(|value| walk.value(value));
    let entries = walk.object(object);
    Resolved { what: What::Map(entries), place: None, content_of: None }
}

struct Walk<'a> {
    sources: &'a Sources,
    /// The lines of the texts that were looked at.
    lines: HashMap<SourceId, Vec<&'a str>>,
    /// The folder of the document.
    base: &'a Path,
    /// The compute of nodes that do not name one.
    compute: Option<Resolved>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value) -> Resolved {
        let place = Some(value.span);
        let what = match &value.data {
            Data::Unread => What::Unread,
            Data::Text(text) => What::Scalar(Literal::Str(self.reference(text, value.span))),
            Data::List(items) => What::List(items.iter().map(|item| self.value(item)).collect()),
            Data::Map(entries) => What::Map(entries.iter().map(|entry| self.entry(entry, None)).collect()),
            Data::Object(object) => {
                let content_of = match &object.origin {
                    Origin::Inline => None,
                    Origin::File(path) | Origin::Prefixed(path) => Some(super::files::shown(path)),
                };
                return Resolved { what: What::Map(self.object(object)), place, content_of };
            }
            _ => What::Scalar(value.literal().unwrap_or(Literal::Null)),
        };
        Resolved { what, place, content_of: None }
    }

    /// A member; `owner` is the object whose field it is.
    fn entry(&mut self, entry: &Entry, owner: Option<&Object>) -> (String, Resolved) {
        let mut value = self.value(&entry.value);
        if entry.key_span == entry.value.span && owner.is_some() {
            // The reader gives a default the place of the object that it belongs to.
            value =
                Resolved { what: What::Scalar(entry.value.literal().unwrap_or(Literal::Null)), place: None, ..value };
        }
        if owner.is_some_and(|owner| *owner.base != *self.base && is_path(owner, &entry.key))
            && let Some(owner) = owner
        {
            self.move_paths(&mut value, &owner.base);
        }
        owner.inspect(|owner| whole(owner, &mut value));
        secret::mask(&entry.key, &mut value);
        (entry.key.clone(), value)
    }

    fn object(&mut self, object: &Object) -> Vec<(String, Resolved)> {
        let mut fields: Vec<&Entry> = object.fields.iter().collect();
        for entry in object.passed_over.iter().filter(|e| ["$schema", "name", "version"].contains(&e.key.as_str())) {
            let after = |f: &&Entry| {
                let (theirs, ours) = (f.key_span, entry.key_span);
                theirs.source == ours.source && (theirs.line, theirs.column) > (ours.line, ours.column)
            };
            let at = fields.iter().position(after).unwrap_or(fields.len());
            fields.insert(at, entry);
        }
        let mut entries: Vec<(String, Resolved)> =
            fields.into_iter().map(|entry| self.entry(entry, Some(object))).collect();
        defaults::fill(object, &mut entries);
        self.component_defaults(object, &mut entries);
        let leaf = grammar().class(object.class).field("compute").is_some() && object.class.ends_with("Node");
        if let Some(compute) = self.compute.clone().filter(|_| leaf && object.get("compute").is_none()) {
            entries.push(("compute".to_owned(), compute));
        }
        entries
    }

    /// What the component of a node takes where the node gives nothing.
    fn component_defaults(&mut self, node: &Object, entries: &mut Vec<(String, Resolved)>) {
        let Some(component) = super::check::named(node) else { return };
        // A sweep gives its trial what it searches for.
        let given: HashSet<&str> =
            ["inputs", "search_space"].iter().flat_map(|side| node.map(side)).map(|e| e.key.as_str()).collect();
        let mut missing = Vec::new();
        for port in component.map("inputs").iter().filter(|p| !given.contains(p.key.as_str())) {
            let Some(declared) = port.value.object() else { continue };
            let Some(default) = declared.entry("default") else { continue };
            let (_, mut value) = self.entry(default, Some(declared));
            secret::mask(&port.key, &mut value);
            missing.push((port.key.clone(), value));
        }
        if missing.is_empty() {
            return;
        }
        match entries.iter_mut().find(|(key, _)| key == "inputs").map(|(_, value)| &mut value.what) {
            Some(What::Map(inputs)) => inputs.extend(missing),
            Some(_) => {}
            None => {
                let inputs = Resolved { what: What::Map(missing), place: None, content_of: None };
                entries.push(("inputs".to_owned(), inputs));
            }
        }
    }

    /// A reference as it has to be written: the SDK takes the `azureml:` off, the source text shows whether it was
    /// there.
    fn reference(&mut self, text: &str, span: Span) -> String {
        if text.starts_with("azureml:") || text.contains("${{") {
            return text.to_owned();
        }
        let sources = self.sources;
        let lines = self.lines.entry(span.source).or_insert_with(|| {
            sources.get(span.source).map(|source| source.text.lines().collect()).unwrap_or_default()
        });
        let line = lines.get(span.line.saturating_sub(1)).copied().unwrap_or("");
        let at = line.char_indices().nth(span.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let written = line[at..].trim_start_matches(['"', '\'']);
        if written.starts_with("azureml:") { format!("azureml:{text}") } else { text.to_owned() }
    }

    /// Local paths as the folder of the document sees them.
    fn move_paths(&self, value: &mut Resolved, base: &Path) {
        match &mut value.what {
            What::Scalar(Literal::Str(text)) if !text.is_empty() && !text.contains("${{") && !text.contains(':') => {
                let path = super::files::tidy(&base.join(text.as_str()));
                if path.exists() {
                    *text = relative(&path, self.base);
                }
            }
            What::List(items) => items.iter_mut().for_each(|item| self.move_paths(item, base)),
            _ => {}
        }
    }
}

/// The bounds and default of an integer: the grammar reads them as any number, the SDK cuts the fraction off.
fn whole(owner: &Object, value: &mut Resolved) {
    if owner.class == "Parameter"
        && owner.text("type") == Some("integer")
        && let What::Scalar(literal @ Literal::Float(_)) = &mut value.what
        && let Literal::Float(number) = literal
        && number.is_finite()
    {
        *literal = Literal::Int(format!("{:.0}", number.trunc()));
    }
}

/// Whether a field holds local paths.
fn is_path(owner: &Object, key: &str) -> bool {
    fn holds(shape: &Shape) -> bool {
        match shape {
            Shape::Path => true,
            Shape::Union(branches) => branches.iter().any(holds),
            Shape::List(inner) | Shape::Nullable(inner) => holds(inner),
            _ => false,
        }
    }
    let by_shape = grammar().class(owner.class).field(key).is_some_and(|rule| holds(&rule.shape));
    by_shape
        || matches!((owner.class, key), (_, "conda_file" | "additional_includes"))
        || owner.class.ends_with("Input") && key == "path"
}

/// A path as it is written in a folder.
fn relative(path: &Path, folder: &Path) -> String {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().count() - shared;
    let mut way: PathBuf = std::iter::repeat_n("..", up).collect();
    way.extend(path.components().skip(shared));
    if way.as_os_str().is_empty() { ".".to_owned() } else { way.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_another_folder() {
        assert_eq!(relative(Path::new("/a/b/c.py"), Path::new("/a/d/e")), "../../b/c.py");
        assert_eq!(relative(Path::new("/a/b"), Path::new("/a")), "b");
        assert_eq!(relative(Path::new("/a"), Path::new("/a")), ".");
    }
}
