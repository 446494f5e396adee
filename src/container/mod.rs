//! Runs steps in containers, by the command line of docker or podman.
//!
//! [`engine`] finds the command line that works here. [`ready`] makes images ready: they are pulled, built from a folder,
//! or derived from another image with the packages of a conda file. [`executor`] runs a step's command in a container of
//! such an image; the client is supervised like a process of this machine.
//!
//! This module does not know plans and runs. The runner provides it to the steps of a run.

pub mod command;
mod context;
mod derived;
mod ending;
pub mod engine;
pub mod executor;
pub mod image;
pub mod images;
mod make;
mod script;

pub use engine::{Engine, EngineError};
pub use executor::ContainerExecutor;
pub use image::Image;
pub use images::Images;
pub use make::{ImageError, MakeObserver, ready};

/// A text as one word for bash.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
