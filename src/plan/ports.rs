//! What goes into steps and comes out of them, and when their turn comes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Value;
use crate::spec::catalog::{Located, Remote};
use crate::spec::io::PortType;

/// An input of the whole job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// Its value.
    pub value: Value,
}

/// An output of the whole job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobOutput {
    /// Its name.
    pub name: String,
    /// The step that writes it.
    pub step: usize,
    /// That step's name for it.
    pub output: String,
}

/// When a step's turn comes (reference, section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before all others (`settings.on_init`).
    Init,
    /// When what it needs is there.
    #[default]
    Main,
    /// When everything else is over, successful or not (`settings.on_finalize`).
    Finalize,
}

/// What is used instead of a step that is not run on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Substitute {
    /// Its outputs are copies of these files and folders.
    Stub {
        /// By the output's name.
        outputs: BTreeMap<String, PathBuf>,
    },
    /// Its outputs are those of an earlier run.
    Replay {
        /// That run; the newest one in which the step completed when nothing is said.
        run: Option<String>,
    },
    /// It is skipped, and with it every step that needs it.
    Skip,
}

impl Substitute {
    /// The policy of `amlrun.toml` that asks for it.
    #[must_use]
    pub fn policy(&self) -> &'static str {
        match self {
            Self::Stub { .. } => "stub",
            Self::Replay { .. } => "replay",
            Self::Skip => "skip",
        }
    }
}

/// An input of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// How data is given.
    pub mode: InputMode,
    /// Whether it may be absent.
    pub optional: bool,
    /// Its value; `None` for an optional input that was left out.
    pub value: Option<Value>,
}

/// How data is given to a step (reference, section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// A path that must not be written to.
    #[default]
    RoMount,
    /// A private copy.
    Download,
    /// A URI; for local data the path itself.
    Direct,
    /// The files that an MLTable selects, where they are.
    EvalMount,
    /// A private copy of the files that an MLTable selects.
    EvalDownload,
}

/// An output of a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepOutput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: PortType,
    /// The asset that it becomes when the step succeeds.
    pub asset: Option<AssetName>,
    /// The place in a datastore where the author wants it too.
    pub place: Option<DatastorePath>,
}

impl StepOutput {
    /// Whether it is copied from the step's folder: into the registry or into a datastore.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.asset.is_some() || self.place.is_some()
    }
}

/// A path in a datastore, with `${{name}}` and `${{output_name}}` still in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatastorePath {
    /// The datastore: a local folder that it is mapped to, or a container.
    pub root: Located,
    /// The path in it.
    pub path: String,
}

impl DatastorePath {
    /// The same place with names put in.
    #[must_use]
    pub fn named(&self, job: &str, output: &str) -> Located {
        let path = self.path.replace("${{name}}", job).replace("${{output_name}}", output);
        match &self.root {
            Located::Here(folder) => Located::Here(folder.join(path)),
            Located::Remote(remote) => {
                let below = |root: &str| format!("{}/{path}", root.trim_end_matches('/'));
                let (uri, address) = (below(&remote.uri), below(&remote.address));
                Located::Remote(Remote { uri, address, ..remote.clone() })
            }
        }
    }

    /// Whether the data at an address is, or may be, written through this.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        let Located::Remote(root) = &self.root else { return false };
        let read = address.split('*').next().unwrap_or_default().trim_end_matches('/');
        let fixed = self.path.split("${{").next().unwrap_or_default();
        let written = format!("{}/{fixed}", root.address.trim_end_matches('/'));
        let written = written.trim_end_matches('/');
        let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        below(read, written) || below(written, read)
    }

    /// Whether it is reached over a network.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self.root, Located::Remote(_))
    }
}

/// The name, and perhaps the version, under which an output is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetName {
    /// The asset's name.
    pub name: String,
    /// Its version; the next integer when not given.
    pub version: Option<String>,
}
