//! A search space: its parameters, and how positions between 0 and 1 become an assignment and back.
//!
//! A choice can have nested search spaces among its values. Their parameters exist only in trials that take this value.
//! Each parameter of the whole tree has a number, its dimension, in the author's order: a parameter comes before those
//! that are nested in it.

use serde::{Deserialize, Serialize};

use super::assignment::{Assignment, Drawn, Scalar};
use super::real::{Real, Shape, middle, part};

/// The parameters of a sweep with their distributions, in the author's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SearchSpace(pub Vec<(String, Distribution)>);

/// One of the values of a choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Choice {
    /// A number or a text.
    Value(Scalar),
    /// A search space of its own.
    Nested(SearchSpace),
}

/// How one parameter is drawn.
///
/// The bounds of `LogUniform` and `QLogUniform` are logarithms of the smallest and the largest value, as in Azure ML.
/// Those that begin with `Q` round to multiples of `q`, halves to the even multiple, as Python's `round()` does. Rounding
/// comes last, so a value can be outside of `min` and `max` by up to half of `q`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the fields have the names of the formulas")]
pub enum Distribution {
    /// One of some values, all equally probable. A constant is a choice of one value.
    Choice { values: Vec<Choice> },
    /// A whole number from 0, and below `upper`.
    Randint { upper: u64 },
    /// A number between `min` and `max`.
    Uniform { min: f64, max: f64 },
    /// A uniform number, rounded.
    QUniform { min: f64, max: f64, q: f64 },
    /// A number with a uniform logarithm.
    LogUniform { min: f64, max: f64 },
    /// A number with a uniform logarithm, rounded.
    QLogUniform { min: f64, max: f64, q: f64 },
    /// A normal number with the mean `mu` and the standard deviation `sigma`.
    Normal { mu: f64, sigma: f64 },
    /// A normal number, rounded.
    QNormal { mu: f64, sigma: f64, q: f64 },
    /// A number with a normal logarithm.
    LogNormal { mu: f64, sigma: f64 },
    /// A number with a normal logarithm, rounded.
    QLogNormal { mu: f64, sigma: f64, q: f64 },
}

impl Distribution {
    /// What the distribution is made of, if it draws real numbers.
    pub(super) fn real(&self) -> Option<Real> {
        let real = |shape, is_log, q| Some(Real { shape, is_log, q });
        let flat = |min, max| Shape::Flat { min, max };
        let bell = |mu, sigma| Shape::Bell { mu, sigma };
        match *self {
            Self::Choice { .. } | Self::Randint { .. } => None,
            Self::Uniform { min, max } => real(flat(min, max), false, None),
            Self::QUniform { min, max, q } => real(flat(min, max), false, Some(q)),
            Self::LogUniform { min, max } => real(flat(min, max), true, None),
            Self::QLogUniform { min, max, q } => real(flat(min, max), true, Some(q)),
            Self::Normal { mu, sigma } => real(bell(mu, sigma), false, None),
            Self::QNormal { mu, sigma, q } => real(bell(mu, sigma), false, Some(q)),
            Self::LogNormal { mu, sigma } => real(bell(mu, sigma), true, None),
            Self::QLogNormal { mu, sigma, q } => real(bell(mu, sigma), true, Some(q)),
        }
    }
}

/// A parameter in the tree of a search space.
pub(super) struct Parameter<'a> {
    /// Its name, after the names and the values of the choices that it is nested in: `model[0].lr`.
    pub(super) path: String,
    pub(super) distribution: &'a Distribution,
    /// The dimension of the choice that it is nested in, and which of the values it needs.
    pub(super) parent: Option<(usize, usize)>,
}

