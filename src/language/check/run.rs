//! Mistakes that the SDK overlooks and a run would fail on: missing references, cycles, two nodes that write one
//! output, literals that do not fit, paths that are not there (reference, section 4.6).

use std::collections::{HashMap, HashSet};

use super::super::flow::is_flow;
use super::super::grammar::grammar;
use super::super::value::{Entry, Object, Value};
use super::super::{files, scalar};
use super::component::place;
use super::literal::mismatch;
use super::nodes::{ByName, listed, named, nodes, reported_missing, under};
use crate::diagnostic::article::with_article;
use crate::diagnostic::{Diagnostic, Sources, Span, suggest};

/// Checks a document. Most findings are errors; the caller decides how severe they are.
pub(super) fn document(object: &Object, sources: &Sources) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    match object.class {
        "PipelineJob" => {
            paths(object.map("inputs"), &object.base, "inputs", &mut found);
            let graph = object.get("component").and_then(Value::object).unwrap_or(object);
            pipeline(graph, "", sources, &mut found);
        }
        "PipelineComponent" => pipeline(object, "", sources, &mut found),
        "CommandJob" | "SweepJob" | "SparkJob" => {
            paths(object.map("inputs"), &object.base, "inputs", &mut found);
            let body = object.get("trial").and_then(Value::object).unwrap_or(object);
            command_inputs(object, body, sources, &mut found);
        }
        _ => {}
    }
    found
}

/// Local paths of data inputs must be there.
fn paths(inputs: &[Entry], base: &std::path::Path, path: &str, found: &mut Vec<Diagnostic>) {
    for input in inputs {
        let Some(value) = input.value.object().and_then(|o| o.get("path")) else { continue };
        let Some(text) = value.text() else { continue };
        let remote = text.contains("${{") || text.contains([':', '@']);
        if remote || text.is_empty() {
            continue;
        }
        let local = files::tidy(&base.join(text));
        if !local.exists() {
            let at = under(path, &format!("{}.path", input.key));
            let what =
                if input.value.object().and_then(|o| o.text("type")) == Some("uri_file") { "file" } else { "folder" };
            let mut fault = files::missing(&local, text, what, value.span, super::super::cursor::Cursor::ROOT);
            fault.path = at;
            found.push(fault);
        } else if let Some((kind, file)) = input.value.object().and_then(|o| marker(o.text("type")?))
            && local.is_dir()
            && !local.join(file).exists()
        {
            let message = format!("the folder '{text}' has no file {file}, so it is not {}", with_article(kind));
            let help = format!("add the file {file}, or use the type uri_folder");
            let at = under(path, &format!("{}.path", input.key));
            found.push(Diagnostic::warning("incomplete-data", value.span, message).at(at).help(help));
        }
    }
}

/// The file that makes a folder one of a type.
fn marker(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "mltable" => Some(("mltable", "MLTable")),
        "mlflow_model" => Some(("mlflow_model", "MLmodel")),
        _ => None,
    }
}

/// The service refuses a command that uses an input that the job does not have (reference, section 6.6).
fn command_inputs(job: &Object, body: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) {
    let Some(command) = body.get("command") else { return };
    let Some(text) = command.text() else { return };
    for (side, ports) in [("inputs", job.map("inputs")), ("outputs", job.map("outputs"))] {
        if listed(job, side).is_none() {
            continue;
        }
        for name in scalar::bindings(text).into_iter().filter_map(|e| e.strip_prefix(side)?.strip_prefix('.')) {
            let plain = name.strip_suffix(".path").unwrap_or(name);
            if ports.iter().any(|p| p.key == plain || p.key == name) {
                continue;
            }
            let one = side.trim_end_matches('s');
            let span = place(sources, command.span, &format!("{side}.{name}"));
            let message = format!("the command uses the {one} '{name}', which the job does not define");
            found.push(near(Diagnostic::error("unknown-port", span, message).at("command"), name, ports));
        }
    }
}

