//! What runs in a step: command components, and the same fields in jobs and nodes (reference, sections 2.2, 2.13).

use std::path::PathBuf;

use super::environment::Environment;
use super::io::{self, Port};
use super::{Pairs, Spanned};
use crate::diagnostic::Diagnostic;
use crate::language::value::{Data, Object, Value};
use crate::yaml::Literal;

/// What runs in a step: a command and what it needs. Standalone command jobs and inline nodes have the same fields.
#[derive(Clone, Debug)]
pub struct CommandBody {
    /// The command's text, expressions and all.
    pub command: Spanned<String>,
    /// The file or folder that becomes the working directory, made absolute.
    pub code: Option<Spanned<PathBuf>>,
    /// What it runs in.
    pub environment: Option<Spanned<Environment>>,
    /// Variables of the step.
    pub environment_variables: Pairs<Spanned<Literal>>,
    /// `limits.timeout` in seconds.
    pub timeout: Option<Spanned<i64>>,
}

/// A command component.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name; an inline node's component has none.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Whether the same inputs always give the same outputs, so that a step may be reused.
    pub is_deterministic: bool,
    /// Declared inputs.
    pub inputs: Vec<Port>,
    /// Declared outputs.
    pub outputs: Vec<Port>,
    /// What runs.
    pub body: CommandBody,
}

/// The fields that command jobs, inline nodes and command components share.
pub(super) fn command_body(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<CommandBody> {
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    run_settings(object, path, found);
    let environment = object
        .get("environment")
        .and_then(|value| Some(Spanned::new(Environment::of(value, &at("environment"), found)?, value.span)));
    let command = object.get("command")?;
    Some(CommandBody {
        command: Spanned::new(command.text()?.to_owned(), command.span),
        code: code(object, &at("code"), found),
        environment,
        environment_variables: environment_variables(object, &at("environment_variables"), found),
        timeout: timeout(object, path, found),
    })
}

/// A command component in a file, or written where it is used.
pub(super) fn of(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Component> {
    if let Some(entry) = object.entry("additional_includes")
        && !entry.value.is_empty()
    {
        let message = "'additional_includes' is not read by amlrun yet";
        let help = "until then, link the folder into 'code:' (links are followed)";
        found.push(Diagnostic::error("not-yet", entry.key_span, message).at("additional_includes").help(help));
    }
    let text = |name: &str| object.text(name).map(str::to_owned);
    Some(Component {
        name: text("name"),
        version: text("version"),
        display_name: text("display_name"),
        is_deterministic: object.get("is_deterministic").and_then(Value::bool).unwrap_or(true),
        inputs: io::ports(object.map("inputs")),
        outputs: io::ports(object.map("outputs")),
        body: command_body(object, path, found)?,
    })
}

/// `code:` is a local file or folder, which is there; other forms wait for a later version (reference, section 1.8).
fn code(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Spanned<PathBuf>> {
    let value = object.get("code")?;
    let text = value.text()?;
    let place = object.base.join(text);
    if place.exists() {
        return Some(Spanned::new(place.components().collect(), value.span));
    }
    found.push(
        Diagnostic::error("not-yet", value.span, format!("amlrun cannot fetch code from '{text}' yet"))
            .at(path)
            .help("check it out beside the YAML file and name the folder"),
    );
    None
}

pub(super) fn environment_variables(
    object: &Object,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Pairs<Spanned<Literal>> {
    let mut all = Vec::new();
    for entry in object.map("environment_variables") {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let message = format!("'{}' cannot name an environment variable", entry.key);
            found.push(Diagnostic::error("bad-name", entry.key_span, message).at(path));
        } else if let Some(literal) = entry.value.literal() {
            all.push((entry.key.clone(), Spanned::new(literal, entry.value.span)));
        } else {
            let message = format!("the variable '{}' must be a scalar, but is a list or a mapping", entry.key);
            let at = format!("{path}.{}", entry.key);
            found.push(Diagnostic::error("wrong-type", entry.value.span, message).at(at));
        }
    }
    all
}

pub(super) fn timeout(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Spanned<i64>> {
    let value = object.get("limits").and_then(Value::object)?.get("timeout")?;
    let at = if path.is_empty() { "limits.timeout".to_owned() } else { format!("{path}.limits.timeout") };
    let Data::Int(digits) = &value.data else {
        let message = "a timeout by an expression is not run by amlrun yet";
        found.push(Diagnostic::error("not-yet", value.span, message).at(at).help("write a number of seconds"));
        return None;
    };
    let seconds = digits.parse::<i64>().unwrap_or(i64::MAX);
    if seconds <= 0 {
        let message = "a timeout must be a positive number of seconds";
        found.push(Diagnostic::error("bad-value", value.span, message).at(at));
    }
    Some(Spanned::new(seconds, value.span))
}

/// Where and how the service runs a step. Scheduling means nothing here; several processes a step come later.
pub(super) fn run_settings(object: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    if let Some(entry) = object.entry("distribution") {
        let message = "a step of several processes ('distribution') is not run by amlrun yet";
        found.push(
            Diagnostic::error("not-yet", entry.key_span, message)
                .at(at("distribution"))
                .help("remove it for a local run: the command then runs as one process"),
        );
    }
    let count = object.get("resources").and_then(Value::object).and_then(|r| r.get("instance_count"));
    if let Some(value) = count
        && let Some(count) = value.literal().and_then(|l| l.python_str().parse::<i64>().ok()).filter(|c| *c > 1)
    {
        found.push(
            Diagnostic::error("not-yet", value.span, format!("a step on {count} instances is not run by amlrun yet"))
                .at(at("resources.instance_count"))
                .help("change the line to 'instance_count: 1' for a local run"),
        );
    }
}
