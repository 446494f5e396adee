//! `--require 'accuracy>=0.9'`: a condition on a metric that a model must meet.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A requirement is invalid or was not met.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequireError {
    /// A requirement names an unknown metric.
    #[error("--require '{requirement}': unknown metric '{metric}'{near}; use one of: {known}")]
    Unknown {
        /// The requirement as given.
        requirement: String,
        /// The metric's name in it.
        metric: String,
        /// A similar name, or empty.
        near: String,
        /// All metrics.
        known: String,
    },
    /// The model does not meet the requirements.
    #[error("requirements not met: {}", .0.join("; "))]
    NotMet(Vec<String>),
}

/// A metric, a comparison, and a bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    metric: String,
    comparison: Comparison,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Comparison {
    /// Longer operators first, because `>=` begins with `>`.
    const ALL: [(&'static str, Self); 4] =
        [(">=", Self::AtLeast), ("<=", Self::AtMost), (">", Self::Above), ("<", Self::Below)];

    /// NaN never meets a bound.
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtLeast => value >= bound,
            Self::Above => value > bound,
            Self::AtMost => value <= bound,
            Self::Below => value < bound,
        }
    }
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a condition; use for example 'accuracy>=0.9' (>=, >, <=, <)");
        // The first operator in the text is used. At the same position, the longer one wins because it is listed first.
        let found = Comparison::ALL.iter().filter_map(|(sign, comparison)| Some((text.find(sign)?, sign, *comparison)));
        let (at, sign, comparison) = found.min_by_key(|(at, ..)| *at).ok_or_else(wrong)?;
        let metric = text[..at].trim();
        let bound: f64 = text[at + sign.len()..].trim().parse().map_err(|_| wrong())?;
        if metric.is_empty() || !bound.is_finite() {
            return Err(wrong());
        }
        Ok(Self { metric: metric.to_owned(), comparison, bound })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Comparison::ALL.iter().find(|(_, comparison)| *comparison == self.comparison);
        write!(f, "{}{}{}", self.metric, sign.map_or("", |(sign, _)| sign), self.bound)
    }
}

impl Requirement {
    /// Whether the metrics meet it, and the metric's value.
    ///
    /// # Errors
    /// When there is no such metric.
    pub fn check(&self, metrics: &BTreeMap<String, f64>) -> Result<(bool, f64), RequireError> {
        match metrics.get(&self.metric) {
            Some(&value) => Ok((self.comparison.holds(value, self.bound), value)),
            None => Err(RequireError::Unknown {
                requirement: self.to_string(),
                metric: self.metric.clone(),
                near: crate::data::closest(&self.metric, metrics.keys())
                    .map_or_else(String::new, |near| format!(", did you mean '{near}'?")),
                known: metrics.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> BTreeMap<String, f64> {
        BTreeMap::from([("accuracy".to_owned(), 0.9), ("log_loss".to_owned(), f64::NAN)])
    }

    #[test]
    fn the_border_belongs_to_or_equal() {
        for (text, met) in
            [("accuracy>=0.9", true), ("accuracy > 0.9", false), ("accuracy<=0.9", true), ("accuracy<0.9", false)]
        {
            let requirement: Requirement = text.parse().unwrap();
            assert_eq!(requirement.check(&metrics()).unwrap().0, met, "{text}");
        }
    }

    #[test]
    fn not_a_number_meets_nothing() {
        for text in ["log_loss<1", "log_loss>=0"] {
            assert!(!text.parse::<Requirement>().unwrap().check(&metrics()).unwrap().0, "{text}");
        }
    }

    #[test]
    fn an_unknown_metric_lists_the_known() {
        let error = "acuracy>=0.9".parse::<Requirement>().unwrap().check(&metrics()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--require 'acuracy>=0.9': unknown metric 'acuracy', did you mean 'accuracy'?; \
             use one of: accuracy, log_loss"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["accuracy", "accuracy=0.9", ">=0.9", "accuracy>=much", "accuracy>=inf"] {
            assert!(text.parse::<Requirement>().is_err(), "{text}");
        }
    }
}
