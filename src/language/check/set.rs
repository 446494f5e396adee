//! Typos in `--set`: values that nothing reads. In a file they would be harmless, but a value that is set for one run
//! is meant to have an effect.

use super::super::grammar::grammar;
use super::super::scalar;
use super::super::value::{Data, Entry, Object, Value};
use super::nodes::{named, nodes, under};
use crate::diagnostic::{Diagnostic, Sources, suggest};

/// A mistake for each input, output and setting that `--set` made and nothing reads.
pub(super) fn check(document: &Object, sources: &Sources) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if sources.any_set() {
        look(document, "", sources, &mut found);
    }
    found
}

fn look(object: &Object, path: &str, sources: &Sources, found: &mut Vec<Diagnostic>) {
    let declares = named(object).unwrap_or(object);
    for (side, one) in [("inputs", "input"), ("outputs", "output")] {
        // Only the service knows what a registered component has.
        let known_here = object.get("component").or_else(|| object.get("trial")).is_none_or(|c| c.text().is_none());
        for entry in object.map(side).iter().filter(|entry| known_here && sources.is_set(entry.key_span)) {
            let others: Vec<&str> = match std::ptr::eq(declares, object) {
                true if is_read(object, side, &entry.key) => continue,
                true => others(object.map(side), entry),
                false if declares.map(side).iter().any(|port| port.key == entry.key) => continue,
                false => declares.map(side).iter().map(|port| port.key.as_str()).collect(),
            };
            let message = match path {
                "" => format!("the {one} '{}' is not used", entry.key),
                _ => format!("'{path}' has no {one} '{}'", entry.key),
            };
            let at = under(path, &format!("{side}.{}", entry.key));
            found.push(typo(message, entry, &others, &at));
        }
    }
    let settings = object.get("settings").and_then(Value::object);
    for entry in settings.map_or(&[][..], |settings| &settings.fields) {
        let class = grammar().class("Settings");
        if sources.is_set(entry.key_span) && class.field(&entry.key).is_none() {
            let known: Vec<&str> = class.fields.iter().filter(|f| !f.read_only).map(|f| f.name.as_str()).collect();
            let message = format!("a pipeline has no setting '{}'", entry.key);
            found.push(typo(message, entry, &known, &under(path, &format!("settings.{}", entry.key))));
        }
    }
    for (entry, node) in nodes(object) {
        look(node, &under(path, &format!("jobs.{}", entry.key)), sources, found);
    }
}

fn typo(message: String, entry: &Entry, known: &[&str], at: &str) -> Diagnostic {
    let fault = Diagnostic::error("bad-override", entry.key_span, message).at(at);
    match suggest::nearest(&entry.key, known.iter().copied()) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None if known.is_empty() => fault.help("remove it: there is nothing to set"),
        None => fault.help(format!("use one of: {}", known.join(", "))),
    }
}

fn others<'a>(all: &'a [Entry], but: &Entry) -> Vec<&'a str> {
    all.iter().map(|entry| entry.key.as_str()).filter(|key| *key != but.key).collect()
}

/// Whether an expression anywhere in a job or a node reads an input or writes an output of its own.
fn is_read(owner: &Object, side: &str, name: &str) -> bool {
    let own = format!("{side}.{name}");
    let from_nodes = format!("parent.{side}.{name}");
    let names = |expression: &str, wanted: &str| {
        expression.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    owner.fields.iter().any(|field| {
        any_text(&field.value, &|text| {
            scalar::bindings(text).iter().any(|one| match field.key.as_str() {
                "jobs" => names(one, &from_nodes),
                "inputs" | "outputs" => false,
                _ => names(one, &own) || names(one, &from_nodes),
            })
        })
    })
}

fn any_text(value: &Value, wanted: &impl Fn(&str) -> bool) -> bool {
    match &value.data {
        Data::Text(text) => wanted(text),
        Data::Map(entries) => entries.iter().any(|entry| any_text(&entry.value, wanted)),
        Data::Object(object) => object.fields.iter().any(|entry| any_text(&entry.value, wanted)),
        Data::List(items) => items.iter().any(|item| any_text(item, wanted)),
        _ => false,
    }
}
