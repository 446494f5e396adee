//! Provides containers as the environments of steps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::container::{self, ContainerExecutor, Image, ImageError, Images, MakeObserver};
use crate::engine::{ServiceError, StepEnvironment};
use crate::environment::container::Container;
use crate::event::{Bus, EventKind};
use crate::exec::StopWatch;
use crate::exec::process::LocalProcess;
use crate::plan::Command;

/// The containers of one run.
pub(crate) struct ContainerEnvironment {
    processes: Arc<LocalProcess>,
    images: Arc<Images>,
    /// The variables that the project passes on.
    passed: Vec<(String, String)>,
    bus: Arc<Bus>,
    /// What became of each image. One step of this run at a time makes it ready, and none tries again what failed.
    made: Mutex<HashMap<Container, Arc<tokio::sync::Mutex<Option<Made>>>>>,
}

type Made = Result<Image, ServiceError>;

impl ContainerEnvironment {
    pub(super) fn new(
        processes: Arc<LocalProcess>,
        images: Arc<Images>,
        passed: Vec<(String, String)>,
        bus: Arc<Bus>,
    ) -> Self {
        Self { processes, images, passed, bus, made: Mutex::default() }
    }

    /// The environment of a step, with its image made ready.
    pub(super) async fn provide(
        &self,
        step: &str,
        command: &Command,
        container: &Container,
        stop: StopWatch,
    ) -> Result<StepEnvironment, ServiceError> {
        let turn = self.made().entry(container.clone()).or_default().clone();
        let mut made = turn.lock().await;
        let image = match &*made {
            Some(made) => made.clone()?,
            None => {
                let ready = self.ready(step, container, stop).await;
                // A stopped run is no reason for a step that is still to run.
                if !matches!(ready, Err(ImageError::Stopped)) {
                    *made = Some(ready.clone().map_err(|error| failed(container, &error)));
                }
                ready.map_err(|error| failed(container, &error))?
            }
        };
        let engine = self.images.engine().map_err(ServiceError::permanent)?.clone();
        let executor = ContainerExecutor::new(self.processes.clone(), engine, image, command.container.clone());
        let variables = self.passed.iter().cloned().chain(container.variables()).collect();
        let name = Some(container.name.clone());
        Ok(StepEnvironment { executor: Arc::new(executor), search_path: None, variables, name, keeps: None })
    }

    /// Makes an image ready, and records it.
    async fn ready(&self, step: &str, container: &Container, stop: StopWatch) -> Result<Image, ImageError> {
        let began = Arc::new(OnceLock::new());
        let observer = self.observer(step, container, began.clone());
        let image = container::ready(&self.images, container, &self.processes, &observer, stop).await?;
        self.bus.publish(EventKind::ImageReady {
            step: step.to_owned(),
            environment: container.name.clone(),
            image: image.id.clone(),
            millis: began.get().map(|began: &Instant| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)),
        });
        Ok(image)
    }

    fn observer(&self, step: &str, container: &Container, began: Arc<OnceLock<Instant>>) -> MakeObserver {
        let (bus, step_path, name) = (self.bus.clone(), step.to_owned(), container.name.clone());
        let line = move |line: &str| bus.progress(&step_path, &format!("image {name}: {line}"));
        let (bus, step, name) = (self.bus.clone(), step.to_owned(), container.name.clone());
        let source = container.describe();
        let started = move |how: &'static str| {
            let _ = began.set(Instant::now());
            let (step, environment, source, how) = (step.clone(), name.clone(), source.clone(), how.to_owned());
            bus.publish(EventKind::ImagePreparing { step, environment, source, how });
        };
        MakeObserver { started: Box::new(started), line: Arc::new(line) }
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Container, Arc<tokio::sync::Mutex<Option<Made>>>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(container: &Container, error: &ImageError) -> ServiceError {
    let message = match error {
        ImageError::Engine(_) => error.to_string(),
        _ => format!(
            "the image of the environment '{}' ({}) is not ready: {error}",
            container.name,
            container.describe()
        ),
    };
    match error {
        ImageError::Stopped | ImageError::Offline { .. } => ServiceError::Transient(message),
        _ => ServiceError::Permanent(message),
    }
}
