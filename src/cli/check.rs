//! Checks one file, for `validate`.
//!
//! First, the file is checked against Azure ML's language ([`crate::language`]). A job that is to run on this machine
//! is then planned, and the diagnostics of planning are added. Everything that is shown, counted or written as JSON,
//! annotations or SARIF comes from [`check()`].

use std::path::Path;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Sources};
use crate::language::detect::{could_be_azure_ml, other_kind};
use crate::language::{self, Kind};
use crate::runner::environments::{self, Becomes};
use crate::runner::project::Project;
use crate::runner::run_plan::replayable;
use crate::runner::substitutes;
use crate::runner::tools;
use crate::spec;
use crate::yaml::overrides::Override;

/// Where the document must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
    /// Run on this machine, as 'amlrun run' would
    Local,
    /// Run on Azure ML, as 'az ml' would
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

/// Codes of planning for what is missing on this machine. This is not a mistake in the document: another machine may
/// have it, or it may be given when the file is run.
const LACKING: [&str; 6] =
    ["not-yet", "unknown-asset", "unknown-component", "unknown-datastore", "missing-path", "missing-field"];

/// The result of checking a file.
#[derive(Debug)]
pub(super) struct Checked {
    /// The texts that the diagnostics refer to.
    pub sources: Sources,
    /// All diagnostics.
    pub diagnostics: Diagnostics,
    /// The kind of the document, such as `pipeline` or `component`. `None` if it is unknown.
    pub kind: Option<String>,
    /// The kind in words, such as `pipeline with 4 steps`.
    pub says: String,
    /// Whether the target accepts it.
    pub accepted: bool,
    /// Whether the file does not exist.
    pub not_found: bool,
    /// Whether it is a document of Azure ML of a kind that amlrun does not read.
    pub is_passed_over: bool,
    /// What its environments become on this machine, each with the steps that name it.
    pub environments: Vec<(Becomes, Vec<String>)>,
}

/// Checks a file of any kind, with the `--set` values of the command line. Nothing is run, and nothing is written.
pub(super) fn check(file: &Path, set: &[Override], target: Option<Target>, project: &Project) -> Checked {
    // A broken amlrun.toml is reported when something runs, because it is not a mistake in the document.
    let config = Config::near(file.parent().unwrap_or(file)).unwrap_or_default();
    let mut document = project.check(file, set, target.unwrap_or(Target::Local).into(), None);
    if target == Some(Target::Local) {
        substitutes::spare(&mut document, &config.local());
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
        says = plan(&document, file, target, &config, project, &mut found).unwrap_or(says);
    }
    if target.is_none() {
        let lacking = |finding: &&mut Diagnostic| LACKING.contains(&finding.code);
        found.iter_mut().filter(lacking).for_each(|finding| finding.severity = Severity::Warning);
    }
    let kind = document.kind.map(|kind| match (kind, document.job_type()) {
        (Kind::Job, Some(job)) => job.to_owned(),
        _ => kind.word().to_owned(),
    });
    let environments = match target {
        Some(Target::Azure) => Vec::new(),
        _ => environments::in_document(&document, &environments::of(&project.home_of(file), &config)),
    };
    let accepted = document.accepted() && found.iter().all(|f| f.severity != Severity::Error);
    let mut diagnostics = document.diagnostics;
    diagnostics.extend(found);
    let not_found = document.not_found;
    let sources = document.sources;
    let is_passed_over = false;
    let mut checked = Checked { sources, diagnostics, kind, says, accepted, not_found, is_passed_over, environments };
    if !checked.accepted && checked.kind.is_some() {
        not_a_document(&mut checked);
    }
    checked
}

/// The result for a file that only `az ml` can check.
fn passed_over(sources: Sources, word: &str) -> Checked {
    Checked {
        sources,
        diagnostics: Diagnostics::default(),
        kind: Some(word.to_owned()),
        says: word.to_owned(),
        accepted: true,
        not_found: false,
        is_passed_over: true,
        environments: Vec::new(),
    }
}

/// Plans a job for a run. Returns the diagnostics and the job in words.
fn plan(
    read: &language::Document,
    file: &Path,
    target: Option<Target>,
    config: &Config,
    project: &Project,
    found: &mut Vec<Diagnostic>,
) -> Option<String> {
    let document = spec::document::of(read, file, found);
    let plan = document.and_then(|document| project.plan_of(&document, config, &read.sources, found));
    let plan = plan?;
    if target == Some(Target::Local)
        && let Some(lacking) = tools::first_lacking(plan.commands(), &environments::of(&project.home_of(file), config))
    {
        let message = format!("the step '{}' cannot run: {}", lacking.step, lacking.what);
        found.push(Diagnostic::without_place("missing-program", message).at("jobs").help(lacking.help()));
    }
    if target == Some(Target::Local)
        && let Err(why) = replayable(&plan, &project.home_of(file))
    {
        found.push(Diagnostic::without_place("bad-policy", why.to_string()).at("jobs"));
    }
    let steps = plan.steps.len();
    Some(format!("{} with {steps} step{}", plan.kind, if steps == 1 { "" } else { "s" }))
}

/// Shortens the result for a file that is not an Azure ML document to one sentence.
fn not_a_document(checked: &mut Checked) {
    let Some((start, text)) = checked.sources.first() else { return };
    if could_be_azure_ml(text) {
        return;
    }
    let message = "this YAML file is not an Azure ML document: it describes no job, component or asset";
    let help = "choose another file, or add 'type:' or '$schema:' to this one";
    checked.diagnostics = Diagnostics::default();
    checked.diagnostics.push(Diagnostic::error("not-a-document", start, message).help(help));
    checked.kind = None;
    "document".clone_into(&mut checked.says);
}
