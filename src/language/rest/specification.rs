//! The specification of a component, as the SDK dumps it (reference, section 8.3).

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::grammar::grammar;
use super::super::post_load::bytes_of;
use super::super::value::{Entry, Object, Value};
use super::dump;
use super::fields::{Fields, get, plain, put, python_str, without_empty};
use super::reference::{ANONYMOUS, Paths};
use crate::yaml::{Literal, scalar};

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
        // Unknown fields are kept unchanged, empty or not.
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
        for (_, node) in check_nodes(pipeline) {
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
