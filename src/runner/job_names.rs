//! Assigns job names. Runs and steps are both jobs, and no two jobs share a name: metrics, outputs in datastores and
//! processes are identified by it. A step's job name is `RUN-STEP`. If that name is taken, a number is appended.

use std::collections::HashSet;

use crate::error::Failed;
use crate::history::record;
use crate::id::RunName;
use crate::plan::Plan;
use crate::store::{Home, StoreError};

/// Refuses a run name that a step of another run already has, or that belonged to a deleted run whose outputs still
/// exist: a new run of that name would overwrite them.
pub(crate) fn check(home: &Home, name: &RunName) -> Result<(), Failed> {
    if left_of(home, name) {
        let message = format!("the run '{name}' was deleted, but its outputs are still in use");
        return Err(Failed::new(message).hint("choose another name with --name, or remove --name to generate one"));
    }
    let runs = names(home)?;
    match runs_that_begin(name.as_str(), &runs).find(|run| jobs(home, run).contains(name.as_str())) {
        None => Ok(()),
        Some(run) => Err(Failed::new(format!("a step of the run '{run}' is already named '{name}'"))
            .hint("choose another name with --name, or remove --name to generate one")),
    }
}

/// The job name of each step of a new run.
pub(crate) fn of_steps(home: &Home, run: &RunName, plan: &Plan) -> Result<Vec<String>, StoreError> {
    if plan.kind != "pipeline" {
        return Ok(plan.steps.iter().map(|_| run.to_string()).collect());
    }
    // Job names can collide only if one run's name begins with the other's name and a dash.
    let continues = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('-'));
    let near = names(home)?.into_iter();
    let near = near.filter(|other| continues(other, run.as_str()) || continues(run.as_str(), other));
    let mut taken: HashSet<String> = HashSet::new();
    for other in near {
        taken.extend(jobs(home, &other));
        taken.insert(other);
    }
    let mut chosen = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let wanted = run.step_job(&step.path);
        let mut name = wanted.clone();
        let mut number = 1;
        while taken.contains(&name) {
            number += 1;
            name = format!("{wanted}-{number}");
        }
        taken.insert(name.clone());
        chosen.push(name);
    }
    Ok(chosen)
}

/// Whether outputs of a deleted run still exist.
fn left_of(home: &Home, name: &RunName) -> bool {
    let own = format!("{name}.");
    let is_own = |tree: std::fs::DirEntry| tree.file_name().to_string_lossy().starts_with(&own);
    let mut trees = std::fs::read_dir(home.outputs()).into_iter().flatten().flatten();
    !home.run(name).path.is_dir() && trees.any(is_own)
}

fn names(home: &Home) -> Result<HashSet<String>, StoreError> {
    Ok(home.runs()?.into_iter().map(|run| run.name.to_string()).collect())
}

/// The runs whose steps may have that name: those whose name is a prefix of it that ends before a dash.
fn runs_that_begin<'r>(name: &str, runs: &'r HashSet<String>) -> impl Iterator<Item = &'r str> {
    let starts: Vec<String> = name.match_indices('-').map(|(at, _)| name[..at].to_owned()).collect();
    starts.into_iter().filter_map(|start| runs.get(&start).map(String::as_str))
}

/// The job names of a run's steps.
fn jobs(home: &Home, run: &str) -> HashSet<String> {
    let view = RunName::parse(run).ok().and_then(|name| record::view(&home.run(&name)).ok());
    view.into_iter().flat_map(|view| view.steps).map(|step| step.job).filter(|job| job != run).collect()
}
