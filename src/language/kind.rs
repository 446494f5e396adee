//! Which kind of document a file is, and the class of the grammar that it must fit (reference, section 1.1).

use super::read::At;
use super::schema;
use super::{flow, leaf};
use crate::diagnostic::{Diagnostic, suggest};
use crate::yaml::Node;

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What `az ml job create` takes.
    Job,
    /// What `az ml component create` takes.
    Component,
    /// What `az ml data create` takes.
    Data,
    /// What `az ml model create` takes.
    Model,
    /// What `az ml environment create` takes.
    Environment,
    /// What `az ml datastore create` takes.
    Datastore,
    /// What another verb of `az ml` takes, by its word. amlrun does not read it.
    Other(&'static str),
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Component => "component",
            Self::Data => "data",
            Self::Model => "model",
            Self::Environment => "environment",
            Self::Datastore => "datastore",
            Self::Other(word) => word,
        }
    }

    /// The kind of a document, by its `$schema`, else by its fields. Azure's command line knows it from its verb; a file
    /// that says nothing is read as a job, which is what most are.
    #[must_use]
    pub fn of(root: &Node, text: &str) -> Self {
        schema::address(root, text).and_then(schema::kind).unwrap_or_else(|| Self::by_fields(root))
    }

    fn by_fields(root: &Node) -> Self {
        let has = |key: &str| root.get(key).is_some();
        let kind = root.get("type").and_then(Node::as_str).unwrap_or("");
        match kind {
            "amlcompute" | "computeinstance" | "virtualmachine" | "synapsespark" => Self::Other("compute"),
            _ if has("trigger") && has("create_job") => Self::Other("schedule"),
            "azure_blob" | "azure_file" | "azure_data_lake_gen1" | "azure_data_lake_gen2" | "one_lake" => {
                Self::Datastore
            }
            "custom_model" | "mlflow_model" | "triton_model" => Self::Model,
            "uri_file" | "uri_folder" | "mltable" if has("path") => Self::Data,
            "" if has("image") || has("build") || has("conda_file") => Self::Environment,
            "" if has("path") && !has("command") && !has("jobs") => Self::Data,
            _ => Self::Job,
        }
    }
}

const JOBS: [&str; 8] = ["command", "pipeline", "sweep", "spark", "automl", "import", "finetuning", "distillation"];

const COMPONENTS: [&str; 7] = ["command", "parallel", "pipeline", "spark", "automl", "import", "data_transfer"];

const DATASTORES: [(&str, &str); 5] = [
    ("azure_blob", "AzureBlob"),
    ("azure_file", "AzureFile"),
    ("azure_data_lake_gen1", "AzureDataLakeGen1"),
    ("azure_data_lake_gen2", "AzureDataLakeGen2"),
    ("one_lake", "OneLake"),
];

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
/// The `type`, `task` or provider is none that exists.
pub(super) fn class(kind: Kind, root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    match kind {
        Kind::Data => Ok("Data"),
        Kind::Model => Ok("Model"),
        Kind::Environment => Ok("Environment"),
        Kind::Datastore => match root.get("type") {
            Some(tag) => {
                let word = tag.as_str().map(super::words::snake_case);
                one_of(&DATASTORES, word.as_deref())
                    .ok_or_else(|| unknown(tag, "type", "datastore", &names(&DATASTORES)))
            }
            None => Err(absent(root, "type", "a datastore")),
        },
        Kind::Job => job(root),
        Kind::Component => component(root),
        Kind::Other(word) => {
            let message = format!("this file describes a kind that amlrun does not read: {word}");
            let fault = Diagnostic::error("wrong-kind", root.span, message).at("$schema");
            Err(Box::new(fault.help("name the file of a job, component, environment, data asset, model or datastore")))
        }
    }
}

