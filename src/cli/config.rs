//! `amlrun.toml`: what a project says of its runs on this machine.
//!
//! Precedence: defaults, then this file, then `AMLRUN_*` variables, then flags. The file is optional; it also marks where
//! the workspace is. What it can say of steps is described in [`crate::plan::local`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::Failed;
use crate::plan::Local;
use crate::plan::local::StepRules;

/// The file's name.
pub(super) const FILE: &str = "amlrun.toml";

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Config {
    /// How many steps may run at once.
    pub jobs: Option<u16>,
    /// Seconds that a step has to end by itself when it is told to stop.
    pub grace: Option<u64>,
    /// So many bytes of what a step prints are kept.
    pub log_limit: Option<u64>,
    steps: BTreeMap<String, StepRules>,
    types: BTreeMap<String, StepRules>,
    #[serde(skip)]
    folder: std::path::PathBuf,
}

impl Config {
    /// The file beside or above something at `near`; the defaults when there is none.
    ///
    /// # Errors
    /// A message with the place in the file, when it cannot be read or says what nobody understands.
    pub fn near(near: &Path) -> Result<Self, Failed> {
        // Joined, not made absolute: what is near a bare file name is the current folder, and that path is empty.
        let start = std::env::current_dir().unwrap_or_default().join(near);
        let Some(folder) = start.ancestors().find(|folder| folder.join(FILE).is_file()) else {
            return Ok(Self::default());
        };
        let path = folder.join(FILE);
        let shown = crate::report::summary::shown(&path);
        let text = std::fs::read_to_string(&path).map_err(|e| Failed::new(format!("cannot read {shown}: {e}")))?;
        let mut config: Self = toml::from_str(&text).map_err(|e| {
            let (line, column) = place(&text, e.span().map_or(0, |span| span.start));
            Failed::new(format!("{shown}:{line}:{column}: {}", e.message().replace('\n', ", ")))
                .hint("it may have jobs, grace, log_limit and tables [steps.<path>], [types.<type>]")
        })?;
        config.folder = folder.to_owned();
        Ok(config)
    }

    /// What bounds transfers.
    pub fn limits(&self) -> crate::transfer::Limits {
        crate::transfer::Limits::default()
    }

    /// What it says of steps.
    pub fn local(&self) -> Local {
        Local { steps: self.steps.clone(), types: self.types.clone(), folder: self.folder.clone() }
    }
}

/// Line and column of a place in a text, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
