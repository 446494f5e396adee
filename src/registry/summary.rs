//! Inspects a model's files at registration. The summary is stored with the version, so that nobody has to open the
//! files again.

use super::asset::ModelSummary;
use super::asset::{self, NewAsset};
use super::error::RegistryError;
use super::kind::AssetKind;
use crate::model_file::{Error, ModelFile, Safety};

/// How many notes and imports are stored.
const KEPT: usize = 20;

/// Inspects what is to be registered: the one place that decides, for every way into the registry. `None` for data,
/// for files that are not a model file (a custom model may be anything), and for models that are not stored here.
///
/// # Errors
/// [`RegistryError::Dangerous`] for files that run code when Python loads them, and [`RegistryError::Unjudged`] for
/// those that cannot be judged, unless that is allowed.
pub(super) fn look(new: &NewAsset) -> Result<Option<ModelSummary>, RegistryError> {
    if new.asset_type.kind() != AssetKind::Model || asset::address(&new.path).is_some() {
        return Ok(None);
    }
    let unjudged = |why: String| RegistryError::Unjudged { name: new.name.clone(), why };
    let file = match ModelFile::open(&new.path) {
        Ok(file) => file,
        Err(error @ Error::NoModel { mistaken: true, .. }) => {
            let told = words_of(&error, &new.path);
            return Ok(Some(ModelSummary { runs: told, ..ModelSummary::unread("unknown") }));
        }
        Err(Error::NoModel { .. }) => return Ok(None),
        // Content that is not here (yet) is trusted, like its path.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if new.allow_pickle => {
            let told = words_of(&error, &new.path);
            return Ok(Some(ModelSummary { runs: told, ..ModelSummary::unread("cannot_be_judged") }));
        }
        Err(error) => return Err(unjudged(words_of(&error, &new.path))),
    };
    if file.safety >= Safety::Unjudged && !new.allow_pickle {
        let mut why = file.objections();
        why.truncate(3);
        let why = why.join("; ").replace(&format!("{}/", new.path.display()), "");
        return Err(match file.safety {
            Safety::Dangerous => RegistryError::Dangerous { name: new.name.clone(), why },
            _ => unjudged(why),
        });
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
        runs: match file.safety {
            Safety::Safe => String::new(),
            Safety::Unknown => file.runs(),
            Safety::Unjudged | Safety::Dangerous => {
                file.objections().into_iter().take(3).collect::<Vec<_>>().join("; ")
            }
        },
        imports: inspection.imports.into_iter().take(KEPT).collect(),
        parameters: inspection.parameters,
        tensors: inspection.tensors.len() as u64,
        dtypes,
        notes: inspection.notes.into_iter().take(KEPT).collect(),
    }))
}

impl ModelSummary {
    /// The summary of a file that could not be read.
    fn unread(safety: &str) -> Self {
        Self {
            kind: "unknown".to_owned(),
            safety: safety.to_owned(),
            runs: String::new(),
            imports: Vec::new(),
            parameters: 0,
            tensors: 0,
            dtypes: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// An error without the internal path of the registry's copy.
fn words_of(error: &Error, copy: &std::path::Path) -> String {
    let text = error.to_string();
    let parent = copy.parent().unwrap_or(copy).display().to_string();
    let text = text.replace(&format!("{}: ", copy.display()), "").replace(&format!("{}/", copy.display()), "");
    text.replace(&format!("{parent}/"), "")
}
