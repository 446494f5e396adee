//! Components: their specification as the SDK dumps it, and the envelope it is sent in (reference, sections 8.3, 8.4).

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::super::grammar::grammar;
use super::super::post_load::bytes_of;
use super::super::value::{Entry, Object, Origin, Value};
use super::{Fields, dump, get, pipeline, plain, put, python, python_str, without_empty};
use crate::yaml::{Literal, scalar};

/// The name of a component that is written in place or named by file.
pub(super) const ANONYMOUS: &str = "azureml_anonymous";

/// The body of a component file.
pub(super) fn body(object: &Object) -> Result<Json, String> {
    let mut spec = spec(object, Paths::Absolute);
    let hash = client_hash(&spec);
    spec.insert("_source".to_owned(), json!("YAML.COMPONENT"));
    if object.class == "ParallelComponent" {
        keys_as_text(object, &mut spec);
    }
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(false));
    properties.insert("isArchived".to_owned(), json!(false));
    properties.insert("properties".to_owned(), json!({ "client_component_hash": hash }));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    Ok(json!({ "name": get(object, "name"), "properties": properties }))
}

/// A parallel component's partition keys are sent as JSON text.
fn keys_as_text(object: &Object, spec: &mut Fields) {
    if let Some(keys) = get(object, "partition_keys").filter(|k| k.as_array().is_some_and(|a| !a.is_empty())) {
        let mut text = String::new();
        python::json_dumps(&keys, &mut text);
        spec.insert("partition_keys".to_owned(), json!(text));
    }
}

/// The body of a pipeline component file.
pub(super) fn pipeline(object: &Object) -> Result<Json, String> {
    let mut spec = spec(object, Paths::Absolute);
    spec.remove("is_deterministic");
    spec.insert("_source".to_owned(), json!("YAML.COMPONENT"));
    spec.insert("jobs".to_owned(), Json::Object(pipeline::jobs(object)?));
    spec.insert("sourceJobId".to_owned(), Json::Null);
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(false));
    properties.insert("properties".to_owned(), json!({}));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    Ok(json!({ "name": get(object, "name"), "properties": properties }))
}

/// The trial of a sweep node: a component inside a body.
pub(super) fn trial(object: &Object) -> Json {
    let mut spec = spec(object, Paths::Absolute);
    spec.insert("_source".to_owned(), json!(source(object)));
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(true));
    properties.insert("isArchived".to_owned(), json!(false));
    properties.insert("properties".to_owned(), get(object, "properties").unwrap_or_else(|| json!({})));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    json!({ "name": ANONYMOUS, "properties": properties })
}

/// Where a component comes from, in the SDK's words.
pub(super) fn source(object: &Object) -> &'static str {
    match object.origin {
        Origin::File(_) => "YAML.COMPONENT",
        Origin::Inline | Origin::Prefixed(_) => "YAML.JOB",
    }
}

/// How local code is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paths {
    /// As an absolute path.
    Absolute,
    /// As the author wrote it.
    AsWritten,
}

/// A component as YAML text: what stands for its id before it is registered.
pub(super) fn id(object: &Object) -> String {
    let spec = if object.class.ends_with("PipelineComponent") {
        pipeline_spec(object, Paths::AsWritten)
    } else {
        spec(object, Paths::AsWritten)
    };
    python::yaml_dump(&Json::Object(spec), false)
}

/// A pipeline component's specification with its nodes as the schema dumps them.
pub(super) fn pipeline_spec(object: &Object, paths: Paths) -> Fields {
    let mut spec = spec(object, paths);
    spec.remove("is_deterministic");
    let jobs = super::node::dumped(object);
    if !jobs.is_empty() {
        spec.insert("jobs".to_owned(), Json::Object(jobs));
    }
    spec
}

/// A component's specification.
pub(super) fn spec(object: &Object, paths: Paths) -> Fields {
    let anonymous = object.class.starts_with("Anonymous");
    let mut fields = dump::object(object);
    fields.remove("jobs");
    for side in ["inputs", "outputs"] {
        if object.get(side).is_some() {
            fields.insert(side.to_owned(), Json::Object(ports(object.map(side))));
        }
    }
    if object.class.ends_with("DataTransferImportComponent") && object.map("outputs").is_empty() {
        fields.insert("outputs".to_owned(), json!({ "sink": { "type": "mltable" } }));
    }
    if anonymous {
        fields.insert("name".to_owned(), json!(ANONYMOUS));
        fields.insert("version".to_owned(), json!("1"));
    }
    if !fields.contains_key("type") {
        fields.insert("type".to_owned(), json!(kind(object.class)));
    }
    if !fields.contains_key("is_deterministic") {
        fields.insert("is_deterministic".to_owned(), json!(true));
    }
    if fields.get("additional_includes").and_then(Json::as_array).is_some_and(Vec::is_empty) {
        fields.remove("additional_includes");
    }
    if object.class.ends_with("ParallelComponent") {
        let size = object.text("mini_batch_size").and_then(bytes_of).unwrap_or(0);
        fields.insert("mini_batch_size".to_owned(), json!(size.to_string()));
    }
    if object.class.ends_with("PipelineComponent") {
        inferred_optional(object, &mut fields);
    }
    if object.class.ends_with("CommandComponent") {
        fields.remove("environment_variables");
    }
    if paths == Paths::AsWritten {
        put(&mut fields, "code", get(object, "code"));
        if let Some(code) = object.get("task").and_then(Value::object).and_then(|t| get(t, "code"))
            && let Some(Json::Object(task)) = fields.get_mut("task")
        {
            task.insert("code".to_owned(), code);
        }
    }
    let Json::Object(mut fields) = without_empty(Json::Object(fields)) else { return Fields::new() };
    if object.class.ends_with("PipelineComponent") {
        // What the grammar does not know is kept as it stands, empty or not.
        let class = grammar().class(object.class);
        for entry in object.fields.iter().filter(|entry| class.field(&entry.key).is_none()) {
            fields.insert(entry.key.clone(), plain(&entry.value));
        }
    }
    fields
}

