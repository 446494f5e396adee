//! Where the rooms are wired together: a workspace on disk, its registry, and documents planned against it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::error::Failed;
use super::exit::Exit;
use super::places::{Place, Places};
use super::printer::Printer;
use super::stand_ins;
use crate::diagnostic::{Diagnostic, Sources};
use crate::language::{self, Kind, Target};
use crate::plan::{self, Form, Local, Located, Plan, Remote, Signed};
use crate::registry::{ComponentStore, Registry};
use crate::secret::{Secret, mask_signatures, signatures};
use crate::spec::asset_ref::AssetRef;
use crate::spec::catalog::{Catalog, Found};
use crate::spec::data_uri::DataUri;
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
        Ok(Arc::new(super::asset::open(&home.registry_db())?))
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
    pub fn accepted(
        &self,
        file: &Path,
        set: &[Override],
        local: &Local,
        printer: &Printer,
    ) -> Result<(Plan, Document), Failed> {
        let (loaded, plan) = self.plan(file, set, local);
        Self::accept(loaded, plan, printer)
    }

    /// The plan that came of a file, which must be accepted.
    pub fn accept(loaded: Loaded, plan: Option<Plan>, printer: &Printer) -> Result<(Plan, Document), Failed> {
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

/// The workspace as planning sees it. Nothing of it is opened before a document names something.
struct Registered {
    places: Places,
    /// Signatures that were written with addresses, for the run and nothing else.
    signed: RefCell<Vec<Signed>>,
    /// What is not known, and why, for whoever plans past that.
    unknown: Option<RefCell<Vec<(String, String)>>>,
}

impl Registered {
    /// Something in place of what is not known.
    fn or_unknown<T>(&self, found: Result<T, String>, uri: &str, other: impl Fn(Located) -> T) -> Result<T, String> {
        match (found, &self.unknown) {
            (Err(why), Some(unknown)) => {
                unknown.borrow_mut().push((uri.to_owned(), why));
                let (uri, address) = (uri.to_owned(), uri.to_owned());
                let remote = Remote { uri, address, form: Form::Any, after: None, is_blob: true, signed: false };
                Ok(other(Located::Remote(remote)))
            }
            (found, _) => found,
        }
    }

    /// Where data lies, for a plan: `uri` is how it was written.
    fn located(&self, place: Place, uri: &str) -> Located {
        let (address, is_blob) = match place {
            Place::Local(path) => return Located::Here(path),
            Place::Blob { uri, .. } => (uri.address(), true),
            Place::Web { mut url } => {
                mask_signatures(&mut url);
                (url, false)
            }
        };
        let signed = self.signed.borrow().iter().any(|signed| signed.uri == uri);
        Located::Remote(Remote { uri: uri.to_owned(), address, form: Form::Any, after: None, is_blob, signed })
    }

    /// Keeps the signature of an address apart, and gives the address without it.
    fn sign(&self, uri: &DataUri, place: &Place) -> String {
        let (text, query) = match (uri, place) {
            (DataUri::Blob(blob), _) => (blob.address(), blob.sas.as_ref().map(|sas| sas.reveal().to_owned())),
            // A blob by the address of a server that is known.
            (DataUri::Web { url }, Place::Blob { uri: blob, .. }) => {
                let query = url.split_once('?').map(|(_, query)| query.to_owned());
                (blob.address(), query.filter(|query| !signatures(&format!("?{query}")).is_empty()))
            }
            (DataUri::Web { url }, _) => {
                let text = uri.to_string();
                if text != *url {
                    let whole = Secret::new(url.clone());
                    self.signed.borrow_mut().push(Signed { uri: text.clone(), whole });
                }
                return text;
            }
            _ => return uri.to_string(),
        };
        if let Some(query) = query {
            let whole = Secret::new(format!("{text}?{query}"));
            self.signed.borrow_mut().push(Signed { uri: text.clone(), whole });
        }
        text
    }
}

impl Catalog for Registered {
    fn find(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String> {
        let found = self.places.asset(reference, kind).map(|found| {
            let uri = found.address.unwrap_or_default();
            Found { id: found.id, kind: found.kind, located: self.located(found.place, &uri) }
        });
        let uri = format!("azureml:{reference}");
        self.or_unknown(found, &uri, |located| Found { id: uri.clone(), kind, located })
    }

    fn locate(&self, uri: &DataUri) -> Result<Located, String> {
        let located = self.places.resolve(uri).map(|place| {
            let text = self.sign(uri, &place);
            self.located(place, &text)
        });
        self.or_unknown(located, &uri.to_string(), |located| located)
    }

    fn missing(&self, place: &Path, why: String) -> Result<Located, String> {
        self.or_unknown(Err(why), &place.to_string_lossy(), |located| located)
    }
}
