//! The next trial of a sweep.

use serde::{Deserialize, Serialize};

use super::assignment::Assignment;
use super::objective::Goal;
use super::space::SearchSpace;
use super::trial::Trial;
use super::{bayesian, grid, random, sobol};

/// How the trials of a sweep are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Independent draws.
    Random {
        /// The author's seed. Without one, the sweep's seed is used.
        seed: Option<u64>,
        /// Where the draws come from.
        rule: Rule,
        /// The base of the logarithms of the distributions that have some. Without one, it is e.
        logbase: Option<f64>,
    },
    /// Every combination.
    Grid,
    /// The most promising combination, given the scores of earlier trials.
    Bayesian,
}

/// Where random draws come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A random number generator.
    #[default]
    Random,
    /// A Sobol sequence, which covers the search space more evenly.
    Sobol,
}

impl Algorithm {
    /// The base of logarithms, where it is not e.
    pub(super) fn logbase(&self) -> Option<f64> {
        match self {
            Self::Random { logbase, .. } => *logbase,
            Self::Grid | Self::Bayesian => None,
        }
    }
}

/// The assignment of a sweep's trial with this index, counted from 0. `None` if nothing is left to try: a grid is complete,
/// or the Bayesian sampler has tried every combination.
///
/// The function keeps no state. Random draws, Sobol points and grids do not depend on `seen`, so that a sweep that is
/// resumed continues exactly. The Bayesian sampler depends on all arguments; `seen` has the trials that were proposed
/// before, those that are running included, and their order does not matter to a resumed sweep as long as it is the same.
#[must_use]
pub fn propose(
    space: &SearchSpace,
    algorithm: &Algorithm,
    goal: Goal,
    seed: u64,
    index: usize,
    seen: &[Trial],
) -> Option<Assignment> {
    match algorithm {
        Algorithm::Grid => grid::combinations(space, index.checked_add(1)?)?.into_iter().nth(index),
        Algorithm::Bayesian => bayesian::propose(space, goal, seed, index, seen),
        Algorithm::Random { seed: own, rule, logbase } => {
            let seed = own.unwrap_or(seed);
            let positions = match rule {
                Rule::Random => random::positions(space, seed, index),
                Rule::Sobol => sobol::positions(space, seed, index),
            };
            space.at(&positions, *logbase)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::Distribution;
    use super::super::samples::{all_kinds, space};
    use super::*;

    fn random(seed: Option<u64>, rule: Rule) -> Algorithm {
        Algorithm::Random { seed, rule, logbase: None }
    }

    fn trials(space: &SearchSpace, algorithm: &Algorithm, seed: u64, count: usize) -> Vec<String> {
        let drawn = |index| propose(space, algorithm, Goal::Minimize, seed, index, &[]);
        (0..count).map(|index| drawn(index).map(|assignment| assignment.json()).unwrap_or_default()).collect()
    }

    #[test]
    fn the_same_seed_has_the_same_trials_and_another_seed_has_others() {
        for rule in [Rule::Random, Rule::Sobol] {
            let (space, own) = (all_kinds(), random(None, rule));
            assert_eq!(trials(&space, &own, 1, 20), trials(&space, &own, 1, 20));
            let different: HashSet<String> = (0..10).flat_map(|seed| trials(&space, &own, seed, 20)).collect();
            assert_eq!(different.len(), 200);
            // The author's seed is used, whatever the sweep's.
            assert_eq!(trials(&space, &random(Some(1), rule), 7, 20), trials(&space, &own, 1, 20));
        }
    }

    #[test]
    fn a_trial_does_not_depend_on_the_trials_before() {
        let space = all_kinds();
        for algorithm in [random(None, Rule::Random), random(None, Rule::Sobol)] {
            let alone = propose(&space, &algorithm, Goal::Minimize, 3, 9, &[]).unwrap();
            let mut seen = Vec::new();
            for index in 0..=9 {
                let assignment = propose(&space, &algorithm, Goal::Maximize, 3, index, &seen).unwrap();
                seen.push(Trial { assignment, score: Some(1.0) });
            }
            assert_eq!(seen[9].assignment, alone);
        }
    }

    #[test]
    fn a_parameter_does_not_depend_on_the_other_parameters() {
        let lr = ("lr", Distribution::LogUniform { min: -9.0, max: 0.0 });
        let (alone, among) =
            (space(std::slice::from_ref(&lr)), space(&[("x", Distribution::Randint { upper: 5 }), lr]));
        let of = |space: &SearchSpace, index| {
            propose(space, &random(None, Rule::Random), Goal::Minimize, 0, index, &[]).unwrap().0.pop()
        };
        assert!((0..50).all(|index| of(&alone, index) == of(&among, index)));
    }

    /// These trials were drawn by the first version: a sweep that is resumed later must continue with the same ones.
    #[test]
    fn the_first_trials_for_a_seed_never_change() {
        let first = trials(&all_kinds(), &random(Some(1), Rule::Random), 0, 3);
        let expected = [
            r#"{"u": -0.4182082855983602, "model": "constant", "batch": 32, "n": 1.1299991009252324, "qn": 13.0, "ln": 2.0937324249022797, "qln": 3.0, "qlu": 58.0}"#,
            r#"{"u": -0.30221910858666967, "model": {"c": 3.181197173373543, "kind": "rbf"}, "batch": 32, "n": -1.2114349169747947, "qn": 10.0, "ln": 0.4970666389626119, "qln": 5.0, "qlu": 6.0}"#,
            r#"{"u": -0.4246544393408602, "model": {"c": 19.40303160288669, "kind": "linear"}, "batch": 16, "n": -0.6621654750112969, "qn": 10.0, "ln": 2.529387272857819, "qln": 27.0, "qlu": 4.0}"#,
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn spaces_that_cannot_be_drawn_have_no_trials() {
        for distribution in [
            Distribution::Choice { values: vec![] },
            Distribution::Randint { upper: 0 },
            Distribution::Uniform { min: 2.0, max: 1.0 },
            Distribution::Uniform { min: f64::NAN, max: f64::INFINITY },
            Distribution::QNormal { mu: 0.0, sigma: -1.0, q: 0.0 },
        ] {
            let space = space(&[("p", distribution.clone())]);
            for algorithm in
                [random(None, Rule::Random), random(None, Rule::Sobol), Algorithm::Grid, Algorithm::Bayesian]
            {
                // None is right where nothing can be chosen; what matters is that nothing panics.
                let proposed = propose(&space, &algorithm, Goal::Minimize, 0, 0, &[]);
                let nothing = matches!(&distribution, Distribution::Choice { values } if values.is_empty());
                assert!(proposed.is_none() || !nothing, "{distribution:?}");
            }
        }
    }

    #[test]
    fn a_record_of_an_algorithm_can_be_read() {
        for algorithm in
            [random(Some(4), Rule::Sobol), random(None, Rule::Random), Algorithm::Grid, Algorithm::Bayesian]
        {
            let record = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(serde_json::from_str::<Algorithm>(&record).unwrap(), algorithm, "{record}");
        }
        let record = serde_json::to_string(&all_kinds()).unwrap();
        assert_eq!(serde_json::from_str::<SearchSpace>(&record).unwrap(), all_kinds(), "{record}");
    }
}