/// Validation marks an input of a pipeline as optional when all that it feeds is optional.
fn inferred_optional(pipeline: &Object, fields: &mut Fields) {
    for port in pipeline.map("inputs").iter().filter(|p| p.value.object().is_some_and(|o| o.get("optional").is_none()))
    {
        let wanted = format!("${{{{parent.inputs.{}}}}}", port.key);
        let mut optional = false;
        for (_, node) in super::super::check_nodes(pipeline) {
            let Some(component) = node.get("component").and_then(Value::object) else { continue };
            let bound = |i: &&Entry| i.value.text().or_else(|| i.value.object()?.text("path")) == Some(&wanted);
            let mut names = node.map("inputs").iter().filter(bound).peekable();
            if names.peek().is_none() {
                continue;
            }
            let required = names.any(|i| {
                let declared = component.map("inputs").iter().find(|p| p.key == i.key).and_then(|p| p.value.object());
                declared.is_some_and(|d| d.get("optional").and_then(Value::bool) != Some(true))
            });
            optional = !required;
        }
        if optional && let Some(Json::Object(port)) = fields.get_mut("inputs").and_then(|i| i.get_mut(&port.key)) {
            port.insert("optional".to_owned(), json!(true));
        }
    }
}

fn kind(class: &str) -> &'static str {
    match class.trim_start_matches("Anonymous") {
        "ParallelComponent" => "parallel",
        "PipelineComponent" => "pipeline",
        "SparkComponent" => "spark",
        "ImportComponent" => "import",
        "AutoMLComponent" => "automl",
        "FlowComponent" | "FlowDag" | "FlowRun" => "promptflow_parallel",
        class if class.starts_with("DataTransfer") => "data_transfer",
        _ => "command",
    }
}

fn ports(ports: &[Entry]) -> Fields {
    ports
        .iter()
        .filter_map(|port| {
            let object = port.value.object()?;
            let mut fields = dump::object(object);
            for name in ["default", "min", "max"] {
                if let Some(value) = object.get(name) {
                    fields.insert(name.to_owned(), json!(parsed(value, object.text("type").unwrap_or_default())));
                }
            }
            Some((port.key.clone(), Json::Object(fields)))
        })
        .collect()
}

/// A default in the SDK's reading of its type, as Python prints it (reference, section 3.6).
pub(super) fn parsed(value: &Value, kind: &str) -> String {
    let text = python_str(value);
    // The schema reads a YAML number in a default as a float.
    let number = match value.literal() {
        Some(Literal::Int(digits)) => digits.parse::<f64>().ok(),
        Some(Literal::Float(it)) => Some(it),
        Some(Literal::Str(text)) => scalar::python_number(&text),
        Some(Literal::Bool(it)) => Some(f64::from(u8::from(it))),
        _ => None,
    };
    match kind {
        "integer" if matches!(value.literal(), Some(Literal::Bool(_))) => text,
        "integer" => match number.map(f64::trunc) {
            // Not `-0`.
            Some(0.0) => "0".to_owned(),
            Some(n) => format!("{n:.0}"),
            None => text,
        },
        "number" => number.map_or(text, |n| Literal::Float(n).python_str()),
        "boolean" => if text.to_lowercase() == "true" { "True" } else { "False" }.to_owned(),
        _ => match value.literal() {
            Some(Literal::Int(_) | Literal::Float(_)) => number.map_or(text, |n| Literal::Float(n).python_str()),
            _ => text,
        },
    }
}

/// The digest by which the SDK knows a component again: of its specification but for its version.
fn client_hash(spec: &Fields) -> String {
    let mut spec = spec.clone();
    spec.remove("version");
    let mut text = String::new();
    python::json_dumps(&Json::Object(spec), &mut text);
    let digest: String = Sha256::digest(text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..])
}

/// A field that a node takes over from its component when it has none.
pub(super) fn inherited<'a>(node: &'a Object, component: Option<&'a Object>, name: &str) -> Option<&'a Value> {
    node.get(name).filter(|v| !v.is_empty()).or_else(|| component.and_then(|c| c.get(name)))
}

/// A free mapping without nulls.
pub(super) fn mapping(value: Option<&Value>) -> Option<Json> {
    value.map(plain).map(without_empty).filter(|j| !super::is_empty(j))
}
