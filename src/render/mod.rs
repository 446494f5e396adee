//! What the command line shows beside runs, as text: documents with the origins of their values, graphs, tables, jobs in
//! the words of `az`, and runs side by side.
//!
//! It writes strings and prints nothing.

pub(crate) mod comparison;
pub(crate) mod document;
pub(crate) mod graph;
pub(crate) mod job;
pub(crate) mod table;
