//! Sweep jobs and nodes (reference, sections 2.6, 2.7, 8.3 and 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Entry, Object, Value};
use super::io::Case;
use super::{Fields, command, common, component, dump, duration, get, integer, io, job as envelope, plain, put};

/// The body of a standalone sweep job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "Sweep");
    fields.insert("inputs".to_owned(), Json::Object(io::inputs(object.map("inputs"), None, Case::Camel)?));
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    if let Some(limits) = object.get("limits").and_then(Value::object) {
        fields.insert("limits".to_owned(), Json::Object(limits_body(limits)));
    }
    if let Some(objective) = object.get("objective").and_then(Value::object) {
        let body = json!({ "goal": get(objective, "goal"), "primaryMetric": get(objective, "primary_metric") });
        fields.insert("objective".to_owned(), body);
    }
    put(&mut fields, "samplingAlgorithm", object.get("sampling_algorithm").map(sampling));
    let spaces = object.map("search_space").iter().map(|s| (s.key.clone(), space(&s.value)));
    fields.insert("searchSpace".to_owned(), Json::Object(spaces.collect()));
    if let Some(policy) = object.get("early_termination").and_then(Value::object) {
        fields.insert("earlyTermination".to_owned(), Json::Object(policy_body(policy, false)));
    }
    if let Some(queue) = object.get("queue_settings").and_then(Value::object) {
        fields.insert("queueSettings".to_owned(), Json::Object(command::queue_settings(queue, false)));
    }
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(command::resources(resources, false)));
    }
    if let Some(trial) = object.get("trial").and_then(Value::object) {
        // The trial's command may use what the sweep searches: only inputs are looked up.
        command::check_inputs(object, trial)?;
        let mut body = Fields::new();
        command::trial(trial, &mut body)?;
        fields.insert("trial".to_owned(), Json::Object(body));
    }
    Ok(envelope(object, fields))
}

/// `limits`: times below a minute are raised to one.
pub(super) fn limits_body(limits: &Object) -> Fields {
    let mut body = Fields::new();
    body.insert("jobLimitsType".to_owned(), json!("Sweep"));
    put(&mut body, "maxConcurrentTrials", get(limits, "max_concurrent_trials"));
    put(&mut body, "maxTotalTrials", get(limits, "max_total_trials"));
    for (key, name) in [("timeout", "timeout"), ("trialTimeout", "trial_timeout")] {
        put(&mut body, key, integer(limits, name).map(at_least_a_minute).map(|s| json!(duration(s))));
    }
    body
}

fn at_least_a_minute(seconds: i64) -> i64 {
    if seconds == 0 { 0 } else { seconds.max(60) }
}

fn sampling(value: &Value) -> Json {
    let word = |kind: &str| match kind {
        "grid" => "Grid",
        "bayesian" => "Bayesian",
        _ => "Random",
    };
    match value.object() {
        None => json!({ "samplingAlgorithmType": word(value.text().unwrap_or_default()) }),
        Some(object) => {
            let mut body = Fields::new();
            body.insert("samplingAlgorithmType".to_owned(), json!(word(object.text("type").unwrap_or_default())));
            for name in ["seed", "logbase", "rule"] {
                put(&mut body, name, get(object, name));
            }
            Json::Object(body)
        }
    }
}

/// A distribution as a list: `["uniform", [0, 1]]`.
pub(super) fn space(value: &Value) -> Json {
    let Some(object) = value.object() else { return plain(value) };
    let kind = object.text("type").unwrap_or_default();
    let numbers = |names: &[&str]| json!(names.iter().filter_map(|n| get(object, n)).collect::<Vec<_>>());
    let arguments = match kind {
        "choice" => {
            let values = object.get("values").and_then(Value::list).unwrap_or_default();
            json!([values.iter().map(choice).collect::<Vec<_>>()])
        }
        "randint" => numbers(&["upper"]),
        "uniform" | "loguniform" => numbers(&["min_value", "max_value"]),
        "quniform" | "qloguniform" => numbers(&["min_value", "max_value", "q"]),
        "normal" | "lognormal" => numbers(&["mu", "sigma"]),
        _ => numbers(&["mu", "sigma", "q"]),
    };
    json!([kind, arguments])
}

/// A value of a choice: a mapping may hold further distributions.
fn choice(value: &Value) -> Json {
    match value.map() {
        Some(entries) => Json::Object(entries.iter().map(|e: &Entry| (e.key.clone(), space(&e.value))).collect()),
        None => plain(value),
    }
}

/// `early_termination`.
pub(super) fn policy_body(policy: &Object, snake: bool) -> Fields {
    let mut body = Fields::new();
    let name = |text: &str| if snake { text.to_owned() } else { super::super::case::camel_case(text) };
    let word = match policy.class {
        "BanditPolicy" => "Bandit",
        "MedianStoppingPolicy" => "MedianStopping",
        _ => "TruncationSelection",
    };
    body.insert(name("policy_type"), json!(word));
    let default = if word == "MedianStopping" { 1 } else { 0 };
    body.insert(name("evaluation_interval"), get(policy, "evaluation_interval").unwrap_or(json!(default)));
    body.insert(name("delay_evaluation"), get(policy, "delay_evaluation").unwrap_or(json!(0)));
    match word {
        "Bandit" => {
            for field in ["slack_factor", "slack_amount"] {
                body.insert(name(field), get(policy, field).unwrap_or(json!(0)));
            }
        }
        "TruncationSelection" => put(&mut body, &name("truncation_percentage"), get(policy, "truncation_percentage")),
        _ => {}
    }
    body
}

/// What a sweep node adds to a node.
pub(super) fn node(node: &Object, fields: &mut Fields) {
    for name in ["objective", "search_space", "sampling_algorithm"] {
        put(fields, name, dump::field(node, name));
    }
    if let Some(limits) = node.get("limits").and_then(Value::object) {
        let mut body = dump::object(limits);
        for name in ["timeout", "trial_timeout"] {
            put(&mut body, name, integer(limits, name).map(at_least_a_minute).map(Json::from));
        }
        fields.insert("limits".to_owned(), Json::Object(body));
    }
    if let Some(policy) = node.get("early_termination").and_then(Value::object) {
        fields.insert("early_termination".to_owned(), Json::Object(policy_body(policy, true)));
    }
    for (name, body) in [
        ("queue_settings", command::queue_settings as fn(&Object, bool) -> Fields),
        ("resources", command::resources as fn(&Object, bool) -> Fields),
    ] {
        if let Some(object) = node.get(name).and_then(Value::object) {
            fields.insert(name.to_owned(), Json::Object(body(object, true)));
        }
    }
}

/// The trial of a sweep node.
pub(super) fn trial(node: &Object) -> Json {
    match node.get("trial") {
        Some(trial) => match trial.object() {
            Some(object) => component::trial(object),
            None => json!({ "componentId": plain(trial) }),
        },
        None => Json::Null,
    }
}
