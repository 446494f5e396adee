//! The arguments of a request, from a query string or a JSON body. Parsing is as lenient as MLflow's, with MLflow's
//! error messages.
//!
//! Numbers may be strings, `run_uuid` is `run_id`, unknown fields are ignored, `null` is absent.

use serde_json::{Map, Value};

use super::error::{Result, TrackingError};
use super::model::Tag;

/// The arguments of one request, by name.
#[derive(Clone, Debug, Default)]
pub struct Args(Map<String, Value>);

impl Args {
    /// Parses the pairs of a query string; a repeated key is a list.
    #[must_use]
    pub fn from_query(pairs: Vec<(String, String)>) -> Self {
        let mut map = Map::new();
        for (key, value) in pairs {
            match map.get_mut(&key) {
                Some(Value::Array(list)) => list.push(value.into()),
                Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
                None => drop(map.insert(key, value.into())),
            }
        }
        Self(map)
    }

    /// Parses a JSON body. As in MLflow, an empty body has no arguments.
    ///
    /// # Errors
    /// A body that is not a JSON object.
    pub fn from_json(body: &[u8]) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(TrackingError::Invalid("The request body must be a JSON object.".to_owned())),
            Err(error) => Err(TrackingError::Invalid(format!("The request body is not valid JSON: {error}"))),
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// An optional string.
    ///
    /// # Errors
    /// A value that is not a string.
    pub fn maybe_text(&self, key: &str) -> Result<Option<&str>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(TrackingError::invalid_value(&other.to_string(), key, "it must be a string.")),
        }
    }

    /// A required string that is not empty.
    ///
    /// # Errors
    /// A missing value, or one that is not a string.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.maybe_text(key)?.filter(|text| !text.is_empty()).ok_or_else(|| missing(key))
    }

    /// A required string that may be empty.
    ///
    /// # Errors
    /// A missing value, or one that is not a string.
    pub fn text_or_empty(&self, key: &str) -> Result<&str> {
        self.maybe_text(key)?.ok_or_else(|| missing(key))
    }

    /// `run_id`, or `run_uuid` from old clients.
    ///
    /// # Errors
    /// Both are missing.
    pub fn run_id(&self) -> Result<&str> {
        match self.maybe_text("run_id")?.filter(|text| !text.is_empty()) {
            Some(id) => Ok(id),
            None => self.maybe_text("run_uuid")?.filter(|id| !id.is_empty()).ok_or_else(|| missing("run_id")),
        }
    }

    /// An optional whole number; a string of digits is accepted.
    ///
    /// # Errors
    /// Another value.
    pub fn maybe_integer(&self, key: &str) -> Result<Option<i64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let wrong = || TrackingError::invalid_value(&value.to_string(), key, "it must be a whole number.");
        number.map(Some).ok_or_else(wrong)
    }

    /// A required whole number.
    ///
    /// # Errors
    /// A missing or another value.
    pub fn integer(&self, key: &str) -> Result<i64> {
        self.maybe_integer(key)?.ok_or_else(|| missing(key))
    }

    /// A required floating-point number; `"1.5"`, `"NaN"`, `"Infinity"` and `"-Infinity"` are accepted.
    ///
    /// # Errors
    /// A missing or another value.
    pub fn number(&self, key: &str) -> Result<f64> {
        let value = self.value(key).ok_or_else(|| missing(key))?;
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| TrackingError::invalid_value(&value.to_string(), key, "it must be a number."))
    }

    /// Whether a flag is set; absent means false.
    ///
    /// # Errors
    /// A value that is not a boolean.
    pub fn flag(&self, key: &str) -> Result<bool> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(other) => Err(TrackingError::invalid_value(&other.to_string(), key, "it must be true or false.")),
        }
    }

    /// The strings of a list. Absent is an empty list; one string is a list of one.
    ///
    /// # Errors
    /// A value that is not a string.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let wrong = |value: &Value| TrackingError::invalid_value(&value.to_string(), key, "it must be a string.");
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => list.iter().map(|value| value.as_str().ok_or_else(|| wrong(value))).collect(),
            Some(other) => Err(wrong(other)),
        }
    }

    /// The objects of a list, each as separate arguments; absent is an empty list.
    ///
    /// # Errors
    /// A value that is not an object.
    pub fn records(&self, key: &str) -> Result<Vec<Args>> {
        let wrong = |value: &Value| TrackingError::invalid_value(&value.to_string(), key, "it must be an object.");
        let record = |value: &Value| value.as_object().cloned().map(Args).ok_or_else(|| wrong(value));
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(record).collect(),
            Some(other) => Err(TrackingError::invalid_value(&other.to_string(), key, "it must be a list.")),
        }
    }

    /// The `{key, value}` pairs of a list; absent is an empty list.
    ///
    /// # Errors
    /// Another value in the list.
    pub fn pairs(&self, key: &str) -> Result<Vec<Tag>> {
        self.records(key)?.iter().map(Args::pair).collect()
    }

    /// The `key` and `value` of these arguments.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn pair(&self) -> Result<Tag> {
        Ok(Tag::new(self.text("key")?, self.text_or_empty("value")?))
    }

    /// The most results on a page: absent means `default`, more than `most` is an error.
    ///
    /// # Errors
    /// Anything but a number from 1 to `most`.
    pub fn max_results(&self, default: usize, most: usize) -> Result<usize> {
        let Some(number) = self.maybe_integer("max_results")? else { return Ok(default) };
        let number = usize::try_from(number).ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| {
            let value = self.value("max_results").map(ToString::to_string).unwrap_or_default();
            TrackingError::invalid_value(&value, "max_results", &format!("it must be at least 1 and at most {most}."))
        })
    }
}

