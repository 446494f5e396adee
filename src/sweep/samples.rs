//! Search spaces for tests.

use super::{Choice, Distribution, Scalar, SearchSpace};

/// A search space from pairs.
pub(super) fn space(parameters: &[(&str, Distribution)]) -> SearchSpace {
    SearchSpace(parameters.iter().map(|(name, distribution)| ((*name).to_owned(), distribution.clone())).collect())
}

/// A choice of texts.
pub(super) fn texts(values: &[&str]) -> Distribution {
    Distribution::Choice { values: values.iter().map(|text| Choice::Value(Scalar::Text((*text).to_owned()))).collect() }
}

/// A choice of whole numbers.
pub(super) fn ints(values: &[i64]) -> Distribution {
    Distribution::Choice { values: values.iter().map(|value| Choice::Value(Scalar::Int(*value))).collect() }
}

/// A space with every distribution and with conditional parameters.
pub(super) fn all_kinds() -> SearchSpace {
    use Distribution::*;
    let kernel = space(&[("c", LogUniform { min: -3.0, max: 3.0 }), ("kind", texts(&["rbf", "linear"]))]);
    let tree = space(&[("depth", Randint { upper: 12 }), ("rate", QUniform { min: 0.0, max: 1.0, q: 0.1 })]);
    let models = vec![
        super::Choice::Nested(kernel),
        super::Choice::Nested(tree),
        super::Choice::Value(Scalar::Text("constant".to_owned())),
    ];
    space(&[
        ("u", Uniform { min: -1.0, max: 1.0 }),
        ("model", Choice { values: models }),
        ("batch", ints(&[16, 32, 64])),
        ("n", Normal { mu: 0.0, sigma: 2.0 }),
        ("qn", QNormal { mu: 10.0, sigma: 2.0, q: 1.0 }),
        ("ln", LogNormal { mu: 0.0, sigma: 1.0 }),
        ("qln", QLogNormal { mu: 2.0, sigma: 1.0, q: 1.0 }),
        ("qlu", QLogUniform { min: 0.0, max: 5.0, q: 2.0 }),
    ])
}
