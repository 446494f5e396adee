//! YAML as a person wrote it: a tree that keeps every place and the raw text of every scalar.
//!
//! There are two reasons for a parser of our own. A run must show every mistake with its line and column, so nodes
//! carry spans. And Azure ML's own reader is PyYAML (YAML 1.1), where `yes` is true and `1e-3` is a string, so a scalar
//! stays text until its PyYAML type is needed ([`scalar`]).
//!
//! The events come from `saphyr-parser`. This module does not know what any key means; `language` does. YAML that is
//! not a job (conda files, MLmodel) and all YAML that we write goes through `serde_yaml` instead.

mod lines;
mod node;
pub mod overrides;
pub mod parse;
mod readable;
pub mod scalar;
pub mod write;

pub use node::{Entry, Kind, Node};
pub use parse::parse;
pub use scalar::{Literal, Scalar};
