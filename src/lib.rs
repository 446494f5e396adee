//! `amlrun` runs Azure ML v2 job YAML on the machine in front of you, unmodified.
//!
//! This file is the map. A layer uses the layers above its own line in this list and nothing below;
//! `tests/architecture.rs` reads the list and fails the build of whoever forgets.
//!
//! ```layers
//! words     again outcome reason fs digest id clock number toposort relative secret diagnostic
//! reading   yaml language spec
//! keeping   sqlite store reuse model_file registry
//! planning  plan
//! saying    event
//! doing     transfer exec environment engine
//! faces     report tracking azure
//! running   exit_status error config history data runner render
//! door      cli
//! ```
//!
//! Finer rules, kept by the same test:
//!
//! - `plan` sees words and `spec` only: it asks the `spec::Catalog` trait for assets, which the registry implements.
//! - `event` and `exec` see words only.
//! - `environment` sees `exec`, `reuse` and words; `engine` sees `plan`, `event`, `exec`, `environment`, `store`, `reuse` and
//!   words: what it needs of a workspace it asks of a trait.
//! - `transfer` sees words and `store`; `azure` sees these and `transfer`. Azure's crates are named in `azure` only, and
//!   one client (`transfer/http.rs`) goes to the network.
//! - `report` sees `event` and words; faces never use each other.
//! - nobody uses `cli`; `cli/context.rs` is the only place that wires the rooms together.
//! - printing only in `cli/printer.rs`, process spawning only in `exec/`, indicatif only in `report/terminal.rs` and `report/progress.rs`, SQLite only in `sqlite.rs`, `registry/`, `reuse/db` and `tracking/db`.
//! - `tch` only under `src/bin/amlrun-stage`: the runner never links libtorch.

pub mod again;
pub mod clock;
pub mod diagnostic;
pub mod digest;
pub mod fs;
pub mod id;
pub mod number;
pub mod outcome;
pub mod reason;
pub mod relative;
pub mod secret;
pub mod toposort;

pub mod language;
pub mod spec;
pub mod yaml;

pub mod model_file;
pub mod registry;
pub mod reuse;
pub mod sqlite;
pub mod store;

pub mod plan;

pub mod event;

pub mod engine;
pub mod environment;
pub mod exec;
pub mod transfer;

pub mod azure;
pub mod report;
pub mod tracking;

mod config;
mod data;
mod error;
mod exit_status;
mod history;
mod render;
mod runner;

pub mod cli;
