//! Conditions and loops (reference, sections 2.12 and 6.7): preview features of pipelines.

use std::collections::HashSet;

use super::super::scalar;
use super::super::value::{Data, Entry, Object, Value};
use super::loop_items;
use super::nodes::{listed, named, nodes, under};
use crate::diagnostic::{Diagnostic, Span};

/// Checks all control flow nodes of a pipeline.
pub(super) fn check(pipeline: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    let mut bodies: HashSet<&str> = HashSet::new();
    for (entry, node) in nodes(pipeline).filter(|(_, node)| !node.damaged) {
        let at = under(path, &format!("jobs.{}", entry.key));
        match node.class {
            "IfElse" => if_else(entry, node, &at, found),
            "DoWhile" | "ParallelFor" => {
                let Some(body) = body(pipeline, node, &at, found) else { continue };
                if !bodies.insert(body.name) {
                    let message = format!("'{}' is already the body of another loop", body.name);
                    let fault = Diagnostic::error("bad-value", body.span, message).at(under(&at, "body"));
                    found.push(fault.help("copy the node for the other loop: a node can be the body of only one"));
                }
                if node.class == "DoWhile" {
                    do_while(node, &body, &at, found);
                } else {
                    loop_items::check(node, body.component, &at, found);
                }
            }
            _ => {}
        }
    }
}

/// The names of the nodes that a `parallel_for` repeats: its items give what they are not given themselves.
pub(super) fn fed_by_items(pipeline: &Object) -> HashSet<&str> {
    let loops = nodes(pipeline).filter(|(_, node)| node.class == "ParallelFor");
    loops.filter_map(|(_, node)| body_name(node.text("body")?)).collect()
}

fn if_else(entry: &Entry, node: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    if let Some(condition) = node.get("condition")
        && let Some(text) = condition.text()
        && !refers(text, "parent")
    {
        let message = format!("the condition '{text}' does not refer to an output of a node");
        let fault = Diagnostic::error("bad-expression", condition.span, message).at(under(at, "condition"));
        found.push(fault.help("write ${{parent.jobs.<node>.outputs.<output>}}"));
    }
    let (yes, no) = (block(node, "true_block"), block(node, "false_block"));
    for (name, values) in [("true_block", &yes), ("false_block", &no)] {
        for value in values.iter().filter(|v| v.text().is_some_and(|t| !refers(t, "parent.jobs"))) {
            let message = format!("'{}' does not refer to a node of the pipeline", value.text().unwrap_or_default());
            let fault = Diagnostic::error("bad-expression", value.span, message).at(under(at, name));
            found.push(fault.help("write ${{parent.jobs.<node>}}"));
        }
    }
    if yes.is_empty() && no.is_empty() && ["true_block", "false_block"].iter().all(|b| listed(node, b).is_some()) {
        let written = node.entry("true_block").or_else(|| node.entry("false_block"));
        let span = written.map_or(entry.key_span, |e| e.key_span);
        let message = "an if_else node needs a node in 'true_block' or 'false_block'";
        let fault = Diagnostic::error("missing-field", span, message).at(under(at, "true_block"));
        found.push(fault.help("write true_block: ${{parent.jobs.<node>}}"));
    }
    for value in &no {
        let same = yes.iter().find(|v| v.text().is_some() && v.text() == value.text());
        if let Some(same) = same {
            let message = format!("'{}' is in both 'true_block' and 'false_block'", value.text().unwrap_or_default());
            let fault = Diagnostic::error("bad-value", value.span, message).at(under(at, "false_block"));
            found.push(fault.label(same.span, "here too").help("remove it from one of them"));
        }
    }
}

/// The nodes of a block: one, or a list.
fn block<'a>(node: &'a Object, name: &str) -> Vec<&'a Value> {
    match node.get(name) {
        Some(value) => value.list().map_or_else(|| vec![value], |all| all.iter().collect()),
        None => Vec::new(),
    }
}

/// Whether a text holds an expression that begins so.
fn refers(text: &str, start: &str) -> bool {
    scalar::bindings(text).iter().any(|e| e.starts_with(start))
}

/// What a loop repeats.
struct Body<'a> {
    name: &'a str,
    span: Span,
    node: &'a Object,
    component: Option<&'a Object>,
}

/// The name in `${{parent.jobs.<name>}}`, read as the SDK does: all between the last `.jobs.` and the braces.
pub(crate) fn body_name(text: &str) -> Option<&str> {
    scalar::only_binding(text)?;
    Some(text.strip_suffix("}}")?.rsplit_once(".jobs.")?.1)
}

/// The name of a port of the body, written as it is or as an expression.
pub(crate) fn port_name<'t>(text: &'t str, body: &str, side: &str) -> &'t str {
    let marker = format!(".{body}.{side}.");
    scalar::only_binding(text)
        .and_then(|_| text.strip_suffix("}}")?.rsplit_once(&marker))
        .map_or(text, |(_, port)| port)
}

