//! The verdict on one file: the one place that `validate` asks.
//!
//! Everything that is shown, counted or written as JSON, annotations or SARIF comes out of [`check()`]; whoever changes
//! how a document is judged changes this function and nothing around it.

use std::path::Path;

use super::context::Context;
use crate::diagnostic::{Diagnostics, Sources};
use crate::spec;
use crate::yaml::overrides::Override;

/// Who is to take the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
    /// This machine, by 'amlrun run'
    #[default]
    Local,
    /// The service, by 'az ml'
    Azure,
}

/// What is known of a file once it was checked.
#[derive(Debug)]
pub(super) struct Checked {
    /// The texts that the findings speak of.
    pub sources: Sources,
    /// Every finding.
    pub diagnostics: Diagnostics,
    /// What the document is, such as `pipeline` or `component`; `None` when that could not be found out.
    pub kind: Option<String>,
    /// The same for people, such as `pipeline with 4 steps`.
    pub says: String,
    /// Whether the target takes it.
    pub accepted: bool,
    /// Whether the file is not there.
    pub not_found: bool,
}

/// Checks a job or component file, with the command line's `--set` put in. Nothing is run, nothing is written.
pub(super) fn check(file: &Path, set: &[Override], target: Target, context: &Context) -> Checked {
    // One set of rules holds for both targets so far: what a local run refuses, it refuses in the name of both.
    let _ = target;
    let (loaded, plan) = match spec::load_component(file) {
        Some(loaded) => (loaded, None),
        None => context.plan(file, set),
    };
    let accepted = plan.is_some() || loaded.component.is_some() && !loaded.diagnostics.has_errors();
    let job = loaded.document.as_ref().map(|d| d.job.kind());
    let says = match (&plan, &loaded.component) {
        (Some(plan), _) if plan.steps.len() == 1 => format!("{} with 1 step", plan.kind),
        (Some(plan), _) => format!("{} with {} steps", plan.kind, plan.steps.len()),
        (None, Some(_)) => "command component".to_owned(),
        (None, None) => job.unwrap_or("document").to_owned(),
    };
    Checked {
        kind: loaded.component.as_ref().map(|_| "component").or(job).map(str::to_owned),
        says,
        accepted,
        not_found: loaded.not_found,
        sources: loaded.sources,
        diagnostics: loaded.diagnostics,
    }
}
