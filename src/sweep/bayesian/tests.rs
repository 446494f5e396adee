//! What the Bayesian sampler is for, and the unusual sweeps that it must cope with.

use super::*;
use crate::sweep::samples::{all_kinds, ints, space, texts};
use crate::sweep::{Algorithm, Drawn, Rule, Scalar, propose};

fn number(assignment: &Assignment, name: &str) -> f64 {
    let found = assignment.0.iter().find(|(other, _)| other == name);
    let Some((_, Drawn::Scalar(Scalar::Float(number)))) = found else { panic!("{name} is not a float") };
    *number
}

/// Where Branin's function is optimized.
fn plane() -> SearchSpace {
    let uniform = |min, max| Distribution::Uniform { min, max };
    space(&[("x", uniform(-5.0, 10.0)), ("y", uniform(0.0, 15.0))])
}

/// Branin's function: three optima of 0.397887.
fn branin(assignment: &Assignment) -> f64 {
    let (x, y) = (number(assignment, "x"), number(assignment, "y"));
    (y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0).powi(2) + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0
}

/// How many trials are needed to come near an optimum, for some seeds, sorted; at most 400. `concurrent` run at once.
fn trials_needed(algorithm: &Algorithm, concurrent: usize, seeds: u64) -> Vec<usize> {
    let run = |seed| {
        let mut seen: Vec<Trial> = Vec::new();
        for index in 0..400_usize {
            if let Some(finished) = index.checked_sub(concurrent) {
                seen[finished].score = Some(branin(&seen[finished].assignment));
            }
            let assignment = propose(&plane(), algorithm, Goal::Minimize, seed, index, &seen).unwrap();
            if branin(&assignment) <= 0.397_887 + 0.5 {
                return index + 1;
            }
            seen.push(Trial { assignment, score: None });
        }
        400
    };
    let mut needed: Vec<usize> = (0..seeds).map(run).collect();
    needed.sort_unstable();
    needed
}

fn median(sorted: &[usize]) -> f64 {
    (sorted[sorted.len() / 2 - 1] + sorted[sorted.len() / 2]) as f64 / 2.0
}

#[test]
fn branin_needs_far_fewer_trials_than_random_search() {
    let random = |rule| Algorithm::Random { seed: None, rule, logbase: None };
    let row = |name: &str, needed: Vec<usize>| {
        println!("{name}: median {}, all {needed:?}", median(&needed));
        median(&needed)
    };
    let one_by_one = row("Bayesian", trials_needed(&Algorithm::Bayesian, 1, 20));
    let concurrent = row("Bayesian, 4 concurrent trials", trials_needed(&Algorithm::Bayesian, 4, 10));
    row("Sobol", trials_needed(&random(Rule::Sobol), 1, 20));
    let random = row("Random", trials_needed(&random(Rule::Random), 1, 20));
    assert!(one_by_one <= random / 3.0 && concurrent <= random / 3.0);
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
fn what_runs_or_failed_is_not_proposed_again() {
    let mut seen = sweep(&plane(), Goal::Minimize, 10, |assignment| Some(branin(assignment)));
    for index in 10..15 {
        let assignment = propose(&plane(), &Algorithm::Bayesian, Goal::Minimize, 11, index, &seen).unwrap();
        seen.push(Trial { assignment, score: None });
    }
    let places: Vec<[f64; 2]> =
        seen.iter().map(|trial| ["x", "y"].map(|name| number(&trial.assignment, name))).collect();
    for (place, number) in places.iter().zip(0..) {
        let distance = |other: &[f64; 2]| (place[0] - other[0]).hypot(place[1] - other[1]);
        assert!(number < 10 || places[..number].iter().all(|other| distance(other) > 0.3), "{places:?}");
    }
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
