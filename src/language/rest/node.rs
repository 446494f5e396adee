//! The nodes of a pipeline (reference, sections 8.2 and 8.3), and the components that the SDK makes of those written in
//! place (section 3.7).

use serde_json::{Value as Json, json};

use super::super::check_nodes;
use super::super::grammar::grammar;
use super::super::make::bytes_of;
use super::super::value::{Data, Object, Value};
use super::component::{ANONYMOUS, Paths, inherited, mapping};
use super::io::Case;
use super::{
    Fields, automl, command, component, control_flow, data_transfer, dump, environment, get, io, plain, put, python,
    python_str, spark, sweep, without_empty,
};
use crate::yaml::Literal;

/// The body of a node.
pub(super) fn body(pipeline: &Object, name: &str, node: &Object) -> Result<Json, String> {
    if grammar().class(node.class).is("AutoMLNode") {
        return Ok(automl::node(name, node));
    }
    if matches!(node.class, "IfElse" | "DoWhile" | "ParallelFor") {
        return Ok(control_flow::body(pipeline, node));
    }
    let mut fields = Fields::new();
    let kind = kind(node);
    let named = node.get("component").or_else(|| node.get("trial"));
    let component = named.and_then(Value::object);
    let in_place = node.class.starts_with("Inline");
    let declared = |side: &str| component.map(|c| c.map(side));
    fields.insert("name".to_owned(), json!(name));
    fields.insert("type".to_owned(), json!(kind));
    put(&mut fields, "display_name", get(node, "display_name"));
    put(&mut fields, "tags", mapping(node.get("tags")));
    put(&mut fields, "properties", mapping(node.get("properties")));
    put(&mut fields, "computeId", get(node, "compute"));
    put(&mut fields, "comment", get(node, "comment"));
    fields.insert("inputs".to_owned(), Json::Object(io::inputs(node.map("inputs"), declared("inputs"), Case::Snake)?));
    fields.insert("outputs".to_owned(), Json::Object(io::node_outputs(node.map("outputs"), declared("outputs"))));
    let built_in = data_transfer::built_in(node);
    let source = match named {
        None if built_in.is_some() => "BUILTIN",
        None => "YAML.JOB",
        Some(value) => match value.object() {
            Some(object) => component::source(object),
            None if value.text().is_some_and(|t| t.starts_with("azureml://registries/")) => "REMOTE.REGISTRY",
            None => "REMOTE.WORKSPACE.COMPONENT",
        },
    };
    fields.insert("_source".to_owned(), json!(source));
    if kind != "sweep" {
        let id = match named {
            Some(value) => match value.object() {
                Some(object) => component::id(object),
                None => value.text().unwrap_or_default().to_owned(),
            },
            None => match built_in {
                Some(id) => id.to_owned(),
                None => {
                    let spec = made(pipeline, node, Paths::AsWritten);
                    python::yaml_dump(&Json::Object(spec), false)
                }
            },
        };
        fields.insert("componentId".to_owned(), json!(id));
    }
    match kind {
        "command" => command_fields(node, component, in_place, &mut fields),
        "parallel" => parallel_fields(node, component, &mut fields),
        "sweep" => sweep::node(node, &mut fields),
        "spark" => spark::node(node, component, &mut fields),
        "data_transfer" => data_transfer::node(node, component, &mut fields),
        _ => {}
    }
    unknown(node, &mut fields);
    let mut body = without_empty(Json::Object(fields));
    if kind == "sweep" {
        body["trial"] = sweep::trial(node);
    }
    Ok(body)
}

fn kind(node: &Object) -> &'static str {
    match node.class {
        "CommandNode" | "InlineCommandNode" => "command",
        "ParallelNode" | "InlineParallelNode" => "parallel",
        "SweepNode" => "sweep",
        "PipelineNode" => "pipeline",
        "SparkNode" | "InlineSparkNode" => "spark",
        "ImportNode" | "InlineImportNode" => "import",
        _ => "data_transfer",
    }
}

/// Fields that the SDK takes as arguments of its own though the grammar of a node does not name them.
const TAKEN: [&str; 8] =
    ["name", "display_name", "description", "tags", "experiment_name", "version", "settings", "$schema"];

