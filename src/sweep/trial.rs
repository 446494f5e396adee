//! A trial, as far as samplers know about it.

use serde::{Deserialize, Serialize};

use super::assignment::Assignment;

/// A trial that was proposed before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What it runs with.
    pub assignment: Assignment,
    /// Its score. `None` if it has none yet, or failed without one.
    pub score: Option<f64>,
}
