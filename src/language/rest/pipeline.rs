//! Pipeline jobs (reference, section 8.1).

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::value::{Object, Value};
use super::io::Case;
use super::{Fields, common, component, io, job as envelope, node, plain, put};

/// The body of a pipeline job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "Pipeline");
    let mut inputs = io::inputs(object.map("inputs"), None, Case::Camel)?;
    // The service takes no empty text.
    inputs.retain(|_, v| v.get("value").and_then(Json::as_str) != Some(""));
    fields.insert("inputs".to_owned(), Json::Object(inputs));
    let mut settings = match object.get("settings").map(plain) {
        Some(Json::Object(settings)) => settings,
        _ => Fields::new(),
    };
    let component = object.get("component");
    let source = match component {
        None => "YAML.JOB",
        Some(value) => value.object().map_or("REMOTE.WORKSPACE.JOB", component::source),
    };
    settings.insert("_source".to_owned(), json!(source));
    settings.retain(|_, v| !v.is_null());
    fields.insert("settings".to_owned(), Json::Object(settings));
    let graph = component.and_then(Value::object).unwrap_or(object);
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    let jobs = if component.is_some_and(|c| c.text().is_some()) { Fields::new() } else { jobs(graph)? };
    fields.insert("jobs".to_owned(), Json::Object(jobs));
    put(&mut fields, "componentId", component.and_then(Value::text).map(Json::from));
    if let Some(inner) = component.and_then(Value::object) {
        for (key, name) in [("displayName", "display_name"), ("description", "description")] {
            if !fields.contains_key(key) {
                put(&mut fields, key, inner.get(name).map(plain));
            }
        }
    }
    Ok(envelope(object, fields))
}

/// The nodes of a pipeline.
pub(super) fn jobs(pipeline: &Object) -> Result<Fields, String> {
    let mut jobs = Fields::new();
    for (entry, object) in check_nodes(pipeline) {
        jobs.insert(entry.key.clone(), node::body(pipeline, &entry.key, object)?);
    }
    Ok(jobs)
}
