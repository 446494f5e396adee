//! The defaults of Azure ML (reference, sections 2.1, 2.3, 3.2-3.4 and 5).

use super::super::grammar::{Shape, grammar};
use super::super::value::{Object, Value};
use super::model::{Resolved, What};
use crate::yaml::Literal;

/// Puts the defaults of a class behind what is there.
pub(super) fn fill(object: &Object, entries: &mut Vec<(String, Resolved)>) {
    let class = grammar().class(object.class);
    // A type that can only be one word is that word.
    if let Some(Shape::Enum { words, .. }) = class.field("type").map(|rule| &rule.shape)
        && let [word] = words.as_slice()
    {
        put(entries, "type", text(word));
    }
    let bound = object.text("path").is_some_and(|path| path.contains("${{"));
    match object.class {
        "DataInput" | "ModelInput" | "MLTableInput" if !bound => {
            put(entries, "type", text("uri_folder"));
            put(entries, "mode", text("ro_mount"));
        }
        "Output" if !bound => {
            put(entries, "type", text("uri_folder"));
            put(entries, "mode", text("rw_mount"));
        }
        "Data" => put(entries, "type", text("uri_folder")),
        "Model" => put(entries, "type", text("custom_model")),
        "BuildContext" => put(entries, "dockerfile_path", text("Dockerfile")),
        "PipelineJob" => settings(entries),
        _ => {}
    }
    if class.field("is_deterministic").is_some() && object.class.ends_with("Component") {
        put(entries, "is_deterministic", truth(true));
    }
    let outputs = class.field("outputs").filter(|_| !object.class.ends_with("Component"));
    if outputs.is_some() {
        null_outputs(entries);
    }
}

/// The compute of the nodes of a pipeline, and of the pipelines in it, that do not name one.
pub(super) fn compute(object: &Object) -> Option<&Value> {
    let job = Some(object).filter(|o| o.class == "PipelineJob")?;
    job.get("compute").or_else(|| job.get("settings")?.object()?.get("default_compute"))
}

fn settings(entries: &mut Vec<(String, Resolved)>) {
    put(entries, "settings", Resolved { what: What::Map(Vec::new()), ..text("") });
    let Some(What::Map(all)) = entries.iter_mut().find(|(key, _)| key == "settings").map(|(_, v)| &mut v.what) else {
        return;
    };
    put(all, "default_datastore", text("azureml:workspaceblobstore"));
    put(all, "continue_on_step_failure", truth(true));
    put(all, "force_rerun", truth(false));
}

/// An output without a value is a folder.
fn null_outputs(entries: &mut [(String, Resolved)]) {
    let outputs = entries.iter_mut().find(|(key, _)| key == "outputs").map(|(_, value)| &mut value.what);
    let Some(What::Map(outputs)) = outputs else { return };
    for (_, output) in outputs.iter_mut().filter(|(_, o)| o.what == What::Scalar(Literal::Null)) {
        let fields = [("type", "uri_folder"), ("mode", "rw_mount")];
        output.what = What::Map(fields.map(|(key, word)| (key.to_owned(), text(word))).into());
    }
}

/// Adds a member unless it is there.
fn put(entries: &mut Vec<(String, Resolved)>, key: &str, value: Resolved) {
    if !entries.iter().any(|(k, _)| k == key) {
        entries.push((key.to_owned(), value));
    }
}

fn text(text: &str) -> Resolved {
    Resolved::text(text, None)
}

fn truth(it: bool) -> Resolved {
    Resolved { what: What::Scalar(Literal::Bool(it)), place: None, content_of: None }
}
