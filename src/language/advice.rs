//! Advice for common mistakes: what to write instead of a field or a value that does not belong in its place.

use super::grammar::Class;

/// What to write instead of a field that a class does not have.
pub(super) fn field(key: &str, class: &Class) -> Option<String> {
    let has = |name: &str| class.field(name).is_some();
    let advice = match key {
        "depends_on" | "dependsOn" | "depends-on" | "needs" | "run_after" => {
            "let this node read an output of the node that must run first: \
            inputs: {after: ${{parent.jobs.<node>.outputs.<output>}}}"
        }
        "is_deterministic" if has("component") || has("command") => {
            "move it into the component: {type: command, is_deterministic: false, …}; \
            for a single run, use --force-rerun=<node>"
        }
        "timeout" | "timeout_seconds" if has("limits") => "write limits: {timeout: <seconds>}",
        "instance_count" | "instance_type" | "node_count" | "shm_size" if has("resources") => {
            "move it into resources: {instance_count: 1, …}"
        }
        "image" | "docker" | "dockerfile" | "conda_file" if has("environment") => {
            "move it into the environment: {image: …, conda_file: …}"
        }
        "env" | "envs" | "env_vars" | "variables" if has("environment_variables") => {
            "write environment_variables: {NAME: value}"
        }
        "script" | "script_name" | "arguments" | "args" if has("command") => {
            "write the whole command line: command: python train.py --lr ${{inputs.lr}}"
        }
        "steps" | "nodes" if has("jobs") => "move the nodes of the pipeline under 'jobs:'",
        "default_compute" | "default_datastore" | "continue_on_step_failure" | "force_rerun" if has("settings") => {
            return Some(format!("write settings: {{{key}: …}}"));
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

/// What to write instead of a value that is not allowed: the type of a parameter, where a job gives data.
pub(super) fn value(text: &str, allowed: &[String]) -> Option<String> {
    let is_parameter = ["string", "number", "float", "integer", "int", "boolean", "bool"].contains(&text.trim());
    (is_parameter && allowed.iter().any(|word| word == "uri_folder")).then(|| {
        "write the value itself, for example n: 3; only components declare inputs with 'type', 'default' and 'optional'"
            .to_owned()
    })
}
