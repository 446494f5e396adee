//! Where the rooms are wired together: a workspace on disk, its registry, and documents planned against it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Failed;
use super::exit::Exit;
use super::printer::Printer;
use crate::diagnostic::{Diagnostic, Sources};
use crate::language::{self, Kind, Target};
use crate::plan::{self, Local, Plan};
use crate::registry::{AssetKind, ComponentStore, Registry, Selector};
use crate::spec::asset_ref::{AssetRef, Version};
use crate::spec::catalog::{Catalog, Found};
use crate::spec::io::PortType;
use crate::spec::{self, Document, Loaded};
use crate::store::Home;
use crate::yaml::overrides::Override;

/// What every verb starts from.
pub(super) struct Context {
    chosen: Option<PathBuf>,
}

impl Context {
    pub fn new(home: Option<PathBuf>) -> Self {
        Self { chosen: home }
    }

    /// The workspace of the current folder.
    pub fn home(&self) -> Home {
        Home::locate(self.chosen.as_deref(), Path::new(""))
    }

    /// The workspace of a job file.
    pub fn home_of(&self, file: &Path) -> Home {
        Home::locate(self.chosen.as_deref(), file.parent().unwrap_or(file))
    }

    /// The registry of a workspace, made when it is not there yet.
    pub fn registry(home: &Home) -> Result<Arc<Registry>, Failed> {
        home.create()?;
        Ok(Arc::new(Registry::open(&home.registry_db())?))
    }

    /// Reads a document of any kind against Azure ML's whole language.
    pub fn check(&self, file: &Path, set: &[Override], target: Target, kind: Option<Kind>) -> language::Document {
        let options = match target {
            Target::Local => language::Options { kind, ..self.local_options(file, set) },
            Target::Azure => options(set, target, kind),
        };
        language::load(file, &options)
    }

    /// Reads a document that is to be sent to Azure ML: what is registered here means nothing there.
    pub fn check_for_azure(file: &Path, set: &[Override], kind: Kind) -> language::Document {
        language::load(file, &options(set, Target::Azure, Some(kind)))
    }

    /// Loads and resolves a job file. The plan is there when the file is accepted.
    pub fn plan(&self, file: &Path, set: &[Override], local: &Local) -> (Loaded, Option<Plan>) {
        let mut loaded = spec::load(file, &self.local_options(file, set));
        let mut found = Vec::new();
        let plan = loaded.document.as_ref().and_then(|d| self.plan_of(d, local, &loaded.sources, &mut found));
        loaded.diagnostics.extend(found);
        loaded.diagnostics.drop_notes();
        let refused = loaded.diagnostics.has_errors();
        (loaded, plan.filter(|_| !refused))
    }

    /// Resolves a document against the registry of its workspace.
    pub fn plan_of(
        &self,
        document: &Document,
        local: &Local,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Plan> {
        let catalog = Registered { home: self.home_of(&document.path) };
        plan::resolve(document, &catalog, local, sources, found)
    }

    /// How a document is read for a run here.
    pub fn local_options(&self, file: &Path, set: &[Override]) -> language::Options {
        let components = ComponentStore::at(self.home_of(file).components());
        language::Options { components: Some(Arc::new(components)), ..options(set, Target::Local, None) }
    }

    /// The plan of a file that must be accepted. Warnings are shown; a refusal ends the command.
    pub fn accepted(
        &self,
        file: &Path,
        set: &[Override],
        local: &Local,
        printer: &Printer,
    ) -> Result<(Plan, Document), Failed> {
        let (loaded, plan) = self.plan(file, set, local);
        match (plan, loaded.document) {
            (Some(plan), Some(document)) => {
                printer.diagnostics(&loaded.diagnostics, &loaded.sources);
                Ok((plan, document))
            }
            _ => {
                let exit = if loaded.not_found { Exit::NotFound } else { Exit::Failed };
                Err(Failed::Refused { diagnostics: loaded.diagnostics, sources: loaded.sources, exit })
            }
        }
    }
}

fn options(set: &[Override], target: Target, kind: Option<Kind>) -> language::Options {
    let preview = std::env::var("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED").is_ok_and(|v| v == "true" || v == "True");
    language::Options { target, set: set.to_vec(), preview, kind, components: None }
}

/// The registry as planning sees it. It is opened only when a document names an asset.
struct Registered {
    home: Home,
}

impl Catalog for Registered {
    fn find(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String> {
        let selector = match &reference.version {
            Version::Exact(version) => Selector::Version(version.clone()),
            Version::Label(label) if label == "latest" => Selector::Latest,
            Version::Label(label) => Selector::Label(label.clone()),
            Version::Unsaid => {
                return Err(format!("'{reference}' needs a version or a label: azureml:{reference}@latest"));
            }
        };
        if !self.home.registry_db().exists() {
            return Err(format!("no asset '{reference}' is registered in this workspace"));
        }
        let registry = Registry::open(&self.home.registry_db()).map_err(|e| e.to_string())?;
        let wanted = if kind.is_model() { AssetKind::Model } else { AssetKind::Data };
        let asset = registry.get(wanted, &reference.name, &selector).map_err(|e| e.to_string())?;
        let kind = PortType::named(asset.asset_type.as_str()).unwrap_or(kind);
        Ok(Found { id: format!("{}:{}", asset.name, asset.version), kind, path: asset.path })
    }

    /// The datastores that every workspace has are folders of the workspace (reference, section 9.5).
    fn datastore(&self, name: &str) -> Result<PathBuf, String> {
        const OWN: [&str; 4] =
            ["workspaceblobstore", "workspaceartifactstore", "workspacefilestore", "workspaceworkingdirectory"];
        if OWN.contains(&name) {
            return Ok(self.home.datastore(name));
        }
        Err(format!("amlrun does not know the datastore '{name}' yet; here there are: {}", OWN.join(", ")))
    }
}
