//! Assignments as points for the regression: vectors in which similar trials are near each other.
//!
//! A number is its position in its distribution, so that the logarithm of a log-uniform parameter counts. A choice of
//! numbers is their rank. Any other choice has one coordinate for each value, so that two different values always have the
//! distance 1. A conditional parameter that a trial does not have is in the middle: trials that both lack it do not differ by it.

use std::f64::consts::FRAC_1_SQRT_2;

use crate::sweep::assignment::Scalar;
use crate::sweep::real::part;
use crate::sweep::space::{Choice, Distribution, Parameter};

/// The parameter of each coordinate, counted from 0 and without those that are constant.
pub(super) fn groups(parameters: &[Parameter<'_>]) -> Vec<usize> {
    let sizes = parameters.iter().map(|parameter| Kind::of(parameter.distribution).coordinates());
    let varying = sizes.filter(|size| *size > 0).enumerate();
    varying.flat_map(|(group, size)| std::iter::repeat_n(group, size)).collect()
}

/// The point at some positions, one for each parameter.
pub(super) fn point(parameters: &[Parameter<'_>], positions: &[f64]) -> Vec<f64> {
    let mut point = Vec::new();
    let mut chosen: Vec<Option<usize>> = Vec::new();
    for (parameter, position) in parameters.iter().zip(positions) {
        let exists = parameter.parent.is_none_or(|(choice, value)| chosen[choice] == Some(value));
        let kind = Kind::of(parameter.distribution);
        let value = kind.values().filter(|_| exists).map(|count| part(*position, count as u64) as usize);
        chosen.push(value);
        match kind {
            Kind::Constant => {}
            Kind::Number => point.push(if exists { *position } else { 0.5 }),
            Kind::Ranked(ranks) => point.push(value.and_then(|value| ranks.get(value).copied()).unwrap_or(0.5)),
            Kind::Named(count) => {
                point.extend((0..count).map(|other| if value == Some(other) { FRAC_1_SQRT_2 } else { 0.0 }));
            }
        }
    }
    point
}

/// How a parameter is represented.
enum Kind {
    /// Not at all: a choice of one value.
    Constant,
    Number,
    /// The rank of each value, between 0 and 1.
    Ranked(Vec<f64>),
    /// How many values there are.
    Named(usize),
}

impl Kind {
    #[expect(clippy::cast_precision_loss, reason = "a rank")]
    fn of(distribution: &Distribution) -> Self {
        let Distribution::Choice { values } = distribution else { return Self::Number };
        if values.len() < 2 {
            return Self::Constant;
        }
        let numbers: Option<Vec<f64>> = values.iter().map(number).collect();
        let Some(numbers) = numbers else { return Self::Named(values.len()) };
        let rank = |number: &f64| numbers.iter().filter(|other| *other < number).count() as f64;
        Self::Ranked(numbers.iter().map(|number| rank(number) / (numbers.len() - 1) as f64).collect())
    }

    fn coordinates(&self) -> usize {
        match self {
            Self::Constant => 0,
            Self::Number | Self::Ranked(_) => 1,
            Self::Named(count) => *count,
        }
    }

    /// How many values a choice has.
    fn values(&self) -> Option<usize> {
        match self {
            Self::Constant => Some(1),
            Self::Number => None,
            Self::Ranked(ranks) => Some(ranks.len()),
            Self::Named(count) => Some(*count),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ranks need no last digit")]
fn number(value: &Choice) -> Option<f64> {
    match value {
        Choice::Value(Scalar::Int(number)) => Some(*number as f64),
        Choice::Value(Scalar::Float(number)) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::samples::{ints, space, texts};

    #[test]
    fn trials_are_near_each_other_when_they_are_similar() {
        let nested = space(&[("rate", Distribution::Uniform { min: 0.0, max: 1.0 })]);
        let model = Distribution::Choice { values: vec![Choice::Nested(nested), Choice::Value(Scalar::Int(1))] };
        let space = space(&[("batch", ints(&[64, 16, 32])), ("model", model), ("one", texts(&["constant"]))]);
        let parameters = space.parameters();
        assert_eq!(groups(&parameters), [0, 1, 1, 2]);
        // The second value of `batch` is the smallest. With the first model, `rate` counts; with the other, it does not.
        let half = FRAC_1_SQRT_2;
        assert_eq!(point(&parameters, &[0.5, 0.2, 0.9, 0.5]), [0.0, half, 0.0, 0.9]);
        assert_eq!(point(&parameters, &[0.1, 0.8, 0.9, 0.5]), [1.0, 0.0, half, 0.5]);
    }
}
