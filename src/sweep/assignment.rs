//! What was drawn for one trial, and how its command gets it: as Python's `str()` writes the value.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::number::python_float;

/// The values of a trial's parameters, in the author's order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assignment(pub Vec<(String, Drawn)>);

/// The value of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Drawn {
    /// A number or a text.
    Scalar(Scalar),
    /// What was drawn from a nested search space.
    Nested(Assignment),
}

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
}

impl Assignment {
    /// Each parameter's name, and its value as the trial's command gets it. A nested draw is its JSON text.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, drawn)| (name.clone(), drawn.text())).collect()
    }

    /// The mapping as Python's `json.dumps` writes it.
    #[must_use]
    pub fn json(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(name, drawn)| quoted(name) + ": " + &drawn.json()).collect();
        format!("{{{}}}", members.join(", "))
    }
}

impl Assignment {
    /// The values for a record: mappings stay mappings.
    #[must_use]
    pub fn record(&self) -> Vec<(String, serde_json::Value)> {
        self.0.iter().map(|(name, drawn)| (name.clone(), drawn.record())).collect()
    }

    /// The assignment in a record. `None` if it has other values than those that are drawn.
    #[must_use]
    pub fn recorded(values: &[(String, serde_json::Value)]) -> Option<Self> {
        values
            .iter()
            .map(|(name, value)| Some((name.clone(), Drawn::recorded(value)?)))
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl Drawn {
    fn record(&self) -> serde_json::Value {
        match self {
            Self::Scalar(Scalar::Int(number)) => (*number).into(),
            Self::Scalar(Scalar::Float(number)) => (*number).into(),
            Self::Scalar(Scalar::Text(text)) => text.as_str().into(),
            Self::Nested(assignment) => serde_json::Value::Object(assignment.record().into_iter().collect()),
        }
    }

    fn recorded(value: &serde_json::Value) -> Option<Self> {
        use serde_json::Value as Json;
        Some(match value {
            Json::String(text) => Scalar::Text(text.clone()).into(),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Scalar::Int(number).into(),
                None => Scalar::Float(number.as_f64()?).into(),
            },
            Json::Object(values) => {
                let values: Vec<_> = values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                Self::Nested(Assignment::recorded(&values)?)
            }
            _ => return None,
        })
    }

    /// The value as the trial's command gets it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Scalar(Scalar::Int(number)) => number.to_string(),
            Self::Scalar(Scalar::Float(number)) => python_float(*number),
            Self::Scalar(Scalar::Text(text)) => text.clone(),
            Self::Nested(assignment) => assignment.json(),
        }
    }

    /// The value as Python's `json.dumps` writes it.
    #[must_use]
    pub fn json(&self) -> String {
        match self {
            Self::Scalar(Scalar::Text(text)) => quoted(text),
            Self::Scalar(Scalar::Float(number)) if number.is_nan() => "NaN".to_owned(),
            Self::Scalar(Scalar::Float(number)) if number.is_infinite() => {
                if *number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            }
            other => other.text(),
        }
    }
}

impl From<Scalar> for Drawn {
    fn from(scalar: Scalar) -> Self {
        Self::Scalar(scalar)
    }
}

/// A JSON string in ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(members: &[(&str, Drawn)]) -> Assignment {
        Assignment(members.iter().map(|(name, drawn)| ((*name).to_owned(), drawn.clone())).collect())
    }

    fn float(number: f64) -> Drawn {
        Scalar::Float(number).into()
    }

    fn text(text: &str) -> Drawn {
        Scalar::Text(text.to_owned()).into()
    }

    #[test]
    fn a_record_gives_the_assignment_again() {
        let nested = Assignment(vec![
            ("z".to_owned(), Scalar::Float(5.0).into()),
            ("a".to_owned(), Scalar::Text("x".to_owned()).into()),
        ]);
        let all = Assignment(vec![("n".to_owned(), Scalar::Int(-3).into()), ("m".to_owned(), Drawn::Nested(nested))]);
        let text = serde_json::to_string(&all.record()).unwrap();
        assert_eq!(text, r#"[["n",-3],["m",{"z":5.0,"a":"x"}]]"#);
        let read: Vec<(String, serde_json::Value)> = serde_json::from_str(&text).unwrap();
        assert_eq!(Assignment::recorded(&read), Some(all));
    }

    #[test]
    fn a_command_gets_values_as_python_writes_them() {
        for (drawn, written) in [
            (Scalar::Int(5).into(), "5"),
            (Scalar::Int(-3).into(), "-3"),
            (float(0.1), "0.1"),
            (float(5.0), "5.0"),
            (float(1e-5), "1e-05"),
            (float(0.0001), "0.0001"),
            (float(0.1 + 0.2), "0.30000000000000004"),
            (float(1e16), "1e+16"),
            (float(123_456_789_012_345.0), "123456789012345.0"),
            (text("hello"), "hello"),
            (text("two words"), "two words"),
        ] {
            assert_eq!(drawn.text(), written);
        }
    }

    /// The expected text is what Python's `json.dumps` prints for this mapping.
    #[test]
    fn a_nested_draw_is_json_as_python_writes_it() {
        let inner = assignment(&[("depth", Scalar::Int(3).into()), ("rate", float(1e-7))]);
        let name = "a\"b\\c\nd\te\u{1}f\u{7f}é€😀/";
        let outer = assignment(&[("name", text(name)), ("inner", Drawn::Nested(inner)), ("all", float(2.0))]);
        let json = r#"{"name": "a\"b\\c\nd\te\u0001f\u007f\u00e9\u20ac\ud83d\ude00/", "inner": {"depth": 3, "rate": 1e-07}, "all": 2.0}"#;
        let model = assignment(&[("lr", float(0.5)), ("model", Drawn::Nested(outer))]);
        assert_eq!(model.texts(), [("lr".to_owned(), "0.5".to_owned()), ("model".to_owned(), json.to_owned())]);
    }

    #[test]
    fn a_record_keeps_types_and_digits() {
        let nested = assignment(&[("x", Scalar::Int(1).into())]);
        let all = assignment(&[
            ("i", Scalar::Int(5).into()),
            ("f", float(5.0)),
            ("g", float(0.1 + 0.2)),
            ("t", text("5")),
            ("n", Drawn::Nested(nested)),
            ("e", Drawn::Nested(Assignment::default())),
        ]);
        let record = serde_json::to_string(&all).unwrap();
        assert_eq!(record, r#"[["i",5],["f",5.0],["g",0.30000000000000004],["t","5"],["n",[["x",1]]],["e",[]]]"#);
        assert_eq!(serde_json::from_str::<Assignment>(&record).unwrap(), all);
    }
}
