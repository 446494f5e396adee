//! Pipelines: what nodes give to their components, compute, and inputs that are optional above and required below
//! (reference, sections 5 and 6.3).

use super::super::scalar;
use super::super::value::{Data, Entry, Object, Value};
use super::nodes::{is_missing, is_required, listed, misnamed, named, nodes, typo, under};
use super::{bindings, component as ports, control_flow, data_transfer, spark};
use crate::diagnostic::{Diagnostic, Severity, Sources};

/// Checks a pipeline job.
pub(super) fn job(job: &Object, _: &Sources, found: &mut Vec<Diagnostic>) {
    bindings::nodes_in_place(job, "", found);
    let named = job.get("component").and_then(Value::object);
    let inner = named.unwrap_or(job);
    component(inner, "", found);
    ports::port_names(job.map("inputs"), "input", "inputs", found);
    ports::port_names(job.map("outputs"), "output", "outputs", found);
    if let Some(named) = named.filter(|_| !job.damaged) {
        inputs_of_the_component(job, named, found);
        outputs_of_the_component(job, named, found);
    }
    let by_id = job.get("component").is_some_and(|c| c.text().is_some());
    let default = job.get("settings").and_then(Value::object).and_then(|s| s.get("default_compute"));
    // Beside other mistakes it only makes noise: the SDK comes to it last.
    let hidden = found.iter().any(|d| d.severity == Severity::Error) || listed(job, "settings").is_none();
    if job.get("compute").is_none() && default.is_none() && !by_id && !hidden {
        compute(job, inner, found);
    }
    init_and_finalize(job, found);
}

/// Checks the nodes of a pipeline, and of the pipelines in it.
pub(super) fn component(pipeline: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    if pipeline.class != "PipelineJob" {
        bindings::nodes_in_place(pipeline, path, found);
        if !path.is_empty() {
            ports::port_names(pipeline.map("inputs"), "input", &under(path, "inputs"), found);
            ports::port_names(pipeline.map("outputs"), "output", &under(path, "outputs"), found);
        }
    }
    control_flow::check(pipeline, path, found);
    let fed_by_items = control_flow::fed_by_items(pipeline);
    // A loop that could not be read may feed them.
    let switched_off = found.iter().any(|fault| fault.code == "preview-only");
    for (entry, node) in nodes(pipeline) {
        let at = under(path, &format!("jobs.{}", entry.key));
        if !fed_by_items.contains(entry.key.as_str()) && !switched_off {
            required_inputs(entry, node, &at, found);
        }
        numbers_for_data(node, &at, found);
        optional_to_required(pipeline, entry, node, &at, found);
        match node.class {
            _ if node.damaged => {}
            "InlineCommandNode" if node.get("environment").is_none() => {
                let message = format!("the node '{}' needs the field 'environment'", entry.key);
                let help = "add azureml:<name>@latest, azureml:<name>:<version>, or a mapping with an image";
                let path = under(&at, "environment");
                found.push(Diagnostic::error("missing-field", entry.key_span, message).at(path).help(help));
            }
            "TextClassificationNode" | "TextClassificationMultilabelNode" | "TextNerNode" => {
                text_sweep(node, &at, found);
            }
            "SparkNode" | "InlineSparkNode" => spark::check(node, Some(entry), &at, found),
            _ => data_transfer::node(node, entry, &at, found),
        }
        if node.class == "PipelineNode"
            && let Some(inner) = node.get("component").and_then(Value::object)
        {
            component(inner, &at, found);
        }
    }
}

/// The SDK reads the sweep settings of a text task, and then fails to write those of a node.
fn text_sweep(node: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(sweep) = node.entry("sweep").filter(|sweep| sweep.value.object().is_some()) else { return };
    let message = "Azure ML does not support 'sweep' for a text task in a pipeline";
    let help = "remove 'sweep' and set fixed values in 'training_parameters', or submit the AutoML job on its own";
    found.push(Diagnostic::error("not-sent", sweep.key_span, message).at(under(at, "sweep")).help(help));
}

fn required_inputs(entry: &Entry, node: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(component) = named(node) else { return };
    if listed(node, "inputs").is_none() || node.damaged {
        return;
    }
    // The SDK does not ask for the members of a group, such as `data.rows`.
    for port in component.map("inputs").iter().filter(|p| !p.key.contains('.')) {
        let Some(declared) = port.value.object() else { continue };
        let swept = node.map("search_space").iter().any(|p| p.key == port.key);
        if swept || !is_missing(node, port, declared) {
            continue;
        }
        let kind = declared.text("type").unwrap_or("value");
        let message =
            format!("the node '{}' does not set the required input '{}' of its component", entry.key, port.key);
        let inputs = node.entry("inputs").or_else(|| typo(node, "inputs"));
        let span = inputs.map_or(entry.key_span, |i| i.key_span);
        let fault = Diagnostic::error("missing-input", span, message)
            .at(under(at, &format!("inputs.{}", port.key)))
            .label(port.key_span, "declared here");
        found.push(match misnamed(node, component, port) {
            Some(typo) => {
                let mut fault = fault.help(format!("the node sets '{}': did you mean '{}'?", typo.key, port.key));
                fault.span = Some(typo.key_span);
                fault
            }
            None => fault.help(format!("add under 'inputs:': {}: <{kind}>", port.key)),
        });
    }
}

