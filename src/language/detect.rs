//! What kind of document a file is.
//!
//! [`kind`] finds it for a parsed document. [`is_azure_ml`] and [`could_be_azure_ml`] look at the text alone: a folder
//! holds YAML of many kinds (conda files, `MLmodel`, compose files, workflows, Kubernetes objects), and a file with
//! mistakes must still be recognised, so the lines of the outermost mapping have to be enough. A file that is in doubt
//! is left out, unless the user names it.

use std::path::Path;

use super::kind::{COMPONENTS, DATA_TYPES, DATASTORES, JOBS, Kind, MODEL_TYPES};
use super::schema::{self, modeline};
use crate::diagnostic::{Sources, suggest};
use crate::yaml::{self, Node};

/// Types of nodes and flows beside those of jobs and components.
const OTHER_TYPES: [&str; 2] = ["promptflow_parallel", "flow_parallel"];
/// A type alone does not make a job or component: one of these keys must be beside it.
const JOB_KEYS: [&str; 16] = [
    "jobs",
    "command",
    "component",
    "trial",
    "search_space",
    "objective",
    "task",
    "entry",
    "inputs",
    "outputs",
    "code",
    "environment",
    "compute",
    "experiment_name",
    "display_name",
    "training_data",
];
/// The fields of an environment asset: a file with `image` or `build` and any other key belongs to another program.
const ENVIRONMENT_KEYS: [&str; 12] = [
    "$schema",
    "name",
    "version",
    "image",
    "build",
    "conda_file",
    "os_type",
    "inference_config",
    "datastore",
    "tags",
    "description",
    "properties",
];

/// The kind of a document, by its `$schema`, else by its fields. Azure's command line knows it from its verb; a file
/// without any sign is read as a job, the most common kind.
pub(super) fn kind(root: &Node, text: &str) -> Kind {
    schema::address(root, text).and_then(schema::kind).unwrap_or_else(|| kind_by_fields(root))
}

fn kind_by_fields(root: &Node) -> Kind {
    let has = |key: &str| root.get(key).is_some();
    match root.get("type").and_then(Node::as_str).unwrap_or("") {
        "amlcompute" | "computeinstance" | "virtualmachine" | "synapsespark" => Kind::Other("compute"),
        _ if has("trigger") && has("create_job") => Kind::Other("schedule"),
        word if is_one_of(&DATASTORES, word) => Kind::Datastore,
        word if MODEL_TYPES.contains(&word) => Kind::Model,
        word if DATA_TYPES.contains(&word) && has("path") => Kind::Data,
        "" if has("image") || has("build") || has("conda_file") => Kind::Environment,
        "" if has("path") && !has("command") && !has("jobs") => Kind::Data,
        _ => Kind::Job,
    }
}

fn is_one_of<T>(types: &[(&str, T)], word: &str) -> bool {
    types.iter().any(|(name, _)| *name == word)
}

/// Whether the text is meant for Azure ML: an Azure `$schema`, or the keys of a job, component or asset.
pub(crate) fn is_azure_ml(text: &str) -> bool {
    if let Some(schema) = modeline(text) {
        return is_azure_schema(schema);
    }
    let top = top_level(text);
    let value = |key: &str| top.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let has = |key: &str| value(key).is_some();
    let any = |keys: &[&str]| keys.iter().any(|key| has(key));
    // A misspelt `$schema` counts, too; one that is not an address does not.
    if let Some((_, schema)) = top.iter().find(|(_, v)| v.contains("://") && v.ends_with(".schema.json")) {
        return is_azure_schema(schema);
    }
    if let Some(schema) = value("$schema").filter(|schema| schema.contains("://")) {
        return is_azure_schema(schema);
    }
    if has("apiVersion") && has("kind") {
        return false;
    }
    let kind = value("type").unwrap_or("").to_lowercase();
    let kind = kind.as_str();
    let job = (is_one_of(&JOBS, kind) || is_one_of(&COMPONENTS, kind) || OTHER_TYPES.contains(&kind)) && any(&JOB_KEYS);
    let command =
        has("command") && has("environment") && any(&["code", "compute", "inputs", "outputs", "name", "type"])
            || has("command") && has("code") && any(&["compute", "inputs", "outputs"]);
    let pipeline = has("jobs") && any(&["experiment_name", "settings", "compute", "display_name"]);
    let trial = has("trial") && any(&["search_space", "objective"]);
    let data = DATA_TYPES.contains(&kind) && has("path");
    let model = MODEL_TYPES.contains(&kind) && any(&["path", "name"]);
    let datastore = (kind == "hdfs" || is_one_of(&DATASTORES, kind)) && any(&["name", "account_name"]);
    let environment = has("conda_file") && any(&["image", "build", "name"])
        || any(&["image", "build"]) && has("name") && top.iter().all(|(k, _)| ENVIRONMENT_KEYS.contains(&k.as_str()));
    let schedule = has("trigger") && has("create_job");
    job || command || pipeline || trial || data || model || datastore || environment || schedule
}

