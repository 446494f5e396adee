//! Decides before a run which steps run, which results are reused, and why.
//!
//! Before a run, all steps whose inputs are known are looked up; `amlrun plan` shows the decisions. A step that reads
//! an output that another step still has to write is decided when its turn comes. If that step writes the same bytes
//! as before, an earlier result can still be reused.

use std::collections::HashMap;
use std::path::Path;

use super::decision::{CacheDecision, CachedResult, Decision, Force};
use super::inputs::InputSnapshot;
use super::lookup::CacheLookup;
use crate::plan::{Plan, StepBody, Substitute};
use crate::reason::Reason;
use crate::relative;
use crate::reuse::Reuse;

/// The name of a job file among the results of a workspace. It identifies steps from run to run.
#[must_use]
pub fn scope(job_file: &Path, workspace: &Path) -> String {
    relative::to(workspace, job_file).display().to_string()
}

/// Makes all decisions that are possible before a run. `wanted` are the steps that the user chose, `given` the steps
/// that get the outputs of an earlier run unconditionally.
#[must_use]
pub fn decide(
    plan: &Plan,
    snapshot: &InputSnapshot,
    reuse: Option<&Reuse>,
    force: &Force,
    scope: &str,
    wanted: &[bool],
    given: HashMap<usize, CachedResult>,
) -> Vec<Decision> {
    let Some(reuse) = reuse else {
        let none = "there are no earlier runs in this workspace";
        let each = plan.steps.iter().zip(wanted);
        let mut all: Vec<Decision> =
            each.map(|(step, wanted)| aside(step, *wanted).unwrap_or_else(|| Decision::run(none))).collect();
        given.into_iter().for_each(|(index, cached)| all[index] = Decision::given(cached));
        return all;
    };
    let lookup = CacheLookup::new(plan, snapshot, reuse, force, scope).for_those(wanted);
    let mut decisions: Vec<Option<Decision>> = plan.steps.iter().map(|_| None).collect();
    given.into_iter().for_each(|(index, cached)| decisions[index] = Some(Decision::given(cached)));
    let mut open: Vec<usize> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if decisions[index].is_some() {
            continue;
        }
        match aside(step, wanted[index]) {
            // A step that was not chosen may still be needed: then an earlier result must exist for it.
            Some(decision) if !matches!(decision.cache, CacheDecision::Skipped) || skipped(step) => {
                decisions[index] = Some(decision);
            }
            _ => open.push(index),
        }
    }
    // Level by level: steps that depend on nothing undecided are looked up together, much faster than one by one.
    for level in levels(plan, &open) {
        for (index, decision) in lookup.level(&level, &decisions) {
            decisions[index] = Some(gated(index, plan, decision));
        }
    }
    // A stub that a chosen step reads is prepared too, even if it was not chosen itself.
    let mut stubs = vec![false; plan.steps.len()];
    for (step, _) in plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        step.needs
            .iter()
            .for_each(|&need| stubs[need] = matches!(plan.steps[need].substitute, Some(Substitute::Stub { .. })));
    }
    let decisions = decisions.into_iter().zip(wanted.iter().zip(stubs).map(|(wanted, stub)| *wanted || stub));
    decisions
        .map(|(decision, wanted)| match decision {
            Some(decision) if !wanted && decision.may_run() => Decision::new(CacheDecision::Skipped, Vec::new()),
            Some(decision) => decision,
            None => Decision::run("it was not decided"),
        })
        .collect()
}

/// Groups steps by the length of the longest path to them: each level depends only on the levels before it.
fn levels(plan: &Plan, steps: &[usize]) -> Vec<Vec<usize>> {
    let mut depth = vec![0; plan.steps.len()];
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        depth[index] = step.needs.iter().map(|&need| depth[need] + 1).max().unwrap_or(0);
    }
    for &step in steps {
        if levels.len() <= depth[step] {
            levels.resize(depth[step] + 1, Vec::new());
        }
        levels[depth[step]].push(step);
    }
    levels
}

/// The decision for a step that a condition may leave out: its result is reused only if it is to run.
fn gated(index: usize, plan: &Plan, decision: Decision) -> Decision {
    let needs = plan.steps[index].needs.iter();
    let condition = needs.map(|&need| &plan.steps[need]).find(|step| matches!(step.body, StepBody::IfElse(_)));
    match (condition, &decision.cache) {
        (Some(condition), CacheDecision::Hit(_)) => {
            let sentence = format!("the condition '{}' decides first", condition.path);
            Decision::new(CacheDecision::Pending, vec![Reason::sentence(sentence)])
        }
        _ => decision,
    }
}

/// Whether the project skips a step.
fn skipped(step: &crate::plan::Step) -> bool {
    step.substitute == Some(Substitute::Skip)
}

/// The decision for steps that are not looked up.
fn aside(step: &crate::plan::Step, wanted: bool) -> Option<Decision> {
    match &step.substitute {
        Some(Substitute::Skip) => Some(Decision::new(CacheDecision::Skipped, Vec::new())),
        _ if !wanted => Some(Decision::new(CacheDecision::Skipped, Vec::new())),
        None if matches!(step.body, StepBody::IfElse(_)) => {
            Some(Decision::run("a condition is evaluated in every run"))
        }
        None if step.body.runs_others() => Some(Decision::run("each of its steps is looked up when its turn comes")),
        _ => None,
    }
}
