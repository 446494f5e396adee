//! Resolves what runs and the registry store: outputs of jobs, artifacts of MLflow runs, models, data assets.
//!
//! These either exist or not, so a missing one is reported here, with a similar name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Place, Places, below};
use crate::diagnostic::suggest;
use crate::history::find::{self, Job};
use crate::history::{record, registry};
use crate::outcome::JobStatus;
use crate::registry::versions::parse_stage;
use crate::registry::{Asset, AssetKind, Registry, Selector};
use crate::spec::asset_ref::{AssetRef, Version};
use crate::spec::data_uri::DataUri;
use crate::spec::io::PortType;
use crate::tracking::Tracking;

/// A registered asset and its location.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// `name:version`. A label is resolved to its version.
    pub id: String,
    /// Its type.
    pub kind: PortType,
    /// Where it leads.
    pub place: Place,
    /// Its address, if it is not stored in this workspace. The address identifies it across runs.
    pub address: Option<String>,
}

impl Places {
    pub(crate) fn job_output(&self, job: &str, output: &str, path: &str) -> Result<PathBuf, String> {
        let found = find::by_job_name(&self.home, job)?;
        let here = match found.outputs().iter().find(|known| known.name == output) {
            // The output of type file is that file, with or without its name in the address.
            Some(known) if known.path.is_file() && known.path.file_name().is_some_and(|name| name == path) => {
                known.path.clone()
            }
            Some(known) => below(known.path.clone(), path),
            None if matches!(output, "artifacts" | "default") => found.artifact(path),
            None => return Err(no_output(&found, job, output)),
        };
        there(here, path, &format!("the output '{output}' of the job '{job}'"))
    }