fn near(fault: Diagnostic, name: &str, known: &[Entry]) -> Diagnostic {
    match suggest::nearest(name, known.iter().map(|k| k.key.as_str())) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None if known.is_empty() => fault.help("declare it, or remove the reference"),
        None => {
            let names: Vec<&str> = known.iter().map(|k| k.key.as_str()).collect();
            fault.help(format!("use one of: {}", names.join(", ")))
        }
    }
}

fn pipeline(pipeline: &Object, path: &str, sources: &Sources, found: &mut Vec<Diagnostic>) {
    let mut writers: HashMap<String, Span> = HashMap::new();
    let mut needs: Vec<(&Entry, HashSet<usize>)> = Vec::new();
    let by_name = ByName::of(pipeline);
    for (entry, node) in nodes(pipeline) {
        let at = under(path, &format!("jobs.{}", entry.key));
        let component = named(node);
        paths(node.map("inputs"), &node.base, &under(&at, "inputs"), found);
        let mut reads = HashSet::new();
        for (value, key) in expressions(node) {
            let Some(text) = value.text() else { continue };
            for expression in scalar::bindings(text) {
                let span = place(sources, value.span, expression);
                let at = under(&at, &key);
                reads.extend(reference(pipeline, &by_name, expression, span, &at, found));
            }
        }
        if let Some(component) = component {
            given_inputs(pipeline, node, component, &at, found);
            if component.class.ends_with("CommandComponent") {
                let (from, key) = (found.len(), if node.get("trial").is_some() { "trial" } else { "component" });
                super::component::command(component, sources, found);
                for fault in &mut found[from..] {
                    fault.path = under(&at, &format!("{key}.{}", fault.path));
                }
            }
        } else if node.class == "InlineCommandNode" {
            command_inputs(node, node, sources, found);
        }
        outputs(pipeline, node, &at, &mut writers, found);
        needs.push((entry, reads));
        if node.class == "PipelineNode"
            && let Some(inner) = component
        {
            self::pipeline(inner, &at, sources, found);
        }
    }
    circles(&needs, path, found);
}

/// The values of a node that may hold an expression, with their keys.
fn expressions(node: &Object) -> Vec<(&Value, String)> {
    let mut all = Vec::new();
    for side in ["inputs", "environment_variables"] {
        for entry in node.map(side) {
            let key = format!("{side}.{}", entry.key);
            match entry.value.object().and_then(|o| o.get("path")) {
                Some(path) => all.push((path, format!("{key}.path"))),
                None => all.push((&entry.value, key)),
            }
        }
    }
    if grammar().class(node.class).is("AutoMLNode") {
        for key in ["training_data", "validation_data", "test_data"] {
            all.extend(node.get(key).map(|v| (v, key.to_owned())));
        }
    }
    for key in ["compute", "items", "condition", "body"] {
        all.extend(node.get(key).map(|v| (v, key.to_owned())));
    }
    all
}

/// Checks what an expression refers to; the position of the node whose output it reads.
fn reference(
    pipeline: &Object,
    by_name: &ByName<'_>,
    expression: &str,
    span: Span,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let fault = |code, message: String| Diagnostic::error(code, span, message).at(at);
    let parts: Vec<&str> = expression.split('.').collect();
    match parts.as_slice() {
        ["parent", "inputs", ..] => {
            let name = expression.trim_start_matches("parent.inputs.");
            let known = listed(pipeline, "inputs")?;
            if !known.iter().any(|i| i.key == name || i.key.starts_with(&format!("{name}."))) {
                found.push(near(fault("unknown-port", format!("the pipeline has no input '{name}'")), name, known));
            }
            None
        }
        ["parent", "jobs", node, side @ ("inputs" | "outputs"), port] => {
            let Some((index, (_, producer))) = by_name.find(node) else {
                let known = listed(pipeline, "jobs")?;
                if !known.iter().any(|k| k.key == *node) {
                    found.push(near(fault("unknown-job", format!("the pipeline has no node '{node}'")), node, known));
                }
                return None;
            };
            let ports = known_ports(producer, side);
            if let Some(ports) = ports.filter(|ports| !ports.iter().any(|p| p.key == *port)) {
                let one = side.trim_end_matches('s');
                let message = format!("the node '{node}' has no {one} '{port}'");
                found.push(near(fault("unknown-port", message), port, ports));
            }
            (*side == "outputs").then_some(index)
        }
        ["parent", "jobs", node] if by_name.find(node).is_some() => None,
        ["parent", "jobs", node] if pipeline.map("jobs").iter().any(|k| k.key == *node) => None,
        ["parent", "outputs", ..] | ["name" | "output_name" | "default_datastore"] => None,
        _ => {
            let message = format!("'${{{{{expression}}}}}' cannot be used here");
            let help = "use ${{parent.inputs.<input>}} or ${{parent.jobs.<node>.outputs.<output>}}";
            found.push(fault("bad-expression", message).help(help));
            None
        }
    }
}

