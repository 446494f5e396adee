//! Command jobs, and what command nodes and other jobs share with them (reference, sections 2.2, 2.3 and 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Data, Object, Value};
use super::io::Case;
use super::{
    Fields, common, duration, environment, get, integer, io, job as envelope, plain, put, python_str, without_empty,
};

/// The body of a standalone command job.
pub(super) fn job(object: &Object) -> Result<Json, String> {
    check_inputs(object, object)?;
    let mut fields = common(object, "Command");
    trial(object, &mut fields)?;
    fields.insert("inputs".to_owned(), Json::Object(io::inputs(object.map("inputs"), None, Case::Camel)?));
    fields.insert("outputs".to_owned(), Json::Object(io::job_outputs(object.map("outputs"))));
    if let Some(limits) = object.get("limits").and_then(Value::object) {
        let mut body = Fields::new();
        body.insert("jobLimitsType".to_owned(), json!("Command"));
        put(&mut body, "timeout", integer(limits, "timeout").map(|s| json!(duration(s))));
        fields.insert("limits".to_owned(), Json::Object(body));
    }
    if let Some(queue) = object.get("queue_settings").and_then(Value::object) {
        fields.insert("queueSettings".to_owned(), Json::Object(queue_settings(queue, false)));
    }
    if object.text("compute") == Some("local") {
        fields.remove("computeId");
        let resources = fields.entry("resources").or_insert_with(|| json!({}));
        resources["properties"]["IsLocal"] = json!({ "IsLocal": true });
    }
    Ok(envelope(object, fields))
}

/// The fields of a command job that a sweep's trial has too.
pub(super) fn trial(object: &Object, fields: &mut Fields) -> Result<(), String> {
    put(fields, "command", object.text("command").map(|c| json!(double_braces(c))));
    put(fields, "codeId", get(object, "code"));
    let environment = object.get("environment").and_then(environment::reference);
    if environment.is_none() && object.get("environment").is_some() {
        return Err("the environment has neither an image nor a build".to_owned());
    }
    put(fields, "environmentId", environment.map(Json::from));
    fields.insert("environmentVariables".to_owned(), get(object, "environment_variables").unwrap_or_else(|| json!({})));
    if let Some(distribution) = object.get("distribution").and_then(Value::object) {
        fields.insert("distribution".to_owned(), Json::Object(self::distribution(distribution, false)));
    }
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(self::resources(resources, false)));
    }
    Ok(())
}

/// Every `${{inputs.x}}` of the command must be an input of the job, outside `[…]` (reference, section 6.6).
pub(super) fn check_inputs(job: &Object, trial: &Object) -> Result<(), String> {
    let text = trial.text("command").unwrap_or_default();
    let mut plain = String::new();
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    for part in plain.split("${{inputs.").skip(1) {
        let Some((name, _)) = part.split_once("}}") else { continue };
        let is_name = name.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c));
        if is_name && !job.map("inputs").iter().any(|i| i.key == name) {
            return Err(format!("the command uses the input '{name}', which the job does not have"));
        }
    }
    Ok(())
}

/// `{inputs.x}` is how `${{inputs.x}}` was written at first: the SDK still reads it so in the commands of jobs.
fn double_braces(command: &str) -> String {
    let mut text = command.to_owned();
    for kind in ["inputs", "outputs", "search_space"] {
        let mark = format!("{{{kind}.");
        let mut from = 0;
        while let Some(at) = text[from..].find(&mark).map(|at| at + from) {
            let name = at + mark.len();
            let Some(end) = text[name..].find('}').map(|end| end + name) else { break };
            if text[..at].ends_with('{') || text[end + 1..].starts_with('}') {
                from = at + 1;
                continue;
            }
            let new = format!("${{{{{kind}.{}}}}}", &text[name..end]);
            text.replace_range(at..=end, &new);
            from = at + new.len();
        }
    }
    text
}

fn name(snake: bool, text: &str) -> String {
    if snake { text.to_owned() } else { super::super::case::camel_case(text) }
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
