//! What the SDK validates after a document is loaded (reference, sections 5 and 6).
//!
//! `pipeline` looks at nodes and what they give to their components, `bindings` at the expressions of nodes written in
//! place, `component` at component files, `spark` at spark nodes, `data_transfer` at data transfers, `control_flow` at
//! conditions and loops; `run` looks for what the SDK overlooks, `later` for what the service refuses or misreads,
//! `names` for names that this machine cannot use, `unknown_fields` for fields that are never read, `set` for typos in
//! `--set`.

mod bindings;
mod component;
pub(super) mod control_flow;
mod data_transfer;
mod later;
mod literal;
mod loop_items;
mod names;
mod nodes;
mod pipeline;
mod run;
mod set;
mod spark;
mod unknown_fields;

pub(in crate::language) use nodes::{named, nodes};

use super::value::Object;
use crate::diagnostic::{Diagnostic, Sources};

/// Checks a document that fits the grammar.
pub(super) fn document(object: &Object, sources: &Sources, found: &mut Vec<Diagnostic>) {
    match object.class {
        "PipelineJob" => pipeline::job(object, sources, found),
        "PipelineComponent" => {
            component::file(object, sources, found);
            pipeline::component(object, "", found);
        }
        "SparkJob" => spark::check(object, None, "", found),
        class if class.ends_with("Component") => {
            component::file(object, sources, found);
            if class == "DataTransferCopyComponent" {
                data_transfer::copy_component(object, found);
            }
        }
        _ => {}
    }
}

/// Mistakes that the SDK accepts and a run would fail on.
pub(super) fn run(object: &Object, sources: &Sources) -> Vec<Diagnostic> {
    // A typo in `--set` is reported as such, not as the mistake that it would be in the file.
    let mut found = set::check(object, sources);
    found.extend(run::document(object, sources));
    found.extend(later::check(object, sources));
    found.extend(names::check(object));
    found.extend(unknown_fields::check(object));
    found
}
