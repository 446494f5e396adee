//! Scalars against shapes, read as the SDK's fields read them (reference, sections 1.6, 1.8 and 1.10).

use super::cursor::{Cursor, Read, Scope, last, wrong_type};
use super::files;
use super::grammar::{Fold, Shape};
use super::value::{Data, Value};
use super::{case, describe};
use crate::diagnostic::{Diagnostic, suggest};
use crate::yaml::{Entry, Kind, Literal, Node, scalar};

/// Whether a text holds an expression.
pub(super) fn has_binding(text: &str) -> bool {
    !bindings(text).is_empty()
}

/// The expressions in a text, without their braces. An expression has no space inside; around it there may be some.
pub(super) fn bindings(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${{") {
        rest = &rest[start + 3..];
        let Some(end) = rest.find("}}") else { break };
        let inner = rest[..end].trim();
        if !inner.contains(char::is_whitespace) {
            found.push(inner);
            rest = &rest[end + 2..];
        }
    }
    found
}

/// The one expression that a text is, without its braces.
pub(super) fn only_binding(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${{")?.strip_suffix("}}")?.trim();
    (!inner.contains(char::is_whitespace)).then_some(inner)
}

/// Whether a value of this shape may be a binding where bindings are allowed.
pub(super) fn takes_binding(shape: &Shape) -> bool {
    !matches!(shape, Shape::Class { .. } | Shape::List(_) | Shape::Map { .. } | Shape::Free | Shape::Node)
}

/// Whether the first characters of a value rule out a shape. This is true of most branches of a union, whose
/// diagnostics are not shown.
pub(super) fn rules_out(shape: &Shape, node: &Node) -> bool {
    let Kind::Scalar(scalar) = &node.kind else {
        let is_text = matches!(
            shape,
            Shape::Str
                | Shape::Path
                | Shape::Url
                | Shape::Git
                | Shape::Enum { .. }
                | Shape::Arm(_)
                | Shape::Asset { .. }
                | Shape::Registry(_)
                | Shape::Feed(_)
                | Shape::Binding
                | Shape::NodeBinding
        );
        return is_text || matches!((shape, &node.kind), (Shape::List(_), Kind::Mapping(_)));
    };
    let text = &scalar.text;
    match shape {
        _ if node.is_null() || text.contains("${{") => false,
        Shape::List(_) | Shape::Map { .. } | Shape::Free => true,
        Shape::Class { .. } => !text.starts_with("file:"),
        Shape::Arm(_) | Shape::Asset { .. } => !text.starts_with("azureml:"),
        Shape::Registry(_) => !text.starts_with("azureml://registries/"),
        Shape::Feed(_) => !text.starts_with("azureml://feeds/"),
        Shape::Git => !text.starts_with("git+"),
        Shape::Url => !text.contains("://"),
        _ => false,
    }
}

/// Reads a scalar.
pub(super) fn read(shape: &Shape, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
    let is = |data: Data| Ok(Value { span: node.span, data });
    match shape {
        Shape::Any => Ok(Value::plain(node)),
        Shape::Str => is(Data::Text(text(node, at)?.to_owned())),
        Shape::Int { strict, range } => is(Data::Int(integer(node, at, *strict, *range)?)),
        Shape::Float { strict } => is(Data::Float(float(node, at, *strict)?)),
        Shape::Bool => {
            boolean(node).map_or_else(|| Err(wrong_type(node, at, "true or false").into()), |b| is(Data::Bool(b)))
        }
        Shape::Version => match node.literal() {
            Some(Literal::Str(text)) => is(Data::Text(text)),
            Some(literal @ (Literal::Int(_) | Literal::Float(_) | Literal::Bool(_))) => {
                is(Data::Text(literal.python_str()))
            }
            _ => Err(wrong_type(node, at, "a string or a number").into()),
        },
        Shape::Printed => match Value::plain(node) {
            value if value.is_empty() && node.literal().is_none() => {
                Err(wrong_type(node, at, "a string or a number").into())
            }
            value => is(Data::Text(value.python_str())),
        },
        Shape::NumberVersion => number_version(node, at),
        Shape::Path => {
            let text = text(node, at)?;
            let path = scope.base.join(text);
            if path.exists() {
                return is(Data::Text(text.to_owned()));
            }
            Err(files::missing(&path, text, "file or folder", node.span, at).into())
        }
        Shape::Url => {
            let text = text(node, at)?;
            match is_url(text) {
                true => is(Data::Text(text.to_owned())),
                false => Err(refused(node, at, "bad-value", shape).into()),
            }
        }
        Shape::Git => prefixed(node, at, shape, "git+"),
        Shape::Enum { fold, words, as_written } => enumeration(node, at, *fold, words, *as_written),
        Shape::Arm(_) => match text(node, at)?.strip_prefix("azureml:") {
            Some(name) => is(Data::Text(name.to_owned())),
            None => Err(refused(node, at, "bad-reference", shape).into()),
        },
        Shape::Asset { kind, bare } => asset(node, at, shape, kind, *bare),
        Shape::Registry(_) => prefixed(node, at, shape, "azureml://registries/"),
        Shape::Feed(_) => match text(node, at)?.strip_prefix("azureml://feeds/") {
            Some(rest) => is(Data::Text(format!("azureml://registries/{rest}"))),
            None => Err(refused(node, at, "bad-reference", shape).into()),
        },
        Shape::Binding => match text(node, at)? {
            it if has_binding(it) => is(Data::Text(it.to_owned())),
            _ => Err(refused(node, at, "bad-expression", shape).into()),
        },
        Shape::NodeBinding => match text(node, at)? {
            it if only_binding(it).is_some() => is(Data::Text(it.to_owned())),
            _ => Err(refused(node, at, "bad-expression", shape).into()),
        },
        Shape::OutputBinding => output_binding(node, at, shape),
        Shape::NodeName | Shape::ComponentName => {
            let text = text(node, at)?;
            let fits = if *shape == Shape::NodeName { node_name(text) } else { component_name(text) };
            match fits {
                true => is(Data::Text(text.to_owned())),
                false => Err(refused(node, at, "bad-name", shape).into()),
            }
        }
        _ => Err(refused(node, at, "wrong-type", shape).into()),
    }
}

/// An address with a scheme and a host that could be one: a name with a dot, `localhost` or numbers.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or("");
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => name,
        _ => host,
    };
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let named = labels.len() > 1
        && labels
            .iter()
            .all(|l| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.starts_with('-'))
        && labels[labels.len() - 1].len() >= 2;
    let numbers = labels.len() == 4 && labels.iter().all(|l| l.parse::<u8>().is_ok());
    ["http", "https", "ftp", "ftps"].contains(&scheme.to_lowercase().as_str())
        && (named || numbers || host == "localhost")
        && !rest.contains(char::is_whitespace)
}