fn job(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let Some(tag) = root.get("type").filter(|n| !n.is_null()) else { return untyped(root) };
    match tag.as_str() {
        Some("command") => Ok("CommandJob"),
        Some("pipeline") => Ok("PipelineJob"),
        Some("sweep") => Ok("SweepJob"),
        Some("spark") => Ok("SparkJob"),
        Some("import") => Ok("ImportJob"),
        Some("distillation") => Ok("DistillationJob"),
        Some("automl") => match root.get("task") {
            Some(task) => {
                let word = task.as_str().map(super::words::snake_case);
                one_of(&TASKS, word.as_deref()).ok_or_else(|| unknown(task, "task", "AutoML task", &names(&TASKS)))
            }
            None => Err(absent(root, "task", "an AutoML job")),
        },
        Some("finetuning") => match root.get("model_provider") {
            Some(provider) => match provider.as_str().map(super::words::snake_case).as_deref() {
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
            let message = format!("there is no standalone job of type '{word}'");
            let help = "put it into a pipeline: it is a kind of node";
            Err(Box::new(Diagnostic::error("unknown-kind", tag.span, message).at("type").help(help)))
        }
        _ => Err(unknown(tag, "type", "job", &JOBS.map(str::to_owned))),
    }
}

/// A job without `type` is a command job. One that has `jobs`, or its type under a misspelt key, was meant for something
/// else, and is refused in any case.
fn untyped(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let entries = root.as_mapping().unwrap_or_default();
    let other = |text: &str| text != "command" && JOBS.contains(&text);
    let slip =
        entries.iter().find(|e| e.value.as_str().is_some_and(other) && suggest::nearest(&e.key, ["type"]).is_some());
    if let Some(slip) = slip {
        let message = format!("a job without 'type' is a command job, but here stands '{}'", slip.key);
        return Err(Box::new(Diagnostic::error("wrong-kind", slip.key_span, message).help("did you mean 'type'?")));
    }
    let Some(jobs) = entries.iter().find(|e| e.key == "jobs" && root.get("command").is_none()) else {
        return Ok("CommandJob");
    };
    let place = entries.iter().find(|e| e.key == "type").map_or(root.span, |e| e.key_span);
    let message = "a job without 'type' is a command job, and a command job has no 'jobs'";
    let fault = Diagnostic::error("wrong-kind", place, message).label(jobs.key_span, "a pipeline has 'jobs'");
    Err(Box::new(fault.help("add the line: type: pipeline")))
}

fn component(root: &Node) -> Result<&'static str, Box<Diagnostic>> {
    let Some(tag) = root.get("type").filter(|n| !n.is_null()) else {
        return Ok(flow::class(root).unwrap_or("CommandComponent"));
    };
    match tag.as_str() {
        Some("command") => Ok("CommandComponent"),
        Some("parallel") => Ok("ParallelComponent"),
        Some("pipeline") => Ok("PipelineComponent"),
        Some("spark") => Ok("SparkComponent"),
        Some("automl") => Ok("AutoMLComponent"),
        Some("import") => Ok("ImportComponent"),
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
        _ => Err(unknown(tag, "type", "component", &COMPONENTS.map(str::to_owned))),
    }
}

fn one_of(table: &[(&str, &'static str)], word: Option<&str>) -> Option<&'static str> {
    table.iter().find(|(name, _)| Some(*name) == word).map(|(_, class)| *class)
}

fn names(table: &[(&str, &str)]) -> Vec<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn absent(root: &Node, key: &str, what: &str) -> Box<Diagnostic> {
    let entries = root.as_mapping().unwrap_or_default();
    if let Some(slip) = entries.iter().find(|e| suggest::nearest(&e.key, [key]).is_some()) {
        let message = format!("{what} needs the field '{key}', but here stands '{}'", slip.key);
        let fault = Diagnostic::error("missing-field", slip.key_span, message).at(key);
        return Box::new(fault.help(format!("did you mean '{key}'?")));
    }
    Box::new(Diagnostic::error("missing-field", root.span, format!("{what} needs the field '{key}'")).at(key))
}

fn unknown(tag: &Node, key: &str, what: &str, known: &[String]) -> Box<Diagnostic> {
    let mut fault = leaf::not_one_of(tag, At::ROOT.key(key), known);
    if let Some(text) = tag.as_str() {
        fault.code = "unknown-kind";
        fault.message = format!("there is no {what} of type '{text}'");
        if key != "type" {
            fault.message = format!("there is no {what} '{text}'");
        }
    }
    Box::new(fault)
}
