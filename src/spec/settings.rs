//! The `settings:` of a pipeline job (reference, section 5).

use crate::diagnostic::Diagnostic;
use crate::language::value::{Object, Value};

/// What an author may settle for the whole pipeline.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether independent steps go on after a failure; `None` is the service's default.
    pub continue_on_step_failure: Option<bool>,
    /// Whether no step may be reused.
    pub force_rerun: Option<bool>,
    /// The compute of nodes that name none; means nothing locally.
    pub default_compute: Option<String>,
    /// The datastore that outputs go to on Azure ML.
    pub default_datastore: Option<String>,
}

impl Settings {
    /// Takes the fields over. Unknown ones have been told by the language.
    pub fn of(object: &Object, found: &mut Vec<Diagnostic>) -> Self {
        for entry in &object.fields {
            let at = format!("settings.{}", entry.key);
            if matches!(entry.key.as_str(), "on_init" | "on_finalize") {
                let message = format!("'{}' is not run by amlrun yet", entry.key);
                let help = "take the line out for a local run: the node then runs like any other";
                found.push(Diagnostic::error("not-yet", entry.key_span, message).at(at).help(help));
            }
        }
        let text = |name: &str| object.text(name).map(str::to_owned);
        let flag = |name: &str| object.get(name).and_then(Value::bool);
        Self {
            continue_on_step_failure: flag("continue_on_step_failure"),
            force_rerun: flag("force_rerun"),
            default_compute: text("default_compute"),
            default_datastore: text("default_datastore"),
        }
    }
}
