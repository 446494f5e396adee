//! The images of this machine: which ones are here, and under which names made images are found again.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::context::Context;
use super::derived;
use super::engine::{Engine, EngineError};
use super::image::{Image, made, qualified};
use crate::environment::container::{self, Container, Source};

/// The images of a run's steps. The engine is looked for when the first one is needed.
#[derive(Debug, Default)]
pub struct Images {
    /// The engine that the project chooses.
    configured: Option<String>,
    engine: OnceLock<Result<Engine, EngineError>>,
    /// Those that were found, so that the engine is asked once for each.
    found: Mutex<HashMap<Container, Image>>,
    /// The names of images that are built from folders, so that each folder is read once.
    built: Mutex<HashMap<Source, Result<String, String>>>,
}

impl Images {
    /// The images of the engine that the project chooses, if it chooses one.
    #[must_use]
    pub fn new(configured: Option<String>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// The engine.
    ///
    /// # Errors
    /// When none works.
    pub fn engine(&self) -> Result<&Engine, EngineError> {
        self.engine.get_or_init(|| Engine::find(self.configured.as_deref())).as_ref().map_err(Clone::clone)
    }

    /// The image of a container, if it is here.
    #[must_use]
    pub fn find(&self, container: &Container) -> Option<Image> {
        if let Some(known) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(container) {
            return Some(known.clone());
        }
        let base = self.base(&container.source)?;
        let image = match &container.packages {
            None => base,
            Some(packages) => self.inspect(&derived::name(&base, packages).ok()?)?,
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone(), image.clone());
        Some(image)
    }

    /// The image of a source, if it is here.
    #[must_use]
    pub(super) fn base(&self, source: &Source) -> Option<Image> {
        match source {
            Source::Image(name) => self.inspect(name).or_else(|| self.inspect(&qualified(name)?)),
            Source::Build { .. } => self.inspect(&self.built_name(source).ok()?),
        }
    }

    /// The name of the image that is built from a folder.
    ///
    /// # Errors
    /// A message, if the folder cannot be read.
    pub(super) fn built_name(&self, source: &Source) -> Result<String, String> {
        let Source::Build { context, dockerfile } = source else { return Err("it is not built".to_owned()) };
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let name = || Context::read(context, dockerfile).map(|context| made(&context.digest));
        built.entry(source.clone()).or_insert_with(name).clone()
    }

    /// An image by its name, if it is here.
    pub(super) fn inspect(&self, name: &str) -> Option<Image> {
        let format = "{{.Id}} {{.Os}}/{{.Architecture}}";
        let printed = self.engine().ok()?.ask(&["image", "inspect", "--format", format, name])?;
        let (id, platform) = printed.lines().next()?.split_once(' ')?;
        Some(Image { id: id.trim_start_matches("sha256:").to_owned(), platform: platform.to_owned() })
    }
}

impl container::Images for Images {
    fn id(&self, container: &Container) -> Option<String> {
        Some(self.find(container)?.id)
    }
}