    pub(crate) fn run_artifact(&self, run: &str, path: &str) -> Result<PathBuf, String> {
        let db = self.home.tracking_db();
        let unknown = || {
            let runs = self.home.runs().unwrap_or_default();
            let steps = runs.iter().filter_map(|run| record::view(run).ok()).flat_map(|view| view.steps);
            let known: Vec<String> =
                runs.iter().map(|run| run.name.to_string()).chain(steps.map(|step| step.job)).collect();
            let near = suggest::nearest(run, known.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            format!("the MLflow run '{run}' was not found in this workspace{near}")
        };
        if !db.exists() {
            return Err(unknown());
        }
        let registry = registry::open(&self.home.registry_db()).map_err(|e| e.to_string())?;
        let tracking = Tracking::open(&db, Arc::new(registry), self.home.models(), self.home.artifacts());
        let tracking = tracking.map_err(|e| e.to_string())?;
        tracking.run(run).map_err(|_| unknown())?;
        let place = tracking.run_place(run, path).map_err(|e| e.to_string())?;
        place.existing().map_err(|_| match path {
            "" => format!("the MLflow run '{run}' has logged no artifacts"),
            path => format!("the MLflow run '{run}' has no artifact '{path}'"),
        })
    }

    /// `models:/…`: a version, a stage, a label, or the latest version.
    pub(crate) fn model(&self, name: &str, version: &str, path: &str) -> Result<Place, String> {
        let registry = self.registry(&format!("models:/{name}/{version}"))?;
        let get = |selector: &Selector| registry.get(AssetKind::Model, name, selector).map_err(|e| e.to_string());
        let asset = if version.eq_ignore_ascii_case("latest") || version == "@latest" {
            get(&Selector::Latest)?
        } else if let (Ok(stage), Err(_)) = (parse_stage(version), get(&Selector::Version(version.to_owned()))) {
            let versions = registry.list(AssetKind::Model, Some(name)).map_err(|e| e.to_string())?;
            if versions.is_empty() {
                get(&Selector::Latest)?;
            }
            let staged = versions.into_iter().find(|asset| asset.stage == stage && !asset.archived);
            staged.ok_or_else(|| format!("the model '{name}' has no version in the stage {stage}"))?
        } else {
            get(&Selector::parse(version))?
        };
        registry.intact(&asset).map_err(|e| e.to_string())?;
        match self.place_of(&asset)? {
            Place::Local(folder) => {
                let here = below(folder, path);
                there(here, path, &format!("the model '{name}:{}'", asset.version)).map(Place::Local)
            }
            Place::Blob { mut uri, credential } => {
                uri.path = super::joined(&uri.path, path);
                Ok(Place::Blob { uri, credential })
            }
            Place::Web { url } if path.is_empty() => Ok(Place::Web { url }),
            Place::Web { .. } => Err(format!("the model '{name}:{}' is a single file on the web", asset.version)),
        }
    }

    /// A registered data asset or model, and its location.
    ///
    /// # Errors
    /// A message for the user: it was not found, with a similar name, or its address cannot be resolved.
    pub(crate) fn asset(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String> {
        let wanted = if kind.is_model() { AssetKind::Model } else { AssetKind::Data };
        self.found(&self.registered(reference, wanted)?)
    }

    /// A registered data asset, or else a model, and its location.
    ///
    /// # Errors
    /// A message for the user: neither was found, or the address cannot be resolved.
    pub(crate) fn data_or_model(&self, reference: &AssetRef) -> Result<Found, String> {
        let asset = self.registered(reference, AssetKind::Data).or_else(|no_data| {
            let model = self.registered(reference, AssetKind::Model);
            model.map_err(|no_model| if no_model == no_data { no_data } else { format!("{no_data}, and {no_model}") })
        });
        self.found(&asset?)
    }

    fn registered(&self, reference: &AssetRef, kind: AssetKind) -> Result<Asset, String> {
        let selector = match &reference.version {
            Version::Exact(version) => Selector::Version(version.clone()),
            Version::Label(label) if label == "latest" => Selector::Latest,
            Version::Label(label) => Selector::Label(label.clone()),
            Version::Unsaid => {
                return Err(format!("'{reference}' needs a version or a label: azureml:{reference}@latest"));
            }
        };
        let registry = self.registry(&reference.to_string())?;
        let asset = registry.get(kind, &reference.name, &selector).map_err(|e| e.to_string())?;
        registry.intact(&asset).map_err(|e| e.to_string())?;
        Ok(asset)
    }

    fn found(&self, asset: &Asset) -> Result<Found, String> {
        Ok(Found {
            id: format!("{}:{}", asset.name, asset.version),
            kind: PortType::named(asset.asset_type.as_str()).unwrap_or(PortType::UriFolder),
            place: self.place_of(asset)?,
            address: asset.uri().map(str::to_owned),
        })
    }

    /// The location of an asset.
    fn place_of(&self, asset: &Asset) -> Result<Place, String> {
        match asset.uri() {
            None => Ok(Place::Local(asset.path.clone())),
            // Only addresses outside of the workspace are stored, so this recursion ends.
            Some(uri) => match DataUri::parse(uri) {
                Some(parsed) => self.resolve(&parsed?),
                None => Err(format!("'{uri}', the path of {}, is not a valid URI", asset.id())),
            },
        }
    }

    fn registry(&self, wanted: &str) -> Result<Registry, String> {
        let registry = registry::open_existing(&self.home).map_err(|e| e.to_string())?;
        registry.ok_or_else(|| format!("the asset '{wanted}' is not registered in this workspace"))
    }
}

fn no_output(job: &Job, name: &str, output: &str) -> String {
    let status = job.step().filter(|_| job.step.is_some()).map_or(job.view.status, |step| step.status);
    let names = || job.outputs().iter().map(|known| known.name.as_str());
    let hint = match suggest::nearest(output, names()) {
        Some(near) => format!("; did you mean '{near}'?"),
        None if names().next().is_none() && status != JobStatus::Completed => format!(": it is {status}"),
        None if names().next().is_none() => "; it has none".to_owned(),
        None => format!("; its outputs are {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("the job '{name}' has no output '{output}'{hint}")
}

/// Returns a path that must exist.
fn there(here: PathBuf, path: &str, whole: &str) -> Result<PathBuf, String> {
    match (here.exists(), path) {
        (true, _) => Ok(here),
        (false, "") => Err(format!("{whole} does not exist: {} was not found", here.display())),
        (false, path) => {
            let names = siblings(&here);
            let last = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            let near = suggest::nearest(&last, names.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            Err(format!("'{path}' was not found in {whole}{near}"))
        }
    }
}

fn siblings(path: &Path) -> Vec<String> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