/// The kind of a text whose schema is of a kind that amlrun does not read. The text may hold templates, so it need not
/// be YAML.
pub(crate) fn other_kind(text: &str) -> Option<&'static str> {
    let top = top_level(text);
    let written = top.iter().find(|(key, _)| key == "$schema").map(|(_, address)| address.as_str());
    match schema::kind(written.or_else(|| modeline(text))?)? {
        Kind::Other(word) => Some(word),
        _ => None,
    }
}

/// Every job, component and asset has at least one of these keys.
const SIGNS: [&str; 14] = [
    "command",
    "jobs",
    "component",
    "trial",
    "source",
    "path",
    "image",
    "build",
    "conda_file",
    "type",
    "$schema",
    "task",
    "entry",
    "environment",
];

/// Whether a file that the user named could be meant for Azure ML, with typos. Conda files, compose files, workflows and
/// Kubernetes objects cannot.
pub(crate) fn could_be_azure_ml(text: &str) -> bool {
    let top = top_level(text);
    let has = |key: &str| top.iter().any(|(k, _)| k == key);
    if is_azure_ml(text) || top.is_empty() {
        return true;
    }
    if has("on") && has("jobs") || has("apiVersion") && has("kind") {
        return false;
    }
    top.iter().any(|(key, _)| SIGNS.contains(&key.as_str()) || suggest::nearest(key, SIGNS).is_some())
}

fn is_azure_schema(url: &str) -> bool {
    let url = url.to_lowercase();
    url.contains("azureml") || url.contains("componentsdk.azureedge.net")
}

/// The keys of the outermost mapping, each with the rest of its line.
fn top_level(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut indent = None;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with(['#', '%']) || indent.is_none() && line.trim_end() == "---" {
            continue;
        }
        if line.starts_with("---") || line.starts_with("...") {
            break;
        }
        let depth = line.len() - content.len();
        if indent.is_none() && content.starts_with('{') {
            return flow(text);
        }
        if depth != *indent.get_or_insert(depth) {
            continue;
        }
        let Some((key, rest)) = content.split_once(':') else { continue };
        let scalar = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
        let rest = rest.split(" #").next().unwrap_or("");
        pairs.push((scalar(key), scalar(rest)));
    }
    pairs
}

/// The same for a document in flow style, such as JSON, which has to be parsed.
fn flow(text: &str) -> Vec<(String, String)> {
    let source = Sources::default().add(Path::new(""), text);
    let root = yaml::parse(text, source, &mut Vec::new());
    let entries = root.as_ref().and_then(Node::as_mapping).unwrap_or_default();
    entries.iter().map(|e| (e.key.clone(), e.value.as_str().unwrap_or("").to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn azure_documents_are_known_with_and_without_a_schema_and_with_mistakes() {
        for text in [
            "$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json\njobs: [\n",
            "# yaml-language-server: $schema=https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\nx: 1\n",
            "$sxhema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ncommand: x\n",
            "$schema: pipeline\ntype: pipeline\njobs:\n",
            "type: pipeline\njobs:\n",
            "\u{feff}---\n# a pipeline\n'type': \"pipeline\"  # here\ninputs: {}\n",
            "display_name: x\njobs:\n  a:\n    type: comand\n",
            "command: python train.py\nenvironment: azureml:a:1\ncode: src\n",
            "type: sweep\ntrial: {}\n",
            "name: d\ntype: uri_file\npath: x.csv\n",
            "name: m\ntype: custom_model\npath: m\n",
            "name: e\nversion: 1\nimage: python:3.11\n",
            "name: e\nimage: x\nconda_file: c.yml\n",
            "name: s\ntype: azure_blob\naccount_name: a\n",
            "{\"type\": \"command\", \"command\": \"x\"}\n",
            "  type: command\n  command: x\n",
        ] {
            assert!(is_azure_ml(text), "{text}");
        }
    }

    #[test]
    fn other_yaml_is_left_alone() {
        for text in [
            "",
            "# nothing\n",
            "- a\n- b\n",
            "services:\n  web:\n    image: x\n    command: y\n    environment: {A: 1}\n",
            "name: ci\non: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps: []\n",
            "trigger: [main]\npool: {}\njobs:\n- job: a\n",
            "name: env\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - torch\n",
            "artifact_path: model\nflavors:\n  pytorch: {}\nmodel_uuid: 1\n",
            "apiVersion: v1\nkind: Pod\nspec: {}\n",
            "apiVersion: v1\nkind: X\ntype: command\ncommand: x\n",
            "image: rust\nstages: [a]\nname: x\n",
            "$schema: https://json-schema.org/draft-07/schema\ntype: command\ncommand: x\n",
            "type: mltable\npaths:\n- file: x.csv\n",
            "type: object\nproperties: {}\n",
            "stages:\n  train:\n    cmd: python train.py\n",
            "repos:\n- repo: x\n",
        ] {
            assert!(!is_azure_ml(text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n\t\u{feff}日{}:#'\"-]{0,200}") {
            let _ = is_azure_ml(&text);
        }
    }
}
