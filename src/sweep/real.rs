//! The distributions of real numbers, as functions from a position between 0 and 1 to a value and back.
//!
//! All algorithms draw positions and leave the rest to this file: a random number, a coordinate of a Sobol point, or a
//! coordinate that the Bayesian sampler found. A position is the probability of a smaller value.

use super::assignment::Scalar;
use super::normal;

/// What the distributions of real numbers are made of.
#[derive(Clone, Copy)]
pub(super) struct Real {
    pub(super) shape: Shape,
    pub(super) is_log: bool,
    pub(super) q: Option<f64>,
}

/// The distribution before powers and rounding.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Flat { min: f64, max: f64 },
    Bell { mu: f64, sigma: f64 },
}

impl Real {
    /// The value at a position. `base` is the base of the logarithms, e if there is none.
    pub(super) fn at(self, position: f64, base: Option<f64>) -> Scalar {
        let mut value = self.shape.at(position);
        if self.is_log {
            value = power(base, value);
        }
        if let Some(q) = self.q {
            // Python's round() is a whole number, which has no negative zero.
            value = (value / q).round_ties_even() * q + 0.0;
        }
        Scalar::Float(value)
    }

    /// The position of a value. The position of one that cannot be drawn is that of the nearest which can.
    pub(super) fn position(self, value: f64, base: Option<f64>) -> f64 {
        let value = match base {
            _ if !self.is_log => value,
            None => libm::log(value.max(0.0)),
            Some(base) => libm::log(value.max(0.0)) / libm::log(base),
        };
        self.shape.position(value).clamp(0.0, 1.0)
    }
}

impl Shape {
    fn at(self, position: f64) -> f64 {
        match self {
            // The difference of the bounds can be too large for a number.
            Self::Flat { min, max } => (min * (1.0 - position) + max * position).max(min).min(max),
            Self::Bell { mu, sigma } => mu + sigma * normal::quantile(position),
        }
    }

    fn position(self, value: f64) -> f64 {
        match self {
            Self::Flat { min, max } if min < max => (value / 2.0 - min / 2.0) / (max / 2.0 - min / 2.0),
            Self::Bell { mu, sigma } if sigma > 0.0 => normal::cumulative((value - mu) / sigma),
            _ => 0.5,
        }
    }
}

/// A power of the base of the logarithms.
pub(super) fn power(base: Option<f64>, exponent: f64) -> f64 {
    base.map_or_else(|| libm::exp(exponent), |base| libm::pow(base, exponent))
}

/// Which of `count` equal parts a position is in.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept below")]
pub(super) fn part(position: f64, count: u64) -> u64 {
    ((position * count as f64) as u64).min(count.saturating_sub(1))
}

/// The middle of one of `count` equal parts.
#[expect(clippy::cast_precision_loss, reason = "a position")]
pub(super) fn middle(part: u64, count: u64) -> f64 {
    (part as f64 + 0.5) / count as f64
}

#[cfg(test)]
mod tests {
    use Distribution::{
        Choice as Choose, LogNormal, LogUniform, Normal, QLogNormal, QLogUniform, QNormal, QUniform, Randint, Uniform,
    };

    use super::super::{Algorithm, Assignment, Choice, Distribution, Drawn, Goal, Rule, SearchSpace, propose};
    use super::*;

    const DRAWS: usize = 4000;

    /// The values of one parameter in the first trials of a sweep.
    fn draws(distribution: &Distribution, logbase: Option<f64>) -> Vec<Scalar> {
        let space = SearchSpace(vec![("p".to_owned(), distribution.clone())]);
        let algorithm = Algorithm::Random { seed: None, rule: Rule::Random, logbase };
        let drawn = |index| propose(&space, &algorithm, Goal::Minimize, 42, index, &[]).unwrap();
        let value = |Assignment(mut all): Assignment| match all.remove(0).1 {
            Drawn::Scalar(scalar) => scalar,
            Drawn::Nested(_) => panic!("nothing is nested"),
        };
        (0..DRAWS).map(|index| value(drawn(index))).collect()
    }

