//! The nodes of a pipeline as the checks look at them: by name, with their components and inputs.

use super::super::grammar::grammar;
use super::super::value::{Data, Entry, Object, Value};
use crate::diagnostic::suggest;

/// The nodes of a pipeline that are mappings, by name.
pub(in crate::language) fn nodes(pipeline: &Object) -> impl Iterator<Item = (&Entry, &Object)> {
    pipeline.map("jobs").iter().filter_map(|entry| Some((entry, entry.value.object()?)))
}

/// An index of the nodes of a pipeline by name.
pub(super) struct ByName<'a> {
    nodes: Vec<(&'a Entry, &'a Object)>,
    places: std::collections::HashMap<&'a str, usize>,
}

impl<'a> ByName<'a> {
    pub(super) fn of(pipeline: &'a Object) -> Self {
        let nodes: Vec<_> = nodes(pipeline).collect();
        // YAML allows two nodes of one name; the first one counts.
        let mut places = std::collections::HashMap::with_capacity(nodes.len());
        for (place, (entry, _)) in nodes.iter().enumerate() {
            places.entry(entry.key.as_str()).or_insert(place);
        }
        Self { nodes, places }
    }

    /// A node with its place in the list.
    pub(super) fn find(&self, name: &str) -> Option<(usize, (&'a Entry, &'a Object))> {
        let place = *self.places.get(name)?;
        Some((place, self.nodes[place]))
    }
}

/// The entries under a field; `None` when a mistake that has been reported may hide some.
pub(super) fn listed<'a>(object: &'a Object, name: &str) -> Option<&'a [Entry]> {
    match object.entry(name) {
        None if object.damaged => None,
        None => Some(&[]),
        Some(entry) if matches!(entry.value.data, Data::Unread) => None,
        Some(_) => Some(object.map(name)),
    }
}

/// An unknown field whose name is similar to that of a missing field, in an object that keeps unknown fields.
pub(super) fn typo<'a>(object: &'a Object, name: &str) -> Option<&'a Entry> {
    let class = grammar().class(object.class);
    let unknown = object.fields.iter().filter(|e| class.field(&e.key).is_none());
    let near = suggest::nearest(name, unknown.clone().map(|e| e.key.as_str()))?;
    unknown.clone().find(|e| e.key == near)
}

/// A path below another.
pub(super) fn under(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The component file that a node names, unless it is registered or the node is written in place.
pub(in crate::language) fn named(node: &Object) -> Option<&Object> {
    node.get("component").or_else(|| node.get("trial")).and_then(Value::object)
}

pub(super) fn is_required(port: &Object) -> bool {
    port.get("optional").and_then(Value::bool) != Some(true) && port.get("default").is_none()
}

pub(super) fn is_missing(node: &Object, port: &Entry, declared: &Object) -> bool {
    is_required(declared) && !node.map("inputs").iter().any(|i| i.key == port.key)
}

/// An input of a node whose name is not declared but similar to that of a port.
pub(super) fn misnamed<'a>(node: &'a Object, component: &Object, port: &Entry) -> Option<&'a Entry> {
    let unknown = node.map("inputs").iter().filter(|i| component.map("inputs").iter().all(|p| p.key != i.key));
    let near = suggest::nearest(&port.key, unknown.map(|i| i.key.as_str()))?;
    node.map("inputs").iter().find(|i| i.key == near)
}

/// Whether an undeclared input of a node was already reported as a typo: as the misspelt name of a missing required
/// input.
pub(super) fn reported_missing(node: &Object, component: &Object, input: &Entry) -> bool {
    component.map("inputs").iter().any(|port| {
        port.value.object().is_some_and(|declared| is_missing(node, port, declared))
            && misnamed(node, component, port).is_some_and(|typo| typo.key == input.key)
    })
}
