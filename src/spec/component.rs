//! Command components: the file that a node names, or what an inline node amounts to (reference, sections 2.2, 2.13).

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::expr::{Expr, Template};
use super::io::{self, Port};
use super::{Pairs, Spanned};
use crate::diagnostic::{Diagnostic, Sources, Span};
use crate::yaml::{Fields, Literal, Node};

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

/// Reads the fields that command jobs, inline nodes and command components share.
/// `what` names the document for messages, such as `a command job`.
pub(super) fn command_body(
    fields: &mut Fields<'_>,
    base: &Path,
    what: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<CommandBody> {
    let command = fields.string("command", found);
    if command.is_none() && fields.take_set("command").is_none() {
        fields.missing("command", what, found);
    }
    let code =
        fields.string("code", found).and_then(|(text, span)| code(&text, span, &fields.child("code"), base, found));
    let environment = match fields.take_set("environment") {
        Some(node) => Environment::read(node, &fields.child("environment"), base, found)
            .map(|environment| Spanned::new(environment, node.span)),
        None => {
            fields.missing("environment", what, found);
            None
        }
    };
    let environment_variables = environment_variables(fields, found);
    let timeout = timeout(fields, found);
    run_settings(fields, found);
    let (text, span) = command?;
    Some(CommandBody { command: Spanned::new(text, span), code, environment, environment_variables, timeout })
}

/// Reads a command component file's mapping.
pub fn read(node: &Node, base: &Path, sources: &Sources, found: &mut Vec<Diagnostic>) -> Option<Component> {
    let mut fields = Fields::open(node, "", found)?;
    fields.pass_over(&["$schema", "type", "description", "tags", "properties", "compute"]);
    let name = fields.string("name", found);
    match &name {
        Some((text, span)) if !name_fits(text) => {
            let help = "a component's name has lower case letters, digits and '_', and begins with a letter";
            let message = format!("'{text}' cannot name a component");
            found.push(Diagnostic::error("bad-name", *span, message).at("name").help(help));
        }
        None => fields.missing("name", "a command component", found),
        _ => {}
    }
    let version = fields.version("version", found);
    let display_name = fields.string("display_name", found).map(|(text, _)| text);
    let is_deterministic = fields.boolean("is_deterministic", found).unwrap_or(true);
    let inputs = io::ports(&mut fields, "inputs", found);
    let outputs = io::ports(&mut fields, "outputs", found);
    if let Some(entry) = fields.entry("additional_includes")
        && !entry.value.is_null()
    {
        let message = "'additional_includes' is not read by amlrun yet";
        let help = "until then, link the folder into 'code:' (links are followed)";
        found.push(Diagnostic::error("not-yet", entry.key_span, message).at("additional_includes").help(help));
    }
    let body = command_body(&mut fields, base, "a command component", found);
    // Azure ML keeps unknown keys of a component file without a word; a slip of the finger still deserves one.
    let mut unknown = Vec::new();
    fields.finish("a command component", &mut unknown);
    for mut diagnostic in unknown {
        diagnostic.severity = crate::diagnostic::Severity::Warning;
        found.push(diagnostic);
    }
    let component =
        Component { name: name.map(|(n, _)| n), version, display_name, is_deterministic, inputs, outputs, body: body? };
    check_command(&component, sources, found);
    Some(component)
}

/// Every expression of a component's command must name one of its ports (reference, section 6.5).
pub fn check_command(component: &Component, sources: &Sources, found: &mut Vec<Diagnostic>) {
    let names = |ports: &[Port]| ports.iter().map(|p| p.name.value.clone()).collect::<Vec<_>>();
    let (inputs, outputs) = (names(&component.inputs), names(&component.outputs));
    for (expr, written, optional) in Template::command(&component.body.command.value).expressions() {
        let (side, name, known) = match expr {
            Expr::Input(name) => ("input", name, &inputs),
            Expr::Output(name) => ("output", name, &outputs),
            Expr::Name => continue,
            _ => {
                let span = place(sources, component.body.command.span, written);
                let message = format!("{written} means nothing in a command");
                let help = "a command can use ${{inputs.<name>}} and ${{outputs.<name>}} of its own component";
                found.push(Diagnostic::error("bad-expression", span, message).at("command").help(help));
                continue;
            }
        };
        if known.contains(name) || optional && side == "input" && known.iter().any(|k| k == name) {
            continue;
        }
        let span = place(sources, component.body.command.span, written);
        let message = format!("the command uses the {side} '{name}', which is not declared");
        let mut diagnostic = Diagnostic::error("unknown-port", span, message).at("command");
        diagnostic = match crate::diagnostic::suggest::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
            None => diagnostic.help(format!("declare it under '{side}s:'")),
        };
        found.push(diagnostic);
    }
}

