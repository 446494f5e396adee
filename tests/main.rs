//! One test binary: each module is one behaviour that a user can see.

mod architecture;
mod cancel;
mod jobs;
mod model_files;
mod model_forge;
mod model_fuzz;
mod model_hostile;
mod model_interop;
mod no_libtorch;
mod run;
mod support;
mod tracking_artifacts;
mod tracking_house;
mod tracking_models;
mod tracking_rest;
mod validate;
