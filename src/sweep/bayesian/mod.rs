//! Bayesian optimization: a Gaussian process is fitted to the scores so far, and the next trial is where it expects the
//! largest improvement over the best one.
//!
//! The first trials, and every eighth one after them, are points of a Sobol sequence: the model may be wrong. A trial
//! without a score, whether it runs or has failed, is taken to score what the model expects of it. So the points beside it
//! are not promising either, and concurrent trials spread out. No assignment is proposed twice.
//!
//! No crate fits. `optimizer`, `tpe` and `parzen` keep a study between the calls, do not have Azure ML's normal
//! distributions, and implement tree-structured Parzen estimators, which need several times as many trials on smooth
//! functions; `egobox` has a Gaussian process, but neither conditional parameters nor few dependencies.

mod features;
mod gaussian_process;

use std::collections::HashSet;
use std::f64::consts::PI;

use crate::sweep::assignment::Assignment;
use crate::sweep::distribution::{Distribution, Real, Shape, part};
use crate::sweep::objective::Goal;
use crate::sweep::sampler::Trial;
use crate::sweep::space::{Parameter, SearchSpace};
use crate::sweep::stream::Stream;
use crate::sweep::{grid, normal, sobol};
use features::{groups, point};
use gaussian_process::Process;

/// Spaces with up to this many combinations left are searched completely.
const FEW: usize = 1000;

/// Every trial of this many explores, whatever the model says.
const EXPLORING: usize = 8;

/// The model uses this many of the best trials, and as many of the newest: its time grows with the cube.
const USED: usize = 100;

/// Candidates anywhere, around each of the best trials, and around the best candidates in each round.
const ANYWHERE: usize = 300;
const NEARBY: usize = 30;
const CLIMBING: usize = 10;
/// How many trials and candidates are searched around.
const STARTS: usize = 5;

/// The most promising assignment. `None` if every combination has been tried.
pub(super) fn propose(space: &SearchSpace, goal: Goal, seed: u64, index: usize, seen: &[Trial]) -> Option<Assignment> {
    let tried: HashSet<String> = seen.iter().map(|trial| trial.assignment.json()).collect();
    let is_new = |assignment: &Assignment| !tried.contains(&assignment.json());
    let limit = tried.len() + FEW;
    let few = grid::combinations(space, limit).filter(|all| all.len() < limit);
    let left: Option<Vec<Assignment>> = few.map(|all| all.into_iter().filter(is_new).collect());

    let parameters = space.parameters();
    let explores = index % EXPLORING == EXPLORING - 1;
    let model = if explores { None } else { Model::of(space, &parameters, goal, seen) };
    let promising = model.and_then(|model| match &left {
        Some(left) => model.best_of(left),
        None => model.search(&mut Stream::new(seed, index, "bayesian: candidates"), &is_new),
    });
    if promising.is_some() {
        return promising;
    }
    let even = space.at(&sobol::positions(space, seed, index), None).filter(is_new);
    even.or_else(|| {
        let mut stream = Stream::new(seed, index, "bayesian: instead of a Sobol point");
        match &left {
            Some(left) => left.get(one_of(left.len(), &mut stream)).cloned(),
            None => (0..FEW).find_map(|_| space.at(&anywhere(&parameters, &mut stream), None).filter(is_new)),
        }
    })
}

/// What is known about a space.
struct Model<'a> {
    space: &'a SearchSpace,
    parameters: &'a [Parameter<'a>],
    process: Process,
    /// The positions of the best trials.
    starts: Vec<Vec<f64>>,
    /// The best score that the model expects of a trial, those that run included.
    best: f64,
}

/// A place in the space, with the logarithm of the improvement that is expected there.
struct Candidate {
    gain: f64,
    positions: Vec<f64>,
    assignment: Assignment,
}

impl<'a> Model<'a> {
    /// `None` if too few trials have a score.
    fn of(space: &'a SearchSpace, parameters: &'a [Parameter<'a>], goal: Goal, seen: &[Trial]) -> Option<Self> {
        let mut scored = Vec::new();
        let mut pending = Vec::new();
        for trial in seen {
            let Some(positions) = space.positions(&trial.assignment, None) else { continue };
            match trial.score.filter(|score| !score.is_nan()) {
                Some(score) if goal == Goal::Minimize => scored.push((score, positions)),
                Some(score) => scored.push((-score, positions)),
                None => pending.push(point(parameters, &positions)),
            }
        }
        let groups = groups(parameters);
        if scored.len() < (groups.last().map_or(0, |last| last + 1) + 2).min(10) {
            return None;
        }
        let newest = scored.split_off(scored.len().saturating_sub(USED));
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        scored.truncate(USED);
        scored.extend(newest);
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));

