//! Spark jobs and nodes (reference, section 6.6).

use super::super::grammar::{Shape, grammar};
use super::super::value::{Data, Entry, Object, Value};
use super::super::{files, scalar};
use super::nodes::under;
use crate::diagnostic::{Diagnostic, Span, suggest};

const DRIVER_AND_EXECUTOR: [&str; 4] =
    ["spark.driver.cores", "spark.driver.memory", "spark.executor.cores", "spark.executor.memory"];

/// Checks a spark job, or a node and its key.
pub(super) fn check(object: &Object, entry: Option<&Entry>, at: &str, found: &mut Vec<Diagnostic>) {
    let component = super::nodes::named(object);
    if object.get("component").is_some() && component.is_none() || object.damaged {
        return;
    }
    let whole = entry.map_or_else(|| object.fields.first().map(|f| f.key_span), |e| Some(e.key_span));
    let Some(whole) = whole else { return };
    let body = component.unwrap_or(object);
    compute_or_resources(object, whole, at, found);
    modes(object, component, at, found);
    resources(object, whole, at, found);
    configuration(object, component, whole, at, found);
    entry_file(body, whole, at, found);
    arguments(object, body, at, found);
}

fn compute_or_resources(object: &Object, whole: Span, at: &str, found: &mut Vec<Diagnostic>) {
    match (object.entry("compute"), object.entry("resources")) {
        (None, None) => {
            let message = "a spark job needs 'compute' or 'resources'";
            let help =
                "for serverless spark, add resources: {instance_type: standard_e4s_v3, runtime_version: \"3.4\"}";
            found.push(Diagnostic::error("missing-field", whole, message).at(under(at, "resources")).help(help));
        }
        (Some(compute), Some(resources)) => found.push(
            Diagnostic::error(
                "exclusive-fields",
                resources.key_span,
                "a spark job has 'compute' or 'resources', not both",
            )
            .at(under(at, "resources"))
            .label(compute.key_span, "'compute' is set here")
            .help("remove one of them"),
        ),
        _ => {}
    }
}

/// Serverless spark has machines of a few types only, and asks for its version. A node that names a component is read
/// so in the first place.
fn resources(object: &Object, whole: Span, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(entry) = object.entry("resources").filter(|_| object.class != "SparkNode") else { return };
    // The SDK overlooks resources that say nothing.
    let Some(resources) = entry.value.object().filter(|r| !r.damaged && !r.fields.is_empty()) else { return };
    for name in ["instance_type", "runtime_version"] {
        if resources.entry(name).is_none() {
            let message = format!("spark resources need the field '{name}'");
            let span = if entry.key_span.source == whole.source { entry.key_span } else { whole };
            let path = under(at, &format!("resources.{name}"));
            found.push(Diagnostic::error("missing-field", span, message).at(path));
        }
    }
    let Some(value) = resources.get("instance_type") else { return };
    let Some(text) = value.text() else { return };
    let known = machines();
    if !known.contains(&text.to_lowercase()) {
        let message = format!("'{text}' is not a spark instance type");
        let fault = Diagnostic::error("bad-value", value.span, message).at(under(at, "resources.instance_type"));
        let words = known.iter().map(String::as_str);
        found.push(match suggest::nearest(text, words.clone()) {
            Some(near) => fault.help(format!("did you mean '{near}'?")),
            None => fault.help(format!("use {}", suggest::one_of(words))),
        });
    }
}

/// The types of machines, from the grammar of nodes.
fn machines() -> Vec<String> {
    match grammar().class("SparkResourceConfigurationForNode").field("instance_type").map(|rule| &rule.shape) {
        Some(Shape::Enum { words, .. }) => words.clone(),
        _ => Vec::new(),
    }
}

/// Spark reads and writes data where it is: every port of data has the mode `direct`.
fn modes(object: &Object, component: Option<&Object>, at: &str, found: &mut Vec<Diagnostic>) {
    for side in ["inputs", "outputs"] {
        for port in object.map(side) {
            let Some(data) = port.value.object() else { continue };
            let bound = data.text("path").is_some_and(|p| p.starts_with("${{parent."));
            let declared = component
                .and_then(|c| c.map(side).iter().find(|p| p.key == port.key))
                .and_then(|p| p.value.object())
                .and_then(|p| p.text("mode"));
            let mode = data.text("mode").or(declared);
            if mode == Some("direct") || bound && component.is_some() {
                continue;
            }
            let one = side.trim_end_matches('s');
            let message = match mode {
                Some(mode) => {
                    format!("the {one} '{}' has the mode '{mode}', but spark supports only 'direct'", port.key)
                }
                None => format!("the {one} '{}' needs 'mode: direct', the only mode that spark supports", port.key),
            };
            let span = data.entry("mode").map_or(port.key_span, |m| m.value.span);
            let path = under(at, &format!("{side}.{}.mode", port.key));
            found.push(Diagnostic::error("bad-value", span, message).at(path).help("write mode: direct"));
        }
    }
}