/// What is wrong with a key of a mapping with free keys.
pub(super) fn key(shape: &Shape, entry: &Entry, at: Cursor<'_>) -> Option<Diagnostic> {
    let literal = entry.key_literal();
    if !matches!(literal, Literal::Str(_)) {
        let message = format!("the key '{}' is {}, but a key must be a string", entry.key, literal.describe());
        let fault = Diagnostic::error("wrong-type", entry.key_span, message).at(at.to_string());
        return Some(fault.help(format!("put it in quotes: \"{}\"", entry.key)));
    }
    match shape {
        Shape::NodeName if !node_name(&entry.key) => {
            let message = format!("'{}' is not a valid name for a node of a pipeline", entry.key);
            Some(
                Diagnostic::error("bad-name", entry.key_span, message)
                    .at(at.to_string())
                    .help("use lowercase letters, digits and '_', and do not begin with a digit"),
            )
        }
        Shape::Enum { fold, words, .. } => {
            let node = Node {
                span: entry.key_span,
                kind: Kind::Scalar(crate::yaml::Scalar { text: entry.key.clone(), plain: false }),
            };
            enumeration(&node, at, *fold, words, false).err().and_then(|mut fault| fault.all.pop())
        }
        _ => None,
    }
}

fn node_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn component_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && node_name(text)
}

fn text<'n>(node: &'n Node, at: Cursor<'_>) -> Result<&'n str, Vec<Diagnostic>> {
    node.as_str().ok_or_else(|| wrong_type(node, at, "a string"))
}

