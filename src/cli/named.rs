//! What a person names on the command line: a run by its name or the beginning of it, a step by its job name.
//!
//! Addresses in files name runs in full: what they lead to must not change when another run is made.

use super::config::Config;
use super::error::Failed;
use super::places::{Job, Places};
use super::record;
use crate::again::amlrun;
use crate::store::{Home, RunFolder, StoreError};

/// So many candidates are listed.
const LISTED: usize = 5;

/// The run of that name, or the only one whose name begins so.
pub(super) fn run(home: &Home, name: &str) -> Result<RunFolder, Failed> {
    match home.find_run(name) {
        Err(missing @ StoreError::NoSuchRun { .. }) => beginning(home, name)?.ok_or_else(|| missing.into()),
        found => Ok(found?),
    }
}

/// The run, or the step of one, with that job name; or the only run whose name begins so.
pub(super) fn job(home: &Home, name: &str) -> Result<Job, Failed> {
    home.check()?;
    let missing = match Places::new(home.clone(), &Config::default()).job(name) {
        Ok(job) => return Ok(job),
        Err(missing) => missing,
    };
    let Some(run) = beginning(home, name)? else { return Err(Failed::not_found(missing)) };
    Ok(Job { view: record::view(&run)?, run, step: None })
}

/// The run that something happened in last.
pub(super) fn last(home: &Home) -> Result<RunFolder, Failed> {
    let written = |run: &RunFolder| std::fs::metadata(run.events()).and_then(|record| record.modified()).ok();
    let runs = home.runs()?.into_iter().filter_map(|run| Some((written(&run)?, run)));
    let newest = runs.max_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    newest.map(|(_, run)| run).ok_or_else(|| {
        Failed::not_found("no run was made in this workspace yet")
            .hint(format!("make one: {}", amlrun("run pipeline.yml")))
    })
}

/// The only run whose name begins so; none when there is none.
fn beginning(home: &Home, name: &str) -> Result<Option<RunFolder>, Failed> {
    let mut runs = home.runs()?;
    runs.retain(|run| !name.is_empty() && run.name.as_str().starts_with(name));
    if runs.len() < 2 {
        return Ok(runs.pop());
    }
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    let count = runs.len();
    let mut names: Vec<&str> = runs.iter().take(LISTED).map(|run| run.name.as_str()).collect();
    names.extend((count > LISTED).then_some("…"));
    Err(Failed::not_found(format!("the names of {count} runs begin with '{name}'"))
        .hint(format!("write more of the one that you mean: {}", names.join(", "))))
}
