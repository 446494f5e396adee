//! Outputs: what a node says of its own, what the pipelines around it say of those that it writes for them, and the place
//! and the asset that each becomes (reference, sections 3.3 and 3.5).

use std::collections::HashMap;

use super::bind::World;
use super::level::{bound_to, output_names, output_type};
use super::site::is_datastore;
use super::{AssetName, DatastorePath, Located, Part, Step, StepOutput};
use crate::diagnostic::Diagnostic;
use crate::secret::mask_signatures;
use crate::spec::data_uri::{DataUri, escape};
use crate::spec::io::{Data, Output, OutputValue, PortType};
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;

/// What is said of a pipeline's outputs from outside, by name.
pub(super) type Said = HashMap<String, Data>;

/// What a job says of its outputs.
pub(super) fn of_job(outputs: &[Output], found: &mut Vec<Diagnostic>) -> Said {
    let mut said = Said::new();
    for output in outputs {
        let name = &output.name.value;
        match &output.value.value {
            OutputValue::Data(data) => {
                said.insert(name.clone(), data.clone());
            }
            OutputValue::Binding(text) => {
                let message = format!("an output of a pipeline cannot be an expression ('{text}')");
                let help = format!("bind an output of a node to it: <output>: ${{{{parent.outputs.{name}}}}}");
                let path = format!("outputs.{name}");
                found.push(Diagnostic::error("bad-expression", output.value.span, message).at(path).help(help));
            }
        }
    }
    said
}

/// What is said of the outputs of a node: by the node itself, or by the pipeline whose output it writes.
pub(super) fn of_node(node: &Node, outer: &Said) -> Said {
    let mut said = Said::new();
    for name in output_names(node) {
        let mut data = own(node, name, outer);
        // What a component declares holds; an inline command has what its pipeline says.
        data.kind = match &node.body {
            NodeBody::Inline(_) => data.kind.or(output_type(node, name)),
            NodeBody::Copy(copy) if copy.component.is_none() => data.kind.or(output_type(node, name)),
            NodeBody::Parallel(parallel) if parallel.component.is_none() => data.kind.or(output_type(node, name)),
            NodeBody::Spark(spark) if spark.component.is_none() => data.kind.or(output_type(node, name)),
            _ => output_type(node, name),
        };
        said.insert(name.to_owned(), data);
    }
    said
}

/// What a node says of one of its outputs, or the pipeline whose output it writes.
pub(super) fn own(node: &Node, name: &str, outer: &Said) -> Data {
    let own = node.outputs.iter().find(|o| o.name.value == name);
    match own.map(|o| (o, bound_to(o))) {
        Some((_, Some(target))) => outer.get(target).cloned().unwrap_or_default(),
        Some((output, None)) => match &output.value.value {
            OutputValue::Data(data) => data.clone(),
            OutputValue::Binding(_) => Data::default(),
        },
        None => Data::default(),
    }
}

