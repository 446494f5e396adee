//! Text for the command line, except for the progress of runs: documents with the origins of their values, graphs,
//! tables, jobs with the field names of `az`, and comparisons of runs.
//!
//! This module returns strings and does not print.

pub(crate) mod comparison;
pub(crate) mod document;
pub(crate) mod graph;
pub(crate) mod job;
pub(crate) mod sweep;
pub(crate) mod table;
