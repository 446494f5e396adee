//! Puts the modules together: a workspace on disk, its registry, and the documents planned against it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::Registered;
use super::pinned_environments;
use crate::config::Config;
use crate::data::Reporter;
use crate::data::location::Places;
use crate::diagnostic::{Diagnostic, Sources};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::{self, Kind, Target};
use crate::plan::{self, Local, Plan};
use crate::registry::ComponentStore;
use crate::runner::substitutes;
use crate::spec::{self, Document, Loaded};
use crate::store::Home;
use crate::yaml::overrides::Override;

/// What every command starts from.
pub(crate) struct Project {
    chosen: Option<PathBuf>,
    reporter: Box<dyn Reporter + Sync>,
}

impl Project {
    /// The project around a file or the current folder. `home` is its workspace, if the user chose one.
    pub(crate) fn new(home: Option<PathBuf>, reporter: Box<dyn Reporter + Sync>) -> Self {
        Self { chosen: home, reporter }
    }

    /// Shows progress and diagnostics before a run has its own views.
    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    /// The workspace of the current folder.
    pub(crate) fn home(&self) -> Home {
        Home::locate(self.chosen.as_deref(), Path::new(""))
    }

    /// The workspace of a job file.
    pub(crate) fn home_of(&self, file: &Path) -> Home {
        Home::locate(self.chosen.as_deref(), file.parent().unwrap_or(file))
    }

    /// Checks a document of any kind against the whole language of Azure ML.
    pub(crate) fn check(
        &self,
        file: &Path,
        set: &[Override],
        target: Target,
        kind: Option<Kind>,
    ) -> language::Document {
        let options = match target {
            Target::Local => language::Options { kind, ..self.local_options(file, set) },
            Target::Azure => options(set, target, kind),
        };
        language::load(file, &options)
    }

    /// Checks a document that is to be sent to Azure ML. Assets registered in this workspace do not exist there.
    pub(crate) fn check_for_azure(file: &Path, set: &[Override], kind: Kind) -> language::Document {
        language::load(file, &options(set, Target::Azure, Some(kind)))
    }

    /// Reads a job file for a local run.
    pub(crate) fn read(&self, file: &Path, set: &[Override], config: &Config) -> language::Document {
        let mut read = language::load(file, &self.local_options(file, set));
        substitutes::spare(&mut read, &config.local());
        read
    }

    /// Loads and resolves a job file with the settings of its project. Returns a plan if the file is accepted.
    pub(crate) fn plan(&self, file: &Path, set: &[Override], config: &Config) -> (Loaded, Option<Plan>) {
        let mut loaded = spec::take(self.read(file, set, config), file);
        let plan = self.plan_loaded(&mut loaded, config);
        (loaded, plan)
    }

    /// Resolves a loaded job file. New diagnostics are added to the existing ones.
    pub(crate) fn plan_loaded(&self, loaded: &mut Loaded, config: &Config) -> Option<Plan> {
        let mut found = Vec::new();
        let plan = loaded.document.as_ref().and_then(|d| self.plan_of(d, config, &loaded.sources, &mut found));
        loaded.diagnostics.extend(found);
        loaded.diagnostics.drop_notes();
        plan.filter(|_| !loaded.diagnostics.has_errors())
    }

    /// Resolves a document against the registry of its workspace.
    pub(crate) fn plan_of(
        &self,
        document: &Document,
        config: &Config,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Plan> {
        let places = Places::new(self.home_of(&document.path), config).unopened();
        let catalog = Registered { places, signed: RefCell::default(), unknown: None };
        let mut plan = plan::resolve(document, &catalog, &config.local(), sources, found)?;
        plan.signed = catalog.signed.into_inner();
        pinned_environments::pin(&mut plan, &self.home_of(&document.path));
        Some(plan)
    }

    /// Resolves a document as far as possible: the data that its inputs name may be unknown. `local` are the settings of
    /// its steps. Returns what is unknown, and why.
    pub(crate) fn plan_past_unknown(
        &self,
        document: &Document,
        config: &Config,
        local: &Local,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Option<(Plan, Vec<(String, String)>)> {
        let places = Places::new(self.home_of(&document.path), config).unopened();
        let catalog = Registered { places, signed: RefCell::default(), unknown: Some(RefCell::default()) };
        let mut plan = plan::resolve(document, &catalog, local, sources, found)?;
        plan.signed = catalog.signed.into_inner();
        pinned_environments::pin(&mut plan, &self.home_of(&document.path));
        Some((plan, catalog.unknown.map(RefCell::into_inner).unwrap_or_default()))
    }

    /// The options for reading a document for a local run.
    pub(crate) fn local_options(&self, file: &Path, set: &[Override]) -> language::Options {
        let components = ComponentStore::at(self.home_of(file).components());
        language::Options { components: Some(Arc::new(components)), ..options(set, Target::Local, None) }
    }

    /// The plan of a file that must be accepted. Warnings are shown; an error ends the command.
    pub(crate) fn accepted(&self, file: &Path, set: &[Override], config: &Config) -> Result<(Plan, Document), Failed> {
        let (loaded, plan) = self.plan(file, set, config);
        self.accept(loaded, plan)
    }

    /// Returns the plan if the file was accepted. Warnings are shown; an error ends the command.
    pub(crate) fn accept(&self, loaded: Loaded, plan: Option<Plan>) -> Result<(Plan, Document), Failed> {
        match (plan, loaded.document) {
            (Some(plan), Some(document)) => {
                self.reporter.diagnostics(&loaded.diagnostics, &loaded.sources);
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
