//! Finds the model of a `model` command: a path, or `azureml:name:version` in the registry.

use std::path::{Path, PathBuf};

use crate::again::{amlrun, word};
use crate::error::Failed;
use crate::model_file::{self, ScalarType};
use crate::registry::{AssetKind, Selector};
use crate::runner::project::Project;
use crate::spec::asset_ref::{AssetRef, Version};

/// The file or folder that an argument names.
pub(in crate::cli) fn find(argument: &str, project: &Project) -> Result<PathBuf, Failed> {
    let Some(reference) = argument.strip_prefix("azureml:") else {
        let path = PathBuf::from(argument);
        if !path.exists() {
            return Err(Failed::not_found(format!("the file or folder '{argument}' does not exist")));
        }
        return Ok(path);
    };
    let reference = AssetRef::parse(reference).map_err(|e| Failed::usage(e.to_string()))?;
    let selector = match &reference.version {
        Version::Exact(version) => Selector::Version(version.clone()),
        Version::Label(label) if label != "latest" => Selector::Label(label.clone()),
        Version::Label(_) | Version::Unsaid => Selector::Latest,
    };
    let Some(registry) = crate::history::registry::existing(&project.home())? else {
        return Err(Failed::not_found(format!("the model '{argument}' is not registered in this workspace")));
    };
    let asset = registry.get(AssetKind::Model, &reference.name, &selector)?;
    registry.intact(&asset)?;
    crate::cli::asset::kept_here(&asset).map(Path::to_owned)
}

/// A hint on how to list the names of a model's tensors.
pub(in crate::cli) fn listed(argument: &str) -> String {
    format!("list its tensors: {}", amlrun(&format!("model inspect --all {}", word(Path::new(argument)))))
}

impl From<model_file::Error> for Failed {
    fn from(error: model_file::Error) -> Self {
        match &error {
            model_file::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::not_found(error.to_string())
            }
            _ => Self::new(error.to_string()),
        }
    }
}

/// Parses a floating-point type for `--dtype`.
pub(in crate::cli) fn float_type(text: &str) -> Result<ScalarType, String> {
    let name = text.strip_prefix("torch.").unwrap_or(text);
    match ScalarType::from_torch_name(name) {
        Some(kind) if kind.is_float() => Ok(kind),
        _ => Err("use float16, bfloat16, float32 or float64".to_owned()),
    }
}