/// The ports of a node, unless only the service knows them.
fn known_ports<'a>(node: &'a Object, side: &str) -> Option<&'a [Entry]> {
    if let Some(component) = named(node) {
        return listed(component, side);
    }
    if node.class.starts_with("Inline") { listed(node, side) } else { None }
}

/// What a node gives to its component: known inputs, and literals that fit them.
fn given_inputs(pipeline: &Object, node: &Object, component: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(declared) = listed(component, "inputs") else { return };
    for input in node.map("inputs") {
        let path = under(at, &format!("inputs.{}", input.key));
        let port = declared.iter().find(|p| p.key == input.key);
        let Some(port) = port else {
            let group = format!("{}.", input.key);
            if !is_flow(component)
                && !declared.iter().any(|p| p.key.starts_with(&group))
                && !reported_missing(node, component, input)
            {
                // Azure ML accepts it and does not use it.
                let message = format!("the component has no input '{}': its value is not used", input.key);
                let warning = Diagnostic::warning("unknown-port", input.key_span, message).at(path);
                found.push(near(warning, &input.key, declared));
            }
            continue;
        };
        let Some(parameter) = port.value.object() else { continue };
        let bound = input.value.text().and_then(scalar::only_binding).and_then(|e| e.strip_prefix("parent.inputs."));
        let value = match bound {
            Some(name) => pipeline.map("inputs").iter().find(|i| i.key == name).map(|i| &i.value),
            None => Some(&input.value),
        };
        let Some(value) = value.filter(|v| v.text().is_none_or(|t| !t.contains("${{"))) else { continue };
        // A literal of the pipeline job is reported in its place; a declared input has no value here.
        let Some(text) = value.literal().map(|l| l.python_str()) else { continue };
        if parameter.class == "InputPort" {
            let kind = parameter.text("type").unwrap_or("data");
            let message =
                format!("the input '{}' needs data of type {kind}, but its value is the text '{text}'", input.key);
            let help = format!("write a mapping: {}: {{type: {kind}, path: {text}}}", input.key);
            let fault = Diagnostic::warning("literal-for-data", value.span, message).at(path);
            found.push(fault.label(port.key_span, "declared here").help(help));
        } else if let Some(mismatch) = mismatch(parameter, &port.key, &text) {
            let mut fault = Diagnostic::error("bad-value", value.span, mismatch.message).at(path);
            fault.severity = mismatch.severity;
            found.push(fault.label(port.key_span, "declared here").help(mismatch.help));
        }
    }
}

fn outputs(
    pipeline: &Object,
    node: &Object,
    at: &str,
    writers: &mut HashMap<String, Span>,
    found: &mut Vec<Diagnostic>,
) {
    for output in node.map("outputs") {
        let path = under(at, &format!("outputs.{}", output.key));
        if let Some(component) = named(node)
            && listed(component, "outputs").is_some_and(|all| !all.iter().any(|p| p.key == output.key))
        {
            // The SDK leaves it out of what it sends.
            let message = format!("the component has no output '{}', so it is never written", output.key);
            let warning = Diagnostic::warning("unknown-port", output.key_span, message).at(path.as_str());
            found.push(near(warning, &output.key, component.map("outputs")));
            continue;
        }
        let text = output.value.text().or_else(|| output.value.object().and_then(|o| o.text("path")));
        let Some(name) = text.and_then(scalar::only_binding).and_then(|e| e.strip_prefix("parent.outputs.")) else {
            continue;
        };
        let Some(known) = listed(pipeline, "outputs") else { continue };
        found.extend(other_type(node, output, known.iter().find(|o| o.key == name), &path));
        if !known.iter().any(|o| o.key == name) {
            let message = format!("the pipeline has no output '{name}'");
            found.push(near(Diagnostic::error("unknown-port", output.value.span, message).at(path), name, known));
        } else if let Some(first) = writers.get(name) {
            let message = format!("two nodes write the pipeline's output '{name}'");
            found.push(
                Diagnostic::error("duplicate-output", output.value.span, message)
                    .at(path)
                    .label(*first, "first written here")
                    .help("use a separate output of the pipeline for each node"),
            );
        } else {
            writers.insert(name.to_owned(), output.value.span);
        }
    }
}