/// Marshmallow's integer: unless strict, what Python's `int()` takes, but no boolean.
fn integer(node: &Node, at: Cursor<'_>, strict: bool, range: Option<(i64, i64)>) -> Result<String, Vec<Diagnostic>> {
    let digits = match node.literal() {
        Some(Literal::Int(digits)) => Some(digits),
        Some(Literal::Float(x)) if !strict && x.is_finite() => Some(format!("{:.0}", x.trunc())),
        Some(Literal::Str(text)) if !strict => scalar::python_int(&text),
        _ => None,
    };
    let digits = digits.ok_or_else(|| wrong_type(node, at, "an integer"))?;
    let digits = if digits == "-0" { "0".to_owned() } else { digits };
    if let Some((low, high)) = range
        && !digits.parse::<i64>().is_ok_and(|n| (low..=high).contains(&n))
    {
        let message = format!("'{}' is {digits}, but must be from {low} to {high}", last(at));
        return Err(vec![Diagnostic::error("out-of-range", node.span, message).at(at.to_string())]);
    }
    Ok(digits)
}

/// Marshmallow's number: what Python's `float()` takes, but no boolean and nothing infinite.
fn float(node: &Node, at: Cursor<'_>, strict: bool) -> Result<f64, Vec<Diagnostic>> {
    let number = match node.literal() {
        Some(Literal::Float(x)) => Some(x),
        Some(Literal::Int(digits)) if !strict => digits.parse().ok(),
        Some(Literal::Str(text)) if !strict => scalar::python_number(&text),
        _ => None,
    };
    match number {
        Some(x) if x.is_finite() => Ok(x),
        Some(_) => {
            let message = format!("'{}' must be a finite number", last(at));
            Err(vec![Diagnostic::error("bad-value", node.span, message).at(at.to_string())])
        }
        None => Err(wrong_type(node, at, "a number")),
    }
}

fn boolean(node: &Node) -> Option<bool> {
    match node.literal()? {
        Literal::Bool(it) => Some(it),
        Literal::Int(digits) if digits == "1" => Some(true),
        Literal::Int(digits) if digits == "0" => Some(false),
        Literal::Float(1.0) => Some(true),
        Literal::Float(0.0) => Some(false),
        Literal::Str(text) => match text.as_str() {
            "t" | "T" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "y" | "Y" | "yes" | "Yes" | "YES" | "1" => {
                Some(true)
            }
            "f" | "F" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" | "n" | "N" | "no" | "No" | "NO" | "0" => {
                Some(false)
            }
            _ => None,
        },
        _ => None,
    }
}

fn number_version(node: &Node, at: Cursor<'_>) -> Read {
    let text = match node.literal() {
        Some(Literal::Str(text)) => text,
        Some(literal @ (Literal::Int(_) | Literal::Float(_))) => literal.python_str(),
        _ => return Err(wrong_type(node, at, "a version such as 3.4").into()),
    };
    if text.split('.').all(|part| scalar::python_int(part).is_some()) {
        return Ok(Value { span: node.span, data: Data::Text(text) });
    }
    Err(refused(node, at, "bad-value", &Shape::NumberVersion).into())
}

fn prefixed(node: &Node, at: Cursor<'_>, shape: &Shape, prefix: &str) -> Read {
    let text = text(node, at)?;
    if text.starts_with(prefix) {
        return Ok(Value { span: node.span, data: Data::Text(text.to_owned()) });
    }
    Err(refused(node, at, "bad-reference", shape).into())
}

fn enumeration(node: &Node, at: Cursor<'_>, fold: Fold, words: &[String], as_written: bool) -> Read {
    let written = node.as_str();
    let folded = written.map(|text| match fold {
        Fold::Exact => text.to_owned(),
        Fold::Lower => text.to_lowercase(),
        Fold::Upper => text.to_uppercase(),
        Fold::Snake => case::snake_case(text),
        Fold::Camel => case::camel_case(text),
    });
    if let (Some(written), Some(folded)) = (written, &folded)
        && words.contains(folded)
    {
        let text = if as_written { written.to_owned() } else { folded.clone() };
        return Ok(Value { span: node.span, data: Data::Text(text) });
    }
    Err(not_one_of(node, at, words).into())
}

