//! Early termination: whether a running trial is so much worse than the others that it should stop.
//!
//! Each value that a trial logs for the primary metric is one interval. NaN is not a measurement: it counts as an
//! interval and is otherwise ignored, and a trial that has logged only NaN is neither stopped nor compared with.

use serde::{Deserialize, Serialize};

use super::objective::{Goal, better, score};

/// When trials are stopped early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyTermination {
    /// Which trials are stopped.
    pub policy: Policy,
    /// The policy is applied at multiples of this many intervals. 0 means 1.
    pub evaluation_interval: u64,
    /// And not before this interval.
    pub delay_evaluation: u64,
}

/// Which trials are stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Those whose best value is worse than the best of all trials by more than a slack, both up to the same interval.
    ///
    /// With `slack_factor`, a value may be worse by this factor. In Azure ML's formulas for positive metrics, the limit is
    /// `best / (1 + f)` for a metric to maximize and `best * (1 + f)` for one to minimize. For negative metrics, where
    /// these formulas would stop even the best trial, the two change places: maximizing -loss stops the same trials as
    /// minimizing loss. A best value of 0 leaves no slack.
    ///
    /// Without both slacks, trials stop that are worse at all. With both, a trial stops when it exceeds both.
    Bandit {
        /// The slack as a part of the best value.
        slack_factor: Option<f64>,
        /// The slack in the metric's unit.
        slack_amount: Option<f64>,
    },
    /// Those whose best value is worse than the median of the averages of all trials that reached this interval, this trial
    /// included. A trial's average is the mean of its values up to this interval.
    MedianStopping,
    /// The worst trials at this interval, this many percent of those that reached it, rounded down. Running and finished
    /// trials are compared by their best values up to this interval. Of equal trials none is stopped before it is sure
    /// to be among the worst.
    TruncationSelection {
        /// How many percent are stopped.
        percentage: u8,
    },
}

/// Whether a trial should stop now. Call it each time that the trial logs a value.
///
/// `trial` has the values that it has logged so far, and `others` those of each other trial of the sweep, those that
/// finished or were stopped included.
#[must_use]
pub fn should_stop(termination: &EarlyTermination, goal: Goal, trial: &[f64], others: &[&[f64]]) -> bool {
    let interval = trial.len() as u64;
    let is_due = interval > 0
        && interval.is_multiple_of(termination.evaluation_interval.max(1))
        && interval >= termination.delay_evaluation;
    let Some(own) = score(goal, trial).filter(|_| is_due) else { return false };
    match termination.policy {
        Policy::Bandit { slack_factor, slack_amount } => {
            let up_to_now = others.iter().map(|other| &other[..other.len().min(trial.len())]);
            let best = up_to_now
                .filter_map(|other| score(goal, other))
                .chain([own])
                .reduce(|best, value| if better(goal, value, best) { value } else { best });
            best.is_some_and(|best| better(goal, bandit_limit(goal, best, slack_factor, slack_amount), own))
        }
        Policy::MedianStopping => {
            let averages = reached(trial, others).map(average).filter(|average| !average.is_nan());
            median(averages.collect()).is_some_and(|median| better(goal, median, own))
        }
        Policy::TruncationSelection { percentage } => {
            let bests: Vec<f64> = reached(trial, others).filter_map(|values| score(goal, values)).collect();
            let stopped = bests.len() * usize::from(percentage.min(100)) / 100;
            let ahead = bests.iter().filter(|best| better(goal, **best, own)).count();
            ahead >= bests.len() - stopped
        }
    }
}

/// The worst value that bandit lets continue.
fn bandit_limit(goal: Goal, best: f64, factor: Option<f64>, amount: Option<f64>) -> f64 {
    let is_worse_farther_from_zero = better(goal, best, 2.0 * best);
    let by_factor = factor
        .map(|factor| 1.0 + factor.max(0.0))
        .map(|factor| if is_worse_farther_from_zero { best * factor } else { best / factor });
    let by_amount = amount.map(|amount| amount.max(0.0)).map(|amount| match goal {
        Goal::Minimize => best + amount,
        Goal::Maximize => best - amount,
    });
    let limits = [Some(best), by_factor, by_amount].into_iter().flatten();
    limits.reduce(|loosest, limit| if better(goal, loosest, limit) { limit } else { loosest }).unwrap_or(best)
}

/// The values up to now of the trials that logged as many as this one.
fn reached<'a>(trial: &'a [f64], others: &'a [&'a [f64]]) -> impl Iterator<Item = &'a [f64]> {
    others.iter().filter_map(|other| other.get(..trial.len())).chain([trial])
}

