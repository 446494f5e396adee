//! Gives the steps that install packages an overlay of their environment, so that they change nothing outside.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use crate::engine::{ServiceError, StepEnvironment};
use crate::environment::overlay::{self, Base, Overlay};
use crate::fs::program::find;
use crate::plan::{Code, Command};
use crate::store::Home;
use crate::store::snapshot::Snapshot;

/// Makes the overlays of one run.
pub(super) struct Overlays {
    home: Home,
    swept: Once,
    /// The Pythons below, by their programs; `None` for one that gives no answer.
    bases: Mutex<HashMap<PathBuf, Option<Base>>>,
    /// Whether code has a script that installs packages.
    installing: Mutex<HashMap<Code, bool>>,
}

impl Overlays {
    /// Overlays in a folder of the workspace.
    pub(super) fn new(home: Home) -> Self {
        Self { home, swept: Once::new(), bases: Mutex::default(), installing: Mutex::default() }
    }

    /// The environment for a command: with an overlay if the command installs packages, otherwise unchanged.
    pub(super) async fn over(
        self: &Arc<Self>,
        environment: StepEnvironment,
        command: &Command,
    ) -> Result<StepEnvironment, ServiceError> {
        if environment.search_path.is_none() || !self.installs(command).await {
            return Ok(environment);
        }
        let overlays = self.clone();
        let made = tokio::task::spawn_blocking(move || overlays.make(environment)).await;
        made.map_err(ServiceError::permanent)?
    }

    async fn installs(self: &Arc<Self>, command: &Command) -> bool {
        if overlay::installs(&command.text) {
            return true;
        }
        let Some(code) = &command.code else { return false };
        if let Some(known) = locked(&self.installing).get(code) {
            return *known;
        }
        let (overlays, read) = (self.clone(), code.clone());
        let installs = tokio::task::spawn_blocking(move || has_installer(&read, overlays.home.root())).await;
        // When in doubt, an overlay does no harm.
        let installs = installs.unwrap_or(true);
        locked(&self.installing).insert(code.clone(), installs);
        installs
    }

    fn make(&self, environment: StepEnvironment) -> Result<StepEnvironment, ServiceError> {
        let root = self.home.overlays();
        self.swept.call_once(|| overlay::sweep(&root));
        let search_path = environment.search_path.clone().unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&search_path).collect();
        let Some(python) = find("python", &folders).or_else(|| find("python3", &folders)) else {
            return Ok(environment);
        };
        let near = self.home.root().parent().unwrap_or(self.home.root());
        let base = locked(&self.bases).entry(python.clone()).or_insert_with(|| Base::ask(&python, near)).clone();
        let Some(base) = base else { return Ok(environment) };
        let failed = |error| {
            ServiceError::Permanent(format!("cannot make a virtual environment in {}: {error}", root.display()))
        };
        let overlay = Overlay::over(&base, &root).map_err(failed)?;
        let folders = std::iter::once(overlay.bin()).chain(folders);
        let search_path = std::env::join_paths(folders).map_err(ServiceError::permanent)?;
        let mut variables = environment.variables.clone();
        variables.retain(|(name, _)| name != "VIRTUAL_ENV");
        variables.push(("VIRTUAL_ENV".to_owned(), overlay.folder().display().to_string()));
        // `pip install --user` does not leave the overlay either.
        variables.push(("PYTHONUSERBASE".to_owned(), overlay.folder().join("user").display().to_string()));
        Ok(StepEnvironment {
            search_path: Some(search_path.to_string_lossy().into_owned()),
            variables,
            keeps: Some(Arc::new((overlay, environment.keeps))),
            ..environment
        })
    }
}

/// Whether a script of the code installs packages. It may be called by another script, so all are read.
fn has_installer(code: &Code, workspace: &Path) -> bool {
    const SCRIPTS: [&str; 5] = ["py", "sh", "bash", "ipynb", "R"];
    /// Longer files are data.
    const LONGEST: u64 = 1 << 20;
    let Ok(snapshot) = Snapshot::of(code.root.as_deref(), &code.includes, true, workspace) else { return false };
    let scripts = snapshot.files().into_iter().map(|(_, file)| file).filter(|file| {
        // A script, or a Makefile, needs no extension.
        let is_script = file.extension().is_none_or(|end| SCRIPTS.iter().any(|known| end == *known));
        is_script && file.metadata().is_ok_and(|about| about.len() <= LONGEST)
    });
    let text = |file: PathBuf| std::fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    scripts.filter_map(text).any(|text| overlay::installs(&text))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
