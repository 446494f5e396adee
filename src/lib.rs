//! `amlrun` runs Azure ML v2 job YAML on the local machine, unmodified.
//!
//! This file lists the layers. A module may use the modules of the lines above its own, and those before it on its own
//! line. `tests/architecture.rs` reads the list and fails when a change breaks it.
//!
//! ```layers
//! base      again handle outcome reason fs digest id clock number sweep toposort relative secret diagnostic
//! reading   yaml language spec
//! storage   sqlite store reuse model_file registry
//! planning  plan
//! events    event
//! execution transfer exec environment container engine
//! services  report tracking azure
//! runs      exit_status error config history data runner render
//! commands  cli
//! ```
//!
//! The same test keeps these narrower rules:
//!
//! - `plan` uses only the base and `spec`. It looks up assets through the `spec::Catalog` trait, which `runner`
//!   implements.
//! - `event` and `exec` use only the base.
//! - `environment` uses `exec`, `reuse`, `spec` and the base; `container` uses `environment`, `exec`, `spec`, `store` and the
//!   base; `engine` uses `plan`, `event`, `exec`, `environment`, `store`, `reuse` and the base. `engine` reaches the
//!   workspace only through traits.
//! - `transfer` uses the base and `store`; `azure` uses these and `transfer`. Only `azure` names Azure's crates, and
//!   one client (`transfer/http.rs`) makes network requests.
//! - `report` uses `event` and the base; the services do not use each other.
//! - Nothing uses `cli`. `runner/project.rs` puts the modules together.
//! - Only `cli/printer.rs` prints, only `exec/` starts processes, only `report/terminal.rs` and `report/progress.rs`
//!   use indicatif, and only `sqlite.rs`, `registry/`, `reuse/db` and `tracking/db` use SQLite.
//! - Only `src/bin/amlrun-stage` uses `tch`: the runner never links libtorch.

#![warn(unreachable_pub)]

pub mod again;
pub mod clock;
pub mod diagnostic;
pub mod digest;
pub mod fs;
pub mod handle;
pub mod id;
pub mod number;
pub mod outcome;
pub mod reason;
pub mod relative;
pub mod secret;
pub mod sweep;
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

pub mod container;
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
