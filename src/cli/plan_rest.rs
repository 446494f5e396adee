//! Planning what can be planned: a job of which one node cannot run here, or one input cannot be reached, has a rest.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::Context;
use super::error::Failed;
use super::outlook::Outlook;
use super::printer::Printer;
use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::local::Policy;
use crate::plan::{Local, Plan, StandIn, Step, Value};
use crate::spec::Document;
use crate::yaml::overrides::Override;

/// A job as far as it can be planned.
pub(super) struct Rest {
    pub plan: Plan,
    pub document: Document,
    /// Nodes that cannot run here, by name, and why.
    nodes: BTreeMap<String, String>,
    /// What inputs name and nobody knows, and why.
    unknown: Vec<(String, String)>,
}

impl Rest {
    /// The plan of a file. One that is refused for anything else is refused.
    pub fn of(
        file: &Path,
        set: &[Override],
        local: &Local,
        context: &Context,
        printer: &Printer,
    ) -> Result<Self, Failed> {
        let (loaded, plan) = context.plan(file, set, local);
        if let (None, Some(document)) = (&plan, &loaded.document)
            && let Some((plan, nodes, unknown)) = planned(document, &loaded, local, context)
        {
            return Ok(Self { plan, document: document.clone(), nodes, unknown });
        }
        let (plan, document) = Context::accept(loaded, plan, printer)?;
        Ok(Self { plan, document, nodes: BTreeMap::new(), unknown: Vec::new() })
    }

    /// Why each step of the outlook cannot run: because of itself, or because of one that it needs.
    pub fn hindered(&self, outlook: &Outlook) -> BTreeMap<usize, String> {
        let mut hindered = BTreeMap::new();
        for (index, step) in outlook.plan.steps.iter().enumerate() {
            let need =
                step.needs.iter().find(|need| hindered.contains_key(*need) && !step.optional_needs.contains(need));
            if let Some(why) = self.why(step, outlook) {
                hindered.insert(index, why);
            } else if let Some(need) = need {
                let other = &outlook.plan.steps[*need].path;
                hindered.insert(index, format!("it needs '{other}', which cannot run"));
            }
        }
        hindered
    }

    fn why(&self, step: &Step, outlook: &Outlook) -> Option<String> {
        if let (Some(why), Some(StandIn::Skip)) = (self.nodes.get(&step.path), &step.stand_in) {
            return Some(why.clone());
        }
        if step.stand_in.is_some() {
            return None;
        }
        let reads = |uri: &str| step.values().flat_map(Value::remotes).any(|remote| remote.uri == uri);
        let unknown = self.unknown.iter().find(|(uri, _)| reads(uri)).map(|(_, why)| why.clone());
        unknown.or_else(|| outlook.unreachable.iter().find(|(name, _)| *name == step.path).map(|(_, why)| why.clone()))
    }
}

type Planned = (Plan, BTreeMap<String, String>, Vec<(String, String)>);

/// The plan without the nodes that cannot run, and whatever inputs name; nothing when there are other mistakes.
fn planned(document: &Document, loaded: &crate::spec::Loaded, local: &Local, context: &Context) -> Option<Planned> {
    let mut nodes = BTreeMap::new();
    for mistake in loaded.diagnostics.sorted().into_iter().filter(|found| found.severity == Severity::Error) {
        match mistake.code {
            "unknown-asset" | "unknown-datastore" => {}
            "not-yet" | "unknown-component" => drop(nodes.insert(node(mistake)?.to_owned(), mistake.message.clone())),
            _ => return None,
        }
    }
    let mut without = local.clone();
    for name in nodes.keys() {
        without.steps.entry(name.clone()).or_default().policy = Some(Policy::Skip);
    }
    let (plan, unknown) = context.plan_past_unknown(document, &without, &loaded.sources, &mut Vec::new())?;
    Some((plan, nodes, unknown))
}

/// The node of the job itself that a mistake is about.
fn node(mistake: &Diagnostic) -> Option<&str> {
    mistake.path.strip_prefix("jobs.")?.split('.').next()
}
