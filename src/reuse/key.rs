//! The cache key: decides whether the result of an earlier step can be reused.
//!
//! A key contains what the step's process can see, and nothing else: no names, tags, compute, paths or runs. It is
//! stored as JSON beside its hash, so that two keys can be compared and the difference can be explained.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Part of every hash. Another number makes every earlier result unknown: change it when a field changes its meaning.
const FORMAT: &str = "amlrun key 2\n";

/// Everything that decides the result of a step.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Key {
    /// The command as written, with its expressions.
    pub command: String,
    /// The content of the code folder.
    pub code: Option<Digest>,
    /// The values of the inputs, by name.
    pub inputs: BTreeMap<String, Given>,
    /// The environment.
    pub environment: Option<String>,
    /// The values of the environment variables, by name.
    pub variables: BTreeMap<String, Given>,
    /// The type of each output, by name.
    pub outputs: BTreeMap<String, String>,
    /// The digest of the machine's part: see [`super::Machine`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Digest>,
    /// How many processes run, and how they are distributed.
    pub distribution: Option<String>,
    /// Other settings that change what runs, such as the modes of inputs.
    pub settings: BTreeMap<String, String>,
}

/// The value of an input or a variable.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// A literal, as the command sees it.
    Text(String),
    /// The digest of a secret text.
    Secret(Digest),
    /// The digest of a file or folder.
    Data(Digest),
    /// Parts that are joined to one text.
    Mixed(Vec<Given>),
    /// Nothing: an optional input that was left out.
    Absent,
}

impl Key {
    /// The digest of the whole key. Equal keys have equal hashes.
    #[must_use]
    pub fn hash(&self) -> Digest {
        // No type in here can fail to become JSON, and fields and maps have a fixed order.
        let json = serde_json::to_string(self).unwrap_or_default();
        Digest::of(format!("{FORMAT}{json}").as_bytes())
    }

    /// The hash of the key without the digests of data in inputs and variables. If there is no earlier result of the
    /// same shape, the step has to run, whatever the steps before it write.
    #[must_use]
    pub fn shape(&self) -> Digest {
        let blank = |given: &BTreeMap<String, Given>| given.iter().map(|(n, g)| (n.clone(), g.blanked())).collect();
        let shape = Self { inputs: blank(&self.inputs), variables: blank(&self.variables), ..self.clone() };
        Digest::of(format!("shape {}", shape.hash()).as_bytes())
    }

    /// The digests of all trees in the key.
    pub(super) fn trees(&self) -> impl Iterator<Item = &Digest> {
        let mut found: Vec<&Digest> = self.code.iter().collect();
        let mut left: Vec<&Given> = self.inputs.values().chain(self.variables.values()).collect();
        while let Some(given) = left.pop() {
            match given {
                Given::Data(digest) => found.push(digest),
                Given::Mixed(pieces) => left.extend(pieces),
                Given::Text(_) | Given::Secret(_) | Given::Absent => {}
            }
        }
        found.into_iter()
    }
}

impl Given {
    fn blanked(&self) -> Self {
        match self {
            Self::Data(_) => Self::Data(Digest::of(b"")),
            Self::Mixed(pieces) => Self::Mixed(pieces.iter().map(Self::blanked).collect()),
            other => other.clone(),
        }
    }
}
