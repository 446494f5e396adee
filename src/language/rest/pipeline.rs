//! Pipeline jobs (reference, section 8.1).

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::value::{Entry, Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, plain, put};
use super::io::Case;
use super::reference::source;
use super::{io, node, specification};

/// The body of a pipeline job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "Pipeline");
    let component = object.get("component");
    let named = component.and_then(Value::object);
    let declared = |side: &str| named.map(|c| c.map(side)).unwrap_or_default();
    let given = object.map("inputs").iter().filter(|i| named.is_none() || has(declared("inputs"), &i.key));
    let given: Vec<Entry> = given.cloned().collect();
    let mut inputs = io::inputs(&given, None, Case::Camel)?;
    for port in declared("inputs").iter().filter(|p| !has(&given, &p.key)) {
        let Some(object) = port.value.object() else { continue };
        if let Some(default) = object.get("default") {
            let text = specification::parsed(default, object.text("type").unwrap_or_default());
            inputs.insert(port.key.clone(), json!({ "jobInputType": "literal", "value": text }));
        }
    }
    // The service takes no empty text.
    inputs.retain(|_, v| v.get("value").and_then(Json::as_str) != Some(""));
    fields.insert("inputs".to_owned(), Json::Object(inputs));
    let mut settings = match object.get("settings").map(plain) {
        Some(Json::Object(settings)) => settings,
        _ => Fields::new(),
    };
    let origin = match component {
        None => "YAML.JOB",
        Some(value) => value.object().map_or("REMOTE.WORKSPACE.JOB", source),
    };
    settings.insert("_source".to_owned(), json!(origin));
    settings.retain(|_, v| !v.is_null());
    fields.insert("settings".to_owned(), Json::Object(settings));
    let graph = named.unwrap_or(object);
    // What the component declares, and over it what the job says.
    let said = |o: &&Entry| named.is_none() || !o.value.is_null();
    let mut outputs = io::job_outputs(declared("outputs"));
    let given: Vec<Entry> = object.map("outputs").iter().filter(said).cloned().collect();
    outputs.extend(io::job_outputs(&given));
    fields.insert("outputs".to_owned(), Json::Object(outputs));
    let jobs = if component.is_some_and(|c| c.text().is_some()) { Fields::new() } else { jobs(graph)? };
    fields.insert("jobs".to_owned(), Json::Object(jobs));
    put(&mut fields, "componentId", component.and_then(Value::text).map(Json::from));
    if let Some(inner) = named {
        for (key, name) in [("displayName", "display_name"), ("description", "description")] {
            if !fields.contains_key(key) {
                put(&mut fields, key, inner.get(name).map(plain));
            }
        }
    }
    Ok(envelope(object, fields))
}

fn has(entries: &[Entry], key: &str) -> bool {
    entries.iter().any(|e| e.key == key)
}

/// The nodes of a pipeline.
pub(super) fn jobs(pipeline: &Object) -> Result<Fields, String> {
    let mut jobs = Fields::new();
    for (entry, object) in check_nodes(pipeline) {
        jobs.insert(entry.key.clone(), node::body(pipeline, &entry.key, object)?);
    }
    Ok(jobs)
}
