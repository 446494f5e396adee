//! What goes into a job, node or component, and what comes out.

use std::collections::HashSet;

use super::super::value::{Data, Entry, Object, Value};
use super::super::{files, scalar};
use super::model::Port;

/// The fields that give data to AutoML nodes without being inputs.
const AUTOML_DATA: [&str; 3] = ["training_data", "validation_data", "test_data"];

/// The inputs that a component declares.
pub(super) fn declared(component: &Object) -> Vec<Port> {
    component.map("inputs").iter().map(port).collect()
}

/// The inputs of a job; a pipeline job that names a component gives values to the component's own.
pub(super) fn of_job(job: &Object, body: &Object) -> Vec<Port> {
    let named = !std::ptr::eq(job, body);
    let mut ports = if named { declared(body) } else { Vec::new() };
    for entry in job.map("inputs") {
        let given = value(entry, &job.base);
        match ports.iter_mut().find(|p| p.name == entry.key) {
            Some(port) => port.value = given.value,
            None => ports.push(given),
        }
    }
    ports.extend(AUTOML_DATA.iter().filter_map(|key| job.entry(key)).map(|entry| value(entry, &job.base)));
    ports
}

/// What a node is given; `data` are the inputs of its pipeline that are files.
pub(super) fn given(node: &Object, component: Option<&Object>, data: &HashSet<&str>) -> Vec<Port> {
    let known = component.map(|c| c.map("inputs")).unwrap_or_default();
    let given = node.map("inputs");
    let place = |entry: &Entry| known.iter().position(|k| k.key == entry.key).unwrap_or(known.len());
    let mut order: Vec<&Entry> = given.iter().collect();
    order.sort_by_key(|entry| place(entry));
    order.extend(AUTOML_DATA.iter().filter_map(|key| node.entry(key)));
    let mut ports = Vec::new();
    for entry in order {
        let mut port = value(entry, &node.base);
        let bound = port.value.as_deref().and_then(scalar::only_binding);
        let is_data = bound.is_some_and(|e| match e.strip_prefix("parent.inputs.") {
            Some(name) => data.contains(name),
            None => e.starts_with("parent.jobs."),
        });
        if bound.is_some() && !port.data {
            port.kind = None;
            port.data = is_data;
        }
        if let Some(declared) = known.iter().find(|k| k.key == entry.key).map(self::port) {
            port.data = declared.data;
            port.kind = declared.kind;
        }
        ports.push(port);
    }
    ports
}

/// What a job, component or node makes: what its component declares, and what it says itself.
pub(super) fn outputs(object: &Object, component: Option<&Object>) -> Vec<Port> {
    let mut ports: Vec<Port> = component.map(|c| c.map("outputs")).unwrap_or_default().iter().map(port).collect();
    for entry in object.map("outputs") {
        let written = entry.value.object();
        let asset = written.filter(|o| o.class == "Output").and_then(|o| o.text("name")).map(str::to_owned);
        let kind = written.and_then(|o| o.text("type")).map(str::to_owned);
        match ports.iter_mut().find(|p| p.name == entry.key) {
            Some(port) => {
                port.asset = asset;
                port.kind = kind.or(port.kind.take());
            }
            None => {
                let unknown = component.is_none() && object.get("component").is_some();
                let kind = kind.or_else(|| (!unknown).then(|| "uri_folder".to_owned()));
                let data = kind.as_deref().is_none_or(is_data);
                ports.push(Port { name: entry.key.clone(), kind, data, value: None, asset });
            }
        }
    }
    ports
}

fn is_data(kind: &str) -> bool {
    !["string", "number", "integer", "boolean"].contains(&kind)
}

/// A port as a component declares it, with its default.
fn port(entry: &Entry) -> Port {
    let declared = entry.value.object();
    let kind = declared.and_then(|o| o.text("type")).map(str::to_owned);
    let data = kind.as_deref().is_none_or(is_data);
    let default = declared.and_then(|o| o.get("default")).and_then(Value::literal).map(|l| l.python_str());
    Port { name: entry.key.clone(), kind, data, value: default, asset: None }
}

/// An input with the value that it is given.
fn value(entry: &Entry, base: &std::path::Path) -> Port {
    let mut port = Port { name: entry.key.clone(), kind: None, data: false, value: None, asset: None };
    let literal = match entry.value.object() {
        Some(object) if object.class == "InputLiteralValue" => object.get("value"),
        Some(object) => {
            port.data = true;
            port.kind = Some(object.text("type").unwrap_or("uri_folder").to_owned());
            port.value = object.text("path").map(|path| seen(path, base));
            return port;
        }
        None => Some(&entry.value),
    };
    let kind = literal.and_then(|value| match value.data {
        Data::Bool(_) => Some("boolean"),
        Data::Int(_) => Some("integer"),
        Data::Float(_) => Some("number"),
        Data::Text(_) | Data::Date(_) => Some("string"),
        _ => None,
    });
    port.kind = kind.map(str::to_owned);
    port.value = literal.and_then(Value::literal).map(|l| l.python_str());
    port
}

/// A local path as it is seen from the current folder; other addresses as they are.
fn seen(path: &str, base: &std::path::Path) -> String {
    if path.is_empty() || path.contains("${{") || path.contains([':', '@']) {
        return path.to_owned();
    }
    files::shown(&base.join(path)).display().to_string()
}