impl SearchSpace {
    /// All parameters, by dimension.
    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut all = Vec::new();
        self.collect("", None, &mut all);
        all
    }

    fn collect<'a>(&'a self, prefix: &str, parent: Option<(usize, usize)>, all: &mut Vec<Parameter<'a>>) {
        for (name, distribution) in &self.0 {
            let path = format!("{prefix}{name}");
            let dimension = all.len();
            all.push(Parameter { path: path.clone(), distribution, parent });
            let Distribution::Choice { values } = distribution else { continue };
            for (number, value) in values.iter().enumerate() {
                if let Choice::Nested(nested) = value {
                    nested.collect(&format!("{path}[{number}]."), Some((dimension, number)), all);
                }
            }
        }
    }

    /// The assignment at some positions, one for each dimension. `None` if a choice has no values.
    pub(super) fn at(&self, positions: &[f64], base: Option<f64>) -> Option<Assignment> {
        self.walk(&mut positions.iter(), true, base)
    }

    fn walk(&self, positions: &mut std::slice::Iter<'_, f64>, taken: bool, base: Option<f64>) -> Option<Assignment> {
        let mut drawn = Vec::new();
        for (name, distribution) in &self.0 {
            let position = *positions.next()?;
            let value = match distribution {
                Distribution::Randint { upper } => Scalar::Int(part(position, *upper).cast_signed()).into(),
                Distribution::Choice { values } => {
                    let chosen = part(position, values.len() as u64);
                    let mut value = None;
                    for (number, choice) in values.iter().enumerate() {
                        let taken = taken && number as u64 == chosen;
                        let this = match choice {
                            Choice::Value(scalar) if taken => Some(scalar.clone().into()),
                            Choice::Value(_) => None,
                            // The parameters of the other values have positions too.
                            Choice::Nested(nested) => nested.walk(positions, taken, base).map(Drawn::Nested),
                        };
                        if taken {
                            value = this;
                        }
                    }
                    match value {
                        Some(value) => value,
                        None if taken => return None,
                        None => continue,
                    }
                }
                other => other.real()?.at(position, base).into(),
            };
            drawn.push((name.clone(), value));
        }
        Some(Assignment(drawn))
    }

    /// The positions of an assignment, one for each dimension: 0.5 for parameters that it does not have. `None` if it is
    /// not of this space.
    pub(super) fn positions(&self, assignment: &Assignment, base: Option<f64>) -> Option<Vec<f64>> {
        let mut positions = Vec::new();
        self.locate(assignment, base, &mut positions).then_some(positions)
    }

    fn locate(&self, assignment: &Assignment, base: Option<f64>, positions: &mut Vec<f64>) -> bool {
        self.0.len() == assignment.0.len()
            && self.0.iter().zip(&assignment.0).all(|((name, distribution), (other, drawn))| {
                name == other && locate(distribution, drawn, base, positions)
            })
    }

    /// How many parameters the whole tree has.
    fn dimensions(&self) -> usize {
        let nested = |distribution: &Distribution| match distribution {
            Distribution::Choice { values } => values.iter().map(Choice::dimensions).sum(),
            _ => 0,
        };
        self.0.iter().map(|(_, distribution)| 1 + nested(distribution)).sum()
    }
}

impl Choice {
    fn dimensions(&self) -> usize {
        match self {
            Self::Value(_) => 0,
            Self::Nested(nested) => nested.dimensions(),
        }
    }
}

