//! `{"document": …, "origins": {path: origin}}`.

use serde_json::{Map, Value as Json, json};

use super::origin::{ValueOrigin, origin_of};
use crate::diagnostic::Sources;
use crate::language::resolved::{Resolved, What};
use crate::yaml::Literal;

/// The document and the origins of its values. Scalars, empty values and included files have an origin. A path joins
/// keys and list positions with dots.
pub(crate) fn write(document: &Resolved, sources: &Sources) -> String {
    let mut origins = Map::new();
    let document = value(document, "", sources, &mut origins);
    let all = json!({ "document": document, "origins": origins });
    format!("{}\n", serde_json::to_string_pretty(&all).unwrap_or_default())
}

fn value(resolved: &Resolved, path: &str, sources: &Sources, origins: &mut Map<String, Json>) -> Json {
    let under = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let empty = match &resolved.what {
        What::List(items) => items.is_empty(),
        What::Map(entries) => entries.is_empty(),
        _ => true,
    };
    if empty || resolved.content_of.is_some() {
        origins.insert(path.to_owned(), origin(resolved, sources));
    }
    match &resolved.what {
        What::Unread => Json::Null,
        What::Scalar(literal) => scalar(literal),
        What::List(items) => {
            let all = items.iter().enumerate();
            Json::Array(all.map(|(n, item)| value(item, &under(&n.to_string()), sources, origins)).collect())
        }
        What::Map(entries) => Json::Object(
            entries.iter().map(|(key, inner)| (key.clone(), value(inner, &under(key), sources, origins))).collect(),
        ),
    }
}

fn scalar(literal: &Literal) -> Json {
    match literal {
        Literal::Null => Json::Null,
        Literal::Bool(it) => json!(it),
        // JSON readers support no larger integers. One that does not fit keeps its digits.
        Literal::Int(digits) => digits.parse::<i64>().map_or_else(|_| json!(digits), |n| json!(n)),
        Literal::Float(number) if number.is_finite() => json!(number),
        other => json!(other.python_str()),
    }
}

fn origin(resolved: &Resolved, sources: &Sources) -> Json {
    let mut told = match origin_of(resolved.place, sources) {
        ValueOrigin::Default => json!({ "default": true }),
        ValueOrigin::Set => json!({ "set": true }),
        ValueOrigin::File(file, span) => json!({ "file": file, "line": span.line, "column": span.column }),
    };
    if let Some(file) = &resolved.content_of {
        told["content_of"] = json!(file);
    }
    if resolved.what == What::Unread {
        told["unread"] = json!(true);
    }
    told
}