fn configuration(object: &Object, component: Option<&Object>, whole: Span, at: &str, found: &mut Vec<Diagnostic>) {
    let get = |key: &str| -> Option<&Value> {
        [Some(object), component].into_iter().flatten().find_map(|o| {
            o.map("conf")
                .iter()
                .find(|e| e.key == key || e.key == short(key))
                .map(|e| &e.value)
                // An empty mapping or list is dropped on the way.
                .filter(|v| {
                    !v.is_null() && v.map().is_none_or(|m| !m.is_empty()) && v.list().is_none_or(|l| !l.is_empty())
                })
        })
    };
    let span = object.entry("conf").or_else(|| component.and_then(|c| c.entry("conf"))).map_or(whole, |e| e.key_span);
    let mut fault = |code: &'static str, message: String, help: &str| {
        found.push(Diagnostic::error(code, span, message).at(under(at, "conf")).help(help));
    };
    let dynamic = get("spark.dynamicAllocation.enabled").is_some_and(|v| match &v.data {
        Data::Bool(it) => *it,
        Data::Text(text) => text == "True" || text == "true",
        _ => false,
    });
    let mut needed = DRIVER_AND_EXECUTOR.to_vec();
    if dynamic {
        needed.extend(["spark.dynamicAllocation.minExecutors", "spark.dynamicAllocation.maxExecutors"]);
    } else {
        needed.push("spark.executor.instances");
    }
    let missing: Vec<&str> = needed.into_iter().filter(|key| get(key).is_none()).collect();
    if !missing.is_empty() {
        fault(
            "missing-conf",
            format!("the 'conf' of the spark job needs {}", missing.join(", ")),
            "add them under 'conf:'",
        );
        return;
    }
    if !dynamic {
        if get("spark.dynamicAllocation.minExecutors").is_some()
            || get("spark.dynamicAllocation.maxExecutors").is_some()
        {
            fault(
                "exclusive-fields",
                "minExecutors and maxExecutors need dynamic allocation".to_owned(),
                "add spark.dynamicAllocation.enabled: true, or remove them",
            );
        }
        return;
    }
    let counts = ["spark.dynamicAllocation.minExecutors", "spark.dynamicAllocation.maxExecutors"];
    for key in counts.into_iter().chain(["spark.executor.instances"]) {
        // Python cannot compare it.
        if let Some(value) = get(key).filter(|v| !v.is_empty() && number(v).is_none()) {
            let message = format!("'{key}' must be a number, but is {}", kind(value));
            let fault = Diagnostic::error("wrong-type", value.span, message).at(under(at, "conf"));
            found.push(fault.help("write an integer without quotes"));
            return;
        }
    }
    let [low, high] = counts.map(|key| get(key).and_then(number));
    if let (Some(low), Some(high)) = (low, high) {
        let mut fault = |code: &'static str, message: String, help: &str| {
            found.push(Diagnostic::error(code, span, message).at(under(at, "conf")).help(help));
        };
        if low <= 0.0 || low > high {
            fault(
                "out-of-range",
                format!("minExecutors ({low}) must be positive and at most maxExecutors ({high})"),
                "change spark.dynamicAllocation.minExecutors",
            );
        } else if get("spark.executor.instances")
            .and_then(number)
            .is_some_and(|n| n != 0.0 && !(low..=high).contains(&n))
        {
            fault(
                "out-of-range",
                format!("spark.executor.instances must be from {low} to {high}"),
                "change it to a value between minExecutors and maxExecutors",
            );
        }
    }
}

/// A number as Python compares it.
fn number(value: &Value) -> Option<f64> {
    match &value.data {
        Data::Int(digits) => digits.parse().ok(),
        Data::Float(it) => Some(*it),
        Data::Bool(it) => Some(f64::from(u8::from(*it))),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match &value.data {
        Data::List(_) => "a list",
        Data::Map(_) | Data::Object(_) => "a mapping",
        _ => "text",
    }
}

/// The name that the SDK gives to a key of `conf`.
fn short(key: &str) -> &'static str {
    match key {
        "spark.driver.cores" => "driver_cores",
        "spark.driver.memory" => "driver_memory",
        "spark.executor.cores" => "executor_cores",
        "spark.executor.memory" => "executor_memory",
        "spark.executor.instances" => "executor_instances",
        "spark.dynamicAllocation.enabled" => "dynamic_allocation_enabled",
        "spark.dynamicAllocation.minExecutors" => "dynamic_allocation_min_executors",
        "spark.dynamicAllocation.maxExecutors" => "dynamic_allocation_max_executors",
        _ => "",
    }
}

fn entry_file(body: &Object, whole: Span, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(entry) = body.entry("entry") else { return };
    let Some(object) = entry.value.object() else { return };
    if let Some(class) = object.entry("class_name") {
        let message = "a class as 'entry' is not supported";
        let help = "write entry: {file: <script>.py}";
        found.push(Diagnostic::error("missing-entry", class.key_span, message).at(under(at, "entry")).help(help));
        return;
    }
    // A component without code has its own folder as code; a job without code has none.
    let code = match body.text("code") {
        Some(code) => code,
        None if body.class.ends_with("Component") => ".",
        None => return,
    };
    let remote = ["git+", "azureml:", "http://", "https://"].iter().any(|p| code.starts_with(p));
    let Some(file) = object.text("file").filter(|_| !remote) else { return };
    let path = files::tidy(&body.base.join(code).join(file));
    if !path.exists() {
        let message = format!("the entry '{file}' is not in the code folder '{code}'");
        let span = object.entry("file").map_or(whole, |f| f.value.span);
        found.push(Diagnostic::error("missing-entry", span, message).at(under(at, "entry.file")));
    }
}

fn arguments(object: &Object, body: &Object, at: &str, found: &mut Vec<Diagnostic>) {
    let Some(args) = object.entry("args").or_else(|| body.entry("args")) else { return };
    let Some(text) = args.value.text() else { return };
    for name in scalar::bindings(text).into_iter().filter_map(|e| e.strip_prefix("inputs.")) {
        let given = object.map("inputs").iter().chain(body.map("inputs")).any(|i| i.key == name);
        if !given {
            let message = format!("'args' uses the input '{name}', which is not defined");
            found.push(Diagnostic::error("unknown-port", args.value.span, message).at(under(at, "args")));
        }
    }
}
