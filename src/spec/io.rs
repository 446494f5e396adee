//! Inputs and outputs as written: the values that jobs and nodes give, and the ports that components declare
//! (reference, section 3).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Spanned;
use crate::language::value::{Entry, Object, Value};
use crate::number::python_float;
use crate::yaml::{Literal, scalar};

/// The type of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum PortType {
    UriFile,
    UriFolder,
    Mltable,
    MlflowModel,
    CustomModel,
    TritonModel,
    String,
    Integer,
    Number,
    Boolean,
}

impl PortType {
    /// All types, by the names that Azure ML gives them.
    pub const NAMES: [(&'static str, Self); 10] = [
        ("uri_file", Self::UriFile),
        ("uri_folder", Self::UriFolder),
        ("mltable", Self::Mltable),
        ("mlflow_model", Self::MlflowModel),
        ("custom_model", Self::CustomModel),
        ("triton_model", Self::TritonModel),
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
    ];

    /// The type with that name. `path` is an old name of `uri_folder`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "path" {
            return Some(Self::UriFolder);
        }
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    /// Whether values are files or folders rather than text.
    #[must_use]
    pub fn is_data(self) -> bool {
        !matches!(self, Self::String | Self::Integer | Self::Number | Self::Boolean)
    }

    /// Whether values are models.
    #[must_use]
    pub fn is_model(self) -> bool {
        matches!(self, Self::MlflowModel | Self::CustomModel | Self::TritonModel)
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(_, t)| t == self).map_or("?", |(n, _)| n))
    }
}

/// What a job or node gives to an input.
#[derive(Clone, Debug)]
pub enum InputValue {
    /// A scalar; a string is never taken as a path, but may hold bindings.
    Literal(Literal),
    /// A mapping: data by path.
    Data(Data),
}

/// Data by path: of an input or of an output.
#[derive(Clone, Debug, Default)]
pub struct Data {
    /// The declared type; `uri_folder` where none is given.
    pub kind: Option<PortType>,
    /// Local path, URI, asset reference or binding.
    pub path: Option<Spanned<String>>,
    /// How it is given to the step.
    pub mode: Option<String>,
    /// The asset that an output is registered as.
    pub name: Option<Spanned<String>>,
    /// The version of that asset.
    pub version: Option<String>,
}

/// A named input of a job or node.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value.
    pub value: Spanned<InputValue>,
}

/// What a job or node says of an output.
#[derive(Clone, Debug)]
pub enum OutputValue {
    /// A binding to an output of the enclosing pipeline.
    Binding(String),
    /// Settings of its own; all empty for `name:` with nothing after it.
    Data(Data),
}

/// A named output of a job or node.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: Spanned<String>,
    /// What is said of it.
    pub value: Spanned<OutputValue>,
}

/// An input or output that a component declares.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub kind: PortType,
    /// Whether an input may be left out.
    pub optional: bool,
    /// The value of a primitive input that is left out, as the service would write it.
    pub default: Option<String>,
    /// Least number allowed.
    pub min: Option<f64>,
    /// Greatest number allowed.
    pub max: Option<f64>,
    /// The strings allowed.
    pub one_of: Vec<String>,
    /// How data is given to the step, when the component says so.
    pub mode: Option<String>,
}

impl Port {
    /// The port of an output of a node that is written in place.
    #[must_use]
    pub fn of_output(output: &Output) -> Self {
        let kind = match &output.value.value {
            OutputValue::Data(data) => data.kind,
            OutputValue::Binding(_) => None,
        };
        let kind = kind.unwrap_or(PortType::UriFolder);
        let name = output.name.clone();
        Self { name, kind, optional: false, default: None, min: None, max: None, one_of: Vec::new(), mode: None }
    }
}

fn name(entry: &Entry) -> Spanned<String> {
    Spanned::new(entry.key.clone(), entry.key_span)
}

fn text(object: &Object, field: &str) -> Option<Spanned<String>> {
    let value = object.get(field)?;
    Some(Spanned::new(value.text()?.to_owned(), value.span))
}

/// The inputs of a job or node.
#[must_use]
pub fn inputs(entries: &[Entry]) -> Vec<Input> {
    entries
        .iter()
        .filter_map(|entry| {
            let value = match entry.value.object() {
                Some(object) if object.class == "InputLiteralValue" => {
                    InputValue::Literal(object.get("value").and_then(Value::literal).unwrap_or(Literal::Null))
                }
                Some(object) => InputValue::Data(data(object)),
                None => InputValue::Literal(entry.value.literal()?),
            };
            Some(Input { name: name(entry), value: Spanned::new(value, entry.value.span) })
        })
        .collect()
}

