//! The `settings:` of a pipeline job (reference, section 5).

use crate::language::value::{Object, Value};

/// What an author may settle for the whole pipeline.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether independent steps continue after a failure; `None` is the service's default.
    pub continue_on_step_failure: Option<bool>,
    /// Whether a step runs whose optional input comes from a step that failed; `None` is the service's default.
    pub continue_run_on_failed_optional_input: Option<bool>,
    /// Whether no step may be reused.
    pub force_rerun: Option<bool>,
    /// The datastore that outputs go to on Azure ML, without `azureml:`.
    pub default_datastore: Option<String>,
    /// The node that runs before all others.
    pub on_init: Option<String>,
    /// The node that runs after all others, whatever became of them.
    pub on_finalize: Option<String>,
}

impl Settings {
    /// Takes the fields over. `language` has reported unknown ones.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let text = |name: &str| object.text(name).map(str::to_owned);
        // A field that the grammar does not know is kept as it is written.
        let flag = |name: &str| object.get(name).and_then(Value::bool);
        Self {
            continue_on_step_failure: flag("continue_on_step_failure"),
            continue_run_on_failed_optional_input: flag("continue_run_on_failed_optional_input"),
            force_rerun: flag("force_rerun"),
            default_datastore: text("default_datastore"),
            on_init: text("on_init"),
            on_finalize: text("on_finalize"),
        }
    }
}
