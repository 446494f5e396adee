//! Spark jobs and nodes (reference, sections 2.9, 8.3 and 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, get, plain, put};
use super::io::Case;
use super::{dump, io, settings};

/// The body of a standalone spark job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    let mut fields = common(object, "Spark");
    fields.insert("inputs".to_owned(), Json::Object(io::inputs(object.map("inputs"), None, Case::Camel)?));
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    put(&mut fields, "codeId", get(object, "code"));
    put(&mut fields, "environmentId", object.get("environment").and_then(dump::environment_reference).map(Json::from));
    for (key, name) in [("args", "args"), ("pyFiles", "py_files"), ("jars", "jars"), ("files", "files")] {
        put(&mut fields, key, get(object, name));
    }
    put(&mut fields, "archives", get(object, "archives"));
    let conf = object.map("conf").iter().map(|e| (e.key.clone(), json!(e.value.python_str())));
    let mut conf: Fields = conf.collect();
    first_executors(&mut conf);
    // Whether there is dynamic allocation is said as Python does, or not at all.
    match conf.get("spark.dynamicAllocation.enabled").and_then(Json::as_str) {
        Some("true" | "True") => put(&mut conf, "spark.dynamicAllocation.enabled", Some(json!("True"))),
        _ => drop(conf.remove("spark.dynamicAllocation.enabled")),
    }
    fields.insert("conf".to_owned(), Json::Object(conf));
    if let Some(file) = object.get("entry").and_then(Value::object).and_then(|e| e.text("file")) {
        fields.insert("entry".to_owned(), json!({ "sparkJobEntryType": "SparkJobPythonEntry", "file": file }));
    }
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        let mut body = Fields::new();
        put(&mut body, "instanceType", get(resources, "instance_type"));
        put(&mut body, "runtimeVersion", get(resources, "runtime_version"));
        fields.insert("resources".to_owned(), Json::Object(body));
    }
    if !fields.contains_key("identity") {
        put(&mut fields, "identity", default_identity(object, "identityType"));
    }
    Ok(envelope(object, fields))
}

/// With dynamic allocation a job starts with the smallest number of executors, unless it says another.
pub(super) fn first_executors(conf: &mut Fields) {
    let enabled = conf.get("spark.dynamicAllocation.enabled");
    let enabled = enabled.is_some_and(|e| *e == json!(true) || e.as_str().is_some_and(|t| t.to_lowercase() == "true"));
    if enabled
        && !conf.contains_key("spark.executor.instances")
        && let Some(least) = conf.get("spark.dynamicAllocation.minExecutors").cloned()
    {
        conf.insert("spark.executor.instances".to_owned(), least);
    }
}

/// Who a spark job runs as when it does not say: the compute's own identity, or the user with serverless resources.
fn default_identity(object: &Object, key: &str) -> Option<Json> {
    if object.get("compute").is_some() {
        return Some(json!({ key: "Managed" }));
    }
    object.get("resources").is_some().then(|| json!({ key: "UserIdentity" }))
}

/// What a spark node adds to a node.
pub(super) fn node(node: &Object, component: Option<&Object>, fields: &mut Fields) {
    let body = component.unwrap_or(node);
    for name in ["py_files", "jars", "files", "archives", "args"] {
        put(fields, name, get(body, name));
    }
    let conf = [Some(node), component].into_iter().flatten().find_map(|o| o.get("conf"));
    let conf = conf.and_then(Value::map).unwrap_or_default().iter();
    let conf = conf.map(|e| {
        let digits = e.value.text().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()));
        (e.key.clone(), digits.and_then(|d| d.parse::<i64>().ok()).map_or_else(|| plain(&e.value), Json::from))
    });
    let mut conf: Fields = conf.collect();
    first_executors(&mut conf);
    fields.insert("conf".to_owned(), Json::Object(conf));
    if let Some(file) = body.get("entry").and_then(Value::object).and_then(|e| e.text("file")) {
        fields.insert("entry".to_owned(), json!({ "spark_job_entry_type": "SparkJobPythonEntry", "file": file }));
    }
    if let Some(resources) = node.get("resources").and_then(Value::object) {
        let mut body = Fields::new();
        put(&mut body, "instance_type", get(resources, "instance_type"));
        put(&mut body, "runtime_version", get(resources, "runtime_version"));
        fields.insert("resources".to_owned(), Json::Object(body));
    }
    let identity = match node.get("identity").and_then(Value::object) {
        Some(identity) => Some(Json::Object(settings::identity(identity, true))),
        None => default_identity(node, "identity_type"),
    };
    put(fields, "identity", identity);
}
