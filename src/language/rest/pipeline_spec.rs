//! The specification of a pipeline component, with its nodes and their components inside. The two are in one file
//! because they are recursive: a node may name another pipeline component.

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::flow::is_flow;
use super::super::grammar::grammar;
use super::super::value::{Object, Value};
use super::fields::{Fields, get, plain, put, python_str, without_empty};
use super::node_kind::kind;
use super::reference::Paths;
use super::specification::spec;
use super::{automl, control_flow, dump, inline, python};

/// A component as YAML text, which is sent instead of its id before it is registered.
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
    let jobs = dumped_nodes(object);
    if !jobs.is_empty() {
        spec.insert("jobs".to_owned(), Json::Object(jobs));
    }
    spec
}

/// The nodes of a pipeline component as the schema dumps them, with their components in place.
fn dumped_nodes(pipeline: &Object) -> Fields {
    let dumped = |name: &str, node: &Object| match grammar().class(node.class).is("AutoMLNode") {
        true => automl::dumped(name, node),
        false => Json::Object(dumped_node(pipeline, node)),
    };
    check_nodes(pipeline).map(|(entry, node)| (entry.key.clone(), dumped(&entry.key, node))).collect()
}

fn dumped_node(pipeline: &Object, node: &Object) -> Fields {
    if matches!(node.class, "IfElse" | "DoWhile" | "ParallelFor") {
        return control_flow::dumped(node);
    }
    let mut fields = Fields::new();
    fields.insert("type".to_owned(), json!(kind(node)));
    let named = node.get("component").or_else(|| node.get("trial"));
    let component = named.and_then(Value::object);
    let declared = |side: &str| component.filter(|c| side != "inputs" || !is_flow(c)).map(|c| c.map(side));
    let known = |side: &str, key: &str| declared(side).is_none_or(|ports| ports.iter().any(|p| p.key == key));
    let inputs: Fields = node
        .map("inputs")
        .iter()
        .filter(|i| known("inputs", &i.key))
        .map(|i| (i.key.clone(), dumped_input(&i.value)))
        .collect();
    let outputs: Fields = node
        .map("outputs")
        .iter()
        .filter(|o| known("outputs", &o.key) && !o.value.is_null())
        .map(|o| (o.key.clone(), o.value.object().map_or_else(|| plain(&o.value), |o| Json::Object(dump::object(o)))))
        .collect();
    for name in ["compute", "environment_variables", "resources", "distribution", "limits", "comment", "properties"] {
        put(&mut fields, name, dump::field(node, name));
    }
    for name in ["display_name", "description", "tags"] {
        put(&mut fields, name, get(node, name));
    }
    fields.insert("inputs".to_owned(), Json::Object(inputs));
    fields.insert("outputs".to_owned(), Json::Object(outputs));
    let key = if node.get("trial").is_some() { "trial" } else { "component" };
    let inner = match named {
        Some(value) => match value.object() {
            Some(object) if object.class.ends_with("PipelineComponent") => {
                Some(Json::Object(pipeline_spec(object, Paths::Absolute)))
            }
            Some(object) => Some(Json::Object(spec(object, Paths::Absolute))),
            None => dump::field(node, key),
        },
        None => Some(Json::Object(inline::made(pipeline, node, Paths::Absolute))),
    };
    put(&mut fields, key, inner);
    match without_empty(Json::Object(fields)) {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}

fn dumped_input(value: &Value) -> Json {
    match value.object() {
        Some(object) if object.class == "InputLiteralValue" => json!(object.get("value").map(python_str)),
        Some(object) => {
            let mut fields = dump::object(object);
            if object.text("path").is_some_and(|p| p.starts_with("${{")) {
                fields.remove("type");
            } else if !fields.contains_key("type") {
                fields.insert("type".to_owned(), json!("uri_folder"));
            }
            Json::Object(fields)
        }
        None => match value.text() {
            Some(text) if text.starts_with("${{parent.") => json!({ "path": text }),
            _ => plain(value),
        },
    }
}
