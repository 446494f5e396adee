//! The body of a component file: its specification in the envelope that it is sent in (reference, sections 8.3 and
//! 8.4).

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::super::value::Object;
use super::fields::{Fields, get, put};
use super::reference::Paths;
use super::specification::spec;
use super::{pipeline, python};

/// The body of a component file.
pub(super) fn body(object: &Object) -> Result<Json, String> {
    let mut spec = spec(object, Paths::Absolute);
    let hash = client_hash(&spec);
    spec.insert("_source".to_owned(), json!("YAML.COMPONENT"));
    if object.class == "ParallelComponent" {
        keys_as_text(object, &mut spec);
    }
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(false));
    properties.insert("isArchived".to_owned(), json!(false));
    properties.insert("properties".to_owned(), json!({ "client_component_hash": hash }));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    Ok(json!({ "name": get(object, "name"), "properties": properties }))
}

/// A parallel component's partition keys are sent as JSON text.
fn keys_as_text(object: &Object, spec: &mut Fields) {
    if let Some(keys) = get(object, "partition_keys").filter(|k| k.as_array().is_some_and(|a| !a.is_empty())) {
        let mut text = String::new();
        python::json_dumps(&keys, &mut text);
        spec.insert("partition_keys".to_owned(), json!(text));
    }
}

/// The body of a pipeline component file.
pub(super) fn pipeline(object: &Object) -> Result<Json, String> {
    let mut spec = spec(object, Paths::Absolute);
    spec.remove("is_deterministic");
    spec.insert("_source".to_owned(), json!("YAML.COMPONENT"));
    spec.insert("jobs".to_owned(), Json::Object(pipeline::jobs(object)?));
    spec.insert("sourceJobId".to_owned(), Json::Null);
    let mut properties = Fields::new();
    properties.insert("componentSpec".to_owned(), Json::Object(spec));
    put(&mut properties, "description", get(object, "description"));
    properties.insert("isAnonymous".to_owned(), json!(false));
    properties.insert("properties".to_owned(), json!({}));
    properties.insert("tags".to_owned(), get(object, "tags").unwrap_or_else(|| json!({})));
    Ok(json!({ "name": get(object, "name"), "properties": properties }))
}

/// The digest by which the SDK knows a component again: of its specification but for its version.
fn client_hash(spec: &Fields) -> String {
    let mut spec = spec.clone();
    spec.remove("version");
    let mut text = String::new();
    python::json_dumps(&Json::Object(spec), &mut text);
    let digest: String = Sha256::digest(text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..])
}
