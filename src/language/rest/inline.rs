//! The component that the SDK makes of a node written in place (reference, section 3.7): its ports have the types of
//! what they are bound to.

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::grammar::grammar;
use super::super::post_load::bytes_of;
use super::super::value::{Data, Object, Value};
use super::fields::{Fields, get, put, python_str, without_empty};
use super::node_kind::kind;
use super::reference::{ANONYMOUS, Paths};
use super::{dump, spark};
use crate::yaml::Literal;

/// The component that the SDK makes of a node written in place.
pub(super) fn made(pipeline: &Object, node: &Object, paths: Paths) -> Fields {
    let mut fields = Fields::new();
    fields.insert("name".to_owned(), json!(ANONYMOUS));
    fields.insert("version".to_owned(), json!("1"));
    put(&mut fields, "description", get(node, "description"));
    put(&mut fields, "tags", get(node, "tags"));
    fields.insert("type".to_owned(), json!(kind(node)));
    let inputs = node.map("inputs").iter().map(|i| (i.key.clone(), made_input(pipeline, &i.value)));
    fields.insert("inputs".to_owned(), Json::Object(inputs.collect()));
    let outputs = node.map("outputs").iter().map(|o| (o.key.clone(), made_output(pipeline, &o.value)));
    fields.insert("outputs".to_owned(), Json::Object(outputs.collect()));
    let names: &[&str] = match node.class {
        "InlineParallelNode" => &[
            "input_data",
            "logging_level",
            "max_concurrency_per_instance",
            "mini_batch_error_threshold",
            "error_threshold",
            "partition_keys",
            "retry_settings",
            "resources",
            "task",
        ],
        "InlineSparkNode" => &["code", "entry", "py_files", "jars", "files", "archives", "conf", "args", "environment"],
        "InlineCommandNode" => &["command", "code", "environment", "resources", "distribution"],
        _ => &["task", "data_copy_mode"],
    };
    for name in names {
        put(&mut fields, name, dump::field(node, name));
    }
    if node.class == "InlineParallelNode" {
        let size = node.text("mini_batch_size").unwrap_or("0");
        let size = bytes_of(size).map_or_else(|| size.to_owned(), |n| n.to_string());
        fields.insert("mini_batch_size".to_owned(), json!(size));
    }
    if let Some(Json::Object(conf)) = fields.get_mut("conf") {
        spark::first_executors(conf);
    }
    if let Some(object) = node.get("environment").and_then(Value::object) {
        fields.insert("environment".to_owned(), dump::environment(object));
    }
    if paths == Paths::AsWritten {
        put(&mut fields, "code", get(node, "code"));
        if let Some(code) = node.get("task").and_then(Value::object).and_then(|t| get(t, "code"))
            && let Some(Json::Object(task)) = fields.get_mut("task")
        {
            task.insert("code".to_owned(), code);
        }
    }
    fields.insert("is_deterministic".to_owned(), json!(true));
    match without_empty(Json::Object(fields)) {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// The port that an input of a node written in place amounts to.
fn made_input(pipeline: &Object, value: &Value) -> Json {
    let mut fields = Fields::new();
    if let Some(object) = value.object() {
        if object.class == "InputLiteralValue" {
            return object.get("value").map(|v| made_input(pipeline, v)).unwrap_or_default();
        }
        fields.insert("type".to_owned(), json!(object.text("type").unwrap_or("uri_folder")));
        put(&mut fields, "mode", get(object, "mode"));
        return Json::Object(fields);
    }
    let text = value.text().unwrap_or_default();
    let bound = ["${{parent.inputs.", "${{parent.jobs."].iter().any(|p| text.starts_with(p)) && text.ends_with("}}");
    if bound {
        let (kind, mode) = bound_type(pipeline, text);
        fields.insert("type".to_owned(), json!(kind));
        put(&mut fields, "mode", mode.map(Json::from));
        return Json::Object(fields);
    }
    fields.insert("type".to_owned(), json!(literal_type(value)));
    fields.insert("default".to_owned(), json!(python_str(value)));
    Json::Object(fields)
}

fn literal_type(value: &Value) -> &'static str {
    match value.literal() {
        Some(Literal::Bool(_)) => "boolean",
        Some(Literal::Int(_)) => "integer",
        Some(Literal::Float(_)) => "number",
        _ => "string",
    }
}

/// The type and mode of what an expression refers to.
fn bound_type(pipeline: &Object, text: &str) -> (String, Option<String>) {
    let inner = text.trim_start_matches("${{").trim_end_matches("}}");
    let parts: Vec<&str> = inner.split('.').collect();
    match parts.as_slice() {
        ["parent", side @ ("inputs" | "outputs"), name] => {
            let port = pipeline.map(side).iter().find(|p| p.key == *name);
            match port.map(|p| &p.value) {
                Some(value) => match value.object() {
                    Some(object) => {
                        (object.text("type").unwrap_or("uri_folder").to_owned(), object.text("mode").map(str::to_owned))
                    }
                    None if value.is_null() => ("uri_folder".to_owned(), None),
                    None => (literal_type(value).to_owned(), None),
                },
                None => ("uri_folder".to_owned(), None),
            }
        }
        ["parent", "jobs", node, side, name] => (produced_type(pipeline, node, side, name), None),
        _ => ("uri_folder".to_owned(), None),
    }
}

fn produced_type(pipeline: &Object, node: &str, side: &str, name: &str) -> String {
    let folder = || "uri_folder".to_owned();
    let Some((_, producer)) = check_nodes(pipeline).find(|(e, _)| e.key == node) else { return folder() };
    if grammar().class(producer.class).is("AutoMLNode") {
        return "mltable".to_owned();
    }
    let component = producer.get("component").or_else(|| producer.get("trial")).and_then(Value::object);
    if let Some(component) = component {
        let port = component.map(side).iter().find(|p| p.key == name).and_then(|p| p.value.object());
        return port.and_then(|p| p.text("type")).map_or_else(folder, str::to_owned);
    }
    let Some(port) = producer.map(side).iter().find(|p| p.key == name) else { return folder() };
    match &port.value.data {
        Data::Object(object) => object.text("type").map_or_else(folder, str::to_owned),
        Data::Text(text) if text.starts_with("${{parent.") => bound_type(pipeline, text).0,
        Data::Null => folder(),
        _ if side == "outputs" => "string".to_owned(),
        _ => literal_type(&port.value).to_owned(),
    }
}

/// The port that an output of a node written in place amounts to.
fn made_output(pipeline: &Object, value: &Value) -> Json {
    let mut fields = Fields::new();
    match &value.data {
        Data::Object(object) => {
            fields.insert("type".to_owned(), json!(object.text("type").unwrap_or("uri_folder")));
            put(&mut fields, "mode", get(object, "mode"));
        }
        Data::Text(text) if text.starts_with("${{parent.outputs.") => {
            let (kind, mode) = bound_type(pipeline, text);
            fields.insert("type".to_owned(), json!(kind));
            put(&mut fields, "mode", mode.map(Json::from));
        }
        Data::Text(_) => {
            fields.insert("type".to_owned(), json!("string"));
        }
        _ => {
            fields.insert("type".to_owned(), json!("uri_folder"));
        }
    }
    Json::Object(fields)
}
