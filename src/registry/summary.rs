//! What registering found in a model's files: kept with the version, so that nobody has to open them to know.

use serde::{Deserialize, Serialize};

use super::RegistryError;
use super::asset::{self, AssetKind, NewAsset};
use crate::model_file::{ModelFile, Safety};

/// How many notes and imports are kept.
const KEPT: usize = 20;

/// The summary of a model's files, as `amlrun model inspect` would tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The form: `state_dict`, `torchscript`, `safetensors` …
    pub kind: String,
    /// `safe`, `unknown` or `dangerous`.
    pub safety: String,
    /// What loading it in Python would import.
    pub imports: Vec<String>,
    /// Elements of its parameters.
    pub parameters: u64,
    /// How many tensors it has.
    pub tensors: u64,
    /// Their element types, each once.
    pub dtypes: Vec<String>,
    /// Which file was described, how it was saved, and what else is worth knowing.
    pub notes: Vec<String>,
}

/// Looks into what is to be registered. `None` for data, for models of a form that is not known (a custom model may
/// be anything), and for those that are not here.
///
/// # Errors
/// [`RegistryError::Dangerous`] for files that would run code when Python loads them, unless that is allowed.
pub(super) fn look(new: &NewAsset) -> Result<Option<ModelSummary>, RegistryError> {
    if new.asset_type.kind() != AssetKind::Model || asset::address(&new.path).is_some() {
        return Ok(None);
    }
    let Ok(file) = ModelFile::open(&new.path) else { return Ok(None) };
    if file.safety == Safety::Dangerous && !new.allow_pickle {
        let powers = file.imports.iter().filter(|i| i.safety == Safety::Dangerous);
        let mut why: Vec<String> = powers.map(|i| format!("{} {}", i.dotted(), i.power)).collect();
        why.extend(file.tricks.iter().cloned());
        why.truncate(3);
        return Err(RegistryError::Dangerous { name: new.name.clone(), why: why.join("; ") });
    }
    let inspection = file.inspection();
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let mut dtypes: Vec<String> = inspection.tensors.iter().map(|t| t.dtype.to_owned()).collect();
    dtypes.sort_unstable();
    dtypes.dedup();
    Ok(Some(ModelSummary {
        kind: word(serde_json::to_value(inspection.kind)),
        safety: word(serde_json::to_value(inspection.safety)),
        imports: inspection.imports.into_iter().take(KEPT).collect(),
        parameters: inspection.parameters,
        tensors: inspection.tensors.len() as u64,
        dtypes,
        notes: inspection.notes.into_iter().take(KEPT).collect(),
    }))
}
