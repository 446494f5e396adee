//! The kinds of documents, and the words that say which kind and type one is (reference, section 1.1).

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
}

/// The types of jobs, each with its class; `None` where another field decides.
pub(super) const JOBS: [(&str, Option<&str>); 8] = [
    ("command", Some("CommandJob")),
    ("pipeline", Some("PipelineJob")),
    ("sweep", Some("SweepJob")),
    ("spark", Some("SparkJob")),
    ("automl", None),
    ("import", Some("ImportJob")),
    ("finetuning", None),
    ("distillation", Some("DistillationJob")),
];

/// The types of components, each with its class; `None` where another field decides.
pub(super) const COMPONENTS: [(&str, Option<&str>); 7] = [
    ("command", Some("CommandComponent")),
    ("parallel", Some("ParallelComponent")),
    ("pipeline", Some("PipelineComponent")),
    ("spark", Some("SparkComponent")),
    ("automl", Some("AutoMLComponent")),
    ("import", Some("ImportComponent")),
    ("data_transfer", None),
];

/// The types of datastores with their classes.
pub(super) const DATASTORES: [(&str, &str); 5] = [
    ("azure_blob", "AzureBlob"),
    ("azure_file", "AzureFile"),
    ("azure_data_lake_gen1", "AzureDataLakeGen1"),
    ("azure_data_lake_gen2", "AzureDataLakeGen2"),
    ("one_lake", "OneLake"),
];

/// The types of data assets.
pub(super) const DATA_TYPES: [&str; 3] = ["uri_file", "uri_folder", "mltable"];

/// The types of models.
pub(super) const MODEL_TYPES: [&str; 3] = ["custom_model", "mlflow_model", "triton_model"];
