//! Command jobs, and the trials of sweep jobs (reference, sections 2.2 and 8.4).

use serde_json::{Value as Json, json};

use super::super::value::{Object, Value};
use super::envelope::{common, envelope};
use super::fields::{Fields, duration, get, integer, put};
use super::io::Case;
use super::{dump, io, settings};

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
        fields.insert("queueSettings".to_owned(), Json::Object(settings::queue_settings(queue, false)));
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
    let environment = object.get("environment").and_then(dump::environment_reference);
    if environment.is_none() && object.get("environment").is_some() {
        return Err("the environment has neither an image nor a build".to_owned());
    }
    put(fields, "environmentId", environment.map(Json::from));
    fields.insert("environmentVariables".to_owned(), get(object, "environment_variables").unwrap_or_else(|| json!({})));
    if let Some(distribution) = object.get("distribution").and_then(Value::object) {
        fields.insert("distribution".to_owned(), Json::Object(settings::distribution(distribution, false)));
    }
    if let Some(resources) = object.get("resources").and_then(Value::object) {
        fields.insert("resources".to_owned(), Json::Object(settings::resources(resources, false)));
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
            return Err(format!("the command uses the input '{name}', which the job does not define"));
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
