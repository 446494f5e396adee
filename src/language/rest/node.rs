//! The nodes of a pipeline (reference, sections 8.2 and 8.3).

use serde_json::{Value as Json, json};

use super::super::flow::is_flow;
use super::super::grammar::grammar;
use super::super::post_load::bytes_of;
use super::super::value::{Object, Value};
use super::fields::{Fields, get, plain, put, without_empty};
use super::io::Case;
use super::node_kind::kind;
use super::reference::{Paths, inherited, mapping, source};
use super::{automl, control_flow, data_transfer, dump, inline, io, pipeline_spec, python, settings, spark, sweep};

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
    let declared = |side: &str| component.filter(|c| side != "inputs" || !is_flow(c)).map(|c| c.map(side));
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
    let origin = match named {
        None if built_in.is_some() => "BUILTIN",
        None => "YAML.JOB",
        Some(value) => match value.object() {
            Some(object) => source(object),
            None if value.text().is_some_and(|t| t.starts_with("azureml://registries/")) => "REMOTE.REGISTRY",
            None => "REMOTE.WORKSPACE.COMPONENT",
        },
    };
    fields.insert("_source".to_owned(), json!(origin));
    if kind != "sweep" {
        let id = match named {
            Some(value) => match value.object() {
                Some(object) => pipeline_spec::id(object),
                None => value.text().unwrap_or_default().to_owned(),
            },
            None => match built_in {
                Some(id) => id.to_owned(),
                None => {
                    let spec = inline::made(pipeline, node, Paths::AsWritten);
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

/// Fields that the SDK takes as arguments of its own though the grammar of a node does not name them.
const TAKEN: [&str; 8] =
    ["name", "display_name", "description", "tags", "experiment_name", "version", "settings", "$schema"];

/// Unknown fields of a node that names a component are sent unchanged.
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
        fields.insert("distribution".to_owned(), Json::Object(settings::distribution(distribution, true)));
    }
    if let Some(resources) = inherited("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(settings::resources(resources, true)));
    }
    if let Some(limits) = node.get("limits").and_then(Value::object) {
        fields.insert("limits".to_owned(), Json::Object(settings::node_limits(limits)));
    }
    if let Some(queue) = node.get("queue_settings").and_then(Value::object) {
        fields.insert("queue_settings".to_owned(), Json::Object(settings::queue_settings(queue, true)));
    }
    if let Some(identity) = node.get("identity").and_then(Value::object) {
        fields.insert("identity".to_owned(), Json::Object(settings::identity(identity, true)));
    }
    let services =
        node.map("services").iter().filter_map(|s| Some((s.key.clone(), settings::service(s.value.object()?, true))));
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
    put(fields, "mini_batch_size", Some(size).filter(|_| !component.is_some_and(is_flow)));
    if let Some(resources) = inherited(node, component, "resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(settings::resources(resources, true)));
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
        fields.insert("identity".to_owned(), Json::Object(settings::identity(identity, true)));
    }
    if let Some(task) = inherited(node, component, "task").and_then(Value::object) {
        fields.insert("task".to_owned(), Json::Object(dump::object(task)));
    }
}
