//! What in a search space cannot be drawn.

use super::assignment::Scalar;
use super::real::{Real, Shape, power};
use super::sampler::{Algorithm, Rule};
use super::space::{Choice, Distribution, SearchSpace};

/// What is wrong with a search space or its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// Whether the sweep can run.
    pub level: Level,
    /// The parameter's path, such as `model[0].lr`. Empty for the algorithm.
    pub parameter: String,
    /// What is wrong and what to do, as a sentence.
    pub text: String,
}

/// Whether a sweep with a problem can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It cannot.
    Error,
    /// It can here, but Azure ML's service can refuse it.
    Warning,
}

/// The smallest and largest draws of a normal distribution are this many standard deviations from the mean.
const FARTHEST: f64 = 8.3;

impl SearchSpace {
    /// What cannot be drawn from the space with this algorithm, in the author's order.
    #[must_use]
    pub fn check(&self, algorithm: &Algorithm) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |level, parameter: &str, text| {
            problems.push(Problem { level, parameter: parameter.to_owned(), text });
        };
        let base = algorithm.logbase();
        if base.is_some_and(|base| !base.is_finite() || base <= 0.0 || base == 1.0) {
            add(Level::Error, "", "`logbase` must be a positive number other than 1, or e: change it".to_owned());
            return problems;
        }
        for parameter in self.parameters() {
            let error = fault(parameter.distribution, base);
            let refused = error.is_none().then(|| unfit(parameter.distribution, algorithm)).flatten();
            if let Some((level, text)) = error.map(|text| (Level::Error, text)).or(refused) {
                add(level, &parameter.path, text);
            }
        }
        problems
    }
}

/// What cannot be drawn from a distribution.
fn fault(distribution: &Distribution, base: Option<f64>) -> Option<String> {
    match distribution {
        Distribution::Choice { values } if values.is_empty() => {
            Some("`values` is empty, so that nothing can be chosen: add a value".to_owned())
        }
        Distribution::Choice { values } => {
            let infinite =
                |value: &Choice| matches!(value, Choice::Value(Scalar::Float(number)) if !number.is_finite());
            let found = values.iter().any(infinite);
            found.then(|| "`values` has a number that is not finite: write a finite number".to_owned())
        }
        Distribution::Randint { upper: 0 } => {
            Some("`upper` is 0, and no whole number from 0 is below 0: raise it".to_owned())
        }
        Distribution::Randint { upper } => i64::try_from(*upper)
            .is_err()
            .then(|| format!("`upper` is {upper}, but can be at most {}: lower it", i64::MAX)),
        other => other.real().and_then(|real| fault_of_real(real, base)),
    }
}

fn fault_of_real(real: Real, base: Option<f64>) -> Option<String> {
    let (names, numbers) = match real.shape {
        Shape::Flat { min, max } => (["min_value", "max_value"], [min, max]),
        Shape::Bell { mu, sigma } => (["mu", "sigma"], [mu, sigma]),
    };
    let named = names.into_iter().zip(numbers).chain(real.q.map(|q| ("q", q)));
    for (name, number) in named {
        if !number.is_finite() {
            return Some(format!("`{name}` is {number}, which is not finite: write a finite number"));
        }
    }
    match real.shape {
        Shape::Flat { min, max } if min > max => {
            return Some(format!("`min_value` {min} is larger than `max_value` {max}: exchange them"));
        }
        Shape::Bell { sigma, .. } if sigma < 0.0 => {
            return Some(format!(
                "`sigma` is {sigma}, but a standard deviation is not negative: write a positive number"
            ));
        }
        _ => {}
    }
    if let Some(q) = real.q.filter(|q| *q <= 0.0) {
        return Some(format!("`q` is {q}, but values are rounded to multiples of it: write a positive number"));
    }
    let farthest = match real.shape {
        Shape::Flat { min, max } => [min, max],
        Shape::Bell { mu, sigma } => [mu - FARTHEST * sigma, mu + FARTHEST * sigma],
    };
    let value = |exponent| if real.is_log { power(base, exponent) } else { exponent };
    let multiple = |value: f64| real.q.map_or(value, |q| value / q);
    let too_large = farthest.into_iter().any(|number| !multiple(value(number)).is_finite());
    too_large.then(|| {
        let hint = if real.is_log { ": the bounds of this distribution are logarithms of the values" } else { "" };
        format!("some values would be too large for a number{hint}; choose smaller ones")
    })
}

/// What an algorithm does not do with a distribution.
fn unfit(distribution: &Distribution, algorithm: &Algorithm) -> Option<(Level, String)> {
    use Distribution::{Choice, QUniform, Randint, Uniform};
    let kind = kind(distribution);
    match (algorithm, distribution) {
        (Algorithm::Grid, Choice { .. }) | (Algorithm::Bayesian, Choice { .. } | Uniform { .. } | QUniform { .. }) => {
            None
        }
        (Algorithm::Grid, Randint { .. } | QUniform { .. }) => Some((
            Level::Warning,
            format!("Azure ML's grid sampling takes `choice` only, not `{kind}`: list the values in a `choice`"),
        )),
        (Algorithm::Grid, _) => Some((
            Level::Error,
            format!("a grid needs a list of values, and `{kind}` has none: use `choice`, or random sampling"),
        )),
        (Algorithm::Bayesian, _) => Some((
            Level::Warning,
            format!(
                "Azure ML's Bayesian sampling takes `choice`, `uniform` and `quniform` only, not `{kind}`: \
                 use one of these, or random sampling"
            ),
        )),
        (Algorithm::Random { rule: Rule::Random | Rule::Sobol, .. }, _) => None,
    }
}

