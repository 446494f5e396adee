//! JSON objects and the values that go into them.

use serde_json::{Map, Value as Json, json};

use super::super::value::{Data, Object, Value};
use crate::yaml::Literal;

/// A JSON object.
pub(super) type Fields = Map<String, Json>;

/// A free value as JSON.
pub(super) fn plain(value: &Value) -> Json {
    match &value.data {
        Data::Null | Data::Unread => Json::Null,
        Data::Bool(it) => Json::Bool(*it),
        Data::Int(digits) => {
            digits.parse::<i64>().map(Json::from).unwrap_or_else(|_| json!(digits.parse::<f64>().ok()))
        }
        Data::Float(it) => json!(it),
        Data::Text(text) | Data::Date(text) => Json::from(text.as_str()),
        Data::List(items) => Json::Array(items.iter().map(plain).collect()),
        Data::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
        Data::Object(object) => Json::Object(object.fields.iter().map(|e| (e.key.clone(), plain(&e.value))).collect()),
    }
}

/// Python's `str()` of a scalar.
pub(super) fn python_str(value: &Value) -> String {
    value.literal().as_ref().map(Literal::python_str).unwrap_or_default()
}

/// Takes out what is null or an empty mapping, as the SDK does before it sends.
pub(super) fn without_empty(json: Json) -> Json {
    match json {
        Json::Object(fields) => {
            Json::Object(fields.into_iter().map(|(k, v)| (k, without_empty(v))).filter(|(_, v)| !is_empty(v)).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_empty).filter(|v| !is_empty(v)).collect()),
        other => other,
    }
}

pub(super) fn is_empty(json: &Json) -> bool {
    json.is_null() || json.as_object().is_some_and(Map::is_empty)
}

/// Puts a field unless it is absent or null.
pub(super) fn put(fields: &mut Fields, key: &str, value: Option<Json>) {
    if let Some(value) = value.filter(|v| !v.is_null()) {
        fields.insert(key.to_owned(), value);
    }
}

/// A field's free value.
pub(super) fn get(object: &Object, name: &str) -> Option<Json> {
    object.get(name).map(plain)
}

/// Seconds as an ISO 8601 duration, as Python's `isodate` prints them: `PT1H`, `PT1M30S`, `P1DT2H`.
pub(super) fn duration(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = "P".to_owned();
    if days != 0 {
        text += &format!("{days}D");
    }
    if rest == 0 {
        return if days == 0 { "PT0S".to_owned() } else { text };
    }
    text.push('T');
    for (count, unit) in [(hours, 'H'), (minutes, 'M'), (seconds, 'S')] {
        if count != 0 {
            text += &format!("{count}{unit}");
        }
    }
    text
}

/// A field's integer.
pub(super) fn integer(object: &Object, name: &str) -> Option<i64> {
    match &object.get(name)?.data {
        Data::Int(digits) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_python() {
        assert_eq!(duration(90), "PT1M30S");
        assert_eq!(duration(3600), "PT1H");
        assert_eq!(duration(0), "PT0S");
        assert_eq!(duration(86_400), "P1D");
        assert_eq!(duration(93_600), "P1DT2H");
    }
}