/// An output of the pipeline whose type differs from that of the node's output: it is not documented which one counts.
fn other_type(node: &Object, output: &Entry, above: Option<&Entry>, path: &str) -> Option<Diagnostic> {
    let kind = |entry: &Entry| entry.value.object().and_then(|object| object.text("type")).map(str::to_owned);
    let above = above?;
    let port = named(node).and_then(|component| component.map("outputs").iter().find(|p| p.key == output.key));
    let (wanted, written) = (kind(above)?, kind(port.unwrap_or(output))?);
    if wanted == written {
        return None;
    }
    let message = format!(
        "the pipeline's output '{}' is {}, but the node writes {}",
        above.key,
        with_article(&wanted),
        with_article(&written)
    );
    let warning = Diagnostic::warning("output-type", output.value.span, message).at(path);
    Some(warning.label(above.key_span, "the pipeline's output").help("write the same type in both places"))
}

/// Nodes that wait for one another, and nodes that wait for those.
fn circles(needs: &[(&Entry, HashSet<usize>)], path: &str, found: &mut Vec<Diagnostic>) {
    let wanted: Vec<Vec<usize>> = needs.iter().map(|(_, reads)| reads.iter().copied().collect()).collect();
    let stuck = crate::toposort::sorted(&wanted).stuck;
    let mut reported: HashSet<usize> = HashSet::new();
    for &start in &stuck {
        if reported.contains(&start) {
            continue;
        }
        let Some(circle) = circle_of(start, needs, &stuck) else { continue };
        if circle.iter().any(|n| reported.contains(n)) {
            continue;
        }
        reported.extend(&circle);
        let names: Vec<&str> = circle.iter().map(|n| needs[*n].0.key.as_str()).collect();
        let message = match names.as_slice() {
            [one] => format!("the node '{one}' reads its own output"),
            _ => format!("these nodes depend on each other: {} -> {}", names.join(" -> "), names[0]),
        };
        let at = under(path, &format!("jobs.{}", names[0]));
        let mut fault = Diagnostic::error("cycle", needs[circle[0]].0.key_span, message).at(at);
        for node in &circle[1..] {
            fault = fault.label(needs[*node].0.key_span, "part of the cycle");
        }
        found.push(fault.help("remove one of these references, so that no node depends on itself"));
    }
    for &node in stuck.iter().filter(|n| !reported.contains(n)) {
        let name = &needs[node].0.key;
        let message = format!("the node '{name}' can never run: it depends on nodes that depend on each other");
        let at = under(path, &format!("jobs.{name}"));
        found.push(Diagnostic::error("unreachable-step", needs[node].0.key_span, message).at(at));
    }
}

/// The cycle that a node is part of, in the order in which its nodes need each other.
fn circle_of(start: usize, needs: &[(&Entry, HashSet<usize>)], stuck: &[usize]) -> Option<Vec<usize>> {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<usize> = needs[node].1.iter().copied().filter(|n| stuck.binary_search(n).is_ok()).collect();
        next.sort_unstable();
        for n in next {
            if n == start {
                let mut circle = vec![node];
                while let Some(before) = circle.last().and_then(|l| came_from.get(l)) {
                    circle.push(*before);
                }
                circle.reverse();
                return Some(circle);
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = came_from.entry(n) {
                slot.insert(node);
                queue.push_back(n);
            }
        }
    }
    None
}
