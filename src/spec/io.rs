//! Inputs and outputs as written: the values that jobs and nodes give, and the ports that components declare
//! (reference, section 3).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Spanned;
use crate::diagnostic::{Diagnostic, Span, suggest};
use crate::yaml::{Entry, Fields, Literal, Node};

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

const INPUT_MODES: [&str; 5] = ["ro_mount", "download", "direct", "eval_mount", "eval_download"];
const OUTPUT_MODES: [&str; 4] = ["rw_mount", "mount", "upload", "direct"];

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

fn entries<'a>(fields: &mut Fields<'a>, key: &'static str, found: &mut Vec<Diagnostic>) -> Vec<(&'a Entry, String)> {
    let Some(node) = fields.take_set(key) else { return Vec::new() };
    let path = fields.child(key);
    let Some(entries) = node.as_mapping() else {
        let message = format!("'{key}' must be a mapping of names, but is {}", node.describe());
        found.push(Diagnostic::error("wrong-type", node.span, message).at(path));
        return Vec::new();
    };
    let mut seen: Vec<&Entry> = Vec::new();
    let mut all = Vec::new();
    for entry in entries {
        let child = format!("{path}.{}", entry.key);
        let legal = entry.key.split('.').all(|part| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !part.starts_with(|c: char| c.is_ascii_digit())
        });
        if !legal {
            let message = format!("'{}' cannot name an input or output", entry.key);
            found.push(
                Diagnostic::error("bad-name", entry.key_span, message)
                    .at(child.as_str())
                    .help("use letters, digits and '_', not beginning with a digit; a dot makes a group"),
            );
        }
        if let Some(other) = seen.iter().find(|e| e.key.eq_ignore_ascii_case(&entry.key)) {
            let message = format!("'{}' and '{}' differ only in case", other.key, entry.key);
            found.push(
                Diagnostic::error("bad-name", entry.key_span, message)
                    .at(child.as_str())
                    .label(other.key_span, "the other one"),
            );
        }
        seen.push(entry);
        all.push((entry, child));
    }
    all
}

