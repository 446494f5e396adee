//! An object as the SDK's schemas dump it: the inverse of loading, with the SDK's habits.
//!
//! A choice is dumped by its first branch that can: text that was `azureml:x` becomes that again, a local path becomes
//! absolute, and a number that may be text becomes text.

use serde_json::{Value as Json, json};

use super::super::grammar::{Shape, grammar};
use super::super::value::{Data, Object, Value};
use super::super::{case, files, scalar};
use super::environment;
use super::fields::{Fields, plain, python_str};

/// Dumps all fields of an object that its class knows, and the unknown ones as they are.
pub(super) fn object(object: &Object) -> Fields {
    let class = grammar().class(object.class);
    let mut fields = Fields::new();
    for entry in &object.fields {
        let dumped = match class.field(&entry.key) {
            Some(rule) => value(&rule.shape, &entry.value, object),
            None if keeps_unknown(object.class) => Some(plain(&entry.value)),
            None => None,
        };
        if let Some(dumped) = dumped.filter(|d| !d.is_null()) {
            fields.insert(entry.key.clone(), dumped);
        }
    }
    // Defaults of the SDK's objects.
    let default = match object.class {
        "FileSystem" => Some(("type", json!("file_system"))),
        "TensorFlowDistribution" => Some(("parameter_server_count", json!(0))),
        "Output" if !object.text("path").is_some_and(|p| p.starts_with("${{")) => Some(("type", json!("uri_folder"))),
        _ => None,
    };
    if let Some((name, value)) = default {
        fields.entry(name).or_insert(value);
    }
    fields
}

/// Most components keep what the schema does not know; other objects lose it.
fn keeps_unknown(class: &str) -> bool {
    class.ends_with("Component")
        && !["ParallelComponent", "AutoMLComponent", "FlowComponent"].iter().any(|c| class.ends_with(c))
}

/// Dumps one field.
pub(super) fn field(owner: &Object, name: &str) -> Option<Json> {
    let rule = grammar().class(owner.class).field(name)?;
    value(&rule.shape, owner.get(name)?, owner)
}

/// Dumps a value by a shape; `None` when the shape cannot.
fn value(shape: &Shape, value: &Value, owner: &Object) -> Option<Json> {
    if value.is_null() {
        return Some(Json::Null);
    }
    if matches!(shape, Shape::Int { .. } | Shape::Float { .. } | Shape::Bool | Shape::Enum { .. })
        && let Some(binding) = value.text().filter(|text| scalar::only_binding(text).is_some())
    {
        return Some(Json::from(binding));
    }
    match shape {
        Shape::Nullable(inner) => self::value(inner, value, owner),
        Shape::Union(branches) => branches.iter().find_map(|b| self::value(b, value, owner)).or_else(|| {
            // A binding is used instead of a value of the shape.
            value.text().map(Json::from)
        }),
        Shape::List(item) => {
            Some(Json::Array(value.list()?.iter().filter_map(|v| self::value(item, v, owner)).collect()))
        }
        Shape::Map { value: inner, .. } => Some(Json::Object(
            value.map()?.iter().filter_map(|e| Some((e.key.clone(), self::value(inner, &e.value, owner)?))).collect(),
        )),
        Shape::Class { name, .. } => {
            let inner = value.object().filter(|o| o.class == name)?;
            Some(match inner.class {
                "AnonymousEnvironment" => environment(inner),
                _ => Json::Object(object(inner)),
            })
        }
        Shape::Choice(item) => {
            let choice = value.object()?;
            let mut fields = object(choice);
            if let Some(values) = choice.get("values").and_then(Value::list) {
                let all = values.iter().map(|v| self::value(item, v, owner)).collect::<Option<_>>()?;
                fields.insert("values".to_owned(), Json::Array(all));
            }
            Some(Json::Object(fields))
        }
        Shape::Str => match &value.data {
            Data::List(_) | Data::Map(_) => None,
            Data::Object(_) => None,
            _ => Some(Json::from(python_str(value))),
        },
        Shape::Int { .. } => match &value.data {
            Data::Int(_) => Some(plain(value)),
            Data::Float(number) if matches!(shape, Shape::Int { strict: false, .. }) => Some(json!(number.trunc())),
            _ => None,
        },
        Shape::Float { .. } => match &value.data {
            Data::Float(number) => Some(json!(number)),
            Data::Int(digits) => digits.parse::<f64>().ok().map(|n| json!(n)),
            _ => None,
        },
        Shape::Bool => value.bool().map(Json::from),
        Shape::Enum { words: all, .. } => {
            let text = value.text()?;
            (all.iter().any(|w| w == text)
                || all.contains(&case::snake_case(text))
                || all.contains(&text.to_lowercase()))
            .then(|| Json::from(text))
        }
        Shape::Path => {
            let path = files::tidy(&owner.base.join(value.text()?));
            path.exists().then(|| Json::from(path.display().to_string()))
        }
        Shape::Url => value.text().filter(|t| t.contains("://") && !t.starts_with("azureml")).map(Json::from),
        Shape::Git => value.text().filter(|t| t.starts_with("git+")).map(Json::from),
        Shape::Registry(_) | Shape::Feed(_) => {
            value.text().filter(|t| t.starts_with("azureml://registries/")).map(Json::from)
        }
        Shape::Arm(_) | Shape::Asset { .. } => {
            let text = value.text()?;
            Some(Json::from(if text.starts_with("azureml:") || scalar::only_binding(text).is_some() {
                text.to_owned()
            } else {
                format!("azureml:{text}")
            }))
        }
        Shape::OutputBinding => value.text().filter(|t| t.starts_with("${{parent.outputs.")).map(Json::from),
        Shape::Binding | Shape::NodeBinding => value.text().filter(|t| t.contains("${{")).map(Json::from),
        Shape::NodeName | Shape::ComponentName | Shape::Version | Shape::Printed | Shape::NumberVersion => {
            value.text().map(Json::from)
        }
        Shape::Any | Shape::Free => Some(plain(value)),
        Shape::File(_) | Shape::Node => None,
    }
}

/// An environment as a schema dumps it, under its digest.
pub(super) fn environment(object: &Object) -> Json {
    let mut fields = self::object(object);
    for name in ["name", "version", "$schema"] {
        fields.remove(name);
    }
    if let Some(conda) = environment::conda(object) {
        fields.insert("conda_file".to_owned(), conda);
    }
    match environment_version(object) {
        Some(version) => {
            fields.insert("name".to_owned(), json!(environment::NAME));
            fields.insert("version".to_owned(), json!(version));
        }
        // Nothing to make a digest of: the SDK gives it a random name.
        None => {
            fields.insert("name".to_owned(), json!("00000000-0000-0000-0000-000000000000"));
            fields.insert("version".to_owned(), json!("1"));
        }
    }
    Json::Object(fields)
}

/// The reference by which a job names it.
pub(super) fn environment_reference(value: &Value) -> Option<String> {
    match value.object() {
        Some(object) => environment_version(object).map(|version| format!("{}:{version}", environment::NAME)),
        None => value.text().map(str::to_owned),
    }
}

fn environment_version(object: &Object) -> Option<String> {
    environment::version(object, field(object, "inference_config").as_ref())
}
