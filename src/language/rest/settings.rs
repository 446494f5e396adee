//! Settings that command jobs, nodes and other jobs share: in camel case in a job, in snake case in a node (reference,
//! sections 2.2 and 2.3).

use serde_json::{Value as Json, json};

use super::super::case::camel_case;
use super::super::value::{Data, Object};
use super::fields::{Fields, duration, get, integer, plain, put, python_str, without_empty};

fn name(snake: bool, text: &str) -> String {
    if snake { text.to_owned() } else { camel_case(text) }
}

/// Puts fields of an object under their names in the wanted case.
fn copy(object: &Object, names: &[&str], snake: bool, fields: &mut Fields) {
    for field in names {
        put(fields, &name(snake, field), get(object, field));
    }
}

/// `distribution`, discriminated by the word for its type.
pub(super) fn distribution(object: &Object, snake: bool) -> Fields {
    let mut fields = Fields::new();
    let (word, names): (&str, &[&str]) = match object.class {
        "PyTorchDistribution" => ("PyTorch", &["process_count_per_instance"]),
        "MPIDistribution" => ("Mpi", &["process_count_per_instance"]),
        "TensorFlowDistribution" => ("TensorFlow", &["parameter_server_count", "worker_count"]),
        _ => (
            "Ray",
            &[
                "port",
                "address",
                "include_dashboard",
                "dashboard_port",
                "head_node_additional_args",
                "worker_node_additional_args",
            ],
        ),
    };
    fields.insert(name(snake, "distribution_type"), json!(word));
    copy(object, names, snake, &mut fields);
    if word == "TensorFlow" && object.get("parameter_server_count").is_none() {
        fields.insert(name(snake, "parameter_server_count"), json!(0));
    }
    fields
}

/// `resources`.
pub(super) fn resources(object: &Object, snake: bool) -> Fields {
    let mut fields = Fields::new();
    copy(object, &["instance_count", "instance_type", "shm_size"], snake, &mut fields);
    // The SDK sends an empty mapping for none; in a node it is dropped.
    let properties = object.map("properties").iter().filter(|e| !e.value.is_null());
    let properties = properties.map(|e| (compute_property(&e.key).to_owned(), plain(&e.value)));
    fields.insert("properties".to_owned(), without_empty(Json::Object(properties.collect())));
    match object.get("docker_args").map(|v| (v, &v.data)) {
        Some((value, Data::List(items))) if !items.is_empty() => {
            fields.insert(name(snake, "docker_args_list"), plain(value));
        }
        Some((value, _)) => {
            fields.insert(name(snake, "docker_args"), plain(value));
            copy(object, &["locations", "max_instance_count"], snake, &mut fields);
        }
        None => copy(object, &["locations", "max_instance_count"], snake, &mut fields),
    }
    fields
}

/// The service's spelling of the properties that it knows: Singularity is an AI supercomputer to it.
fn compute_property(key: &str) -> &str {
    match key.to_lowercase().as_str() {
        "aisupercomputer" | "singularity" => "AISuperComputer",
        "itp" => "itp",
        "target_selector" => "target_selector",
        _ => key,
    }
}

/// `queue_settings`.
pub(super) fn queue_settings(object: &Object, snake: bool) -> Fields {
    let mut fields = Fields::new();
    let tier = object.text("job_tier").map(|t| match t {
        "spot" => "Spot",
        "basic" => "Basic",
        "standard" => "Standard",
        "premium" => "Premium",
        _ => "Null",
    });
    put(&mut fields, &name(snake, "job_tier"), tier.map(Json::from));
    let priority = object.text("priority").map(|p| match p {
        "low" => 1,
        "medium" => 2,
        _ => 3,
    });
    put(&mut fields, "priority", priority.map(Json::from));
    fields
}

/// `identity`.
pub(super) fn identity(object: &Object, snake: bool) -> Fields {
    let mut fields = Fields::new();
    let word = match object.class {
        "ManagedIdentity" => "Managed",
        "AMLTokenIdentity" => "AMLToken",
        _ => "UserIdentity",
    };
    fields.insert(name(snake, "identity_type"), json!(word));
    copy(object, &["client_id", "object_id"], snake, &mut fields);
    put(&mut fields, &name(snake, "resource_id"), get(object, "msi_resource_id"));
    fields
}

/// One of `services`.
pub(super) fn service(object: &Object, snake: bool) -> Json {
    let mut fields = Fields::new();
    let word = match object.class {
        "SshJobService" => Some("SSH"),
        "TensorBoardJobService" => Some("TensorBoard"),
        "VsCodeJobService" => Some("VSCode"),
        "JupyterLabJobService" => Some("JupyterLab"),
        _ => None,
    };
    put(&mut fields, &name(snake, "job_service_type"), word.map(Json::from));
    put(&mut fields, "port", get(object, "port"));
    if let Some(nodes) = object.text("nodes") {
        let all = if nodes == "all" { json!({ name(snake, "nodes_value_type"): "All" }) } else { json!(nodes) };
        fields.insert("nodes".to_owned(), all);
    }
    let mut properties = match get(object, "properties") {
        Some(Json::Object(properties)) => properties,
        _ => Fields::new(),
    };
    put(&mut properties, "sshPublicKeys", get(object, "ssh_public_keys"));
    put(&mut properties, "logDir", get(object, "log_dir"));
    if !properties.is_empty() {
        fields.insert("properties".to_owned(), Json::Object(properties));
    }
    Json::Object(fields)
}

/// `limits` of a node: seconds as a duration, a binding as it is.
pub(super) fn node_limits(object: &Object) -> Fields {
    let mut fields = Fields::new();
    fields.insert("job_limits_type".to_owned(), json!("Command"));
    let timeout = object.get("timeout").map(|v| match integer(object, "timeout") {
        Some(seconds) => json!(duration(seconds)),
        None => json!(python_str(v)),
    });
    put(&mut fields, "timeout", timeout);
    fields
}
