//! Every combination once, in the author's order, the last parameter fastest.

use std::collections::HashSet;

use super::assignment::{Assignment, Drawn, Scalar};
use super::real::Shape;
use super::space::{Choice, Distribution, SearchSpace};

/// The first combinations of a space, at most `limit`. `None` if a parameter is continuous or has no bounds.
pub(super) fn combinations(space: &SearchSpace, limit: usize) -> Option<Vec<Assignment>> {
    let mut all = vec![Assignment::default()];
    // From the last parameter to the first: the combinations of those behind it are repeated for each value.
    for (name, distribution) in space.0.iter().rev() {
        let values = values(distribution, limit)?;
        let product = values.iter().flat_map(|value| all.iter().map(move |rest| (value, rest)));
        all = product
            .take(limit)
            .map(|(value, rest)| {
                let first = std::iter::once((name.clone(), value.clone()));
                Assignment(first.chain(rest.0.iter().cloned()).collect())
            })
            .collect();
    }
    Some(all)
}

/// The first different values of a parameter.
fn values(distribution: &Distribution, limit: usize) -> Option<Vec<Drawn>> {
    match distribution {
        Distribution::Choice { values } => {
            let mut all = Vec::new();
            for value in values {
                match value {
                    Choice::Value(scalar) => all.push(scalar.clone().into()),
                    // Nested spaces can have combinations in common: look at enough to find `limit` new ones.
                    Choice::Nested(nested) => {
                        all.extend(
                            combinations(nested, limit.saturating_add(all.len()))?.into_iter().map(Drawn::Nested),
                        );
                    }
                }
            }
            let mut known = HashSet::new();
            all.retain(|value| known.insert(value.json()));
            all.truncate(limit);
            Some(all)
        }
        Distribution::Randint { upper } => {
            let upper = i64::try_from(*upper).unwrap_or(i64::MAX);
            Some((0..upper).take(limit).map(|number| Scalar::Int(number).into()).collect())
        }
        other => {
            let real = other.real()?;
            let (Shape::Flat { min, max }, Some(q), false) = (real.shape, real.q, real.is_log) else { return None };
            let (first, last) = ((min / q).round_ties_even(), (max / q).round_ties_even());
            let multiples = std::iter::successors(Some(first), |number| Some(number + 1.0));
            let multiples = multiples.take_while(|number| *number <= last).take(limit);
            Some(multiples.map(|number| Scalar::Float(number * q + 0.0).into()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{ints, space, texts};
    use super::super::{Algorithm, Goal, propose};
    use super::*;

    fn grid(space: &SearchSpace) -> Vec<String> {
        let point = |index| propose(space, &Algorithm::Grid, Goal::Minimize, 0, index, &[]);
        (0..).map_while(point).map(|assignment| assignment.json()).collect()
    }

    #[test]
    fn the_last_parameter_is_the_fastest() {
        let found = grid(&space(&[("b", texts(&["x", "y", "x"])), ("a", ints(&[2, 1, 2, 2]))]));
        let expected =
            [r#"{"b": "x", "a": 2}"#, r#"{"b": "x", "a": 1}"#, r#"{"b": "y", "a": 2}"#, r#"{"b": "y", "a": 1}"#];
        assert_eq!(found, expected);
    }

    #[test]
    fn nested_choices_are_expanded() {
        let deep = space(&[("depth", ints(&[1, 2])), ("width", ints(&[8]))]);
        let again = space(&[("depth", ints(&[2, 3])), ("width", ints(&[8]))]);
        let none = Choice::Value(Scalar::Text("none".to_owned()));
        let values = vec![Choice::Nested(deep), none, Choice::Nested(again)];
        let found = grid(&space(&[("model", Distribution::Choice { values }), ("seed", ints(&[0, 1]))]));
        let models =
            [r#"{"depth": 1, "width": 8}"#, r#"{"depth": 2, "width": 8}"#, r#""none""#, r#"{"depth": 3, "width": 8}"#];
        let expected: Vec<String> = models
            .iter()
            .flat_map(|model| [0, 1].map(|seed| format!(r#"{{"model": {model}, "seed": {seed}}}"#)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn whole_and_rounded_numbers_have_a_grid_and_others_have_none() {
        let rounded = Distribution::QUniform { min: 0.0, max: 1.0, q: 0.5 };
        let found = grid(&space(&[("i", Distribution::Randint { upper: 2 }), ("q", rounded)]));
        assert_eq!(found.len(), 6);
        assert_eq!((found[0].as_str(), found[5].as_str()), (r#"{"i": 0, "q": 0.0}"#, r#"{"i": 1, "q": 1.0}"#));
        assert_eq!(grid(&space(&[("x", Distribution::Uniform { min: 0.0, max: 1.0 })])), [""; 0]);
        assert_eq!(grid(&space(&[("x", ints(&[]))])), [""; 0]);
    }

    #[test]
    fn the_start_of_an_enormous_grid_is_quick() {
        let huge = Distribution::Randint { upper: u64::MAX };
        let space = space(&[("a", huge.clone()), ("b", huge.clone()), ("c", huge)]);
        let found = propose(&space, &Algorithm::Grid, Goal::Maximize, 0, 999, &[]).unwrap();
        assert_eq!(found.json(), r#"{"a": 0, "b": 0, "c": 999}"#);
    }

    /// Spaces of choices, nested up to three levels.
    fn spaces() -> impl Strategy<Value = SearchSpace> {
        let scalar = (0_i64..4).prop_map(|number| Choice::Value(Scalar::Int(number))).boxed();
        let choice = scalar.prop_recursive(2, 16, 3, |inner| {
            let parameter = proptest::collection::vec(inner, 1..4).prop_map(|values| Distribution::Choice { values });
            proptest::collection::vec(parameter, 0..3).prop_map(|parameters| {
                let named = parameters.into_iter().zip("abc".chars()).map(|(one, name)| (name.to_string(), one));
                Choice::Nested(SearchSpace(named.collect()))
            })
        });
        let parameter = proptest::collection::vec(choice, 1..4).prop_map(|values| Distribution::Choice { values });
        proptest::collection::vec(parameter, 0..3).prop_map(|parameters| {
            let named = parameters.into_iter().zip("xyz".chars()).map(|(one, name)| (name.to_string(), one));
            SearchSpace(named.collect())
        })
    }

    /// All combinations, by the definition.
    fn product(space: &SearchSpace) -> HashSet<String> {
        let mut all: Vec<Vec<(String, Drawn)>> = vec![vec![]];
        for (name, distribution) in &space.0 {
            let Distribution::Choice { values } = distribution else { panic!("only choices") };
            let expanded: Vec<Drawn> = values
                .iter()
                .flat_map(|value| match value {
                    Choice::Value(scalar) => vec![scalar.clone().into()],
                    Choice::Nested(nested) => {
                        combinations(nested, usize::MAX).unwrap().into_iter().map(Drawn::Nested).collect()
                    }
                })
                .collect();
            let with = |start: &Vec<(String, Drawn)>, value: &Drawn| {
                start.iter().cloned().chain([(name.clone(), value.clone())]).collect()
            };
            all = all
                .iter()
                .flat_map(|start| expanded.iter().map(|value| with(start, value)).collect::<Vec<_>>())
                .collect();
        }
        all.into_iter().map(|members| Assignment(members).json()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_grid_has_every_combination_once(space in spaces()) {
            let all = combinations(&space, 5000).unwrap();
            prop_assume!(all.len() < 5000);
            let all: Vec<String> = all.iter().map(Assignment::json).collect();
            let different: HashSet<String> = all.iter().cloned().collect();
            prop_assert_eq!(different.len(), all.len());
            prop_assert_eq!(different, product(&space));
            // Each proposal is the one of the whole list.
            for index in [0, 1, all.len() / 2, all.len() - 1, all.len()] {
                let proposed = propose(&space, &Algorithm::Grid, Goal::Minimize, 0, index, &[]);
                prop_assert_eq!(proposed.map(|assignment| assignment.json()), all.get(index).cloned());
            }
        }
    }
}
