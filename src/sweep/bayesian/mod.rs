//! Bayesian optimization: a Gaussian process is fitted to the scores so far, and the next trial is where it expects the
//! largest improvement over the best one.
//!
//! The first trials, and every eighth one after them, are points of a Sobol sequence: the model may be wrong. A trial
//! without a score, whether it runs or has failed, is taken to score what the model expects of it. So the points beside it
//! are not promising either, and concurrent trials spread out. No assignment is proposed twice.
//!
//! No crate fits. A proposal must be a function of the trials so far, over Azure ML's distributions and nested choices.
//! `optimizer` and `parzen` are built around a study that is kept between the calls, and `egobox` brings a tree of linear
//! algebra crates.

mod features;
mod gaussian_process;

use std::collections::HashSet;
use std::f64::consts::PI;

use crate::sweep::assignment::Assignment;
use crate::sweep::objective::Goal;
use crate::sweep::real::{Real, Shape, part};
use crate::sweep::space::{Distribution, Parameter, SearchSpace};
use crate::sweep::stream::Stream;
use crate::sweep::trial::Trial;
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
mod tests {
    use super::*;
    use crate::sweep::samples::{all_kinds, ints, space, texts};
    use crate::sweep::{Algorithm, Drawn, Scalar, propose};

    fn number(assignment: &Assignment, name: &str) -> f64 {
        let found = assignment.0.iter().find(|(other, _)| other == name);
        let Some((_, Drawn::Scalar(Scalar::Float(number)))) = found else { panic!("{name} is not a float") };
        *number
    }

    /// A sweep that runs its trials one by one.
    fn sweep(space: &SearchSpace, goal: Goal, count: usize, score: impl Fn(&Assignment) -> Option<f64>) -> Vec<Trial> {
        let mut seen: Vec<Trial> = Vec::new();
        for index in 0..count {
            let Some(assignment) = propose(space, &Algorithm::Bayesian, goal, 11, index, &seen) else { break };
            seen.push(Trial { score: score(&assignment), assignment });
        }
        seen
    }

    fn different(trials: &[Trial]) -> usize {
        trials.iter().map(|trial| trial.assignment.json()).collect::<HashSet<_>>().len()
    }

    #[test]
    fn every_distribution_and_conditional_parameters_are_searched() {
        let space = all_kinds();
        // Only kernels are good, those with c = 1 most of all.
        let score = |assignment: &Assignment| match &assignment.0[1].1 {
            Drawn::Nested(nested) if nested.0[0].0 == "c" => Some(number(nested, "c").ln().powi(2)),
            _ => Some(20.0),
        };
        let trials = sweep(&space, Goal::Minimize, 32, score);
        assert_eq!(different(&trials), 32);
        assert!(trials.iter().all(|trial| space.positions(&trial.assignment, None).is_some()));
        let late = &trials[16..];
        let good = late.iter().filter(|trial| score(&trial.assignment) < Some(9.1)).count();
        assert!(good >= 10, "{good} of the last 16 are kernels");
        let best = trials.iter().filter_map(|trial| trial.score).fold(f64::INFINITY, f64::min);
        assert!(best < 0.1, "{best}");
    }

    #[test]
    fn maximizing_is_minimizing_the_negative() {
        let line = space(&[("x", Distribution::Normal { mu: 0.0, sigma: 3.0 }), ("y", texts(&["a", "b", "c"]))]);
        let loss = |assignment: &Assignment| {
            let offset = if assignment.0[1].1.text() == "b" { 0.0 } else { 1.0 };
            (number(assignment, "x") - 2.0).abs() + offset
        };
        let down = sweep(&line, Goal::Minimize, 15, |assignment| Some(loss(assignment)));
        let up = sweep(&line, Goal::Maximize, 15, |assignment| Some(-loss(assignment)));
        assert!(down.iter().zip(&up).all(|(down, up)| down.assignment == up.assignment));
        assert!(down.iter().any(|trial| loss(&trial.assignment) < 0.2));
    }

