//! The distributions that a sweep searches, and when it ends trials early (reference, sections 2.6 and 2.7).

use serde_json::{Value as Json, json};

use super::super::case::camel_case;
use super::super::value::{Entry, Object, Value};
use super::fields::{Fields, get, plain, put};

/// A distribution as a list: `["uniform", [0, 1]]`.
pub(super) fn space(value: &Value) -> Json {
    let Some(object) = value.object() else { return plain(value) };
    let kind = object.text("type").unwrap_or_default();
    let numbers = |names: &[&str]| json!(names.iter().filter_map(|n| get(object, n)).collect::<Vec<_>>());
    let arguments = match kind {
        "choice" => {
            let values = object.get("values").and_then(Value::list).unwrap_or_default();
            json!([values.iter().map(choice).collect::<Vec<_>>()])
        }
        "randint" => numbers(&["upper"]),
        "uniform" | "loguniform" => numbers(&["min_value", "max_value"]),
        "quniform" | "qloguniform" => numbers(&["min_value", "max_value", "q"]),
        "normal" | "lognormal" => numbers(&["mu", "sigma"]),
        _ => numbers(&["mu", "sigma", "q"]),
    };
    json!([kind, arguments])
}

/// A value of a choice: a mapping may hold further distributions.
fn choice(value: &Value) -> Json {
    match value.map() {
        Some(entries) => Json::Object(entries.iter().map(|e: &Entry| (e.key.clone(), space(&e.value))).collect()),
        None => plain(value),
    }
}

/// `early_termination`.
pub(super) fn policy_body(policy: &Object, snake: bool) -> Fields {
    let mut body = Fields::new();
    let name = |text: &str| if snake { text.to_owned() } else { camel_case(text) };
    let word = match policy.class {
        "BanditPolicy" => "Bandit",
        "MedianStoppingPolicy" => "MedianStopping",
        _ => "TruncationSelection",
    };
    body.insert(name("policy_type"), json!(word));
    let default = if word == "MedianStopping" { 1 } else { 0 };
    body.insert(name("evaluation_interval"), get(policy, "evaluation_interval").unwrap_or(json!(default)));
    body.insert(name("delay_evaluation"), get(policy, "delay_evaluation").unwrap_or(json!(0)));
    match word {
        "Bandit" => {
            for field in ["slack_factor", "slack_amount"] {
                body.insert(name(field), get(policy, field).unwrap_or(json!(0)));
            }
        }
        "TruncationSelection" => put(&mut body, &name("truncation_percentage"), get(policy, "truncation_percentage")),
        _ => {}
    }
    body
}
