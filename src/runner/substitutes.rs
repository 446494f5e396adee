//! Mistakes in nodes that a policy in `amlrun.toml` replaces: such a node needs only its outputs.
//!
//! Missing code and missing components of a replaced node are ignored, and any other mistake in it is a warning. `run`,
//! `plan` and `validate --target local` agree on that. Mistakes in things that other nodes use too are kept.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Severity, SourceId};
use crate::language::Document;
use crate::language::value::{Object, Origin, Value};
use crate::plan::Local;
use crate::spec::job::node;

/// Codes of mistakes that mean that something is missing on this machine.
const LACKS: [&str; 5] = ["missing-path", "not-yet", "unknown-asset", "unknown-component", "unknown-datastore"];

/// Ignores what is missing for replaced nodes.
pub(crate) fn spare(document: &mut Document, local: &Local) {
    if local.steps.values().chain(local.types.values()).all(|rules| rules.policy.is_none()) {
        return;
    }
    let Some(root) = document.value.as_ref().and_then(Value::object) else { return };
    let stands_in = |step: &str, node: &Object| local.rules(step, node::kind(node)).policy.is_some();
    let mut needed = HashSet::new();
    files(root, "", &stands_in, &mut needed);
    let is_spared = |found: &Diagnostic| {
        let Some((step, field)) = step_of(&found.path) else { return false };
        let is_needed = found.span.is_some_and(|span| needed.contains(&span.source));
        let node = find(root, &step).filter(|node| stands_in(&step, node));
        node.is_some() && !is_needed && !field.starts_with("outputs")
    };
    document.diagnostics.retain(|found| {
        if found.severity == Severity::Error && is_spared(found) {
            found.severity = Severity::Warning;
            return !LACKS.contains(&found.code);
        }
        true
    });
}

/// The path of the step that has the mistake, such as `outer.inner`, and the field.
pub(crate) fn step_of(path: &str) -> Option<(String, &str)> {
    let mut rest = path.strip_prefix("component.").unwrap_or(path).strip_prefix("jobs.")?;
    let mut step = String::new();
    loop {
        let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
        step.push_str(name);
        match field.strip_prefix("component.").unwrap_or(field).strip_prefix("jobs.") {
            Some(inner) => rest = inner,
            None => return Some((step, field)),
        }
        step.push('.');
    }
}

/// Finds the node of a step.
fn find<'a>(root: &'a Object, step: &str) -> Option<&'a Object> {
    step.split('.').try_fold(root, |level, name| {
        let nodes = component(level).unwrap_or(level).map("jobs");
        nodes.iter().find(|entry| entry.key == name)?.value.object()
    })
}

/// Collects the component files that are named by nodes which are not replaced.
fn files(level: &Object, prefix: &str, stands_in: &impl Fn(&str, &Object) -> bool, needed: &mut HashSet<SourceId>) {
    for entry in component(level).unwrap_or(level).map("jobs") {
        let step = format!("{prefix}{}", entry.key);
        let Some(node) = entry.value.object().filter(|node| !stands_in(&step, node)) else { continue };
        let Some(named) = component(node) else { continue };
        let Some(first) = named.fields.first().filter(|_| named.origin != Origin::Inline) else { continue };
        // A file that was visited before needs no second visit.
        if needed.insert(first.key_span.source) {
            files(named, &format!("{step}."), stands_in, needed);
        }
    }
}

fn component(node: &Object) -> Option<&Object> {
    node.get("component").or_else(|| node.get("trial")).and_then(Value::object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_belongs_to_a_step() {
        for (path, step, field) in [
            ("jobs.a", "a", ""),
            ("jobs.a.inputs.x.path", "a", "inputs.x.path"),
            ("jobs.a.component.code", "a", "component.code"),
            ("jobs.x.jobs.a.inputs.i.path", "x.a", "inputs.i.path"),
            ("jobs.x.component.jobs.a.component.code", "x.a", "component.code"),
            ("component.jobs.a.trial.code", "a", "trial.code"),
        ] {
            assert_eq!(step_of(path), Some((step.to_owned(), field)), "{path}");
        }
        assert_eq!(step_of("inputs.data.path"), None);
    }
}