/// Unknown fields of a node that names a component go along as they are.
fn unknown(node: &Object, fields: &mut Fields) {
    let class = grammar().class(node.class);
    for entry in &node.fields {
        if class.field(&entry.key).is_none() && !TAKEN.contains(&entry.key.as_str()) && !fields.contains_key(&entry.key)
        {
            fields.insert(entry.key.clone(), plain(&entry.value));
        }
    }
}

fn command_fields(node: &Object, component: Option<&Object>, in_place: bool, fields: &mut Fields) {
    put(fields, "environment_variables", mapping(node.get("environment_variables")));
    let inherited = |name: &str| if in_place { node.get(name) } else { inherited(node, component, name) };
    if let Some(distribution) = inherited("distribution").and_then(Value::object) {
        fields.insert("distribution".to_owned(), Json::Object(command::distribution(distribution, true)));
    }
    if let Some(resources) = inherited("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(command::resources(resources, true)));
    }
    if let Some(limits) = node.get("limits").and_then(Value::object) {
        fields.insert("limits".to_owned(), Json::Object(command::node_limits(limits)));
    }
    if let Some(queue) = node.get("queue_settings").and_then(Value::object) {
        fields.insert("queue_settings".to_owned(), Json::Object(command::queue_settings(queue, true)));
    }
    if let Some(identity) = node.get("identity").and_then(Value::object) {
        fields.insert("identity".to_owned(), Json::Object(command::identity(identity, true)));
    }
    let services =
        node.map("services").iter().filter_map(|s| Some((s.key.clone(), command::service(s.value.object()?, true))));
    let services: Fields = services.collect();
    if !services.is_empty() {
        fields.insert("services".to_owned(), Json::Object(services));
    }
}

fn parallel_fields(node: &Object, component: Option<&Object>, fields: &mut Fields) {
    for name in ["input_data", "max_concurrency_per_instance", "mini_batch_error_threshold"] {
        put(fields, name, inherited(node, component, name).map(plain));
    }
    for name in ["error_threshold", "logging_level"] {
        put(fields, name, get(node, name));
    }
    put(fields, "environment_variables", mapping(node.get("environment_variables")));
    let size = inherited(node, component, "mini_batch_size").and_then(Value::text);
    let size = match size {
        Some(text) => bytes_of(text).map_or_else(|| json!(text), Json::from),
        None if node.get("component").is_none() || component.is_some() => json!(0),
        None => Json::Null,
    };
    put(fields, "mini_batch_size", Some(size));
    if let Some(resources) = inherited(node, component, "resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(command::resources(resources, true)));
    }
    if let Some(retry) = inherited(node, component, "retry_settings").and_then(Value::object) {
        fields.insert("retry_settings".to_owned(), Json::Object(dump::object(retry)));
    }
    if let Some(keys) = inherited(node, component, "partition_keys").map(plain) {
        let mut text = String::new();
        python::json_dumps(&keys, &mut text);
        fields.insert("partition_keys".to_owned(), json!(text));
    }
    if let Some(identity) = node.get("identity").and_then(Value::object) {
        fields.insert("identity".to_owned(), Json::Object(command::identity(identity, true)));
    }
    if let Some(task) = inherited(node, component, "task").and_then(Value::object) {
        fields.insert("task".to_owned(), Json::Object(dump::object(task)));
    }
}

/// The nodes of a pipeline component as the schema dumps them, with their components in place.
pub(super) fn dumped(pipeline: &Object) -> Fields {
    check_nodes(pipeline).map(|(entry, node)| (entry.key.clone(), Json::Object(dumped_node(pipeline, node)))).collect()
}

fn dumped_node(pipeline: &Object, node: &Object) -> Fields {
    if matches!(node.class, "IfElse" | "DoWhile" | "ParallelFor") {
        return control_flow::dumped(node);
    }
    let mut fields = Fields::new();
    fields.insert("type".to_owned(), json!(kind(node)));
    let named = node.get("component").or_else(|| node.get("trial"));
    let declared = |side: &str| named.and_then(Value::object).map(|c| c.map(side));
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
                Some(Json::Object(component::pipeline_spec(object, Paths::Absolute)))
            }
            Some(object) => Some(Json::Object(component::spec(object, Paths::Absolute))),
            None => dump::field(node, key),
        },
        None => Some(Json::Object(made(pipeline, node, Paths::Absolute))),
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

/// The component that the SDK makes of a node written in place.
fn made(pipeline: &Object, node: &Object, paths: Paths) -> Fields {
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
        fields.insert("environment".to_owned(), environment::dump(object));
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
