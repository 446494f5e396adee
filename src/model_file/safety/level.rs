//! How safe it is to load a model file.

use serde::Serialize;

/// The safety of a file, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Safety {
    /// Nothing in it can run foreign code.
    Safe,
    /// It runs unknown code.
    Unknown,
    /// It was not understood completely, or can be understood in two ways.
    #[serde(rename = "cannot_be_judged")]
    Unjudged,
    /// It would do more than load a model.
    Dangerous,
}

impl std::fmt::Display for Safety {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Safe => "safe",
            Self::Unknown => "unknown",
            Self::Unjudged => "cannot be judged",
            Self::Dangerous => "dangerous",
        })
    }
}