fn locate(distribution: &Distribution, drawn: &Drawn, base: Option<f64>, positions: &mut Vec<f64>) -> bool {
    match (distribution, drawn) {
        (Distribution::Choice { values }, drawn) => {
            let start = positions.len();
            let count = values.len() as u64;
            for (number, value) in values.iter().enumerate() {
                positions.push(middle(number as u64, count));
                let before: usize = values[..number].iter().map(Choice::dimensions).sum();
                positions.resize(positions.len() + before, 0.5);
                let fits = match (value, drawn) {
                    (Choice::Value(value), Drawn::Scalar(scalar)) => value == scalar,
                    (Choice::Nested(nested), Drawn::Nested(assignment)) => nested.locate(assignment, base, positions),
                    _ => false,
                };
                if fits {
                    let after: usize = values[number + 1..].iter().map(Choice::dimensions).sum();
                    positions.resize(positions.len() + after, 0.5);
                    return true;
                }
                positions.truncate(start);
            }
            false
        }
        (Distribution::Randint { upper }, Drawn::Scalar(Scalar::Int(number))) => {
            let Some(number) = u64::try_from(*number).ok().filter(|number| number < upper) else { return false };
            positions.push(middle(number, *upper));
            true
        }
        (distribution, Drawn::Scalar(scalar)) => {
            let value = match scalar {
                Scalar::Float(number) => *number,
                #[expect(clippy::cast_precision_loss, reason = "a position")]
                Scalar::Int(number) => *number as f64,
                Scalar::Text(_) => return false,
            };
            let Some(real) = distribution.real() else { return false };
            positions.push(real.position(value, base));
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{all_kinds, ints, space, texts};
    use super::super::{Algorithm, Goal, Rule, propose};
    use super::*;

    fn random(space: &SearchSpace, index: usize) -> Assignment {
        let algorithm = Algorithm::Random { seed: None, rule: Rule::Random, logbase: None };
        propose(space, &algorithm, Goal::Minimize, 5, index, &[]).unwrap()
    }

    #[test]
    fn parameters_are_numbered_in_the_authors_order() {
        let space = all_kinds();
        let paths: Vec<String> = space.parameters().into_iter().map(|parameter| parameter.path).collect();
        let expected = [
            "u",
            "model",
            "model[0].c",
            "model[0].kind",
            "model[1].depth",
            "model[1].rate",
            "batch",
            "n",
            "qn",
            "ln",
            "qln",
            "qlu",
        ];
        assert_eq!(paths, expected);
        assert_eq!(space.dimensions(), expected.len());
        assert_eq!(space.parameters()[3].parent, Some((1, 0)));
    }

    #[test]
    fn conditional_parameters_come_with_their_value_only() {
        let drawn: Vec<Assignment> = (0..100).map(|index| random(&all_kinds(), index)).collect();
        let models: Vec<String> = drawn.iter().map(|assignment| assignment.0[1].1.json()).collect();
        let starting = |start: &str| models.iter().filter(|model| model.starts_with(start)).count();
        let counts = [r#"{"c": "#, r#"{"depth": "#, r#""constant""#].map(starting);
        assert!(counts.iter().sum::<usize>() == 100 && counts.iter().all(|count| *count > 20), "{counts:?}");
    }

    #[test]
    fn an_assignment_leads_to_positions_and_back() {
        let space = all_kinds();
        for index in 0..300 {
            let drawn = random(&space, index);
            let positions = space.positions(&drawn, None).unwrap();
            let again = space.at(&positions, None).unwrap();
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
            assert!(space.positions(&again, None).unwrap().iter().zip(&positions).all(close), "{drawn:?}");
            // What has no real numbers is the same, not only close.
            assert_eq!((&again.0[2], &again.0[4]), (&drawn.0[2], &drawn.0[4]));
        }
    }

    #[test]
    fn equal_names_in_nested_spaces_are_told_apart_by_their_values() {
        let values = vec![
            Choice::Nested(space(&[("a", texts(&["x"])), ("n", ints(&[1, 2]))])),
            Choice::Nested(space(&[("a", texts(&["y"])), ("n", ints(&[1, 2]))])),
        ];
        let space = space(&[("model", Distribution::Choice { values }), ("last", ints(&[7, 8]))]);
        for index in 0..50 {
            let drawn = random(&space, index);
            let positions = space.positions(&drawn, None).unwrap();
            assert_eq!(space.at(&positions, None).unwrap(), drawn);
        }
    }

    #[test]
    fn what_is_not_of_the_space_has_no_positions() {
        let (space, other) = (all_kinds(), space(&[("u", ints(&[1]))]));
        assert_eq!(space.positions(&random(&other, 0), None), None);
        let mut drawn = random(&space, 0);
        drawn.0[1].1 = Drawn::Scalar(Scalar::Text("another".to_owned()));
        assert_eq!(space.positions(&drawn, None), None);
    }
}