/// Reads `inputs:` of a job or node.
pub fn inputs(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Vec<Input> {
    let mut all = Vec::new();
    for (entry, path) in entries(fields, "inputs", found) {
        let node = &entry.value;
        let value = match node.literal() {
            Some(Literal::Null) => {
                let message = format!("the input '{}' has no value", entry.key);
                let help = "give it a value, or remove the line if the input is optional";
                found.push(Diagnostic::error("null-value", entry.key_span, message).at(path).help(help));
                continue;
            }
            Some(Literal::Float(x)) if !x.is_finite() => {
                let message = "special numbers (infinity, not a number) are not permitted";
                found.push(Diagnostic::error("wrong-type", node.span, message).at(path).help("put it in quotes"));
                continue;
            }
            Some(Literal::Timestamp(text)) => {
                let message = "a date is neither a string nor a number";
                let help = format!("put it in quotes: {}: \"{text}\"", entry.key);
                found.push(Diagnostic::error("wrong-type", node.span, message).at(path).help(help));
                continue;
            }
            Some(literal) => InputValue::Literal(literal),
            None => match data(node, &path, Side::Input, found) {
                Some(data) => InputValue::Data(data),
                None => continue,
            },
        };
        let name = Spanned::new(entry.key.clone(), entry.key_span);
        all.push(Input { name, value: Spanned::new(value, node.span) });
    }
    all
}

/// Reads `outputs:` of a job or node.
pub fn outputs(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Vec<Output> {
    let mut all = Vec::new();
    for (entry, path) in entries(fields, "outputs", found) {
        let node = &entry.value;
        let value = match node.literal() {
            Some(Literal::Null) => OutputValue::Data(Data::default()),
            Some(Literal::Str(text)) if text.contains("${{") => OutputValue::Binding(text),
            Some(Literal::Str(text)) => {
                OutputValue::Data(Data { path: Some(Spanned::new(text, node.span)), ..Data::default() })
            }
            Some(_) => {
                let message = format!("an output must be a mapping or a binding, but is {}", node.describe());
                found.push(Diagnostic::error("wrong-type", node.span, message).at(path));
                continue;
            }
            None => match data(node, &path, Side::Output, found) {
                Some(data) => OutputValue::Data(data),
                None => continue,
            },
        };
        let name = Spanned::new(entry.key.clone(), entry.key_span);
        let span = if node.is_null() { entry.key_span } else { node.span };
        all.push(Output { name, value: Spanned::new(value, span) });
    }
    all
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Input,
    Output,
}

fn data(node: &Node, path: &str, side: Side, found: &mut Vec<Diagnostic>) -> Option<Data> {
    let mut fields = Fields::open(node, path, found)?;
    let mut data = Data { kind: port_type(&mut fields, &|t| t.is_data(), false, found), ..Data::default() };
    data.path = fields.string("path", found).map(|(text, span)| Spanned::new(text, span));
    let modes: &[&str] = if side == Side::Input { &INPUT_MODES } else { &OUTPUT_MODES };
    data.mode = word(&mut fields, "mode", modes, found);
    fields.pass_over(&["path_on_compute"]);
    if side == Side::Input {
        fields.pass_over(&["datastore"]);
        fields.finish("a data input", found);
        return Some(data);
    }
    data.name = fields.string("name", found).map(|(text, span)| Spanned::new(text, span));
    data.version = fields.version("version", found);
    fields.pass_over(&["description"]);
    match &data.name {
        Some(name) if !asset_name_fits(&name.value) => {
            let message = format!("'{}' cannot name an asset", name.value);
            let help = "an output's name has letters, digits, '-' and '_', at most 255 of them";
            found.push(Diagnostic::error("bad-name", name.span, message).at(fields.child("name")).help(help));
        }
        None if data.version.is_some() => {
            let message = "an output with a version needs a name as well";
            found.push(Diagnostic::error("missing-field", node.span, message).at(fields.child("name")));
        }
        _ => {}
    }
    fields.finish("an output", found);
    Some(data)
}

fn asset_name_fits(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !name.is_empty() && name.len() <= 255 && name.bytes().all(plain)
}

/// Reads `type`. Job-side types may be in any case, component-side ones may not.
fn port_type(
    fields: &mut Fields<'_>,
    allowed: &dyn Fn(PortType) -> bool,
    case_matters: bool,
    found: &mut Vec<Diagnostic>,
) -> Option<PortType> {
    let (text, span) = fields.string("type", found)?;
    let wanted = if case_matters { text.clone() } else { text.to_lowercase() };
    let known = PortType::named(&wanted).filter(|t| allowed(*t));
    if known.is_none() {
        let names: Vec<&str> = PortType::NAMES.iter().filter(|(_, t)| allowed(*t)).map(|(n, _)| *n).collect();
        found.push(not_one_of("type", &text, span, &names).at(fields.child("type")));
    }
    known
}

/// Reads an enumerated word in any case.
fn word(fields: &mut Fields<'_>, key: &'static str, allowed: &[&str], found: &mut Vec<Diagnostic>) -> Option<String> {
    let (text, span) = fields.string(key, found)?;
    let plain = text.to_lowercase();
    if allowed.contains(&plain.as_str()) {
        return Some(plain);
    }
    found.push(not_one_of(key, &text, span, allowed).at(fields.child(key)));
    None
}

/// "'x' is no … here": the message for a word that is not in a list.
pub(super) fn not_one_of(what: &str, text: &str, span: Span, allowed: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error("bad-value", span, format!("'{text}' is not a {what} that is possible here"));
    match suggest::nearest(text, allowed.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
        None => diagnostic.help(format!("it can be {}", suggest::one_of(allowed.iter().copied()))),
    }
}

/// Reads `inputs:` or `outputs:` of a component file.
pub fn ports(fields: &mut Fields<'_>, key: &'static str, found: &mut Vec<Diagnostic>) -> Vec<Port> {
    let is_input = key == "inputs";
    let mut all = Vec::new();
    for (entry, path) in entries(fields, key, found) {
        let Some(mut port) = Fields::open(&entry.value, &path, found) else { continue };
        if port.take_set("type").is_none() {
            port.missing("type", "a declared port", found);
        }
        let kind = port_type(&mut port, &|_| true, true, found);
        let mut declared = Port {
            name: Spanned::new(entry.key.clone(), entry.key_span),
            kind: kind.unwrap_or(PortType::UriFolder),
            optional: is_input && port.boolean("optional", found).unwrap_or(false),
            default: None,
            min: None,
            max: None,
            one_of: Vec::new(),
            mode: port.string("mode", found).map(|(text, _)| text.to_lowercase()),
        };
        port.pass_over(&["description", "early_available", "is_control"]);
        if is_input {
            read_limits(&mut port, &mut declared, kind, found);
        }
        port.finish(if is_input { "an input's declaration" } else { "an output's declaration" }, found);
        all.push(declared);
    }
    all
}

fn read_limits(port: &mut Fields<'_>, declared: &mut Port, kind: Option<PortType>, found: &mut Vec<Diagnostic>) {
    let number = |node: &Node| match node.literal() {
        Some(Literal::Int(digits)) => digits.parse::<f64>().ok(),
        Some(Literal::Float(x)) => Some(x),
        Some(Literal::Str(text)) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(kind) = kind else {
        port.pass_over(&["default", "min", "max", "enum"]);
        return;
    };
    let numeric = matches!(kind, PortType::Integer | PortType::Number);
    for (key, place) in [("min", &mut declared.min), ("max", &mut declared.max)] {
        let Some(node) = port.take_set(key) else { continue };
        *place = number(node);
        if !numeric || place.is_none() {
            let message = format!("'{key}' must be a number, and only an integer or number input may have it");
            found.push(Diagnostic::error("bad-value", node.span, message).at(port.child(key)));
        }
    }
    if let Some(node) = port.take_set("enum") {
        match &node.kind {
            crate::yaml::Kind::Sequence(items) => {
                declared.one_of = items.iter().filter_map(|i| i.literal().map(|l| l.python_str())).collect();
            }
            _ => found.push(Diagnostic::error("wrong-type", node.span, "'enum' must be a list").at(port.child("enum"))),
        }
    }
    if let Some(node) = port.take_set("default") {
        let at = port.child("default");
        let Some(literal) = node.literal().filter(|_| kind.is_data() || node.literal().is_some()) else {
            found.push(Diagnostic::error("wrong-type", node.span, "a default must be a scalar").at(at));
            return;
        };
        if kind.is_data() {
            let message = format!("an input of type {kind} cannot have a default");
            found.push(Diagnostic::error("bad-value", node.span, message).at(at).help("make it 'optional: true'"));
            return;
        }
        match as_default(kind, &literal) {
            Some(text) => declared.default = Some(text),
            None => {
                let message = format!("'{}' is no default for an input of type {kind}", literal.python_str());
                found.push(Diagnostic::error("bad-value", node.span, message).at(at));
            }
        }
    }
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
        PortType::Number => number().map(crate::yaml::scalar::python_float),
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
            Literal::Int(_) => number().map(crate::yaml::scalar::python_float),
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