/// What a job or node says of its outputs.
#[must_use]
pub fn outputs(entries: &[Entry]) -> Vec<Output> {
    entries
        .iter()
        .map(|entry| {
            let span = if entry.value.is_null() { entry.key_span } else { entry.value.span };
            let value = match (entry.value.object(), entry.value.text()) {
                (Some(object), _) => OutputValue::Data(data(object)),
                (None, Some(text)) if text.contains("${{") => OutputValue::Binding(text.to_owned()),
                (None, Some(text)) => {
                    let path = Some(Spanned::new(text.to_owned(), entry.value.span));
                    OutputValue::Data(Data { path, ..Data::default() })
                }
                (None, None) => OutputValue::Data(Data::default()),
            };
            Output { name: name(entry), value: Spanned::new(value, span) }
        })
        .collect()
}

fn data(object: &Object) -> Data {
    Data {
        kind: object.text("type").and_then(PortType::named),
        path: text(object, "path").map(asset),
        mode: object.text("mode").map(str::to_owned),
        name: text(object, "name"),
        version: object.text("version").map(str::to_owned),
    }
}

/// Azure ML's language keeps a reference without its prefix, and takes any path with a ':' or '@' in it for one.
fn asset(path: Spanned<String>) -> Spanned<String> {
    let text = &path.value;
    let address =
        text.contains("://") || text.starts_with("runs:/") || text.starts_with("models:/") || text.contains("${{");
    if address || text.starts_with("azureml:") || !text.contains([':', '@']) {
        return path;
    }
    Spanned::new(format!("azureml:{text}"), path.span)
}

/// The ports that a component declares.
#[must_use]
pub fn ports(entries: &[Entry]) -> Vec<Port> {
    let number = |value: &Value| scalar::python_number(&value.literal()?.python_str());
    let port = |entry: &Entry| {
        let object = entry.value.object()?;
        let kind = object.text("type").and_then(PortType::named).unwrap_or(PortType::UriFolder);
        let words = object.get("enum").and_then(Value::list).unwrap_or_default();
        Some(Port {
            name: name(entry),
            kind,
            optional: object.get("optional").and_then(Value::bool).unwrap_or(false),
            default: object.get("default").and_then(Value::literal).and_then(|literal| as_default(kind, &literal)),
            min: object.get("min").and_then(number),
            max: object.get("max").and_then(number),
            one_of: words.iter().filter_map(Value::text).map(str::to_owned).collect(),
            mode: object.text("mode").map(str::to_lowercase),
        })
    };
    entries.iter().filter_map(port).collect()
}

/// A default as the SDK writes it into the component: `3` for a number is `3.0`, `2.7` for an integer is `2`,
/// an unquoted `5` for a string is `5.0` (reference, section 3.6 and surprise 8).
fn as_default(kind: PortType, literal: &Literal) -> Option<String> {
    let number = || match literal {
        Literal::Int(digits) => digits.parse::<f64>().ok(),
        Literal::Float(x) => Some(*x),
        Literal::Str(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    match kind {
        PortType::Number => number().map(python_float),
        PortType::Integer => match literal {
            Literal::Int(digits) => Some(digits.clone()),
            _ => number().filter(|x| x.is_finite()).map(|x| format!("{:.0}", x.trunc())),
        },
        PortType::Boolean => match literal.python_str().to_lowercase().as_str() {
            "true" => Some("True".to_owned()),
            "false" => Some("False".to_owned()),
            _ => None,
        },
        _ => match literal {
            Literal::Int(_) => number().map(python_float),
            other => Some(other.python_str()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_written_as_the_sdk_writes_them() {
        let int = |t: &str| Literal::Int(t.into());
        assert_eq!(as_default(PortType::Number, &int("3")).as_deref(), Some("3.0"));
        assert_eq!(as_default(PortType::Integer, &Literal::Float(2.7)).as_deref(), Some("2"));
        assert_eq!(as_default(PortType::String, &int("5")).as_deref(), Some("5.0"));
        assert_eq!(as_default(PortType::Boolean, &Literal::Bool(false)).as_deref(), Some("False"));
        assert_eq!(as_default(PortType::Integer, &Literal::Str("abc".into())), None);
    }
}