/// The place of an expression inside a scalar: found in the text of the file, since folding and quoting move columns.
#[must_use]
pub fn place(sources: &Sources, scalar: Span, written: &str) -> Span {
    // A block scalar's span may begin and end with its indicator line: look a little beyond it.
    for line in scalar.line..=scalar.end_line.max(scalar.line) + 1 {
        let text = sources.line(scalar.source, line);
        let from = if line == scalar.line { scalar.column - 1 } else { 0 };
        let skipped: usize = text.chars().take(from).map(char::len_utf8).sum();
        if let Some(at) = text.get(skipped..).and_then(|rest| rest.find(written)) {
            let column = text[..skipped + at].chars().count() + 1;
            let end_column = column + written.chars().count();
            return Span { source: scalar.source, line, column, end_line: line, end_column };
        }
    }
    scalar
}

fn name_fits(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `code:` is a local file or folder that must exist (reference, section 1.8); other forms wait for a later version.
fn code(text: &str, span: Span, path: &str, base: &Path, found: &mut Vec<Diagnostic>) -> Option<Spanned<PathBuf>> {
    let place = base.join(text);
    if place.exists() {
        return Some(Spanned::new(place, span));
    }
    let remote = ["http://", "https://", "git+", "azureml:"].iter().any(|p| text.starts_with(p));
    found.push(if remote {
        Diagnostic::error("not-yet", span, format!("amlrun cannot fetch code from '{text}' yet"))
            .at(path)
            .help("check it out beside the YAML file and name the folder")
    } else {
        Diagnostic::error("missing-path", span, format!("there is no file or folder '{text}'"))
            .at(path)
            .help("'code:' is relative to the folder of the file that it is written in")
    });
    None
}

pub(super) fn environment_variables(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Pairs<Spanned<Literal>> {
    let Some(node) = fields.take_set("environment_variables") else { return Vec::new() };
    let path = fields.child("environment_variables");
    let Some(entries) = node.as_mapping() else {
        let message = format!("'environment_variables' must be a mapping, but is {}", node.describe());
        found.push(Diagnostic::error("wrong-type", node.span, message).at(path));
        return Vec::new();
    };
    let mut all = Vec::new();
    for entry in entries {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let message = format!("'{}' cannot name an environment variable", entry.key);
            found.push(Diagnostic::error("bad-name", entry.key_span, message).at(path.as_str()));
        } else if let Some(literal) = entry.value.literal() {
            all.push((entry.key.clone(), Spanned::new(literal, entry.value.span)));
        } else {
            let message = format!("the variable '{}' must be a scalar, but is {}", entry.key, entry.value.describe());
            found.push(Diagnostic::error("wrong-type", entry.value.span, message).at(format!("{path}.{}", entry.key)));
        }
    }
    all
}

pub(super) fn timeout(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Option<Spanned<i64>> {
    let node = fields.take_set("limits")?;
    let mut limits = Fields::open(node, &fields.child("limits"), found)?;
    let timeout = limits.integer("timeout", found).map(|(seconds, span)| Spanned::new(seconds, span));
    if let Some(Spanned { value: ..=0, span }) = timeout {
        let message = "a timeout must be a positive number of seconds";
        found.push(Diagnostic::error("bad-value", span, message).at(limits.child("timeout")));
    }
    limits.finish("limits", found);
    timeout
}

/// Where and how the service runs a step. Scheduling means nothing here; several processes a step come later.
pub(super) fn run_settings(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) {
    fields.pass_over(&["services", "identity", "queue_settings"]);
    if let Some(entry) = fields.entry("distribution")
        && !entry.value.is_null()
    {
        let message = "a step of several processes ('distribution') is not run by amlrun yet";
        found.push(
            Diagnostic::error("not-yet", entry.key_span, message)
                .at(fields.child("distribution"))
                .help("remove it for a local run: the command then runs as one process"),
        );
    }
    let Some(node) = fields.take_set("resources") else { return };
    let Some(mut resources) = Fields::open(node, &fields.child("resources"), found) else { return };
    if let Some((count, span)) = resources.integer("instance_count", found)
        && count > 1
    {
        let message = format!("a step on {count} instances is not run by amlrun yet");
        found.push(
            Diagnostic::error("not-yet", span, message)
                .at(resources.child("instance_count"))
                .help("change the line to 'instance_count: 1' for a local run"),
        );
    }
    resources.pass_over(&["instance_type", "max_instance_count", "properties", "locations", "docker_args", "shm_size"]);
    resources.finish("resources", found);
}