fn missing(key: &str) -> TrackingError {
    let message = format!(
        "Missing value for required parameter '{key}'. See the API docs for more information about request parameters."
    );
    TrackingError::Invalid(message)
}

/// A whole number that was written as a floating-point number.
fn whole(number: f64) -> Option<i64> {
    // Within 2^53 every whole f64 is exact, so the conversion loses nothing.
    #[allow(clippy::cast_possible_truncation)]
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: &str) -> Args {
        Args::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_may_be_strings() {
        let args = args(r#"{"a":"2","b":3,"c":4.0,"d":"1.5","e":"-Infinity","f":"NaN","g":true}"#);
        assert_eq!((args.integer("a").unwrap(), args.integer("b").unwrap(), args.integer("c").unwrap()), (2, 3, 4));
        assert_eq!((args.number("d").unwrap(), args.number("e").unwrap()), (1.5, f64::NEG_INFINITY));
        assert!(args.number("f").unwrap().is_nan());
        assert!(args.integer("d").is_err() && args.number("g").is_err());
    }

    #[test]
    fn the_words_for_mistakes_are_mlflow_s() {
        let args = args(r#"{"name":123,"empty":"","gone":null}"#);
        let say = |result: Result<&str>| result.unwrap_err().to_string();
        assert!(say(args.text("name")).starts_with("Invalid value 123 for parameter 'name' supplied: "));
        for key in ["empty", "gone", "absent"] {
            assert_eq!(
                say(args.text(key)),
                format!(
                    "Missing value for required parameter '{key}'. See the API docs for more information about \
                     request parameters."
                )
            );
        }
        assert_eq!(args.text_or_empty("empty").unwrap(), "");
    }

    #[test]
    fn either_name_of_a_run_id_will_do() {
        assert_eq!(args(r#"{"run_uuid":"r"}"#).run_id().unwrap(), "r");
        assert_eq!(args(r#"{"run_uuid":"r","run_id":"s"}"#).run_id().unwrap(), "s");
    }

    #[test]
    fn repeated_query_keys_are_a_list() {
        let pair = |value: &str| ("order_by".to_owned(), value.to_owned());
        assert_eq!(Args::from_query(vec![pair("a"), pair("b"), pair("c")]).texts("order_by").unwrap(), ["a", "b", "c"]);
        assert_eq!(Args::from_query(vec![pair("a")]).texts("order_by").unwrap(), ["a"]);
    }
}
