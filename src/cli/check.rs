//! The verdict on one file: the one place that `validate` asks.
//!
//! Azure ML's language has the first word ([`crate::language`]). For a run on this machine a job is then planned, and
//! what planning finds is told as well. Everything that is shown, counted or written as JSON, annotations or SARIF comes
//! out of [`check()`].

use std::path::Path;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Sources};
use crate::language::detect::{could_be_azure_ml, other_kind};
use crate::language::{self, Kind};
use crate::plan::Local;
use crate::runner::project::Project;
use crate::runner::run_plan::replayable;
use crate::runner::stand_ins;
use crate::spec;
use crate::yaml::overrides::Override;

/// Where the document must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
    /// On this machine, as it is: the verdict of 'amlrun run'
    Local,
    /// On Azure ML: the verdict of 'az ml'
    Azure,
}

impl From<Target> for language::Target {
    fn from(target: Target) -> Self {
        match target {
            Target::Local => Self::Local,
            Target::Azure => Self::Azure,
        }
    }
}

/// What planning finds to be missing here, and no mistake of the document: another machine may have it, or whoever runs
/// the file will name it.
const LACKING: [&str; 6] =
    ["not-yet", "unknown-asset", "unknown-component", "unknown-datastore", "missing-path", "missing-field"];

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
    /// Whether it is meant for Azure ML, and of a kind that amlrun does not read.
    pub is_passed_over: bool,
}

/// Checks a file of any kind, with the command line's `--set` put in. Nothing is run, nothing is written.
pub(super) fn check(file: &Path, set: &[Override], target: Option<Target>, project: &Project) -> Checked {
    let mut document = project.check(file, set, target.unwrap_or(Target::Local).into(), None);
    if target == Some(Target::Local) {
        stand_ins::spare(&mut document, &local(file));
    }
    let other = match document.kind {
        Some(Kind::Other(word)) => Some(word),
        Some(_) => None,
        None => document.sources.first().and_then(|(_, text)| other_kind(text)),
    };
    if let Some(word) = other {
        return passed_over(document.sources, word);
    }
    let (mut says, mut found) = (document.describe(), Vec::new());
    if target != Some(Target::Azure) && document.accepted() && document.kind == Some(Kind::Job) {
        says = plan(&document, file, target, project, &mut found).unwrap_or(says);
    }
    if target.is_none() {
        let lacking = |finding: &&mut Diagnostic| LACKING.contains(&finding.code);
        found.iter_mut().filter(lacking).for_each(|finding| finding.severity = Severity::Warning);
    }
    let kind = document.kind.map(|kind| match (kind, document.job_type()) {
        (Kind::Job, Some(job)) => job.to_owned(),
        _ => kind.word().to_owned(),
    });
    let accepted = document.accepted() && found.iter().all(|f| f.severity != Severity::Error);
    let mut diagnostics = document.diagnostics;
    diagnostics.extend(found);
    let not_found = document.not_found;
    let sources = document.sources;
    let mut checked = Checked { sources, diagnostics, kind, says, accepted, not_found, is_passed_over: false };
    if !checked.accepted && checked.kind.is_some() {
        not_a_document(&mut checked);
    }
    checked
}

/// The verdict on a file that only `az ml` can judge: none.
fn passed_over(sources: Sources, word: &str) -> Checked {
    Checked {
        sources,
        diagnostics: Diagnostics::default(),
        kind: Some(word.to_owned()),
        says: word.to_owned(),
        accepted: true,
        not_found: false,
        is_passed_over: true,
    }
}

/// What planning a job for a run finds, and what the job is for people.
fn plan(
    read: &language::Document,
    file: &Path,
    target: Option<Target>,
    project: &Project,
    found: &mut Vec<Diagnostic>,
) -> Option<String> {
    let document = spec::document::of(read, file, found);
    let plan = document.and_then(|document| project.plan_of(&document, &local(file), &read.sources, found));
    let plan = plan?;
    if target == Some(Target::Local)
        && let Err(why) = replayable(&plan, &project.home_of(file))
    {
        found.push(Diagnostic::without_place("bad-policy", why.to_string()).at("jobs"));
    }
    let steps = plan.steps.len();
    Some(format!("{} with {steps} step{}", plan.kind, if steps == 1 { "" } else { "s" }))
}

/// What the project says of steps. A broken amlrun.toml is reported when something runs; the document is not to blame.
fn local(file: &Path) -> Local {
    Config::near(file.parent().unwrap_or(file)).map(|config| config.local()).unwrap_or_default()
}

/// A file that was never meant for Azure ML is told so in one sentence.
fn not_a_document(checked: &mut Checked) {
    let Some((start, text)) = checked.sources.first() else { return };
    if could_be_azure_ml(text) {
        return;
    }
    let message = "this is YAML, but no Azure ML document: nothing in it says job, component or asset";
    let help = "name another file; a document says what it is with 'type:' or '$schema:'";
    checked.diagnostics = Diagnostics::default();
    checked.diagnostics.push(Diagnostic::error("not-a-document", start, message).help(help));
    checked.kind = None;
    "document".clone_into(&mut checked.says);
}
