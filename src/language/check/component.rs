//! Component files: names of ports, expressions of the command, code and what is included with it.

use std::collections::HashMap;
use std::path::Path;

use super::super::files;
use super::super::scalar;
use super::super::value::{Entry, Object, Value};
use super::nodes::{listed, typo};
use crate::diagnostic::{Diagnostic, Sources, Span, suggest};

/// Checks a component file.
pub(super) fn file(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) {
    port_names(object.map("inputs"), "input", "inputs", found);
    port_names(object.map("outputs"), "output", "outputs", found);
    if let Some(code) = object.get("code")
        && code.text().is_some_and(|t| t.starts_with("git+"))
    {
        let message = "code from a git URL is not supported in a component";
        let help = "clone the repository and use the path of its folder";
        found.push(Diagnostic::error("bad-code", code.span, message).at("code").help(help));
    }
    if object.class == "CommandComponent" {
        command(object, sources, found);
    }
    if matches!(object.class, "CommandComponent" | "SparkComponent") {
        includes(object, found);
    }
}

/// Names are letters, digits and `_`, with dots between the members of a group, and differ by more than case.
pub(super) fn port_names(ports: &[Entry], what: &str, path: &str, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, &Entry> = HashMap::new();
    for port in ports {
        let at = format!("{path}.{}", port.key);
        if !port_name(&port.key) {
            let message = format!("'{}' is not a valid name for an {what}", port.key);
            let help = "use letters, digits and '_', and do not begin with a digit";
            found.push(Diagnostic::error("bad-name", port.key_span, message).at(at.as_str()).help(help));
        }
        let lower = port.key.to_lowercase();
        if let Some(first) = seen.get(&lower) {
            let message = format!("the {what}s '{}' and '{}' differ only in upper and lower case", first.key, port.key);
            found.push(
                Diagnostic::error("case-clash", port.key_span, message)
                    .at(at)
                    .label(first.key_span, "first declared here")
                    .help("rename one of them: Azure ML does not distinguish them"),
            );
        } else {
            seen.insert(lower, port);
        }
    }
}

