//! The envelope of a job, and the fields that all jobs have (reference, section 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Object, Value};
use super::fields::{Fields, get, put};
use super::settings;

/// The envelope of a job: its `name` and its properties.
pub(super) fn envelope(object: &Object, properties: Fields) -> Json {
    let mut body = Fields::new();
    put(&mut body, "name", get(object, "name"));
    body.insert("properties".to_owned(), Json::Object(properties));
    Json::Object(body)
}

/// The fields that all jobs have.
pub(super) fn common(object: &Object, kind: &str) -> Fields {
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
        fields.insert("identity".to_owned(), Json::Object(settings::identity(identity, false)));
    }
    let services = object.map("services");
    if !services.is_empty() {
        let all = services.iter().filter_map(|s| Some((s.key.clone(), settings::service(s.value.object()?, false))));
        fields.insert("services".to_owned(), Json::Object(all.collect()));
    }
    fields
}
