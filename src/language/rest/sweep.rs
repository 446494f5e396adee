//! Sweep jobs and nodes (reference, sections 2.6, 2.7, 8.3 and 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, duration, get, integer, plain, put};
use super::io::Case;
use super::reference::{ANONYMOUS, Paths, source};
use super::search_space::{policy_body, space};
use super::specification::spec;
use super::{command, dump, io, settings};

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
        fields.insert("queueSettings".to_owned(), Json::Object(settings::queue_settings(queue, false)));
    }
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(settings::resources(resources, false)));
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
        ("queue_settings", settings::queue_settings as fn(&Object, bool) -> Fields),
        ("resources", settings::resources as fn(&Object, bool) -> Fields),
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
            Some(object) => trial_component(object),
            None => json!({ "componentId": plain(trial) }),
        },
        None => Json::Null,
    }
}

/// The trial of a sweep node: a component inside a body.
fn trial_component(object: &Object) -> Json {
    let mut spec = spec(object, Paths::Absolute);
    spec.insert("_source".to_owned(), json!(source(object)));
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(true));
    properties.insert("isArchived".to_owned(), json!(false));
    properties.insert("properties".to_owned(), get(object, "properties").unwrap_or_else(|| json!({})));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    json!({ "name": ANONYMOUS, "properties": properties })
}
