//! A command with its surroundings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Environment, Value};
use crate::spec::component::ContainerSettings;

/// What a command is for, which is the step's type on Azure ML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// The command that the author wrote.
    #[default]
    Shell,
    /// It runs the driver of a parallel step, which calls the author's script for each mini-batch.
    Parallel,
    /// It runs `spark-submit`.
    Spark,
}

impl Program {
    /// The step's type on Azure ML.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Shell => "command",
            Self::Parallel => "parallel",
            Self::Spark => "spark",
        }
    }
}

/// A command with its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// What it is for.
    pub program: Program,
    /// Its text with its expressions.
    pub text: String,
    /// What becomes its working directory.
    pub code: Option<Code>,
    /// The environment that it has on Azure ML.
    pub environment: Option<Environment>,
    /// Variables, in order.
    pub environment_variables: Vec<(String, Value)>,
    /// The processes that it runs as; `None` for one.
    pub distribution: Option<Distribution>,
    /// What its container gets, where it runs in one.
    pub container: ContainerSettings,
}

/// The code of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Code {
    /// The file or folder that `code:` names.
    pub root: Option<PathBuf>,
    /// Files and folders that are placed beside it.
    pub includes: Vec<PathBuf>,
}

/// A step of several processes (reference, section 7.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `pytorch`, `mpi`, `tensorflow`, `ray`; `None` when the command runs once on every instance.
    pub kind: Option<String>,
    /// `resources.instance_count`.
    pub instances: u32,
    /// The numbers that the author gives, by field: `process_count_per_instance`, `worker_count` …
    pub counts: BTreeMap<String, u32>,
    /// What the author says of a Ray cluster, by field: `port`, `address`, `head_node_additional_args` …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Distribution {
    /// Whether the command runs beside a Ray cluster.
    #[must_use]
    pub fn is_ray(&self) -> bool {
        self.kind.as_deref() == Some("ray")
    }

    /// How many processes there are in all.
    #[must_use]
    pub fn processes(&self) -> usize {
        let count = |name: &str| self.counts.get(name).copied();
        let processes = match self.kind.as_deref() {
            Some("tensorflow") => {
                count("worker_count").unwrap_or(self.instances) + count("parameter_server_count").unwrap_or(0)
            }
            // The command runs on the head only.
            Some("ray") => 1,
            Some(_) => self.instances.saturating_mul(count("process_count_per_instance").unwrap_or(1)),
            None => self.instances,
        };
        usize::try_from(processes).unwrap_or(usize::MAX)
    }
}