/// The outputs of a step, in the order of their declaration.
pub(super) fn of_step(
    names: &[&str],
    said: &Said,
    path: &str,
    world: &World<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepOutput> {
    let mut outputs = Vec::new();
    for name in names {
        let nothing = Data::default();
        let data = said.get(*name).unwrap_or(&nothing);
        let version = data.version.clone();
        let asset = data.name.as_ref().map(|name| AssetName { name: name.value.clone(), version });
        let place = place(data, &format!("{path}.{name}.path"), world, found);
        let kind = data.kind.unwrap_or(PortType::UriFolder);
        outputs.push(StepOutput { name: (*name).to_owned(), kind, asset, place });
    }
    outputs
}

/// Records the writer of remote data that a later step reads: the last of the steps that it needs, directly or
/// indirectly.
pub(super) fn follow(steps: &mut [Step]) {
    let places: Vec<Vec<DatastorePath>> =
        steps.iter().map(|step| step.outputs.iter().filter_map(|output| output.place.clone()).collect()).collect();
    if places.iter().all(Vec::is_empty) {
        return;
    }
    let names: Vec<String> = steps.iter().map(|step| step.path.clone()).collect();
    let mut before: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter_mut().enumerate() {
        let mut needed: Vec<usize> = step.needs.clone();
        needed.extend(step.needs.iter().flat_map(|&need| before[need].iter().copied()));
        needed.sort_unstable();
        needed.dedup();
        for value in step.values_mut() {
            for part in &mut value.parts {
                let Part::Remote(remote) = part else { continue };
                let writer = needed.iter().rev().find(|&&step| places[step].iter().any(|p| p.covers(&remote.address)));
                remote.after = writer.map(|&step| names[step].clone());
            }
        }
        debug_assert_eq!(before.len(), index, "steps come after those that they need");
        before.push(needed);
    }
}

/// What people should know of outputs that go to the same place: the last one written stays there, and each later run
/// uploads all of them again.
pub(super) fn shared_places(steps: &[Step]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut known: Vec<(&DatastorePath, String)> = Vec::new();
    for step in steps {
        for output in &step.outputs {
            let Some(place) = output.place.as_ref().filter(|place| !place.path.contains("${{")) else { continue };
            let name = format!("{}.{}", step.path, output.name);
            let same = |other: &DatastorePath| {
                other.root == place.root && other.path.trim_end_matches('/') == place.path.trim_end_matches('/')
            };
            if let Some((_, other)) = known.iter().find(|(other, _)| same(other)) {
                let what = "are uploaded to the same location: the last one overwrites the other";
                notes.push(format!("the outputs {other} and {name} {what}"));
            }
            known.push((place, name));
        }
    }
    notes
}

/// Where an output is uploaded as well: a path in a datastore, or a blob's address (reference, section 3.5).
fn place(data: &Data, at: &str, world: &World<'_>, found: &mut Vec<Diagnostic>) -> Option<DatastorePath> {
    let target = data.path.as_ref()?;
    let text = target.value.replace("${{default_datastore}}", world.default_datastore);
    let mut refuse = |code, message: String, help: &str| {
        found.push(Diagnostic::error(code, target.span, message).at(at).help(help));
        None
    };
    let write = "use azureml://datastores/<name>/paths/<path>, or remove 'path'";
    // The root is looked up; the path stays separate until the names in it are known.
    let (root, path) = match DataUri::parse(&text) {
        Some(Ok(DataUri::Datastore { name, path })) => (DataUri::Datastore { name, path: String::new() }, path),
        Some(Ok(DataUri::Blob(mut blob))) => {
            // It becomes part of an address again.
            let path = escape(&std::mem::take(&mut blob.path));
            (DataUri::Blob(blob), path)
        }
        Some(Ok(DataUri::Web { url })) => {
            // A container of a server that is known by its address, as Azurite's.
            let (place, query) =
                url.split_once('?').map_or((url.as_str(), None), |(place, query)| (place, Some(query)));
            let at = place.find("${{").unwrap_or(place.len());
            let root = place[..at].rfind('/').map_or(place, |slash| &place[..slash]);
            let path = place[root.len()..].trim_start_matches('/').to_owned();
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            (DataUri::Web { url: format!("{root}{query}") }, path)
        }
        Some(Err(why)) => return refuse("bad-reference", why, write),
        _ => return refuse("bad-reference", format!("an output cannot be written to '{}'", target.value), write),
    };
    match world.catalog.locate(&root) {
        Ok(Located::Remote(remote)) if !remote.is_blob => {
            let mut written = target.value.clone();
            mask_signatures(&mut written);
            refuse("bad-reference", format!("an output cannot be written to the web address '{written}'"), write)
        }
        Ok(root) => Some(DatastorePath { root, path }),
        Err(why) if is_datastore(&root) => {
            refuse("unknown-datastore", why, "map the datastore to a folder in amlrun.toml, or remove 'path'")
        }
        Err(why) => refuse("unknown-asset", why, "remove 'path' for a local run"),
    }
}
