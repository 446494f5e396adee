//! What the SDK validates after a document is loaded (reference, sections 5 and 6).
//!
//! `pipeline` looks at nodes and what they give to their components, `bindings` at the expressions of nodes written in
//! place, `component` at component files, `spark` at spark nodes, `data_transfer` at data transfers, `control_flow` at
//! conditions and loops; `run` looks for what the SDK overlooks, `later` for what the service refuses or misreads,
//! `names` for names that this machine cannot use, `strangers` for fields that nobody reads, `set` for slips on the
//! command line.

mod bindings;
mod component;
pub(super) mod control_flow;
mod data_transfer;
mod later;
mod literal;
mod loop_items;
mod names;
mod pipeline;
mod run;
mod set;
mod spark;
mod strangers;

pub(in crate::language) use pipeline::named;

use super::grammar::grammar;
use super::value::{Data, Entry, Object};
use crate::diagnostic::{Diagnostic, Sources, suggest};

/// Checks a document that fits the grammar.
pub(super) fn document(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) {
    match object.class {
        "PipelineJob" => pipeline::job(object, sources, found),
        "PipelineComponent" => {
            component::file(object, sources, found);
            pipeline::component(object, "", found);
        }
        "SparkJob" => spark::check(object, None, "", found),
        class if class.ends_with("Component") => {
            component::file(object, sources, found);
            if class == "DataTransferCopyComponent" {
                data_transfer::copy_component(object, found);
            }
        }
        _ => {}
    }
}

/// What a run would trip over though the SDK takes it.
pub(super) fn run(object: &Object, sources: &Sources) -> Vec<Diagnostic> {
    // A slip on the command line is told as that, and not as what it looks like in the file.
    let mut found = set::told(object, sources);
    found.extend(run::document(object, sources));
    found.extend(later::told(object, sources));
    found.extend(names::told(object));
    found.extend(strangers::told(object));
    found
}

/// The nodes of a pipeline that are mappings, by name.
pub(in crate::language) fn nodes(pipeline: &Object) -> impl Iterator<Item = (&Entry, &Object)> {
    pipeline.map("jobs").iter().filter_map(|entry| Some((entry, entry.value.object()?)))
}

/// The nodes of a pipeline, found by name without looking at all of them: bindings ask for one after the other.
struct ByName<'a> {
    nodes: Vec<(&'a Entry, &'a Object)>,
    places: std::collections::HashMap<&'a str, usize>,
}

impl<'a> ByName<'a> {
    fn of(pipeline: &'a Object) -> Self {
        let nodes: Vec<_> = nodes(pipeline).collect();
        // Of two nodes of one name, which YAML does not forbid, the first counts.
        let mut places = std::collections::HashMap::with_capacity(nodes.len());
        for (place, (entry, _)) in nodes.iter().enumerate() {
            places.entry(entry.key.as_str()).or_insert(place);
        }
        Self { nodes, places }
    }

    /// A node with its place in the list.
    fn find(&self, name: &str) -> Option<(usize, (&'a Entry, &'a Object))> {
        let place = *self.places.get(name)?;
        Some((place, self.nodes[place]))
    }
}

/// The entries under a field; `None` when they may be hidden by a mistake that has been told.
fn listed<'a>(object: &'a Object, name: &str) -> Option<&'a [Entry]> {
    match object.entry(name) {
        None if object.damaged => None,
        None => Some(&[]),
        Some(entry) if matches!(entry.value.data, Data::Unread) => None,
        Some(_) => Some(object.map(name)),
    }
}

/// An unknown field of an object that keeps such, whose name is near to a field that is not there.
fn slip<'a>(object: &'a Object, name: &str) -> Option<&'a Entry> {
    let class = grammar().class(object.class);
    let strangers = object.fields.iter().filter(|e| class.field(&e.key).is_none());
    let near = suggest::nearest(name, strangers.clone().map(|e| e.key.as_str()))?;
    strangers.clone().find(|e| e.key == near)
}

/// A path below another.
fn under(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
