//! What runs and what need not: a verdict for each step, and why.
//!
//! Before a run all steps are looked at whose inputs are known; `amlrun plan` shows the answers. A step that reads what
//! another step is still to write is decided when its turn comes: when that step wrote the same again, an earlier result
//! can stand for it all the same.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::court::Court;
use super::facts::Facts;
use crate::because::Because;
use crate::plan::{Plan, StandIn};
use crate::relative;
use crate::reuse::{Kept, Reuse};

/// What becomes of a step.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// An earlier result stands for it.
    Reuse(Box<Standing>),
    /// It runs.
    Run,
    /// It reads what other steps are still to write: it runs unless they write the same as before.
    Waits,
    /// It is left out: the project says so, or nobody asked for it.
    LeftOut,
}

/// An earlier result.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The run that made it.
    pub run: String,
    /// The step's job name in it.
    pub job: String,
    /// Its outputs.
    pub outputs: Vec<Kept>,
    /// What it logged.
    pub metrics: Vec<(String, f64)>,
}

/// A verdict and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What becomes of the step.
    pub verdict: Verdict,
    /// Why it runs, or what is to be said of what stands for it.
    pub because: Vec<Because>,
}

impl Decision {
    pub(super) fn new(verdict: Verdict, because: Vec<Because>) -> Self {
        Self { verdict, because }
    }

    /// The outputs of an earlier run stand for it, because somebody says so.
    fn given(standing: Standing) -> Self {
        Self::new(Verdict::Reuse(Box::new(standing)), Vec::new())
    }

    /// It runs, for the reason that the sentence tells.
    pub(super) fn run(sentence: &str) -> Self {
        Self::new(Verdict::Run, vec![Because::reason(sentence)])
    }

    /// Whether the step runs for sure or perhaps.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self.verdict, Verdict::Run | Verdict::Waits)
    }
}

/// What runs whatever was made before.
#[derive(Clone, Debug, Default)]
pub struct Force {
    /// All steps.
    pub all: bool,
    /// These, by index.
    pub steps: HashSet<usize>,
}

/// What a job file is called among the results of a workspace: by it steps are known from run to run.
#[must_use]
pub fn scope(job_file: &Path, workspace: &Path) -> String {
    relative::to(workspace, job_file).display().to_string()
}

/// Decides what can be decided before a run. `wanted` are the steps that were asked for, `given` those that get the outputs
/// of an earlier run whatever is asked of them.
#[must_use]
pub fn decide(
    plan: &Plan,
    facts: &Facts,
    reuse: Option<&Reuse>,
    force: &Force,
    scope: &str,
    wanted: &[bool],
    given: HashMap<usize, Standing>,
) -> Vec<Decision> {
    let Some(reuse) = reuse else {
        let none = "nothing of earlier runs is known in this workspace";
        let each = plan.steps.iter().zip(wanted);
        let mut all: Vec<Decision> =
            each.map(|(step, wanted)| aside(step, *wanted).unwrap_or_else(|| Decision::run(none))).collect();
        given.into_iter().for_each(|(index, standing)| all[index] = Decision::given(standing));
        return all;
    };
    let court = Court::new(plan, facts, reuse, force, scope).for_those(wanted);
    let mut decisions: Vec<Option<Decision>> = plan.steps.iter().map(|_| None).collect();
    given.into_iter().for_each(|(index, standing)| decisions[index] = Some(Decision::given(standing)));
    let mut open: Vec<usize> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if decisions[index].is_some() {
            continue;
        }
        match aside(step, wanted[index]) {
            // What nobody asked for may still be needed: then an earlier result must stand for it.
            Some(decision) if !matches!(decision.verdict, Verdict::LeftOut) || skipped(step) => {
                decisions[index] = Some(decision);
            }
            _ => open.push(index),
        }
    }
    // In waves: what depends on nothing undecided is looked up together, which is much faster than one by one.
    for wave in waves(plan, &open) {
        for (index, decision) in court.wave(&wave, &decisions) {
            decisions[index] = Some(decision);
        }
    }
    // Samples stand for a step, too: they are laid out for whoever was asked for and reads them.
    let mut stubs = vec![false; plan.steps.len()];
    for (step, _) in plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        step.needs
            .iter()
            .for_each(|&need| stubs[need] = matches!(plan.steps[need].stand_in, Some(StandIn::Stub { .. })));
    }
    let decisions = decisions.into_iter().zip(wanted.iter().zip(stubs).map(|(wanted, stub)| *wanted || stub));
    decisions
        .map(|(decision, wanted)| match decision {
            Some(decision) if !wanted && decision.may_run() => Decision::new(Verdict::LeftOut, Vec::new()),
            Some(decision) => decision,
            None => Decision::run("it was not decided"),
        })
        .collect()
}

/// Steps by the number of steps on the longest way to them: each wave needs only those before it.
fn waves(plan: &Plan, steps: &[usize]) -> Vec<Vec<usize>> {
    let mut depth = vec![0; plan.steps.len()];
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        depth[index] = step.needs.iter().map(|&need| depth[need] + 1).max().unwrap_or(0);
    }
    for &step in steps {
        if waves.len() <= depth[step] {
            waves.resize(depth[step] + 1, Vec::new());
        }
        waves[depth[step]].push(step);
    }
    waves
}

/// Whether the project leaves a step out.
fn skipped(step: &crate::plan::Step) -> bool {
    step.stand_in == Some(StandIn::Skip)
}

/// Steps that are not looked up.
fn aside(step: &crate::plan::Step, wanted: bool) -> Option<Decision> {
    match &step.stand_in {
        Some(StandIn::Skip) => Some(Decision::new(Verdict::LeftOut, Vec::new())),
        _ if !wanted => Some(Decision::new(Verdict::LeftOut, Vec::new())),
        _ => None,
    }
}