/// Text is taken for the path of data, a number or a boolean is not.
fn numbers_for_data(node: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(component) = named(node) else { return };
    for input in node.map("inputs") {
        let Some(port) = component.map("inputs").iter().find(|p| p.key == input.key) else { continue };
        let Some(declared) = port.value.object().filter(|p| p.class == "InputPort") else { continue };
        let literal = input.value.object().filter(|o| o.class == "InputLiteralValue").and_then(|o| o.get("value"));
        let value = literal.unwrap_or(&input.value);
        if !matches!(value.data, Data::Bool(_) | Data::Int(_) | Data::Float(_)) {
            continue;
        }
        let (kind, text) = (declared.text("type").unwrap_or("data"), value.python_str());
        let message = format!("the input '{}' needs data of type {kind}, but its value is {text}", input.key);
        let fault = Diagnostic::error("literal-for-data", value.span, message);
        let fault = fault.at(under(at, &format!("inputs.{}", input.key))).label(port.key_span, "declared here");
        found.push(fault.help(format!("write a mapping: {}: {{type: {kind}, path: …}}", input.key)));
    }
}

/// An input of the pipeline that may be absent cannot feed one that must not (reference, section 6.3).
fn optional_to_required(pipeline: &Object, entry: &Entry, node: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(component) = named(node) else { return };
    for input in node.map("inputs") {
        let path = input.value.object().and_then(|o| o.text("path"));
        let Some(text) = input.value.text().or(path) else { continue };
        let Some(name) = scalar::only_binding(text).and_then(|e| e.strip_prefix("parent.inputs.")) else { continue };
        let optional = pipeline
            .map("inputs")
            .iter()
            .find(|p| p.key == name)
            .filter(|p| p.value.object().and_then(|o| o.get("optional")).and_then(Value::bool) == Some(true));
        let required = component
            .map("inputs")
            .iter()
            .find(|p| p.key == input.key)
            .filter(|p| p.value.object().is_some_and(|o| o.get("optional").and_then(Value::bool) != Some(true)));
        if let (Some(optional), Some(required)) = (optional, required) {
            let message = format!(
                "'{}' is an optional input of the pipeline, but the node '{}' needs a value for '{}'",
                name, entry.key, input.key
            );
            found.push(
                Diagnostic::error("optional-to-required", input.value.span, message)
                    .at(under(at, &format!("inputs.{}", input.key)))
                    .label(optional.key_span, "optional here")
                    .label(required.key_span, "required here")
                    .help("make both optional, or give the pipeline's input a default"),
            );
        }
    }
}

/// A job hands out what the component that it runs hands out: data only, values have no place in a job.
fn outputs_of_the_component(job: &Object, component: &Object, found: &mut Vec<Diagnostic>) {
    for port in component.map("outputs") {
        let value = port.value.object().is_some_and(|o| o.class == "PrimitiveOutput");
        let said = job.map("outputs").iter().any(|o| o.key == port.key && !o.value.is_null());
        if let (true, false, Some(named)) = (value, said, job.entry("component")) {
            let message =
                format!("the component's output '{}' is a literal value, which a standalone job cannot have", port.key);
            let fault = Diagnostic::error("bad-value", named.value.span, message).at("component");
            found.push(fault.label(port.key_span, "declared here").help("use the component in a pipeline"));
        }
    }
}

/// A job that runs a pipeline component must give it the required inputs that its nodes use.
fn inputs_of_the_component(job: &Object, component: &Object, found: &mut Vec<Diagnostic>) {
    for port in component.map("inputs") {
        let Some(declared) = port.value.object().filter(|p| is_required(p)) else { continue };
        let wanted = format!("parent.inputs.{}", port.key);
        let used = nodes(component).any(|(_, node)| {
            node.map("inputs").iter().any(|i| {
                let text = i.value.text().or_else(|| i.value.object().and_then(|o| o.text("path")));
                text.is_some_and(|t| scalar::bindings(t).contains(&wanted.as_str()))
            })
        });
        if used && !job.map("inputs").iter().any(|i| i.key == port.key) {
            let kind = declared.text("type").unwrap_or("value");
            let span = job.entry("inputs").or_else(|| job.entry("component")).map_or(port.key_span, |e| e.key_span);
            let message = format!("the job does not set the required input '{}' of its component", port.key);
            found.push(
                Diagnostic::error("missing-input", span, message)
                    .at(format!("inputs.{}", port.key))
                    .label(port.key_span, "declared here")
                    .help(format!("add under 'inputs:': {}: <{kind}>", port.key)),
            );
        }
    }
}

