//! What the SDK checks when it builds an object from fields that fit (marshmallow's `post_load`): names, defaults,
//! files that an environment names, fields that exclude or need each other (reference, sections 1.7, 2.6-2.11, 3.3,
//! 3.6).

use std::collections::HashSet;

use super::cursor::{Cursor, Scope};
use super::files;
use super::value::{Object, Value};
use crate::diagnostic::Diagnostic;
use crate::yaml::{Literal, scalar};

/// What is wrong with an object whose fields all fit.
pub(super) fn object(object: &Object, at: Cursor<'_>, scope: &Scope) -> Vec<Diagnostic> {
    match object.class {
        "Output" => output(object, at),
        "Data" => data(object, at),
        "AnonymousEnvironment" | "Environment" => environment(object, at, scope),
        "Parameter" => parameter(object, at),
        "InputPort" => port(object, at),
        "ParallelNode" | "InlineParallelNode" | "ParallelComponent" | "AnonymousParallelComponent" => {
            mini_batch_size(object, at)
        }
        "FlowRun" => super::flow::definition(object, at, scope),
        "PipelineJob" => jobs_or_component(object, at),
        "DistillationJob" => distillation(object, at),
        class if class.starts_with("Spark") || class == "InlineSparkNode" || class == "AnonymousSparkComponent" => {
            duplicates(object, at)
        }
        class if class.contains("DataTransfer") => data_transfer(object, at),
        _ => Vec::new(),
    }
}

fn output(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    if let Some(value) = object.get("name")
        && let Some(name) = value.text()
    {
        let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') && name.len() <= 255;
        if !fits {
            faults.push(
                Diagnostic::error("bad-name", value.span, format!("'{name}' is not a valid asset name"))
                    .at(at.key("name").to_string())
                    .help("use at most 255 letters, digits, '-' and '_'"),
            );
        }
    }
    if let Some(entry) = object.entry("version")
        && !entry.value.is_empty()
        && object.get("name").is_none_or(Value::is_empty)
    {
        faults.push(
            Diagnostic::error("missing-field", entry.key_span, "an output with a version needs a name")
                .at(at.key("name").to_string())
                .help("add the name to register the output with, for example name: my_data"),
        );
    }
    faults
}

/// A version belongs to a name.
fn data(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let Some(version) = object.entry("version").filter(|v| !v.value.is_null()) else { return Vec::new() };
    if object.get("name").is_some_and(|n| !n.is_empty()) {
        return Vec::new();
    }
    vec![
        Diagnostic::error("missing-field", version.key_span, "data with a version needs the field 'name'")
            .at(at.key("name").to_string())
            .help("add name: <name>, or remove the version"),
    ]
}

/// An environment's conda file must be there and be YAML; a binding is not allowed.
fn environment(object: &Object, at: Cursor<'_>, scope: &Scope) -> Vec<Diagnostic> {
    let Some(conda) = object.get("conda_file").filter(|v| !v.is_empty()) else { return Vec::new() };
    let here = at.key("conda_file");
    let Some(text) = conda.text() else {
        if conda.map().is_some() {
            return Vec::new();
        }
        let message = "'conda_file' must be the path of a conda file, or its content as a mapping";
        return vec![Diagnostic::error("wrong-type", conda.span, message).at(here.to_string())];
    };
    let path = files::tidy(&scope.base.join(text));
    if !path.is_file() {
        return vec![files::missing(&path, text, "conda file", conda.span, here)];
    }
    let content = std::fs::read_to_string(&path).map_err(|e| e.to_string());
    match content.and_then(|c| serde_yaml::from_str::<serde_yaml::Value>(&c).map_err(|e| e.to_string())) {
        Ok(_) => Vec::new(),
        Err(why) => {
            let message = format!("the conda file '{text}' is not valid YAML: {why}");
            vec![Diagnostic::error("bad-environment", conda.span, message).at(here.to_string())]
        }
    }
}

/// A declared parameter: its default, smallest and greatest value must be of its type (reference, section 3.6).
fn parameter(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let kind = object.text("type").unwrap_or_default();
    let mut faults = Vec::new();
    if let Some(entry) = object.entry("default")
        && !parses(&entry.value, kind)
    {
        faults.push(bad_default(&entry.value, "default", kind, at));
    }
    for name in ["min", "max"] {
        let Some(entry) = object.entry(name) else { continue };
        if !matches!(kind, "integer" | "number") {
            let message = format!("an input of type '{kind}' cannot have '{name}'");
            faults.push(
                Diagnostic::error("bad-default", entry.key_span, message)
                    .at(at.key(name).to_string())
                    .help("remove it: only integers and numbers can have 'min' and 'max'"),
            );
        } else if !parses(&entry.value, kind) {
            faults.push(bad_default(&entry.value, name, kind, at));
        }
    }
    faults
}

fn bad_default(value: &Value, name: &str, kind: &str, at: Cursor<'_>) -> Diagnostic {
    let text = value.literal().map(|l| l.python_str()).unwrap_or_default();
    let message = format!("'{text}' is not a valid {kind} for '{name}' of an input of type '{kind}'");
    Diagnostic::error("bad-default", value.span, message).at(at.key(name).to_string())
}