fn port_name(name: &str) -> bool {
    name.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// Every expression of the command must name something that the component has.
pub(super) fn command(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) {
    let Some(command) = object.get("command") else { return };
    let Some(text) = command.text() else { return };
    for expression in scalar::bindings(text) {
        let mut parts = expression.splitn(2, '.');
        let (side, name) = (parts.next().unwrap_or_default(), parts.next());
        let span = place(sources, command.span, expression);
        let ports = match side {
            "inputs" | "outputs" => match listed(object, side) {
                Some(ports) => ports,
                None => continue,
            },
            // The SDK accepts any attribute of its object; in practice only the name is written.
            "name" | "version" | "display_name" | "description" | "type" | "id" if name.is_none() => continue,
            _ => {
                let message = format!("'${{{{{expression}}}}}' cannot be used in the command of a component");
                let help = "use ${{inputs.<name>}} and ${{outputs.<name>}} of the component";
                found.push(Diagnostic::error("bad-expression", span, message).at("command").help(help));
                continue;
            }
        };
        let Some(name) = name else { continue };
        if known(ports, name) {
            continue;
        }
        found.push(undeclared(object, side, name, ports, text, span));
    }
}

/// A port that the command uses and that is not declared. When a port with a similar name is declared and never used,
/// that name may be the typo.
fn undeclared(object: &Object, side: &str, name: &str, ports: &[Entry], text: &str, span: Span) -> Diagnostic {
    let one = side.trim_end_matches('s');
    let near = suggest::nearest(name, ports.iter().map(|p| p.key.as_str()));
    let used = |port: &str| scalar::bindings(text).iter().any(|e| *e == format!("{side}.{port}"));
    if let Some(port) = ports.iter().find(|p| Some(p.key.as_str()) == near && !used(&p.key)) {
        let message = format!("the command uses the {one} '{name}', but the component declares '{}'", port.key);
        return Diagnostic::error("unknown-port", port.key_span, message)
            .at(format!("{side}.{}", port.key))
            .label(span, format!("'{name}' is used here"))
            .help("write the same name in both places");
    }
    let message = format!("the command uses the {one} '{name}', which is not declared");
    if let Some(typo) = typo(object, side).filter(|_| ports.is_empty()) {
        return Diagnostic::error(
            "unknown-port",
            typo.key_span,
            format!("{message}: '{}' is not a field of a component", typo.key),
        )
        .at(typo.key.as_str())
        .label(span, "used here")
        .help(format!("did you mean '{side}'?"));
    }
    let fault = Diagnostic::error("unknown-port", span, message).at("command");
    match near {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None => fault.help(format!("declare it under '{side}:'")),
    }
}

/// A declared port, a member of a group, a whole group, or a field of a port such as `.path`.
fn known(ports: &[Entry], name: &str) -> bool {
    ports.iter().any(|p| {
        p.key == name
            || p.key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            || name.strip_prefix(p.key.as_str()).is_some_and(|rest| {
                ["path", "type", "mode", "default", "description", "optional", "min", "max", "enum", "name"]
                    .contains(&rest.trim_start_matches('.'))
                    && rest.starts_with('.')
            })
    })
}

/// The place of an expression inside a scalar: found in the text of the file, since folding and quoting move columns.
pub(super) fn place(sources: &Sources, scalar: Span, expression: &str) -> Span {
    for line in scalar.line..=scalar.end_line.max(scalar.line) + 1 {
        let text = sources.line(scalar.source, line);
        let from = if line == scalar.line { scalar.column - 1 } else { 0 };
        let skipped: usize = text.chars().take(from).map(char::len_utf8).sum();
        let Some(rest) = text.get(skipped..) else { continue };
        let Some(at) = rest.find(expression) else { continue };
        // The braces belong to it.
        let open = rest[..at].rfind("${{").filter(|o| rest[*o + 3..at].trim().is_empty()).unwrap_or(at);
        let after = at + expression.len();
        let close = rest[after..].find("}}").filter(|c| rest[after..after + c].trim().is_empty());
        let end = close.map_or(after, |c| after + c + 2);
        let column = text[..skipped + open].chars().count() + 1;
        let end_column = column + rest[open..end].chars().count();
        return Span { source: scalar.source, line, column, end_line: line, end_column };
    }
    scalar
}

/// `additional_includes` (reference, section 1.9): each must be there and must not clash with the code.
fn includes(object: &Object, found: &mut Vec<Diagnostic>) {
    let code = object.text("code").map(|c| files::tidy(&object.base.join(c)));
    for (index, item) in object.get("additional_includes").and_then(Value::list).unwrap_or_default().iter().enumerate()
    {
        let Some(text) = item.text() else { continue };
        let at = format!("additional_includes.{index}");
        let path = files::tidy(&object.base.join(text));
        let zipped = path.extension().is_some_and(|e| e == "zip") && path.with_extension("").is_dir();
        let mut fault = |message: String, help: &str| {
            found.push(Diagnostic::error("include-clash", item.span, message).at(at.as_str()).help(help));
        };
        if !path.exists() && !zipped {
            fault(
                format!("the file or folder '{text}' to include does not exist"),
                "use a path relative to the folder of the component file",
            );
            continue;
        }
        let Some(name) = path.file_name() else {
            fault(
                format!("'{text}' is the root of the file system and cannot be included"),
                "include a folder below it",
            );
            continue;
        };
        let Some(inside) = code.as_ref().filter(|c| c.is_dir()).map(|c| c.join(name)) else { continue };
        let link = inside.is_symlink();
        if link && same(&inside, &path) {
            continue;
        }
        if link || inside.exists() {
            let shown = name.to_string_lossy();
            fault(
                format!("'{text}' cannot be included: the code folder already has '{shown}'"),
                "rename one of them, or remove it from the code folder",
            );
        }
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