    fn floats(distribution: &Distribution, logbase: Option<f64>) -> Vec<f64> {
        let float = |scalar| match scalar {
            Scalar::Float(number) => number,
            other => panic!("{other:?} is not a float"),
        };
        draws(distribution, logbase).into_iter().map(float).collect()
    }

    /// The largest distance between the distribution of the values and the expected one (Kolmogorov and Smirnov).
    fn distance(mut values: Vec<f64>, expected: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let distances = values.iter().enumerate().map(|(rank, value)| {
            let expected = expected(*value);
            (expected - rank as f64 / count).abs().max((expected - (rank + 1) as f64 / count).abs())
        });
        distances.fold(0.0, f64::max)
    }

    /// Beyond this distance, a sample of this size is refused with 99.9 % confidence.
    fn critical() -> f64 {
        1.95 / (DRAWS as f64).sqrt()
    }

    fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        (mean, (squares / values.len() as f64).sqrt())
    }

    #[test]
    fn continuous_draws_have_their_distribution() {
        let flat = |x: f64, min: f64, max: f64| (x - min) / (max - min);
        let bell = |x: f64, mu: f64, sigma: f64| normal::cumulative((x - mu) / sigma);
        type Expected<'a> = &'a dyn Fn(f64) -> f64;
        let table: [(Distribution, Option<f64>, Expected<'_>); 6] = [
            (Uniform { min: -2.0, max: 3.0 }, None, &|x| flat(x, -2.0, 3.0)),
            (LogUniform { min: -9.0, max: 1.0 }, None, &|x| flat(x.ln(), -9.0, 1.0)),
            (LogUniform { min: -5.0, max: -1.0 }, Some(10.0), &|x| flat(x.log10(), -5.0, -1.0)),
            (Normal { mu: 5.0, sigma: 2.0 }, None, &|x| bell(x, 5.0, 2.0)),
            (LogNormal { mu: -1.0, sigma: 0.5 }, None, &|x| bell(x.ln(), -1.0, 0.5)),
            (LogNormal { mu: 3.0, sigma: 1.0 }, Some(2.0), &|x| bell(x.log2(), 3.0, 1.0)),
        ];
        for (distribution, base, expected) in table {
            let found = distance(floats(&distribution, base), expected);
            assert!(found < critical(), "{distribution:?}: {found}");
        }
    }

    #[test]
    fn means_and_deviations_are_those_of_the_formulas() {
        for (distribution, mean, deviation) in [
            (Uniform { min: 0.0, max: 12.0 }, 6.0, 12.0 / 12f64.sqrt()),
            (Normal { mu: -3.0, sigma: 0.1 }, -3.0, 0.1),
            (LogNormal { mu: 0.0, sigma: 0.5 }, 1.133_148, 0.603_901),
            (LogUniform { min: 0.0, max: 1.0 }, 1.718_282, 0.491_982),
        ] {
            let found = mean_and_deviation(&floats(&distribution, None));
            assert!((found.0 - mean).abs() < 0.06 * deviation, "{distribution:?}: {found:?}");
            assert!((found.1 / deviation - 1.0).abs() < 0.08, "{distribution:?}: {found:?}");
        }
    }

    #[test]
    fn draws_keep_to_their_bounds() {
        for (distribution, least, most) in [
            (Uniform { min: -2.0, max: 3.0 }, -2.0, 3.0),
            (Uniform { min: -f64::MAX, max: f64::MAX }, -f64::MAX, f64::MAX),
            (Uniform { min: 1.5, max: 1.5 }, 1.5, 1.5),
            (LogUniform { min: -9.0, max: 1.0 }, (-9f64).exp(), 1f64.exp()),
            (QUniform { min: 0.0, max: 10.0, q: 5.0 }, 0.0, 10.0),
            (QLogUniform { min: 0.0, max: 4.0, q: 1.0 }, 1.0, 55.0),
        ] {
            let values = floats(&distribution, None);
            assert!(values.iter().all(|value| (least..=most).contains(value)), "{distribution:?}");
        }
    }

    #[test]
    fn rounded_draws_are_multiples_with_the_probability_of_what_is_rounded_to_them() {
        let flat = |x: f64, min: f64, max: f64| ((x - min) / (max - min)).clamp(0.0, 1.0);
        type Expected<'a> = &'a dyn Fn(f64) -> f64;
        let table: [(Distribution, f64, Expected<'_>); 4] = [
            (QUniform { min: 0.0, max: 1.0, q: 0.25 }, 0.25, &|x| flat(x, 0.0, 1.0)),
            (QLogUniform { min: 0.0, max: 3.0, q: 2.0 }, 2.0, &|x| flat(x.max(1e-9).ln(), 0.0, 3.0)),
            (QNormal { mu: 10.0, sigma: 3.0, q: 2.0 }, 2.0, &|x| normal::cumulative((x - 10.0) / 3.0)),
            (QLogNormal { mu: 1.0, sigma: 0.5, q: 1.0 }, 1.0, &|x| normal::cumulative((x.max(1e-9).ln() - 1.0) / 0.5)),
        ];
        for (distribution, q, below) in table {
            let values = floats(&distribution, None);
            assert!(values.iter().all(|value| (value / q).fract() == 0.0), "{distribution:?}");
            for value in &values {
                let found = values.iter().filter(|other| *other <= value).count() as f64 / DRAWS as f64;
                assert!((found - below(value + q / 2.0)).abs() < critical(), "{distribution:?} at {value}");
            }
        }
    }

    #[test]
    fn halves_are_rounded_to_even_and_no_zero_is_negative() {
        let shape = Shape::Flat { min: -4.0, max: 4.0 };
        let at = |value: f64| Real { shape, is_log: false, q: Some(1.0) }.at((value + 4.0) / 8.0, None);
        for (value, rounded) in [(0.5, "0.0"), (1.5, "2.0"), (2.5, "2.0"), (-0.5, "0.0"), (-1.5, "-2.0"), (3.0, "3.0")]
        {
            assert_eq!(Drawn::from(at(value)).text(), rounded, "{value}");
        }
    }

    /// Pearson's statistic for equally probable values.
    fn chi_square(counts: &[usize]) -> f64 {
        let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn choices_and_whole_numbers_are_equally_probable() {
        let values: Vec<Scalar> = vec![
            Scalar::Int(1),
            Scalar::Float(0.5),
            Scalar::Text("a".to_owned()),
            Scalar::Text("b".to_owned()),
            Scalar::Int(-7),
            Scalar::Int(6),
        ];
        let choose = Choose { values: values.iter().cloned().map(Choice::Value).collect() };
        let numbers: Vec<Scalar> = (0..6).map(Scalar::Int).collect();
        for (distribution, values) in [(choose, values), (Randint { upper: 6 }, numbers)] {
            let drawn = draws(&distribution, None);
            let counts: Vec<usize> = values.iter().map(|value| drawn.iter().filter(|d| *d == value).count()).collect();
            assert_eq!(counts.iter().sum::<usize>(), DRAWS, "only these values: {distribution:?}");
            // 99.9 % of the samples of five degrees of freedom are below.
            assert!(chi_square(&counts) < 20.52, "{distribution:?}: {counts:?}");
        }
        assert!(draws(&Randint { upper: 1 }, None).iter().all(|value| *value == Scalar::Int(0)));
    }

    #[test]
    fn positions_lead_back() {
        for (distribution, base) in [
            (Uniform { min: -2.0, max: 3.0 }, None),
            (LogUniform { min: -9.0, max: 1.0 }, None),
            (LogUniform { min: -5.0, max: -1.0 }, Some(10.0)),
            (Normal { mu: 5.0, sigma: 2.0 }, None),
            (LogNormal { mu: -1.0, sigma: 0.5 }, None),
        ] {
            let real = distribution.real().unwrap();
            for position in [0.001, 0.25, 0.5, 0.9, 0.999] {
                let Scalar::Float(value) = real.at(position, base) else { panic!("a float") };
                assert!((real.position(value, base) - position).abs() < 1e-12, "{distribution:?} at {position}");
            }
        }
        let none = Normal { mu: 1.0, sigma: 0.0 }.real().unwrap();
        assert_eq!((none.at(0.3, None), none.position(1.0, None)), (Scalar::Float(1.0), 0.5));
    }
}