/// The distribution's name in YAML.
fn kind(distribution: &Distribution) -> &'static str {
    match distribution {
        Distribution::Choice { .. } => "choice",
        Distribution::Randint { .. } => "randint",
        Distribution::Uniform { .. } => "uniform",
        Distribution::QUniform { .. } => "quniform",
        Distribution::LogUniform { .. } => "loguniform",
        Distribution::QLogUniform { .. } => "qloguniform",
        Distribution::Normal { .. } => "normal",
        Distribution::QNormal { .. } => "qnormal",
        Distribution::LogNormal { .. } => "lognormal",
        Distribution::QLogNormal { .. } => "qlognormal",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{all_kinds, space};
    use super::*;

    const RANDOM: Algorithm = Algorithm::Random { seed: None, rule: Rule::Random, logbase: None };

    #[test]
    fn what_cannot_be_drawn_is_said() {
        use Distribution::*;
        let nan = super::Choice::Value(Scalar::Float(f64::NAN));
        for (distribution, expected) in [
            (Choice { values: vec![] }, "`values` is empty"),
            (Choice { values: vec![nan] }, "`values` has a number that is not finite"),
            (Randint { upper: 0 }, "`upper` is 0"),
            (Randint { upper: u64::MAX }, "can be at most 9223372036854775807"),
            (Uniform { min: 2.0, max: 1.0 }, "`min_value` 2 is larger than `max_value` 1"),
            (Uniform { min: f64::NEG_INFINITY, max: 1.0 }, "`min_value` is -inf, which is not finite"),
            (QUniform { min: 0.0, max: 1.0, q: 0.0 }, "`q` is 0, but"),
            (QUniform { min: 0.0, max: 1.0, q: f64::NAN }, "`q` is NaN"),
            (QUniform { min: 0.0, max: 1e300, q: 1e-300 }, "too large for a number; choose"),
            (LogUniform { min: 0.0, max: 1000.0 }, "the bounds of this distribution are logarithms"),
            (QLogUniform { min: 0.0, max: 1.0, q: -1.0 }, "`q` is -1"),
            (Normal { mu: 0.0, sigma: -1.0 }, "`sigma` is -1"),
            (QNormal { mu: f64::NAN, sigma: 1.0, q: 1.0 }, "`mu` is NaN"),
            (LogNormal { mu: 0.0, sigma: 100.0 }, "too large for a number"),
            (QLogNormal { mu: 0.0, sigma: 1.0, q: 0.0 }, "`q` is 0"),
        ] {
            let problems = space(&[("p", distribution.clone())]).check(&RANDOM);
            assert_eq!(problems.len(), 1, "{distribution:?}: {problems:?}");
            assert!(problems[0].text.contains(expected), "{distribution:?}: {problems:?}");
            assert_eq!((problems[0].level, problems[0].parameter.as_str()), (Level::Error, "p"));
        }
    }

    #[test]
    fn what_an_algorithm_does_not_do_is_said() {
        let found = |algorithm: &Algorithm| -> Vec<(Level, String)> {
            all_kinds().check(algorithm).into_iter().map(|problem| (problem.level, problem.parameter)).collect()
        };
        let of = |level, parameters: &[&str]| -> Vec<(Level, String)> {
            parameters.iter().map(|parameter| (level, (*parameter).to_owned())).collect()
        };
        assert_eq!(found(&RANDOM), []);
        let warned = ["model[0].c", "model[1].depth", "n", "qn", "ln", "qln", "qlu"];
        assert_eq!(found(&Algorithm::Bayesian), of(Level::Warning, &warned));
        let mut grid = of(Level::Error, &["u", "model[0].c"]);
        grid.extend(of(Level::Warning, &["model[1].depth", "model[1].rate"]));
        grid.extend(of(Level::Error, &["n", "qn", "ln", "qln", "qlu"]));
        assert_eq!(found(&Algorithm::Grid), grid);
    }

    #[test]
    fn the_base_of_logarithms_is_checked_and_used() {
        let space = space(&[("p", Distribution::LogUniform { min: 0.0, max: 400.0 })]);
        let check = |logbase| space.check(&Algorithm::Random { seed: None, rule: Rule::Sobol, logbase });
        assert_eq!((check(None), check(Some(2.0))), (vec![], vec![]));
        assert!(check(Some(10.0))[0].text.contains("too large"));
        for base in [0.0, 1.0, -2.0, f64::NAN, f64::INFINITY] {
            assert!(check(Some(base))[0].text.contains("`logbase`"), "{base}");
        }
    }
}