        let points: Vec<Vec<f64>> = scored.iter().map(|(_, positions)| point(parameters, positions)).collect();
        let process = Process::fit(&points, &standardized(scored.iter().map(|(score, _)| *score)), &groups)?;
        let process = process.believing(pending.clone())?;
        let best = points.iter().chain(&pending).map(|point| process.predict(point).0).fold(f64::INFINITY, f64::min);
        let starts = scored.into_iter().take(STARTS).map(|(_, positions)| positions).collect();
        Some(Self { space, parameters, process, starts, best })
    }

    /// The most promising of some assignments.
    fn best_of(&self, assignments: &[Assignment]) -> Option<Assignment> {
        let gain = |assignment: &Assignment| Some(self.gain(&self.space.positions(assignment, None)?));
        let gains = assignments.iter().filter_map(|assignment| Some((gain(assignment)?, assignment)));
        gains.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, assignment)| assignment.clone())
    }

    /// The most promising assignment that is found.
    fn search(&self, stream: &mut Stream, is_new: &dyn Fn(&Assignment) -> bool) -> Option<Assignment> {
        let mut places: Vec<Vec<f64>> = (0..ANYWHERE).map(|_| anywhere(self.parameters, stream)).collect();
        for start in &self.starts {
            for number in 0..NEARBY {
                let distance = [0.2, 0.05, 0.01][number % 3];
                places.push(near(self.parameters, start, distance, stream));
            }
        }
        let mut all: Vec<Candidate> = places.iter().filter_map(|positions| self.candidate(positions)).collect();
        all.sort_by(|a, b| b.gain.total_cmp(&a.gain));
        let mut found: Vec<Candidate> = all.into_iter().filter(|one| is_new(&one.assignment)).take(STARTS).collect();
        for round in 0..8 {
            let distance = 0.1 / f64::from(1 << round);
            for best in &mut found {
                for _ in 0..CLIMBING {
                    let other = self.candidate(&near(self.parameters, &best.positions, distance, stream));
                    if let Some(other) = other.filter(|other| other.gain > best.gain && is_new(&other.assignment)) {
                        *best = other;
                    }
                }
            }
        }
        found.into_iter().max_by(|a, b| a.gain.total_cmp(&b.gain)).map(|candidate| candidate.assignment)
    }

    /// The candidate at some positions. It is at those of the assignment there: some parameters are rounded.
    fn candidate(&self, positions: &[f64]) -> Option<Candidate> {
        let assignment = self.space.at(positions, None)?;
        let positions = self.space.positions(&assignment, None)?;
        Some(Candidate { gain: self.gain(&positions), positions, assignment })
    }

    /// The logarithm of the expected improvement: its values are often too small for a number.
    fn gain(&self, positions: &[f64]) -> f64 {
        let (mean, deviation) = self.process.predict(&point(self.parameters, positions));
        log_improvement((self.best - mean) / deviation) + libm::log(deviation)
    }
}

/// The logarithm of the mean of `max(z + N, 0)` for a normal number N.
fn log_improvement(z: f64) -> f64 {
    if z > -20.0 {
        libm::log(normal::density(z) + z * normal::cumulative(z))
    } else {
        // The first term of the asymptotic series: the difference above would have no digits left.
        -z * z / 2.0 - libm::log(z * z * (2.0 * PI).sqrt())
    }
}

/// Sorted scores with the mean 0 and the deviation 1. Scores far worse than most are cut off: how bad they are says
/// nothing about where the best is, and the model would care for little else.
#[expect(clippy::cast_precision_loss, reason = "a count of trials")]
fn standardized(sorted: impl Iterator<Item = f64>) -> Vec<f64> {
    let limited: Vec<f64> = sorted.map(|score| score.clamp(f64::MIN / 1e9, f64::MAX / 1e9)).collect();
    let (Some(best), Some(middle)) = (limited.first(), limited.get(limited.len() / 2)) else { return limited };
    let most = middle + 2.0 * (middle - best);
    let cut: Vec<f64> = limited.iter().map(|score| score.min(most)).collect();
    let count = cut.len() as f64;
    let mean = cut.iter().sum::<f64>() / count;
    let deviation = cut.iter().map(|score| (score - mean).powi(2)).sum::<f64>().sqrt() / count.sqrt();
    cut.iter().map(|score| if deviation > 0.0 { (score - mean) / deviation } else { 0.0 }).collect()
}

fn anywhere(parameters: &[Parameter<'_>], stream: &mut Stream) -> Vec<f64> {
    parameters.iter().map(|_| stream.uniform()).collect()
}

/// Positions near others: about three parameters move.
#[expect(clippy::cast_precision_loss, reason = "a count of parameters")]
fn near(parameters: &[Parameter<'_>], positions: &[f64], distance: f64, stream: &mut Stream) -> Vec<f64> {
    let moving = (3.0 / parameters.len() as f64).max(0.1);
    let moved = parameters.iter().zip(positions).map(|(parameter, position)| {
        if stream.uniform() > moving {
            return *position;
        }
        match parameter.distribution {
            Distribution::Choice { .. } if stream.uniform() < 0.3 => stream.uniform(),
            Distribution::Choice { .. } => *position,
            other => {
                let moved = position + distance * normal::quantile(stream.uniform());
                // Normal distributions are infinite at 0 and 1.
                let is_normal = matches!(other.real(), Some(Real { shape: Shape::Bell { .. }, .. }));
                let edge = if is_normal { 1e-9 } else { 0.0 };
                moved.clamp(edge, 1.0 - edge)
            }
        }
    });
    moved.collect()
}

fn one_of(count: usize, stream: &mut Stream) -> usize {
    part(stream.uniform(), count as u64) as usize
}

#[cfg(test)]
mod tests;