    #[test]
    fn a_finite_space_is_tried_completely_and_then_exhausted() {
        let space =
            space(&[("a", ints(&[1, 2, 4, 2])), ("b", texts(&["x", "y"])), ("c", Distribution::Randint { upper: 2 })]);
        // Some trials never get a score.
        let score = |assignment: &Assignment| (assignment.0[0].1.text() != "4").then_some(1.0);
        let trials = sweep(&space, Goal::Maximize, 100, score);
        assert_eq!((trials.len(), different(&trials)), (12, 12));
    }

    #[test]
    fn a_large_finite_space_is_searched() {
        let upper = 100;
        let space = space(&[("a", Distribution::Randint { upper }), ("b", Distribution::Randint { upper })]);
        let at = |assignment: &Assignment, index: usize| assignment.0[index].1.text().parse::<f64>().unwrap();
        let loss = |assignment: &Assignment| (at(assignment, 0) - 70.0).powi(2) + (at(assignment, 1) - 20.0).powi(2);
        let trials = sweep(&space, Goal::Minimize, 40, |assignment| Some(loss(assignment)));
        assert_eq!(different(&trials), 40);
        assert!(trials.iter().any(|trial| trial.score == Some(0.0)));
    }

    #[test]
    fn proposals_depend_on_the_arguments_only() {
        let trials = sweep(&all_kinds(), Goal::Maximize, 14, |assignment| Some(number(assignment, "u")));
        let next = |seed, index| propose(&all_kinds(), &Algorithm::Bayesian, Goal::Maximize, seed, index, &trials);
        assert_eq!(next(11, 14), next(11, 14));
        assert_ne!(next(11, 14), next(12, 14));
    }

    #[test]
    fn scores_that_say_little_do_no_harm() {
        let plane = space(&[("x", Distribution::Uniform { min: -1.0, max: 1.0 }), ("y", texts(&["a", "b"]))]);
        let x = |assignment: &Assignment| number(assignment, "x");
        type Score<'a> = &'a dyn Fn(&Assignment) -> Option<f64>;
        let scores: [Score<'_>; 6] = [
            &|_| Some(1.0),
            &|_| None,
            &|_| Some(f64::NAN),
            &|a| Some(if x(a) < 0.0 { f64::INFINITY } else { x(a) }),
            &|a| Some(if x(a) < 0.0 { f64::MIN } else { f64::MAX }),
            &|_| Some(f64::NEG_INFINITY),
        ];
        for score in scores {
            assert_eq!(different(&sweep(&plane, Goal::Minimize, 12, score)), 12);
        }
        // Trials of another space are ignored, but their number is part of the arguments.
        let foreign = sweep(&all_kinds(), Goal::Minimize, 6, |assignment| Some(number(assignment, "u")));
        assert!(propose(&plane, &Algorithm::Bayesian, Goal::Minimize, 1, 6, &foreign).is_some());
    }

    #[test]
    fn a_trial_that_can_have_one_value_only_is_proposed_once() {
        for distribution in [texts(&["only"]), Distribution::Uniform { min: 2.0, max: 2.0 }] {
            assert_eq!(sweep(&space(&[("p", distribution)]), Goal::Minimize, 5, |_| Some(1.0)).len(), 1);
        }
        assert_eq!(sweep(&space(&[]), Goal::Minimize, 5, |_| Some(1.0)).len(), 1);
    }

    #[test]
    fn the_logarithm_of_the_improvement_has_no_jump() {
        assert!((log_improvement(0.0) - (1.0 / (2.0 * PI).sqrt()).ln()).abs() < 1e-12);
        assert!((log_improvement(5.0) - 5.0_f64.ln()).abs() < 1e-6);
        let values: Vec<f64> = (-300..50).map(|tenth| log_improvement(f64::from(tenth) / 10.0)).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] < 3.1), "{values:?}");
        assert!(log_improvement(-1e6).is_finite());
    }
}
