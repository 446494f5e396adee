//! Lowering: the REST body that the SDK would send for a document, before anything is uploaded (reference, section 8).
//!
//! Jobs: `pipeline`, `command`, `sweep`, `spark`, `automl`, `tuning`, each in an `envelope`. Nodes: `node`, with
//! `control_flow`, `data_transfer` and the nodes of `sweep`, `spark` and `automl`; `inline` makes the component of a node
//! that is written in place. Components: `component` is the body, `specification` the content, `pipeline_spec` that of a
//! pipeline. All of them use `settings` and `io` for what they share, `dump` to write an object as the SDK's schemas
//! dump it, and `python` for what Python's own libraries would print.

mod automl;
mod command;
mod component;
mod control_flow;
mod data_transfer;
mod dump;
mod envelope;
mod environment;
mod fields;
mod inline;
mod io;
mod node;
mod node_kind;
mod pipeline;
mod pipeline_spec;
mod python;
mod reference;
mod search_space;
mod settings;
mod spark;
mod specification;
mod sweep;
mod tuning;

use serde_json::Value as Json;

use super::value::Object;

/// The content of an environment's conda file, given as a path or in place, as PyYAML reads it. `None` if there is none,
/// or its file cannot be read.
#[must_use]
pub fn conda_content(environment: &Object) -> Option<Json> {
    environment::conda(environment)
}

/// The REST body of an accepted document.
///
/// # Errors
/// The SDK cannot build one either; the sentence says why.
pub fn body(object: &Object) -> Result<Json, String> {
    match object.class {
        "PipelineJob" => pipeline::job(object),
        "CommandJob" => command::job(object),
        "SweepJob" => sweep::job(object),
        "SparkJob" => spark::job(object),
        "ImportJob" => Err("Azure ML's SDK does not submit import jobs".to_owned()),
        "DistillationJob" => tuning::distillation(object),
        "CustomModelFineTuning" | "AzureOpenAIFineTuning" => tuning::finetuning(object),
        "PipelineComponent" => component::pipeline(object),
        "Data" | "Model" | "Environment" | "AzureBlob" | "AzureFile" | "AzureDataLakeGen1" | "AzureDataLakeGen2"
        | "OneLake" => Err("only jobs and components have a request body".to_owned()),
        class if class.ends_with("Component") => component::body(object),
        _ => automl::job(object),
    }
}
