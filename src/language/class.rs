//! The class of the grammar that a document must fit, by its kind and `type` (reference, section 1.1).

use super::cursor::Cursor;
use super::kind::{COMPONENTS, DATASTORES, JOBS, Kind};
use super::{case, flow, scalar};
use crate::diagnostic::{Diagnostic, suggest};
use crate::yaml::Node;

/// AutoML's tasks and their classes.
const TASKS: [(&str, &str); 10] = [
    ("classification", "AutoMLClassification"),
    ("regression", "AutoMLRegression"),
    ("forecasting", "AutoMLForecasting"),
    ("image_classification", "ImageClassification"),
    ("image_classification_multilabel", "ImageClassificationMultilabel"),
    ("image_object_detection", "ImageObjectDetection"),
    ("image_instance_segmentation", "ImageInstanceSegmentation"),
    ("text_classification", "TextClassification"),
    ("text_classification_multilabel", "TextClassificationMultilabel"),
    ("text_ner", "TextNer"),
];

/// The class that a document of a kind must fit.
///
/// # Errors
/// The `type`, `task` or provider is missing, or is not one of those that Azure ML has.
pub(super) fn of(kind: Kind, root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    match kind {
        Kind::Data => Ok("Data"),
        Kind::Model => Ok("Model"),
        Kind::Environment => Ok("Environment"),
        Kind::Datastore => match root.get("type") {
            Some(tag) => {
                let word = tag.as_str().map(case::snake_case);
                find(&DATASTORES, word.as_deref()).ok_or_else(|| unknown(tag, "type", "datastore", &names(&DATASTORES)))
            }
            None => Err(absent(root, "type", "a datastore")),
        },
        Kind::Job => job(root),
        Kind::Component => component(root),
        Kind::Other(word) => {
            let message = format!("documents of the kind '{word}' are not supported by amlrun");
            let fault = Diagnostic::error("wrong-kind", root.span, message).at("$schema");
            Err(Box::new(fault.help("use the file of a job, component, environment, data asset, model or datastore")))
        }
    }
}

fn job(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let Some(tag) = root.get("type").filter(|n| !n.is_null()) else { return untyped(root) };
    match tag.as_str() {
        Some("automl") => match root.get("task") {
            Some(task) => {
                let word = task.as_str().map(case::snake_case);
                find(&TASKS, word.as_deref()).ok_or_else(|| unknown(task, "task", "AutoML task", &names(&TASKS)))
            }
            None => Err(absent(root, "task", "an AutoML job")),
        },
        Some("finetuning") => match root.get("model_provider") {
            Some(provider) => match provider.as_str().map(case::snake_case).as_deref() {
                Some("custom") => Ok("CustomModelFineTuning"),
                Some("azure_open_ai") => Ok("AzureOpenAIFineTuning"),
                _ => {
                    let known = vec!["custom".to_owned(), "azure_open_ai".to_owned()];
                    Err(unknown(provider, "model_provider", "model provider", &known))
                }
            },
            None => Err(absent(root, "model_provider", "a finetuning job")),
        },
        Some("parallel" | "data_transfer") => {
            let word = tag.as_str().unwrap_or_default();
            let message = format!("a job of type '{word}' cannot run outside a pipeline");
            let help = "use it as a node of a pipeline";
            Err(Box::new(Diagnostic::error("unknown-kind", tag.span, message).at("type").help(help)))
        }
        word => find(&JOBS, word).flatten().ok_or_else(|| unknown(tag, "type", "job", &names(&JOBS))),
    }
}

/// A job without `type` is a command job. One that has `jobs`, or its type under a misspelt key, is refused: the author
/// meant another type.
fn untyped(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let entries = root.as_mapping().unwrap_or_default();
    let other = |text: &str| text != "command" && find(&JOBS, Some(text)).is_some();
    let typo =
        entries.iter().find(|e| e.value.as_str().is_some_and(other) && suggest::nearest(&e.key, ["type"]).is_some());
    if let Some(typo) = typo {
        let message = format!("a job without 'type' is a command job, found '{}' instead", typo.key);
        return Err(Box::new(Diagnostic::error("wrong-kind", typo.key_span, message).help("did you mean 'type'?")));
    }
    let Some(jobs) = entries.iter().find(|e| e.key == "jobs" && root.get("command").is_none()) else {
        return Ok("CommandJob");
    };
    let place = entries.iter().find(|e| e.key == "type").map_or(root.span, |e| e.key_span);
    let message = "a job without 'type' is a command job, and a command job has no 'jobs'";
    let fault = Diagnostic::error("wrong-kind", place, message).label(jobs.key_span, "only pipelines have 'jobs'");
    Err(Box::new(fault.help("add the line: type: pipeline")))
}

fn component(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let Some(tag) = root.get("type").filter(|n| !n.is_null()) else {
        return Ok(flow::class(root).unwrap_or("CommandComponent"));
    };
    match tag.as_str() {
        Some("promptflow_parallel") => Ok("FlowComponent"),
        Some("data_transfer") => match root.get("task").and_then(Node::as_str) {
            Some("copy_data") => Ok("DataTransferCopyComponent"),
            Some("import_data") => Ok("DataTransferImportComponent"),
            Some("export_data") => Ok("DataTransferExportComponent"),
            _ => match root.get("task") {
                Some(task) => {
                    let known = ["copy_data", "import_data", "export_data"].map(str::to_owned).to_vec();
                    Err(unknown(task, "task", "data transfer task", &known))
                }
                None => Err(absent(root, "task", "a data transfer component")),
            },
        },
        word => find(&COMPONENTS, word).flatten().ok_or_else(|| unknown(tag, "type", "component", &names(&COMPONENTS))),
    }
}

fn find<T: Copy>(table: &[(&str, T)], word: Option<&str>) -> Option<T> {
    table.iter().find(|(name, _)| Some(*name) == word).map(|(_, class)| *class)
}

fn names<T>(table: &[(&str, T)]) -> Vec<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn absent(root: &Node, key: &str, what: &str) -> Box<Diagnostic> {
    let entries = root.as_mapping().unwrap_or_default();
    if let Some(typo) = entries.iter().find(|e| suggest::nearest(&e.key, [key]).is_some()) {
        let message = format!("{what} needs the field '{key}', found '{}' instead", typo.key);
        let fault = Diagnostic::error("missing-field", typo.key_span, message).at(key);
        return Box::new(fault.help(format!("did you mean '{key}'?")));
    }
    Box::new(Diagnostic::error("missing-field", root.span, format!("{what} needs the field '{key}'")).at(key))
}

fn unknown(tag: &Node, key: &str, what: &str, known: &[String]) -> Box<Diagnostic> {
    let mut fault = scalar::not_one_of(tag, Cursor::ROOT.key(key), known);
    if let Some(text) = tag.as_str() {
        fault.code = "unknown-kind";
        fault.message = format!("unknown type of {what} '{text}'");
        if key != "type" {
            fault.message = format!("unknown {what} '{text}'");
        }
    }
    Box::new(fault)
}
