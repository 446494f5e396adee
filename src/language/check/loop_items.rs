//! The items of a `parallel_for` (reference, sections 2.12 and 6.7): one run of the body for each.

use serde_json::Value as Json;

use super::super::scalar;
use super::super::value::{Data, Entry, Object, Value};
use super::nodes::{listed, under};
use crate::diagnostic::{Diagnostic, Span};

/// An item: its keys with their places.
struct Item<'a> {
    span: Span,
    keys: Vec<(&'a str, Span)>,
}

impl Item<'_> {
    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(k, _)| *k == key)
    }

    fn same_keys(&self, other: &Item<'_>) -> bool {
        self.keys.len() == other.keys.len() && self.keys.iter().all(|(key, _)| other.has(key))
    }
}

/// Checks the items of a loop over a body with this component.
pub(super) fn check(node: &Object, component: Option<&Object>, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(value) = node.get("items") else { return };
    let at = under(at, "items");
    let fault = |message: String| Diagnostic::error("bad-value", value.span, message).at(at.as_str());
    let json: Json;
    let items = match &value.data {
        Data::Text(text) => {
            let Ok(read) = serde_json::from_str(text) else {
                if !scalar::only_binding(text).is_some_and(|e| e.starts_with("parent")) {
                    let help = "write a list of mappings, JSON in quotes, or ${{parent.inputs.<input>}}";
                    found.push(fault("'items' is neither valid JSON nor an expression".to_owned()).help(help));
                }
                return;
            };
            json = read;
            let Some(items) = from_json(&json, value.span) else {
                found.push(fault(
                    "'items' in JSON must be a list or mapping of objects without null or list values".to_owned(),
                ));
                return;
            };
            items
        }
        Data::List(all) => all.iter().filter_map(written).collect(),
        Data::Map(all) => all.iter().filter_map(|e| written(&e.value)).collect(),
        _ => return,
    };
    if value.is_empty() || items.is_empty() {
        found.push(fault("'items' is empty".to_owned()).help("add at least one item"));
    }
    keys(&items, component, &at, found);
    data(value, &at, found);
}

fn written(value: &Value) -> Option<Item<'_>> {
    let keys = value.map()?.iter().map(|e| (e.key.as_str(), e.key_span)).collect();
    Some(Item { span: value.span, keys })
}

/// Items in JSON; `None` when they are not mappings, or hold what no input takes.
fn from_json(json: &Json, span: Span) -> Option<Vec<Item<'_>>> {
    let all: Vec<&Json> = match json {
        Json::Array(all) => all.iter().collect(),
        Json::Object(all) => all.values().collect(),
        _ => return None,
    };
    all.into_iter()
        .map(|item| {
            let fields = item.as_object()?;
            let fits = fields.values().all(|v| !v.is_null() && !v.is_array());
            fits.then(|| Item { span, keys: fields.keys().map(|k| (k.as_str(), span)).collect() })
        })
        .collect()
}

/// All items have the same keys, and those are inputs of the body.
fn keys(items: &[Item<'_>], component: Option<&Object>, at: &str, found: &mut Vec<Diagnostic>) {
    // Azure's SDK overlooks items without keys before the first one that has some.
    let first = items.iter().find(|i| !i.keys.is_empty());
    let from = items.iter().position(|i| !i.keys.is_empty()).unwrap_or(items.len());
    for item in &items[from..] {
        if let Some(first) = first.filter(|first| !first.same_keys(item)) {
            let message = "the items must have the same keys";
            let fault = Diagnostic::error("bad-value", item.span, message).at(at);
            found.push(fault.label(first.span, "first item"));
        }
    }
    let Some(inputs) = component.and_then(|c| listed(c, "inputs")) else { return };
    for (key, span) in items.iter().flat_map(|i| &i.keys) {
        if inputs.iter().all(|i| i.key != *key) {
            let fault = Diagnostic::error("unknown-port", *span, format!("the body has no input '{key}'")).at(at);
            found.push(fault.did_you_mean(key, inputs.iter().map(|i| i.key.as_str())));
        }
    }
}

/// Data of an item has a path, and not that of a local file.
fn data(items: &Value, at: &str, found: &mut Vec<Diagnostic>) {
    let all: Vec<&Value> = match &items.data {
        Data::List(all) => all.iter().collect(),
        Data::Map(all) => all.iter().map(|e| &e.value).collect(),
        _ => return,
    };
    let entries = all.into_iter().filter_map(Value::map).flatten();
    for (entry, input) in entries.filter_map(|e: &Entry| Some((e, e.value.object()?))) {
        if input.class == "InputLiteralValue" {
            continue;
        }
        match input.get("path") {
            None => {
                let message = format!("the data '{}' needs the field 'path'", entry.key);
                found.push(Diagnostic::error("missing-field", entry.key_span, message).at(at));
            }
            // The SDK asks relative to where it is called.
            Some(path) if path.text().is_some_and(|t| !t.is_empty() && std::path::Path::new(t).exists()) => {
                let message = format!(
                    "'{}' is a local path, and local paths in items cannot be uploaded",
                    path.text().unwrap_or_default()
                );
                let fault = Diagnostic::error("bad-value", path.span, message).at(at);
                found.push(fault.help("register it as a data asset, and use azureml:<name>:<version>"));
            }
            Some(_) => {}
        }
    }
}