/// The diagnostic of a word that is not one of those allowed.
pub(super) fn not_one_of(node: &Node, at: Cursor<'_>, words: &[String]) -> Diagnostic {
    let list = describe::quoted(words);
    let message = match node.as_str() {
        Some(text) => format!("'{text}' is not a valid value for '{}'", last(at)),
        None => format!("'{}' must be one of {list}, but is {}", last(at), node.describe()),
    };
    let code = if node.as_str().is_some() { "bad-value" } else { "wrong-type" };
    let fault = Diagnostic::error(code, node.span, message).at(at.to_string());
    if let Some(advice) = node.as_str().and_then(|text| super::advice::value(text, words)) {
        return fault.help(advice);
    }
    let near = node.as_str().and_then(|t| suggest::nearest(t, words.iter().map(String::as_str)));
    match near {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None => fault.help(format!("use one of {list}")),
    }
}

/// `azureml:<name>:<version>`, `azureml:<name>@<label>`, or an ARM id with a version (reference, section 1.6).
fn asset(node: &Node, at: Cursor<'_>, shape: &Shape, kind: &str, bare: bool) -> Read {
    let Some(name) = text(node, at)?.strip_prefix("azureml:") else {
        return Err(refused(node, at, "bad-reference", shape).into());
    };
    let fault = |message: String, help: String| {
        Err(Diagnostic::error("bad-reference", node.span, message).at(at.to_string()).help(help).into())
    };
    if is_versioned_id(name) {
        return Ok(Value { span: node.span, data: Data::Text(name.to_owned()) });
    }
    let one = describe::asset(kind);
    if name.to_lowercase().starts_with("/subscriptions/") && name.contains(&format!("/{kind}/")) {
        return fault(format!("this ARM ID of {one} has no version"), "add /versions/<version> at the end".to_owned());
    }
    if name.is_empty() || name.contains('/') && !name.starts_with('/') {
        return fault(
            format!("'azureml:{name}' is not a reference to {one}"),
            format!("use azureml:<name>:<version>, or azureml://registries/<registry>/{kind}/… for a registry"),
        );
    }
    let (stem, label) = name.rsplit_once('@').map_or((name, None), |(n, l)| (n, Some(l)));
    let version = if label.is_some_and(|l| !l.is_empty()) { None } else { stem.split_once(':').map(|(_, v)| v) };
    if label.is_some_and(|l| !l.is_empty()) || version.is_some_and(|v| !v.is_empty()) {
        return Ok(Value { span: node.span, data: Data::Text(name.to_owned()) });
    }
    if bare {
        let stem = stem.split(':').next().unwrap_or(stem);
        return Ok(Value { span: node.span, data: Data::Text(stem.to_owned()) });
    }
    fault(
        format!("the reference to {one} 'azureml:{name}' has no version"),
        format!("use azureml:{stem}:<version> or azureml:{stem}@latest"),
    )
}

/// An ARM id or registry address that ends in a version.
fn is_versioned_id(name: &str) -> bool {
    let parts: Vec<&str> = name.trim_start_matches('/').split('/').collect();
    let workspace = parts.len() >= 12
        && parts[0] == "subscriptions"
        && parts[2] == "resourceGroups"
        && parts[4] == "providers"
        && parts[5] == "Microsoft.MachineLearningServices"
        && parts[6] == "workspaces"
        && parts[10] == "versions"
        && !parts[11].is_empty();
    workspace || name.starts_with("azureml://registries/") && name.contains("/versions/")
}

fn output_binding(node: &Node, at: Cursor<'_>, shape: &Shape) -> Read {
    let inner = match &node.kind {
        Kind::Mapping(_) if ["mode", "name", "version"].iter().all(|k| node.get(k).is_none()) => node.get("path"),
        _ => Some(node),
    };
    match inner.and_then(Node::as_str) {
        Some(text) if text.starts_with("${{parent.outputs.") && text.ends_with("}}") => {
            Ok(Value { span: node.span, data: Data::Text(text.to_owned()) })
        }
        _ => Err(refused(node, at, "bad-expression", shape).into()),
    }
}

/// The diagnostic of a value that does not fit its shape.
pub(super) fn refused(node: &Node, at: Cursor<'_>, code: &'static str, shape: &Shape) -> Vec<Diagnostic> {
    let wanted = describe::shape(shape);
    match node.as_str() {
        Some(text) => {
            let message = format!("'{}' must be {wanted}, but is '{}'", last(at), describe::shortened(text));
            vec![Diagnostic::error(code, node.span, message).at(at.to_string())]
        }
        None => wrong_type(node, at, &wanted),
    }
}
