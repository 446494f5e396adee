//! The environments of a run's steps: each is resolved once, and looked up in the store when it is needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::container::{Container, Images};
use super::managed::store::{Ready, Store};
use super::managed::{BuildError, interpreter, tool};
use super::resolve::{IMAGE_NAME, Managed, Policy, Resolution, Settings, resolve};
use crate::digest::Digest;
use crate::fs::program::on_path;
use crate::reuse::Python;
use crate::spec::environment::Environment;

type Resolved = Result<Arc<Resolution>, String>;

/// The environments of a run's steps.
#[derive(Default)]
pub struct Environments {
    settings: Settings,
    /// `None` if the user has no cache folder.
    pub store: Option<Store>,
    /// The images of containers; `None` where there can be none.
    images: Option<Arc<dyn Images>>,
    resolved: Mutex<HashMap<Environment, Resolved>>,
    /// Those that were found in the store, so that it is read once for each.
    found: Mutex<HashMap<Digest, Arc<Built>>>,
}

impl Environments {
    /// Environments according to the settings, built in the user's cache folder.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, store: Store::of_user(), ..Self::default() }
    }

    /// The same with images for containers.
    #[must_use]
    pub fn with_images(self, images: Arc<dyn Images>) -> Self {
        Self { images: Some(images), ..self }
    }

    /// The id of a container's image, if it is here.
    #[must_use]
    pub fn image(&self, container: &Container) -> Option<String> {
        self.images.as_ref()?.id(container)
    }

    /// How environments are provided.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.settings.policy
    }

    /// The run whose versions are built again.
    #[must_use]
    pub fn locked(&self) -> Option<String> {
        self.settings.locked.as_ref().map(|locked| locked.run.clone())
    }

    /// What an environment becomes.
    ///
    /// # Errors
    /// A message, if its definition cannot be read.
    pub fn resolve(&self, environment: Option<&Environment>) -> Resolved {
        let Some(environment) = environment else {
            return Ok(Arc::new(Resolution::Host("the step names no environment".to_owned())));
        };
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = resolved.get(environment) {
            return known.clone();
        }
        let found = resolve(environment, &self.settings).and_then(|found| self.obtainable(found)).map(Arc::new);
        resolved.insert(environment.clone(), found.clone());
        found
    }

    /// What can be had on this machine. Packages that only conda has are refused without a conda tool; the version of
    /// Python in an image's name is a hint, so a machine without that version uses its own.
    fn obtainable(&self, found: Resolution) -> Result<Resolution, String> {
        let Resolution::Managed(managed) = &found else { return Ok(found) };
        let lacks_conda = managed.definition.conda.as_ref().filter(|_| tool::conda_tool().is_none());
        let is_hint = managed.source == IMAGE_NAME;
        if (lacks_conda.is_none() && !is_hint) || self.ready(managed).is_some() {
            return Ok(found);
        }
        if let Some(conda) = lacks_conda {
            let error = BuildError::NoConda { packages: conda.only.join(", ") };
            return Err(format!("the environment '{}' ({}) cannot be built: {error}", managed.name, managed.source));
        }
        if on_path("uv", None).is_none() && interpreter::find(&managed.definition).is_none() {
            return Ok(Resolution::Host(format!(
                "{} is not installed here, nor is uv, which could get it",
                managed.name
            )));
        }
        Ok(found)
    }

    /// An environment, if it was built.
    #[must_use]
    pub fn ready(&self, managed: &Managed) -> Option<Arc<Built>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(&managed.digest) {
            return Some(known.clone());
        }
        let built = Arc::new(Built::new(self.store.as_ref()?.ready(&managed.digest)?, managed));
        found.insert(managed.digest.clone(), built.clone());
        Some(built)
    }
}

/// An environment that was built, with what each of its steps needs of it.
#[derive(Debug)]
pub struct Built {
    /// Its place, and its content.
    pub ready: Ready,
    /// The `PATH` of its steps: its own programs, then those of the machine.
    pub search_path: String,
    /// Its Python for the cache key. An environment that was removed and built again with the same versions is the same.
    pub python: Python,
    /// The digest of that.
    pub digest: Digest,
}

impl Built {
    fn new(ready: Ready, managed: &Managed) -> Self {
        // A file of the user can change without its version.
        let has_local = !managed.definition.local.is_empty();
        let python = Python {
            program: "of its environment".to_owned(),
            version: ready.lock.python.clone(),
            packages: ready.lock.packages.clone(),
            files: if has_local { managed.digest.to_string() } else { String::new() },
        };
        Self { search_path: ready.search_path(std::iter::empty()), digest: python.digest(), python, ready }
    }
}

impl Ready {
    /// The `PATH` of its steps: its own programs, then those of the machine and of `folders`.
    #[must_use]
    pub fn search_path(&self, folders: impl Iterator<Item = PathBuf>) -> String {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&own)).chain(folders);
        std::env::join_paths(all).unwrap_or(own).to_string_lossy().into_owned()
    }
}
