//! One test binary: each module is one behaviour that a user can see.
// Outside of #[test] functions, too, a broken step of a test is best told where it breaks.
#![allow(clippy::unwrap_used)]

mod architecture;
mod azurite;
mod bayesian;
mod between;
mod blobs;
mod cancel;
mod choice;
mod cloud;
mod compare;
mod components;
mod containers;
mod corpus;
mod cp;
mod cp_access;
mod cp_broken;
mod cp_http;
mod data_assets;
mod datastores;
mod environment_assets;
mod environment_steps;
mod environments;
mod explain;
mod faults;
mod file_graph;
mod find_again;
mod graph;
mod hostile_http;
mod hostile_yaml;
mod jobs;
mod language_fuzz;
mod live;
mod model_files;
mod model_forge;
mod model_fuzz;
mod model_hostile;
mod model_interop;
mod model_roads;
mod model_safety;
mod names;
mod no_libtorch;
mod one_tree;
mod packages;
mod parallel;
mod plan_rest;
mod protected_inputs;
mod readme;
mod records;
mod remote_inputs;
mod remote_outputs;
mod remote_secrets;
mod resume;
mod reuse;
mod reuse_exact;
mod run;
mod show;
mod sign_in;
mod snapshots;
#[cfg(feature = "torch")]
mod stage_errors;
#[cfg(feature = "torch")]
mod stage_house;
#[cfg(feature = "torch")]
mod stage_pipeline;
#[cfg(feature = "torch")]
mod stage_python;
#[cfg(feature = "torch")]
mod stage_registry;
#[cfg(feature = "torch")]
mod stage_train;
mod step_records;
mod stoppable;
mod stub_blobs;
mod support;
mod terminal_screen;
mod terminals;
mod told_commands;
mod tracking_artifacts;
mod tracking_hostile;
mod tracking_house;
mod tracking_models;
mod tracking_rest;
mod untrusted;
mod validate;
mod validate_many;
mod verbs;
mod versions;
mod workspaces;
