//! Where the rooms are wired together: a workspace on disk, its registry, and documents planned against it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::catalog::Registered;
use crate::config::Config;
use crate::data::Reporter;
use crate::data::location::Places;
use crate::diagnostic::{Diagnostic, Sources};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::language::{self, Kind, Target};
use crate::plan::{self, Local, Plan};
use crate::registry::ComponentStore;
use crate::runner::stand_ins;
use crate::spec::{self, Document, Loaded};
use crate::store::Home;
use crate::yaml::overrides::Override;

/// What every verb starts from.
pub(crate) struct Project {
    chosen: Option<PathBuf>,
    reporter: Box<dyn Reporter + Sync>,
}

impl Project {
    /// The project around a file or the current folder; `home` is its workspace where the user chose one.
    pub fn new(home: Option<PathBuf>, reporter: Box<dyn Reporter + Sync>) -> Self {
        Self { chosen: home, reporter }
    }

    /// Who shows what is found before a run has views.
    pub fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    /// The workspace of the current folder.
    pub fn home(&self) -> Home {
        Home::locate(self.chosen.as_deref(), Path::new(""))
    }

    /// The workspace of a job file.
    pub fn home_of(&self, file: &Path) -> Home {
        Home::locate(self.chosen.as_deref(), file.parent().unwrap_or(file))
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

    /// Reads a job file for a run here.
    pub fn read(&self, file: &Path, set: &[Override], local: &Local) -> language::Document {
        let mut read = language::load(file, &self.local_options(file, set));
        stand_ins::spare(&mut read, local);
        read
    }

    /// Loads and resolves a job file. The plan is there when the file is accepted.
    pub fn plan(&self, file: &Path, set: &[Override], local: &Local) -> (Loaded, Option<Plan>) {
        let mut loaded = spec::take(self.read(file, set, local), file);
        let plan = self.plan_loaded(&mut loaded, local);
        (loaded, plan)
    }

    /// Resolves a job file that was loaded; what is found is added to what was found before.
    pub fn plan_loaded(&self, loaded: &mut Loaded, local: &Local) -> Option<Plan> {
        let mut found = Vec::new();
        let plan = loaded.document.as_ref().and_then(|d| self.plan_of(d, local, &loaded.sources, &mut found));
        loaded.diagnostics.extend(found);
        loaded.diagnostics.drop_notes();
        plan.filter(|_| !loaded.diagnostics.has_errors())
    }

    /// Resolves a document against the registry of its workspace.
    pub fn plan_of(
        &self,
        document: &Document,
        local: &Local,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Plan> {
        // A file that cannot be read is told of where it is asked for other things.
        let config = Config::near(document.path.parent().unwrap_or(&document.path)).unwrap_or_default();
        let places = Places::new(self.home_of(&document.path), &config).unopened();
        let catalog = Registered { places, signed: RefCell::default(), unknown: None };
        let mut plan = plan::resolve(document, &catalog, local, sources, found)?;
        plan.signed = catalog.signed.into_inner();
        Some(plan)
    }

    /// Resolves a document as far as it can be: what its inputs name need not be known. Gives what is not, and why.
    pub fn plan_past_unknown(
        &self,
        document: &Document,
        local: &Local,
        sources: &Sources,
        found: &mut Vec<Diagnostic>,
    ) -> Option<(Plan, Vec<(String, String)>)> {
        let config = Config::near(document.path.parent().unwrap_or(&document.path)).unwrap_or_default();
        let places = Places::new(self.home_of(&document.path), &config).unopened();
        let catalog = Registered { places, signed: RefCell::default(), unknown: Some(RefCell::default()) };
        let mut plan = plan::resolve(document, &catalog, local, sources, found)?;
        plan.signed = catalog.signed.into_inner();
        Some((plan, catalog.unknown.map(RefCell::into_inner).unwrap_or_default()))
    }

    /// How a document is read for a run here.
    pub fn local_options(&self, file: &Path, set: &[Override]) -> language::Options {
        let components = ComponentStore::at(self.home_of(file).components());
        language::Options { components: Some(Arc::new(components)), ..options(set, Target::Local, None) }
    }

    /// The plan of a file that must be accepted. Warnings are shown; a refusal ends the command.
    pub fn accepted(&self, file: &Path, set: &[Override], local: &Local) -> Result<(Plan, Document), Failed> {
        let (loaded, plan) = self.plan(file, set, local);
        self.accept(loaded, plan)
    }

    /// The plan that came of a file, which must be accepted.
    pub fn accept(&self, loaded: Loaded, plan: Option<Plan>) -> Result<(Plan, Document), Failed> {
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
