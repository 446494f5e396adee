//! The `settings:` of a pipeline job (reference, section 5).

use crate::diagnostic::{Diagnostic, suggest};
use crate::yaml::{Fields, Node};

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

const KNOWN: [&str; 7] = [
    "default_compute",
    "default_datastore",
    "continue_on_step_failure",
    "continue_run_on_failed_optional_input",
    "force_rerun",
    "on_init",
    "on_finalize",
];

impl Settings {
    /// Reads the mapping. Unknown keys are kept by Azure ML without a word, so they are warnings here, not errors.
    pub fn read(node: &Node, found: &mut Vec<Diagnostic>) -> Self {
        let Some(mut fields) = Fields::open(node, "settings", found) else { return Self::default() };
        let settings = Self {
            continue_on_step_failure: fields.boolean("continue_on_step_failure", found),
            force_rerun: fields.boolean("force_rerun", found),
            default_compute: fields.string("default_compute", found).map(|(text, _)| text),
            default_datastore: fields.string("default_datastore", found).map(|(text, _)| text),
        };
        fields.boolean("continue_run_on_failed_optional_input", found);
        for key in ["on_init", "on_finalize"] {
            if let Some(entry) = fields.entry(key) {
                found.push(
                    Diagnostic::error("not-yet", entry.key_span, format!("'{key}' is not run by amlrun yet"))
                        .at(format!("settings.{key}"))
                        .help("take the line out for a local run: the node then runs like any other"),
                );
            }
        }
        for entry in node.as_mapping().unwrap_or_default() {
            if !KNOWN.contains(&entry.key.as_str()) {
                let message = format!("unknown setting '{}': Azure ML keeps it and ignores it", entry.key);
                let mut warning = Diagnostic::warning("unknown-setting", entry.key_span, message)
                    .at(format!("settings.{}", entry.key));
                if let Some(near) = suggest::nearest(&entry.key, KNOWN) {
                    warning = warning.help(format!("did you mean '{near}'?"));
                }
                found.push(warning);
            }
        }
        settings
    }
}