fn body<'a>(pipeline: &'a Object, node: &'a Object, at: &str, found: &mut Vec<Diagnostic>) -> Option<Body<'a>> {
    let value = node.get("body")?;
    let text = value.text()?;
    let name = body_name(text).unwrap_or(text);
    let Some((_, body)) = nodes(pipeline).find(|(e, _)| e.key == name) else {
        let jobs = listed(pipeline, "jobs").filter(|jobs| jobs.iter().all(|j| j.key != name))?;
        let message = format!("the pipeline has no node '{name}' to repeat");
        let fault = Diagnostic::error("unknown-job", value.span, message).at(under(at, "body"));
        found.push(fault.did_you_mean(name, jobs.iter().map(|j| j.key.as_str())));
        return None;
    };
    if body.damaged {
        return None;
    }
    if !matches!(body.class, "CommandNode" | "PipelineNode") {
        let message = format!(
            "'{name}' cannot be the body of a loop: the body must be a command or pipeline node with a component"
        );
        let fault = Diagnostic::error("bad-value", value.span, message).at(under(at, "body"));
        found.push(fault.help("move the command of the node into a component file, and refer to it with 'component:'"));
        return None;
    }
    Some(Body { name, span: value.span, node: body, component: named(body) })
}

impl<'a> Body<'a> {
    /// Its inputs or outputs: what the component declares, else what the node says.
    fn ports(&self, side: &str) -> Option<&'a [Entry]> {
        match self.component {
            Some(component) => listed(component, side),
            None => listed(self.node, side),
        }
    }

    /// A port, or the mistake that it is not there.
    fn find(&self, text: &str, side: &str, span: Span, at: String) -> Result<Option<&'a Entry>, Box<Diagnostic>> {
        let Some(ports) = self.ports(side) else { return Ok(None) };
        let name = port_name(text, self.name, side);
        ports.iter().find(|p| p.key == name).map(Some).ok_or_else(|| {
            let one = side.trim_end_matches('s');
            let message = format!("the body '{}' has no {one} '{name}'", self.name);
            let fault = Diagnostic::error("unknown-port", span, message).at(at);
            Box::new(fault.did_you_mean(name, ports.iter().map(|p| p.key.as_str())))
        })
    }
}

/// Whether a declared port is a value and not data.
fn is_primitive(port: &Entry) -> bool {
    port.value.object().is_some_and(|p| matches!(p.class, "Parameter" | "PrimitiveOutput"))
}

fn do_while(node: &Object, body: &Body<'_>, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(mapping) = node.entry("mapping") else { return };
    if body.component.is_none() {
        // The SDK asks the ports for their types, and a registered component has none before it is fetched.
        let message = format!("'{}' uses a registered component, which do_while does not support", body.name);
        let fault = Diagnostic::error("bad-value", body.span, message).at(under(at, "body"));
        found.push(fault.help("use a component file in the body"));
        return;
    }
    if let Some(condition) = node.get("condition")
        && let Some(text) = condition.text()
    {
        let path = under(at, "condition");
        match body.find(text, "outputs", condition.span, path.clone()) {
            Ok(Some(port)) if !is_primitive(port) => {
                let message = format!("the output '{}' is data and cannot be a condition", port.key);
                let fault = Diagnostic::error("bad-value", condition.span, message).at(path);
                found.push(fault.label(port.key_span, "declared here").help("use an output of type boolean"));
            }
            Ok(_) => {}
            Err(fault) => found.push(*fault),
        }
    }
    if mapping.value.is_empty() {
        let message = "the mapping of a loop is empty";
        let fault = Diagnostic::error("bad-value", mapping.value.span, message).at(under(at, "mapping"));
        found.push(fault.help("add <output of the body>: <input of the body>"));
    }
    let mut fed: HashSet<&str> = HashSet::new();
    for pair in mapping.value.map().unwrap_or_default() {
        let path = under(at, "mapping");
        let output = match body.find(&pair.key, "outputs", pair.key_span, path.clone()) {
            Ok(port) => port,
            Err(fault) => {
                found.push(*fault);
                None
            }
        };
        let inputs = match &pair.value.data {
            Data::List(all) => all.iter().collect(),
            _ => vec![&pair.value],
        };
        for value in inputs {
            let Some(text) = value.text() else { continue };
            let input = match body.find(text, "inputs", value.span, path.clone()) {
                Ok(Some(port)) => port,
                Ok(None) => continue,
                Err(fault) => {
                    found.push(*fault);
                    continue;
                }
            };
            let fault = |message: String| Diagnostic::error("bad-value", value.span, message).at(path.clone());
            if !fed.insert(&input.key) {
                found.push(fault(format!("the input '{}' is mapped from more than one output", input.key)));
            }
            if let Some(output) = output.filter(|o| !is_primitive(o) && is_primitive(input)) {
                let message =
                    format!("the output '{}' is data, but the input '{}' is a literal value", output.key, input.key);
                found.push(fault(message).label(output.key_span, "declared here"));
            }
        }
    }
}
