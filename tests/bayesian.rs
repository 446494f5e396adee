//! How many trials a Bayesian sweep needs, in comparison with random search: `cargo test branin -- --nocapture`
//! prints it.

use std::f64::consts::PI;

use amlrun::sweep::{Algorithm, Assignment, Distribution, Drawn, Goal, Rule, Scalar, SearchSpace, Trial, propose};

fn number(assignment: &Assignment, name: &str) -> f64 {
    let found = assignment.0.iter().find(|(other, _)| other == name);
    let Some((_, Drawn::Scalar(Scalar::Float(number)))) = found else { panic!("{name} is not a float") };
    *number
}

/// Where Branin's function is optimized.
fn plane() -> SearchSpace {
    let uniform = |min, max| Distribution::Uniform { min, max };
    SearchSpace(vec![("x".to_owned(), uniform(-5.0, 10.0)), ("y".to_owned(), uniform(0.0, 15.0))])
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

#[test]
fn what_runs_or_failed_is_not_proposed_again() {
    let mut seen: Vec<Trial> = Vec::new();
    for index in 0..15 {
        let assignment = propose(&plane(), &Algorithm::Bayesian, Goal::Minimize, 11, index, &seen).unwrap();
        let score = (index < 10).then(|| branin(&assignment));
        seen.push(Trial { assignment, score });
    }
    let places: Vec<[f64; 2]> =
        seen.iter().map(|trial| ["x", "y"].map(|name| number(&trial.assignment, name))).collect();
    for (place, number) in places.iter().zip(0..) {
        let distance = |other: &[f64; 2]| (place[0] - other[0]).hypot(place[1] - other[1]);
        assert!(number < 10 || places[..number].iter().all(|other| distance(other) > 0.3), "{places:?}");
    }
}