/// The mean of the measurements, NaN if there are none.
#[expect(clippy::cast_precision_loss, reason = "a count of logged values")]
fn average(values: &[f64]) -> f64 {
    let measured = || values.iter().filter(|value| !value.is_nan());
    measured().sum::<f64>() / measured().count() as f64
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[values.len() / 2 - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Goal::{Maximize, Minimize};
    use Policy::{Bandit, MedianStopping, TruncationSelection};

    const NAN: f64 = f64::NAN;

    fn factor(factor: f64) -> Policy {
        Bandit { slack_factor: Some(factor), slack_amount: None }
    }

    fn amount(amount: f64) -> Policy {
        Bandit { slack_factor: None, slack_amount: Some(amount) }
    }

    /// At which interval a trial stops while it logs its values one after the other. The others have logged all of theirs.
    fn stops_at(termination: &EarlyTermination, goal: Goal, trial: &[f64], others: &[&[f64]]) -> Option<usize> {
        (1..=trial.len()).find(|interval| should_stop(termination, goal, &trial[..*interval], others))
    }

    /// A policy, and at which interval each trial stops while the others run on.
    struct Row {
        why: &'static str,
        goal: Goal,
        policy: Policy,
        /// `evaluation_interval` and `delay_evaluation`.
        when: (u64, u64),
        trials: &'static [(&'static [f64], Option<usize>)],
    }

    #[test]
    fn trials_stop_when_the_policy_says() {
        let rows = [
            Row {
                why: "0.8 / 1.1 = 0.727, then 0.9 / 1.1 = 0.818: the second trial is at most 0.75",
                goal: Maximize,
                policy: factor(0.1),
                when: (1, 0),
                trials: &[
                    (&[0.8, 0.9, 0.7], None),
                    (&[0.74, 0.75, 0.7], Some(2)),
                    (&[0.7], Some(1)),
                    (&[0.75, 0.82, 0.1], None),
                ],
            },
            Row {
                why: "the limit is 1.0 - 0.2 = 0.8 at every interval: only multiples of 2 from 3 on are looked at",
                goal: Maximize,
                policy: amount(0.2),
                when: (2, 3),
                trials: &[(&[1.0], None), (&[0.1, 0.1, 0.1, 0.1, 0.1], Some(4)), (&[0.1, 0.1, 0.1, 0.8], None)],
            },
            Row {
                why: "2.0 * 1.5 = 3.0, then 1.0 * 1.5 = 1.5",
                goal: Minimize,
                policy: factor(0.5),
                when: (0, 0),
                trials: &[(&[2.0, 1.0], None), (&[3.0, 1.6], Some(2)), (&[3.1, 1.0], Some(1)), (&[2.9, 1.5], None)],
            },
            Row {
                why: "a loss of -10 is the best: what is above -10 / 1.1 = -9.09 stops",
                goal: Minimize,
                policy: factor(0.1),
                when: (1, 0),
                trials: &[(&[-10.0], None), (&[-9.1], None), (&[-9.0], Some(1)), (&[1.0], Some(1))],
            },
            Row {
                why: "a score of -10 is the best: what is below -10 * 1.1 = -11 stops",
                goal: Maximize,
                policy: factor(0.1),
                when: (1, 0),
                trials: &[(&[-10.0], None), (&[-10.9], None), (&[-11.1], Some(1))],
            },
            Row {
                why: "0 leaves no slack, and without slack whatever is worse stops",
                goal: Minimize,
                policy: factor(0.5),
                when: (1, 0),
                trials: &[(&[0.0], None), (&[0.0], None), (&[0.01], Some(1))],
            },
            Row {
                why: "a loss goes on until both slacks are exceeded: 2 * 1.5 = 3 and 2 + 0.5 = 2.5",
                goal: Minimize,
                policy: Bandit { slack_factor: Some(0.5), slack_amount: Some(0.5) },
                when: (1, 0),
                trials: &[(&[2.0], None), (&[2.9], None), (&[3.1], Some(1))],
            },
            Row {
                why: "NaN is an interval without a measurement: nothing to compare, and never the best",
                goal: Maximize,
                policy: amount(0.0),
                when: (1, 0),
                trials: &[(&[NAN, NAN, NAN], None), (&[NAN, 0.5, NAN], None), (&[0.4, 0.4, NAN], Some(2))],
            },
            Row {
                // At interval 2 the median of 1, 2 and 5 is 2, and at 3 that of 1, 2 and 4.
                why: "the median of 1, 2, 3 and 6 is 2.5",
                goal: Minimize,
                policy: MedianStopping,
                when: (1, 0),
                trials: &[
                    (&[1.0, 1.0, 1.0], None),
                    (&[2.0, 2.0, 2.0], None),
                    (&[3.0, 7.0, 2.0], Some(1)),
                    (&[6.0], Some(1)),
                ],
            },
            Row {
                why: "the same trials, but the third caught up: its best at interval 3 is 2, the median of 1, 2 and 4",
                goal: Minimize,
                policy: MedianStopping,
                when: (3, 0),
                trials: &[(&[1.0, 1.0, 1.0], None), (&[2.0, 2.0, 2.0], None), (&[3.0, 7.0, 2.0], None), (&[6.0], None)],
            },
            Row {
                why: "averages are over the measurements: the median of 0.5, 0.9 and 0.7 is 0.7",
                goal: Maximize,
                policy: MedianStopping,
                when: (2, 0),
                trials: &[(&[NAN, 0.5], Some(2)), (&[0.9, 0.9], None), (&[0.7, NAN], None), (&[NAN, NAN], None)],
            },
            Row {
                why: "40 % of 5 are 2 at interval 1; at 2, 40 % of 4 are 1, by the best value so far",
                goal: Maximize,
                policy: TruncationSelection { percentage: 40 },
                when: (1, 0),
                trials: &[
                    (&[0.9, 0.9], None),
                    (&[0.8, 0.1], None),
                    (&[0.7, 0.7], Some(2)),
                    (&[0.6, 0.9], Some(1)),
                    (&[0.5], Some(1)),
                ],
            },
            Row {
                why: "25 % of 3 are 0: nothing stops",
                goal: Minimize,
                policy: TruncationSelection { percentage: 25 },
                when: (1, 0),
                trials: &[(&[1.0], None), (&[2.0], None), (&[3.0], None)],
            },
            Row {
                why: "50 % of 4 are 2, but which of three equal trials are among the worst is not known",
                goal: Minimize,
                policy: TruncationSelection { percentage: 50 },
                when: (1, 0),
                trials: &[(&[1.0], None), (&[2.0], None), (&[2.0], None), (&[2.0], None)],
            },
        ];
        for row in rows {
            let termination =
                EarlyTermination { policy: row.policy, evaluation_interval: row.when.0, delay_evaluation: row.when.1 };
            for (number, (trial, expected)) in row.trials.iter().enumerate() {
                let others = row.trials.iter().enumerate().filter(|(other, _)| *other != number);
                let others: Vec<&[f64]> = others.map(|(_, (values, _))| *values).collect();
                let stopped = stops_at(&termination, row.goal, trial, &others);
                assert_eq!(stopped, *expected, "trial {number} of: {} ({:?})", row.why, termination.policy);
            }
        }
    }

    #[test]
    fn bandit_does_not_look_ahead() {
        let termination = EarlyTermination { policy: amount(0.1), evaluation_interval: 1, delay_evaluation: 0 };
        let faster: &[f64] = &[0.5, 0.9, 1.0];
        assert!(!should_stop(&termination, Maximize, &[0.45], &[faster]));
        assert!(should_stop(&termination, Maximize, &[0.45, 0.46], &[faster]));
    }

    #[test]
    fn nothing_stops_before_it_measured() {
        for policy in [factor(0.0), MedianStopping, TruncationSelection { percentage: 99 }] {
            let termination = EarlyTermination { policy, evaluation_interval: 1, delay_evaluation: 0 };
            assert!(!should_stop(&termination, Minimize, &[], &[&[1.0], &[]]));
            assert!(!should_stop(&termination, Minimize, &[NAN], &[&[1.0]]));
            assert!(!should_stop(&termination, Minimize, &[1.0], &[]));
        }
    }

    fn histories() -> impl proptest::strategy::Strategy<Value = Vec<Vec<f64>>> {
        proptest::collection::vec(proptest::collection::vec(-5_i32..5, 1..6), 1..6)
            .prop_map(|all| all.into_iter().map(|one| one.into_iter().map(f64::from).collect()).collect())
    }

    use proptest::strategy::Strategy as _;

    proptest::proptest! {
        #[test]
        fn the_best_never_stops_and_the_mirror_image_is_treated_alike(
            all in histories(), slack in 0.0..2.0, percentage in 1_u8..100, interval in 0_u64..4, delay in 0_u64..4,
        ) {
            for policy in [factor(slack), amount(slack), MedianStopping, TruncationSelection { percentage }] {
                let termination =
                    EarlyTermination { policy, evaluation_interval: interval, delay_evaluation: delay };
                let others: Vec<&[f64]> = all[1..].iter().map(Vec::as_slice).collect();
                let stops = stops_at(&termination, Maximize, &all[0], &others);
                let mirrored: Vec<Vec<f64>> = all.iter().map(|one| one.iter().map(|value| -value).collect()).collect();
                let mirrored_others: Vec<&[f64]> = mirrored[1..].iter().map(Vec::as_slice).collect();
                proptest::prop_assert_eq!(stops, stops_at(&termination, Minimize, &mirrored[0], &mirrored_others));
                if let Some(stopped) = stops {
                    let own = score(Maximize, &all[0][..stopped]).unwrap();
                    let seen = others.iter().filter_map(|other| score(Maximize, &other[..other.len().min(stopped)]));
                    proptest::prop_assert!(seen.fold(f64::NEG_INFINITY, f64::max) > own);
                }
            }
        }
    }
}
