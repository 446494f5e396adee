//! Data transfer nodes (reference, sections 2.11 and 8.3).

use serde_json::{Value as Json, json};

use super::super::value::{Object, Value};
use super::dump;
use super::fields::{Fields, get, put};

/// The component of Azure ML's own that an import or export written in place runs.
pub(super) fn built_in(node: &Object) -> Option<&'static str> {
    let database = |end: &str| node.get(end).and_then(Value::object).is_some_and(|end| end.class == "Database");
    match node.class {
        "InlineDataTransferImportNode" if database("source") => {
            Some("azureml://registries/azureml/components/import_data_database/versions/0.0.1")
        }
        "InlineDataTransferImportNode" => {
            Some("azureml://registries/azureml/components/import_data_file_system/versions/0.0.1")
        }
        "InlineDataTransferExportNode" => {
            Some("azureml://registries/azureml/components/export_data_database/versions/0.0.1")
        }
        _ => None,
    }
}

/// What a data transfer node adds to a node.
pub(super) fn node(node: &Object, component: Option<&Object>, fields: &mut Fields) {
    for field in ["task", "source", "sink"] {
        put(fields, field, dump::field(node, field));
    }
    let mode = component.and_then(|c| get(c, "data_copy_mode")).or_else(|| get(node, "data_copy_mode"));
    put(fields, "data_copy_mode", mode);
    // A node that names a component for its import has a table as output when it says nothing of it.
    if node.class == "DataTransferImportNode" && node.map("outputs").is_empty() {
        fields.insert("outputs".to_owned(), sink());
    }
}

fn sink() -> Json {
    json!({ "sink": { "job_output_type": "mltable" } })
}
