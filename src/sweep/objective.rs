//! The objective of a sweep, and which of two measurements is better. NaN is not a measurement.

use serde::{Deserialize, Serialize};

/// Whether small or large values of the primary metric are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Small values are good.
    Minimize,
    /// Large values are good.
    Maximize,
}

/// What a sweep optimizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objective {
    /// Whether small or large values are good.
    pub goal: Goal,
    /// The metric's name, exactly as the trials log it.
    pub primary_metric: String,
}

/// A trial's score: the best of the values that it logged. `None` if it logged none, or only NaN.
#[must_use]
pub fn score(goal: Goal, logged: &[f64]) -> Option<f64> {
    let measured = logged.iter().copied().filter(|value| !value.is_nan());
    measured.reduce(|best, value| if better(goal, value, best) { value } else { best })
}

/// Whether `a` is better than `b`. Every number is better than NaN, and NaN is better than nothing.
#[must_use]
pub fn better(goal: Goal, a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return !a.is_nan() && b.is_nan();
    }
    match goal {
        Goal::Minimize => a < b,
        Goal::Maximize => a > b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Goal::{Maximize, Minimize};

    #[test]
    fn the_score_is_the_best_value_that_was_logged() {
        assert_eq!(score(Minimize, &[3.0, 1.0, 2.0]), Some(1.0));
        assert_eq!(score(Maximize, &[3.0, 1.0, 2.0]), Some(3.0));
        assert_eq!(score(Maximize, &[f64::NAN, -4.0, f64::NAN, -5.0]), Some(-4.0));
        assert_eq!(score(Minimize, &[f64::NAN]), None);
        assert_eq!(score(Minimize, &[]), None);
    }

    #[test]
    fn nan_is_never_better() {
        for goal in [Minimize, Maximize] {
            assert!(better(goal, 1.0, f64::NAN));
            assert!(!better(goal, f64::NAN, 1.0) && !better(goal, f64::NAN, f64::NAN) && !better(goal, 1.0, 1.0));
        }
        assert!(better(Minimize, -1.0, 0.0) && better(Maximize, f64::INFINITY, 1e300));
    }
}