/// Whether the SDK can turn a default into the type of its input.
fn parses(value: &Value, kind: &str) -> bool {
    let number = || match value.literal() {
        Some(Literal::Str(text)) => scalar::python_number(&text),
        Some(Literal::Float(x)) => Some(x),
        Some(Literal::Int(digits)) => digits.parse().ok(),
        Some(Literal::Bool(it)) => Some(f64::from(u8::from(it))),
        _ => None,
    };
    match kind {
        "integer" => number().is_some_and(f64::is_finite),
        "number" => number().is_some(),
        "boolean" => match value.literal() {
            Some(Literal::Bool(_)) => true,
            Some(literal) => matches!(literal.python_str().to_lowercase().as_str(), "true" | "false"),
            None => false,
        },
        _ => true,
    }
}

fn port(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let Some(entry) = object.entry("default").filter(|e| !e.value.is_null()) else { return Vec::new() };
    vec![
        Diagnostic::error("bad-default", entry.key_span, "a data input cannot have a default")
            .at(at.key("default").to_string())
            .help("make the input optional, or set it where the component is used"),
    ]
}

/// `10`, `10kb`, `10mb`, `10gb` (reference, section 2.8).
fn mini_batch_size(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let Some(value) = object.get("mini_batch_size") else { return Vec::new() };
    let Some(text) = value.text() else { return Vec::new() };
    if object.class.ends_with("Node") && text.starts_with("${{") || bytes_of(text).is_some() {
        return Vec::new();
    }
    vec![
        Diagnostic::error("bad-value", value.span, format!("'{text}' is not a valid mini batch size"))
            .at(at.key("mini_batch_size").to_string())
            .help("write a number of files, for example \"10\", or a size, for example \"10kb\", \"1mb\" or \"1gb\""),
    ]
}

/// The number in a mini batch size: files, or bytes with a unit.
#[must_use]
pub(super) fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let count: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].to_ascii_lowercase().as_str() {
        "" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(unit)
}

fn jobs_or_component(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let (Some(jobs), Some(component)) = (object.entry("jobs"), object.entry("component")) else { return Vec::new() };
    if jobs.value.is_empty() {
        return Vec::new();
    }
    vec![
        Diagnostic::error(
            "exclusive-fields",
            component.key_span,
            "a pipeline job has 'jobs' or a 'component', not both",
        )
        .at(at.key("component").to_string())
        .label(jobs.key_span, "'jobs' is set here")
        .help("remove one of them"),
    ]
}

fn distillation(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let labels = object.text("data_generation_type") == Some("label_generation");
    if !labels || object.get("validation_data").is_some() {
        return Vec::new();
    }
    let span = object.entry("data_generation_type").map(|e| e.value.span);
    let Some(span) = span else { return Vec::new() };
    let message = "a distillation job that generates labels needs the field 'validation_data'";
    vec![Diagnostic::error("missing-field", span, message).at(at.key("validation_data").to_string())]
}

/// Spark's lists of files name each one once.
fn duplicates(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for name in ["py_files", "jars", "files", "archives"] {
        let mut seen = HashSet::new();
        for item in object.get(name).and_then(Value::list).unwrap_or_default() {
            if let Some(text) = item.text()
                && !seen.insert(text)
            {
                let message = format!("duplicate '{text}' in '{name}'");
                faults.push(Diagnostic::error("duplicate-entry", item.span, message).at(at.key(name).to_string()));
            }
        }
    }
    faults
}

/// The ports that a data transfer may have (reference, section 2.11).
fn data_transfer(object: &Object, at: Cursor<'_>) -> Vec<Diagnostic> {
    let task = object.text("task").unwrap_or_default();
    let port = if object.class.contains("Component") { "component" } else { "node" };
    let mut faults = Vec::new();
    let mut only = |side: &str, wanted: Option<&str>| {
        let Some(entry) = object.entry(side) else { return };
        let names: Vec<&str> = entry.value.map().unwrap_or_default().iter().map(|e| e.key.as_str()).collect();
        let message = match wanted {
            Some("") if names.len() != 1 => {
                format!("a {port} with task '{task}' has exactly one output, found {}", names.len())
            }
            Some("") => return,
            Some(wanted) if names == [wanted] => return,
            Some(wanted) => format!("a {port} with task '{task}' has exactly one entry in '{side}', named '{wanted}'"),
            None => format!("a {port} with task '{task}' cannot have {side}"),
        };
        let unexpected = entry.value.map().unwrap_or_default().iter().find(|e| Some(e.key.as_str()) != wanted);
        let span = unexpected.filter(|_| wanted.is_some_and(|w| !w.is_empty())).map_or(entry.key_span, |e| e.key_span);
        faults.push(Diagnostic::error("bad-value", span, message).at(at.key(side).to_string()));
    };
    match task {
        "copy_data" if !object.class.ends_with("Node") => only("outputs", Some("")),
        "import_data" => {
            only("inputs", None);
            only("outputs", Some("sink"));
        }
        "export_data" => {
            only("inputs", Some("source"));
            only("outputs", None);
        }
        _ => {}
    }
    // Azure ML has a built-in component that exports to a database, but none that exports to files.
    if object.class == "InlineDataTransferExportNode"
        && let Some(sink) = object.entry("sink")
        && sink.value.object().is_some_and(|sink| sink.class == "FileSystem")
    {
        let message = "exporting to files is not supported, only to a database";
        faults.push(Diagnostic::error("bad-value", sink.key_span, message).at(at.key("sink").to_string()));
    }
    faults
}
