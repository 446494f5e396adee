//! Conditions and loops (reference, sections 2.12 and 8.3): only what their schemas dump.

use serde_json::{Value as Json, json};

use super::super::value::{Data, Entry, Object, Value};
use super::super::{body_name, check_nodes, port_name};
use super::fields::{Fields, plain, put};
use super::{dump, io, python};

/// The body of a node that controls others.
pub(super) fn body(pipeline: &Object, node: &Object) -> Json {
    let mut fields = dumped(node);
    if node.class == "ParallelFor" {
        put(&mut fields, "items", node.get("items").map(items));
        let name = node.text("body").and_then(body_name);
        let body = check_nodes(pipeline).find(|(e, _)| Some(e.key.as_str()) == name).map(|(_, body)| body);
        let component = body.and_then(|b| b.get("component")).and_then(Value::object);
        let declared = component.map(|c| c.map("outputs"));
        let written = node.map("outputs").iter().filter(|o| !o.value.is_null());
        let written = written.filter(|o| declared.is_none_or(|all| all.iter().any(|p| p.key == o.key)));
        let outputs: Vec<Entry> = written.cloned().collect();
        fields.remove("outputs");
        if !outputs.is_empty() {
            fields.insert("outputs".to_owned(), Json::Object(io::node_outputs(&outputs, None)));
        }
    }
    fields.insert("_source".to_owned(), json!("YAML.JOB"));
    Json::Object(fields)
}

/// The node as its schema dumps it, within the specification of a pipeline component.
pub(super) fn dumped(node: &Object) -> Fields {
    let mut fields = Fields::new();
    let (kind, names): (&str, &[&str]) = match node.class {
        "IfElse" => ("if_else", &["condition"]),
        "DoWhile" => ("do_while", &["limits"]),
        _ => ("parallel_for", &["max_concurrency", "outputs"]),
    };
    fields.insert("type".to_owned(), json!(kind));
    for name in names {
        put(&mut fields, name, dump::field(node, name));
    }
    for block in ["true_block", "false_block"] {
        put(&mut fields, block, node.get(block).filter(|_| kind == "if_else").map(simplified));
    }
    let Some(body) = node.text("body") else { return fields };
    let body = body_name(body).unwrap_or(body);
    fields.insert("body".to_owned(), json!(format!("${{{{parent.jobs.{body}}}}}")));
    if kind == "parallel_for" {
        put(&mut fields, "items", node.get("items").map(items));
        return fields;
    }
    put(&mut fields, "condition", node.text("condition").map(|c| json!(port_name(c, body, "outputs"))));
    let mapping = node.map("mapping").iter().map(|e| (port_name(&e.key, body, "outputs").to_owned(), inputs(e, body)));
    fields.insert("mapping".to_owned(), Json::Object(mapping.collect()));
    fields
}

/// A block of one node is that node.
fn simplified(value: &Value) -> Json {
    match value.list() {
        Some([one]) => plain(one),
        _ => plain(value),
    }
}

/// The inputs that an output of the body goes to.
fn inputs(pair: &Entry, body: &str) -> Json {
    let all = pair.value.list().unwrap_or(std::slice::from_ref(&pair.value));
    all.iter().filter_map(Value::text).map(|t| json!(port_name(t, body, "inputs"))).collect()
}

/// The items as JSON text; an expression as it is.
fn items(value: &Value) -> Json {
    let mut text = String::new();
    match &value.data {
        Data::Text(written) => match serde_json::from_str(written) {
            Ok(Json::Array(all)) => python::json_text(&all.into_iter().map(read).collect(), &mut text),
            Ok(Json::Object(all)) => {
                python::json_text(&Json::Object(all.into_iter().map(|(k, v)| (k, read(v))).collect()), &mut text);
            }
            _ => text.clone_from(written),
        },
        Data::List(all) => python::json_text(&all.iter().map(item).collect(), &mut text),
        _ => {
            let all = value.map().unwrap_or_default().iter().map(|e| (e.key.clone(), item(&e.value)));
            python::json_text(&Json::Object(all.collect()), &mut text);
        }
    }
    json!(text)
}

fn item(value: &Value) -> Json {
    let fields = value.map().unwrap_or_default().iter().map(|e| (e.key.clone(), input(&e.value)));
    Json::Object(fields.collect())
}

/// Values are unchanged; data has the form of a node's input, its path first.
fn input(value: &Value) -> Json {
    match value.object() {
        Some(object) if object.class == "InputLiteralValue" => object.get("value").map(plain).unwrap_or_default(),
        Some(object) => data(object.text("path"), object.text("mode"), object.text("type")),
        None => plain(value),
    }
}

fn data(path: Option<&str>, mode: Option<&str>, kind: Option<&str>) -> Json {
    let mut fields = Fields::new();
    put(&mut fields, "uri", path.map(|p| json!(p)));
    put(&mut fields, "mode", mode.map(|m| json!(io::mode(m))));
    fields.insert("job_input_type".to_owned(), json!(kind.unwrap_or("uri_folder")));
    Json::Object(fields)
}

/// An item that was written in JSON.
fn read(item: Json) -> Json {
    let Json::Object(fields) = item else { return item };
    let input = |value: Json| match &value {
        Json::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Json::as_str);
            let path = text("path").map(|p| p.strip_prefix("azureml:").filter(|p| !p.starts_with("//")).unwrap_or(p));
            data(path, text("mode"), text("type"))
        }
        _ => value,
    };
    Json::Object(fields.into_iter().map(|(key, value)| (key, input(value))).collect())
}
