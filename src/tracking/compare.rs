//! Evaluates the comparisons of a filter for values of a record: searches in memory.

use super::error::{Result, TrackingError};
use super::filter::{Comparison, Field, Op, Operand};

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A string.
    Text(String),
    /// A number.
    Number(f64),
}

impl Comparison {
    /// Whether the comparison matches the value of this field; without a value, only `IS NULL` matches.
    ///
    /// # Errors
    /// An operator or a value that does not fit the field's type.
    pub fn holds(&self, found: Option<Found>) -> Result<bool> {
        match (self.op, found) {
            (Op::IsNull, found) => Ok(found.is_none()),
            (Op::IsNotNull, found) => Ok(found.is_some()),
            (_, None) => Ok(false),
            (_, Some(Found::Number(number))) => self.number_holds(number),
            (_, Some(Found::Text(text))) => self.text_holds(&text),
        }
    }

    fn number_holds(&self, number: f64) -> Result<bool> {
        let Operand::Number(operand) = self.operand else { return self.mismatch("a number") };
        match self.op {
            Op::Equal => Ok((number - operand).abs() == 0.0),
            Op::NotEqual => Ok((number - operand).abs() != 0.0),
            Op::Less => Ok(number < operand),
            Op::LessOrEqual => Ok(number <= operand),
            Op::Greater => Ok(number > operand),
            Op::GreaterOrEqual => Ok(number >= operand),
            _ => self.mismatch("a number"),
        }
    }

    fn text_holds(&self, text: &str) -> Result<bool> {
        match (self.op, &self.operand) {
            (Op::Equal, Operand::Text(operand)) => Ok(text == operand),
            (Op::NotEqual, Operand::Text(operand)) => Ok(text != operand),
            (Op::Like, Operand::Text(pattern)) => Ok(like(text, pattern)),
            (Op::Ilike, Operand::Text(pattern)) => Ok(like(&text.to_lowercase(), &pattern.to_lowercase())),
            (Op::In, Operand::List(list)) => Ok(list.iter().any(|item| item == text)),
            (Op::NotIn, Operand::List(list)) => Ok(list.iter().all(|item| item != text)),
            _ => self.mismatch("a string"),
        }
    }

    /// The error for an operator or value that does not fit a field of this type.
    pub(crate) fn mismatch<T>(&self, what: &str) -> Result<T> {
        let name = self.field.name();
        Err(TrackingError::Invalid(match what {
            "a number" => {
                format!("'{name}' is {what}: compare it with >, >=, =, !=, <= or < and a number without quotes")
            }
            _ => format!("'{name}' is {what}: compare it with =, !=, LIKE, ILIKE or IN and a string in quotes"),
        }))
    }
}

impl Field {
    /// The key or the attribute's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Attribute(name) | Self::Metric(name) | Self::Param(name) | Self::Tag(name) => name,
        }
    }

    /// The error for a field that the records do not have.
    pub(crate) fn unknown<T>(&self, known: &[&str]) -> Result<T> {
        let known = known.join("', '");
        Err(TrackingError::Invalid(format!(
            "Invalid attribute key '{}' specified. Valid keys are '{known}'",
            self.name()
        )))
    }
}

/// SQL's LIKE: `%` is any text, `_` one character.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '_' || *c == text[t] => (t, p) = (t + 1, p + 1),
            // Let the last `%` match one more character.
            _ => match back {
                Some((after, start)) => {
                    back = Some((after, start + 1));
                    (t, p) = (start + 1, after);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tracking::filter::parse;

    fn one(filter: &str) -> Comparison {
        parse(filter).unwrap().remove(0)
    }

    #[test]
    fn like_is_sql_s() {
        for (text, pattern, holds) in [
            ("simple-torch-model", "simple%", true),
            ("simple-torch-model", "%torch%model", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("", "%", true),
            ("aab", "%ab", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(like(text, pattern), holds, "{text} LIKE {pattern}");
        }
        assert!(one("n ILIKE 'ABC'").holds(Some(Found::Text("abc".into()))).unwrap());
    }

    #[test]
    fn a_missing_key_makes_every_comparison_false() {
        for filter in ["tags.x = 'a'", "tags.x != 'a'", "tags.x LIKE '%'", "tags.x IS NOT NULL"] {
            assert!(!one(filter).holds(None).unwrap(), "{filter}");
        }
        assert!(one("tags.x IS NULL").holds(None).unwrap());
        one("tags.x = 1").holds(Some(Found::Text("1".into()))).unwrap_err();
    }

    proptest! {
        #[test]
        fn a_pattern_of_its_own_text_matches(text in "[a-z]{0,12}") {
            prop_assert!(like(&text, &text));
            let pattern = format!("%{text}%");
            prop_assert!(like(&text, &pattern));
        }
    }
}
