//! Fields that are never read. Component files and nodes that name a component keep unknown fields, and Azure ML does
//! not warn (reference, section 5); most of them are typos.

use super::super::grammar::grammar;
use super::super::value::{Data, Object, Value};
use super::nodes::under;
use crate::diagnostic::{Diagnostic, Span, suggest};

const SETTINGS: &str = "Settings";

/// A warning for each field that is kept and never read. A component that two nodes name is reported once.
pub(super) fn check(object: &Object) -> Vec<Diagnostic> {
    let mut found: Vec<(Span, Diagnostic)> = Vec::new();
    fields(object, "", &mut found);
    found.into_iter().map(|(_, warning)| warning).collect()
}

fn fields(object: &Object, path: &str, found: &mut Vec<(Span, Diagnostic)>) {
    let class = grammar().class(object.class);
    for entry in &object.fields {
        let at = under(path, &entry.key);
        if class.field(&entry.key).is_some() {
            value(&entry.value, &at, found);
        } else if !read_all_the_same(object.class, &entry.key) && is_new(found, entry.key_span) {
            let what = super::super::describe::class(&class.name);
            let warning = if object.class == SETTINGS {
                let message = format!("the setting '{}' of a pipeline has no effect", entry.key);
                Diagnostic::warning("unknown-setting", entry.key_span, message)
            } else {
                let message = format!("the field '{}' in {what} has no effect", entry.key);
                Diagnostic::warning("unknown-field", entry.key_span, message)
            };
            let known = class.fields.iter().filter(|f| !f.read_only).map(|f| f.name.as_str());
            let warning = match suggest::nearest(&entry.key, known) {
                Some(near) => warning.at(at).help(format!("did you mean '{near}'?")),
                None => warning.at(at).help("remove it, or move it to where it belongs"),
            };
            found.push((entry.key_span, warning));
        }
    }
}

fn value(value: &Value, path: &str, found: &mut Vec<(Span, Diagnostic)>) {
    match &value.data {
        Data::Object(object) => fields(object, path, found),
        Data::Map(entries) => entries.iter().for_each(|e| self::value(&e.value, &under(path, &e.key), found)),
        Data::List(items) => {
            items.iter().enumerate().for_each(|(i, item)| self::value(item, &format!("{path}[{i}]"), found));
        }
        _ => {}
    }
}

/// Fields that the grammar does not know, but Azure ML reads.
fn read_all_the_same(class: &str, key: &str) -> bool {
    key.starts_with('$')
        || grammar().class(class).is("FlowComponent")
        || class == "PrimitiveOutput" && key == "is_control"
        || class == SETTINGS && matches!(key, "default_datastore" | "continue_run_on_failed_optional_input")
}

fn is_new(found: &[(Span, Diagnostic)], span: Span) -> bool {
    found.iter().all(|(known, _)| *known != span)
}
