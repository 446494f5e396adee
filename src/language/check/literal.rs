//! Whether a literal fits the input that it is given to (reference, section 3.6).
//!
//! The service refuses a literal outside of `min` or `max`: "the job execution will fail", says the SDK of `Input`. We
//! assume that it refuses a literal of another type as well. It ignores `enum`: the workflow of one of Microsoft's
//! examples submits 224 where 'True' and 'False' are declared (azureml-examples,
//! cli/jobs/pipelines-with-components/image_classification_with_densenet). `docs/azure-refuses-later.md` has the
//! sources.

use super::super::value::{Object, Value};
use crate::diagnostic::{Severity, suggest};
use crate::yaml::scalar;

/// What is wrong with a literal.
pub(super) struct Mismatch {
    /// What the service makes of it: an error where the pipeline is refused, a warning where it runs.
    pub severity: Severity,
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// What is wrong with a text as a value of a declared parameter.
pub(super) fn mismatch(parameter: &Object, name: &str, text: &str) -> Option<Mismatch> {
    if let Some((message, help)) = refused(parameter, name, text) {
        return Some(Mismatch { severity: Severity::Error, message, help });
    }
    let words = parameter.get("enum").and_then(Value::list).unwrap_or_default();
    let words: Vec<&str> = words.iter().filter_map(Value::text).collect();
    if words.is_empty() || words.contains(&text) {
        return None;
    }
    let help = match suggest::nearest(text, words.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("use {}", suggest::one_of(words)),
    };
    let message = format!("'{text}' is not one of the values of the input '{name}'");
    Some(Mismatch { severity: Severity::Warning, message, help })
}

fn refused(parameter: &Object, name: &str, text: &str) -> Option<(String, String)> {
    let kind = parameter.text("type").unwrap_or("string");
    let number = scalar::python_number(text).filter(|x| x.is_finite());
    let fits = match kind {
        "integer" => scalar::python_int(text).is_some(),
        "number" => number.is_some(),
        "boolean" => matches!(text.to_lowercase().as_str(), "true" | "false"),
        _ => true,
    };
    if !fits {
        let help = match kind {
            "integer" => "write an integer, for example 10",
            "number" => "write a number, for example 0.001",
            _ => "write true or false",
        };
        return Some((format!("'{text}' is not a valid value for the input '{name}' of type {kind}"), help.to_owned()));
    }
    let bound =
        |key: &str| parameter.get(key).and_then(Value::literal).and_then(|l| scalar::python_number(&l.python_str()));
    if let Some(x) = number.filter(|_| matches!(kind, "integer" | "number")) {
        if let Some(min) = bound("min").filter(|min| x < *min) {
            return Some((format!("{text} is less than the minimum of '{name}'"), format!("use {min} or more")));
        }
        if let Some(max) = bound("max").filter(|max| x > *max) {
            return Some((format!("{text} is greater than the maximum of '{name}'"), format!("use {max} or less")));
        }
    }
    None
}
