//! Lowering: the REST body that the SDK would send for a document, before anything is uploaded (reference, section 8).
//!
//! `dump` writes an object as the SDK's schemas dump it, `component` and `environment` know what they add to that,
//! `io` the inputs and outputs, `node` and `pipeline` the graph, `inline` what becomes of nodes written in place, `command`, `sweep`, `spark`, `automl` and `tuning` the
//! other jobs, `control_flow` and `data_transfer` their nodes, `python` what Python's own libraries would print.

mod automl;
mod command;
mod component;
mod control_flow;
mod data_transfer;
mod dump;
mod environment;
mod inline;
mod io;
mod node;
mod pipeline;
mod python;
mod spark;
mod sweep;
mod tuning;

use serde_json::{Map, Value as Json, json};

use super::value::{Data, Object, Value};
use crate::yaml::Literal;

/// A JSON object.
type Fields = Map<String, Json>;

/// The REST body of a document that was accepted.
///
/// # Errors
/// The SDK cannot build one either: one sentence that says why.
pub fn body(object: &Object) -> Result<Json, String> {
    match object.class {
        "PipelineJob" => pipeline::job(object),
        "CommandJob" => command::job(object),
        "SweepJob" => sweep::job(object),
        "SparkJob" => spark::job(object),
        "ImportJob" => Err("Azure ML's SDK does not submit import jobs".to_owned()),
        "DistillationJob" => tuning::distillation(object),
        "CustomModelFineTuning" | "AzureOpenAIFineTuning" => tuning::finetuning(object),
        "PipelineComponent" => component::pipeline(object),
        "Data" | "Model" | "Environment" | "AzureBlob" | "AzureFile" | "AzureDataLakeGen1" | "AzureDataLakeGen2"
        | "OneLake" => Err("only jobs and components are sent as such bodies".to_owned()),
        class if class.ends_with("Component") => component::body(object),
        _ => automl::job(object),
    }
}

/// A free value as JSON.
fn plain(value: &Value) -> Json {
    match &value.data {
        Data::Null | Data::Unread => Json::Null,
        Data::Bool(it) => Json::Bool(*it),
        Data::Int(digits) => {
            digits.parse::<i64>().map(Json::from).unwrap_or_else(|_| json!(digits.parse::<f64>().ok()))
        }
        Data::Float(it) => json!(it),
        Data::Text(text) | Data::Date(text) => Json::from(text.as_str()),
        Data::List(items) => Json::Array(items.iter().map(plain).collect()),
        Data::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
        Data::Object(object) => Json::Object(object.fields.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
    }
}

/// Python's `str()` of a scalar.
fn python_str(value: &Value) -> String {
    value.literal().as_ref().map(Literal::python_str).unwrap_or_default()
}

/// Takes out what is null or an empty mapping, as the SDK does before it sends.
fn without_empty(json: Json) -> Json {
    match json {
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(k, v)| (k, without_empty(v))).filter(|(_, v)| !is_empty(v)).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_empty).filter(|v| !is_empty(v)).collect()),
        other => other,
    }
}

fn is_empty(json: &Json) -> bool {
    json.is_null() || json.as_object().is_some_and(Map::is_empty)
}

/// Puts a field unless it is absent or null.
fn put(fields: &mut Fields, key: &str, value: Option<Json>) {
    if let Some(value) = value.filter(|v| !v.is_null()) {
        fields.insert(key.to_owned(), value);
    }
}

/// A field's free value.
fn get(object: &Object, name: &str) -> Option<Json> {
    object.get(name).map(plain)
}

/// Seconds as an ISO 8601 duration, as Python's `isodate` prints them: `PT1H`, `PT1M30S`, `P1DT2H`.
fn duration(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = "P".to_owned();
    if days != 0 {
        text += &format!("{days}D");
    }
    if rest == 0 {
        return if days == 0 { "PT0S".to_owned() } else { text };
    }
    text.push('T');
    for (count, unit) in [(hours, 'H'), (minutes, 'M'), (seconds, 'S')] {
        if count != 0 {
            text += &format!("{count}{unit}");
        }
    }
    text
}

/// A field's integer.
fn integer(object: &Object, name: &str) -> Option<i64> {
    match &object.get(name)?.data {
        Data::Int(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// The envelope of a job: `name` stands beside its properties.
fn job(object: &Object, properties: Fields) -> Json {
    let mut body = Fields::new();
    put(&mut body, "name", get(object, "name"));
    body.insert("properties".to_owned(), Json::Object(properties));
    Json::Object(body)
}

/// The fields that all jobs have.
fn common(object: &Object, kind: &str) -> Fields {
    let mut fields = Fields::new();
    fields.insert("jobType".to_owned(), json!(kind));
    fields.insert("isArchived".to_owned(), json!(false));
    put(&mut fields, "displayName", get(object, "display_name"));
    put(&mut fields, "description", get(object, "description"));
    put(&mut fields, "experimentName", get(object, "experiment_name"));
    fields.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    fields.insert("properties".to_owned(), get(object, "properties").unwrap_or_else(|| json!({})));
    put(&mut fields, "computeId", get(object, "compute"));
    if let Some(identity) = object.get("identity").and_then(Value::object) {
        fields.insert("identity".to_owned(), Json::Object(command::identity(identity, false)));
    }
    let services = object.map("services");
    if !services.is_empty() {
        let all = services.iter().filter_map(|s| Some((s.key.clone(), command::service(s.value.object()?, false))));
        fields.insert("services".to_owned(), Json::Object(all.collect()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_python() {
        assert_eq!(duration(90), "PT1M30S");
        assert_eq!(duration(3600), "PT1H");
        assert_eq!(duration(0), "PT0S");
        assert_eq!(duration(86_400), "P1D");
        assert_eq!(duration(93_600), "P1DT2H");
    }
}