/// Without a compute of the pipeline each node needs its own. One mistake when none has one.
fn compute(job: &Object, inner: &Object, found: &mut Vec<Diagnostic>) {
    let mut missing = Vec::new();
    let mut total = 0;
    without_compute(inner, "", &mut total, &mut missing);
    let settings = job.get("settings").and_then(Value::object);
    if let Some(typo) = settings.and_then(|s| typo(s, "default_compute")).filter(|_| !missing.is_empty()) {
        let message = format!("no compute is set: the settings have '{}', but no 'default_compute'", typo.key);
        found.push(
            Diagnostic::error("no-compute", typo.key_span, message)
                .at("settings.default_compute")
                .help("did you mean 'default_compute'?"),
        );
        return;
    }
    if missing.len() > 1 && missing.len() == total {
        let place = job.entry("settings").or_else(|| job.entry("jobs")).or_else(|| job.entry("component"));
        let Some(place) = place else { return };
        let message = format!("no compute is set: neither the pipeline nor one of its {total} nodes has one");
        found.push(
            Diagnostic::error("no-compute", place.key_span, message)
                .at("settings.default_compute")
                .help("add under 'settings:': default_compute: azureml:<name> or serverless"),
        );
        return;
    }
    for (path, entry) in missing {
        let typo = entry.value.object().and_then(|node| typo(node, "compute"));
        let message = format!("no compute is set for the node '{}'", entry.key);
        let place = typo.map_or(entry.key_span, |s| s.key_span);
        let fault = Diagnostic::error("no-compute", place, message).at(under(&path, "compute"));
        found.push(fault.help(match typo {
            Some(_) => "did you mean 'compute'?",
            None => "add compute: azureml:<name>, or settings.default_compute for all nodes",
        }));
    }
}

fn without_compute<'a>(pipeline: &'a Object, path: &str, total: &mut usize, missing: &mut Vec<(String, &'a Entry)>) {
    for (entry, node) in nodes(pipeline) {
        let at = under(path, &format!("jobs.{}", entry.key));
        match node.class {
            "PipelineNode" => {
                if let Some(inner) = node.get("component").and_then(Value::object) {
                    without_compute(inner, &at, total, missing);
                }
                continue;
            }
            "IfElse" | "DoWhile" | "ParallelFor" => continue,
            "SparkNode" | "InlineSparkNode" if node.get("resources").is_some() => continue,
            _ => {}
        }
        *total += 1;
        if node.get("compute").is_none() && !node.damaged {
            missing.push((at, entry));
        }
    }
}

/// `on_init` and `on_finalize` (reference, section 5).
fn init_and_finalize(job: &Object, found: &mut Vec<Diagnostic>) {
    let Some(settings) = job.get("settings").and_then(Value::object) else { return };
    let (init, finalize) = (settings.entry("on_init"), settings.entry("on_finalize"));
    let name = |entry: Option<&Entry>| entry.and_then(|e| e.value.text()).map(str::to_owned);
    if init.is_none() && finalize.is_none() {
        return;
    }
    let names = [name(init), name(finalize)];
    let mut fault = |entry: &Entry, message: String| {
        let at = format!("settings.{}", entry.key);
        found.push(Diagnostic::error("bad-value", entry.value.span, message).at(at));
    };
    if let (Some(init), true) = (init, names[0].is_some() && names[0] == names[1]) {
        fault(init, "on_init and on_finalize must be different nodes".to_owned());
    }
    for entry in [init, finalize].into_iter().flatten() {
        let Some(name) = entry.value.text() else { continue };
        let known = nodes(job).find(|(e, _)| e.key == name);
        let Some((_, node)) = known else {
            fault(entry, format!("'{name}' is not a node of this pipeline"));
            continue;
        };
        if matches!(node.class, "IfElse" | "DoWhile" | "ParallelFor") {
            fault(entry, format!("'{name}' is a control flow node and cannot be '{}'", entry.key));
            continue;
        }
        let reads_others = node.map("inputs").iter().any(|i| bindings::mentions(&i.value, "parent.jobs."));
        let is_read = format!("parent.jobs.{name}.");
        let read_by_others =
            nodes(job).any(|(_, n)| n.map("inputs").iter().any(|i| bindings::mentions(&i.value, &is_read)));
        if reads_others || read_by_others {
            fault(entry, format!("'{name}' exchanges data with other nodes and cannot be '{}'", entry.key));
        }
    }
    if nodes(job).all(|(e, _)| names.iter().flatten().any(|n| *n == e.key))
        && let Some(jobs) = job.entry("jobs")
    {
        let message = "the pipeline has no nodes other than on_init and on_finalize";
        found.push(Diagnostic::error("bad-value", jobs.key_span, message).at("jobs"));
    }
}
