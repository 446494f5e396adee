//! Inputs and outputs of jobs and nodes (reference, sections 3.2-3.5, 8.1 and 8.2).

use serde_json::{Value as Json, json};

use super::super::value::{Entry, Object, Value};
use super::fields::{Fields, plain, put, python_str};

/// How fields are called: jobs are in camel case, the nodes of a pipeline in snake case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// `jobInputType`
    Camel,
    /// `job_input_type`
    Snake,
}

impl Case {
    fn pick(self, camel: &'static str, snake: &'static str) -> &'static str {
        if self == Self::Camel { camel } else { snake }
    }
}

/// The inputs of a job or a node. With `declared`, only those that the component declares.
///
/// # Errors
/// An input has the form of an expression before the first release.
pub(super) fn inputs(given: &[Entry], declared: Option<&[Entry]>, case: Case) -> Result<Fields, String> {
    let mut fields = Fields::new();
    for entry in given {
        let port = declared.map(|ports| ports.iter().find(|p| p.key == entry.key));
        if matches!(port, Some(None)) {
            continue;
        }
        let body = match port.flatten().and_then(|p| data_type(p)).zip(entry.value.text()) {
            // Text for a port of data is its path, unless it is an expression.
            Some((kind, path)) if !path.contains("${{") => json!({ "job_input_type": kind, "uri": path }),
            _ => input(&entry.value, case)?,
        };
        fields.insert(entry.key.clone(), body);
    }
    Ok(fields)
}

/// The type of a declared port of data.
fn data_type(port: &Entry) -> Option<&str> {
    port.value.object().filter(|o| o.class == "InputPort").and_then(|o| o.text("type"))
}

/// One input.
pub(super) fn input(value: &Value, case: Case) -> Result<Json, String> {
    let kind = case.pick("jobInputType", "job_input_type");
    let Some(data) = value.object() else {
        let text = python_str(value);
        legacy(&text)?;
        return Ok(json!({ kind: "literal", "value": text }));
    };
    if data.class == "InputLiteralValue" {
        return Ok(json!({ kind: "literal", "value": data.get("value").map(literal).unwrap_or_default() }));
    }
    let mode = data.text("mode").map(mode);
    let mut fields = Fields::new();
    let path = data.text("path");
    if let Some(path) = path {
        legacy(path)?;
    }
    match path.filter(|p| is_bound(p)) {
        Some(path) => {
            fields.insert(kind.to_owned(), json!("literal"));
            fields.insert("value".to_owned(), json!(path));
            if case == Case::Snake {
                put(&mut fields, "mode", mode.map(Json::from));
            }
        }
        None => {
            fields.insert(kind.to_owned(), json!(data.text("type").unwrap_or("uri_folder")));
            put(&mut fields, "uri", path.map(Json::from));
            put(&mut fields, "mode", mode.map(Json::from));
        }
    }
    Ok(Json::Object(fields))
}

/// `{value: x}` takes the first of text, boolean, integer and number that fits: `1` is true, `1.5` is 1.
fn literal(value: &Value) -> String {
    python_str(value)
}

/// Whether a path is an expression and nothing else.
fn is_bound(path: &str) -> bool {
    path.starts_with("${{") && path.ends_with("}}") && !path.contains(char::is_whitespace)
        || path.starts_with("${{parent.inputs.") && path.ends_with("}}")
        || path.starts_with("${{parent.jobs.") && path.ends_with("}}")
}

fn legacy(text: &str) -> Result<(), String> {
    if ["${{inputs.", "${{jobs."].iter().any(|p| text.starts_with(p)) && text.ends_with("}}") {
        return Err(format!("'{text}' is the syntax of an older release: use {}", text.replace("${{", "${{parent.")));
    }
    Ok(())
}

/// The word for a mode.
pub(super) fn mode(text: &str) -> &'static str {
    match text {
        "ro_mount" => "ReadOnlyMount",
        "rw_mount" | "mount" => "ReadWriteMount",
        "download" => "Download",
        "upload" => "Upload",
        "eval_mount" => "EvalMount",
        "eval_download" => "EvalDownload",
        _ => "Direct",
    }
}

/// The outputs of a job.
pub(super) fn job_outputs(given: &[Entry]) -> Fields {
    given.iter().map(|e| (e.key.clone(), output(e.value.object(), Case::Camel))).collect()
}

/// The outputs of a node. With `declared`, only those that the component declares; those without a word are left out.
pub(super) fn node_outputs(given: &[Entry], declared: Option<&[Entry]>) -> Fields {
    let mut fields = Fields::new();
    for entry in given {
        let port = declared.map(|ports| ports.iter().find(|p| p.key == entry.key));
        if matches!(port, Some(None)) || entry.value.is_null() {
            continue;
        }
        let file = port.flatten().and_then(|p| p.value.object()).and_then(|p| p.text("type")) == Some("uri_file");
        fields.insert(entry.key.clone(), node_output(&entry.value, file));
    }
    fields
}

fn node_output(value: &Value, file: bool) -> Json {
    if let Some(text) = value.text() {
        if text.starts_with("${{parent.outputs.") {
            return json!({ "type": "literal", "value": text });
        }
        return json!({ "job_output_type": "uri_folder", "uri": text });
    }
    let Some(object) = value.object() else { return plain(value) };
    if let Some(path) = object.text("path").filter(|p| p.starts_with("${{parent.outputs.") && p.ends_with("}}")) {
        let mut fields = Fields::new();
        fields.insert("type".to_owned(), json!("literal"));
        fields.insert("value".to_owned(), json!(path));
        put(&mut fields, "mode", object.text("mode").map(mode).map(Json::from));
        put(&mut fields, "name", object.get("name").map(plain));
        put(&mut fields, "version", object.get("version").map(plain));
        return Json::Object(fields);
    }
    let mut json = output(Some(object), Case::Snake);
    if file && let Json::Object(fields) = &mut json {
        fields.insert("job_output_type".to_owned(), json!("uri_file"));
    }
    json
}

fn output(object: Option<&Object>, case: Case) -> Json {
    let mut fields = Fields::new();
    let kind = object.and_then(|o| o.text("type")).unwrap_or("uri_folder");
    fields.insert(case.pick("jobOutputType", "job_output_type").to_owned(), json!(kind));
    if let Some(object) = object {
        put(&mut fields, "mode", object.text("mode").map(mode).map(Json::from));
        put(&mut fields, "uri", object.get("path").map(plain));
        put(&mut fields, case.pick("assetName", "name"), object.get("name").map(plain));
        put(&mut fields, case.pick("assetVersion", "version"), object.get("version").map(plain));
    }
    Json::Object(fields)
}
