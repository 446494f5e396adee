//! Plans the part of a job that can be planned, when one of its nodes cannot run here or one of its inputs is
//! unreachable.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::Failed;
use crate::plan::local::Policy;
use crate::plan::{Located, Plan, Step, Substitute, Value};
use crate::runner::project::Project;
use crate::runner::run_plan::RunPlan;
use crate::runner::substitutes::step_of;
use crate::spec::Literal;
use crate::spec::io::InputValue;
use crate::spec::job::Job;
use crate::spec::{self, Document, Loaded};
use crate::yaml::overrides::Override;

/// The part of a job that can be planned.
pub(crate) struct Rest {
    pub plan: Plan,
    pub document: Document,
    /// Nodes that cannot run here, by name, with the reason.
    nodes: BTreeMap<String, String>,
    /// Addresses of inputs that could not be resolved, with the reason.
    unknown: Vec<(String, String)>,
}

impl Rest {
    /// The plan of a file. Any other mistake in the file is still refused.
    pub(crate) fn of(file: &Path, set: &[Override], config: &Config, project: &Project) -> Result<Self, Failed> {
        let mut read = project.read(file, set, config);
        let is_pipeline = read.job_type() == Some("pipeline");
        let (mut nodes, mut aside) = (BTreeMap::new(), Vec::new());
        read.diagnostics.retain(|found| {
            let is_aside = found.severity == Severity::Error && leaves_rest(found, is_pipeline, &mut nodes);
            aside.extend(is_aside.then(|| found.clone()));
            !is_aside
        });
        let mut loaded = spec::take(read, file);
        let plan = if aside.is_empty() { project.plan_loaded(&mut loaded, config) } else { None };
        if let (None, Some(document)) = (&plan, &loaded.document)
            && let Some((plan, nodes, unknown)) = planned(document, &loaded, nodes, is_pipeline, config, project)
        {
            return Ok(Self { plan, document: document.clone(), nodes, unknown });
        }
        loaded.diagnostics.extend(aside);
        let (plan, document) = project.accept(loaded, plan)?;
        Ok(Self { plan, document, nodes: BTreeMap::new(), unknown: Vec::new() })
    }

    /// Why steps cannot run: a reason of their own, or a step that they depend on cannot run.
    pub(crate) fn hindered(&self, run_plan: &RunPlan) -> BTreeMap<usize, String> {
        let mut hindered = BTreeMap::new();
        for (index, step) in run_plan.plan.steps.iter().enumerate() {
            let need =
                step.needs.iter().find(|need| hindered.contains_key(*need) && !step.optional_needs.contains(need));
            if let Some(why) = self.why(step, run_plan) {
                hindered.insert(index, why);
            } else if let Some(need) = need {
                let other = &run_plan.plan.steps[*need].path;
                hindered.insert(index, format!("it depends on '{other}', which cannot run"));
            }
        }
        hindered
    }

    fn why(&self, step: &Step, run_plan: &RunPlan) -> Option<String> {
        if let (Some(why), Some(Substitute::Skip)) = (self.nodes.get(&step.path), &step.substitute) {
            return Some(why.clone());
        }
        if step.substitute.is_some() {
            return None;
        }
        let unknown = self.unknown.iter().find(|(uri, _)| uses(step, uri)).map(|(_, why)| why.clone());
        unknown.or_else(|| run_plan.unreachable.iter().find(|(name, _)| *name == step.path).map(|(_, why)| why.clone()))
    }
}

type Planned = (Plan, BTreeMap<String, String>, Vec<(String, String)>);

/// The plan without the nodes that cannot run. Inputs may name unknown data. `None` if there are other mistakes.
fn planned(
    document: &Document,
    loaded: &Loaded,
    mut nodes: BTreeMap<String, String>,
    is_pipeline: bool,
    config: &Config,
    project: &Project,
) -> Option<Planned> {
    let mut found: Vec<_> = loaded.diagnostics.sorted().into_iter().cloned().collect();
    let mut known = None;
    loop {
        let mut errors = found.iter().filter(|found| found.severity == Severity::Error);
        if !errors.all(|found| leaves_rest(found, is_pipeline, &mut nodes)) {
            return None;
        }
        // Each pass must find more such nodes. If one does not, something else is wrong.
        if known.replace(nodes.len()) == Some(nodes.len()) {
            return None;
        }
        let mut without = config.local();
        for name in nodes.keys() {
            without.steps.entry(name.clone()).or_default().policy = Some(Policy::Skip);
        }
        found.clear();
        if let Some((plan, unknown)) =
            project.plan_past_unknown(document, config, &without, &loaded.sources, &mut found)
        {
            // An address that nothing uses prevents only the job as a whole from running.
            let is_used = |uri: &str| {
                let of_job = plan.inputs.iter().find(|input| input.value.remotes().any(|remote| remote.uri == uri));
                plan.steps.iter().any(|step| uses(step, uri))
                    || of_job.map_or(!nodes.is_empty(), |input| is_bound(&input.name, document, &nodes))
            };
            let all_used = unknown.iter().all(|(uri, _)| is_used(uri));
            return all_used.then_some((plan, nodes, unknown));
        }
    }
}

/// Whether one of these nodes, of which the plan has no inputs, reads an input of the job.
fn is_bound(input: &str, document: &Document, nodes: &BTreeMap<String, String>) -> bool {
    let Job::Pipeline(job) = &document.job else { return false };
    let binding = format!("parent.inputs.{input}");
    let written = job.nodes.iter().filter(|node| nodes.contains_key(&node.name.value)).flat_map(|node| &node.inputs);
    let mut texts = written.filter_map(|input| match &input.value.value {
        InputValue::Literal(Literal::Str(text)) => Some(text),
        _ => None,
    });
    texts.any(|text| text.contains(&binding))
}

/// Whether a step reads what is at an address, or writes there.
fn uses(step: &Step, uri: &str) -> bool {
    let places = step.outputs.iter().filter_map(|output| output.place.as_ref());
    let written = places.filter_map(|place| match &place.root {
        Located::Remote(remote) => Some(remote),
        Located::Here(_) => None,
    });
    step.values().flat_map(Value::remotes).chain(written).any(|remote| remote.uri == uri)
}

/// Whether the rest of a pipeline can be planned in spite of a mistake: either the mistake prevents one node from
/// running, which is noted, or planning finds out which nodes read the missing data.
fn leaves_rest(found: &Diagnostic, is_pipeline: bool, nodes: &mut BTreeMap<String, String>) -> bool {
    let (step, field) = step_of(&found.path).map_or((None, found.path.as_str()), |(step, field)| (Some(step), field));
    match (found.code, step) {
        ("unknown-asset" | "unknown-datastore", _) => true,
        ("missing-path", _) if field.starts_with("inputs.") => is_pipeline,
        ("missing-path", Some(_)) if !field.ends_with("code") => false,
        ("not-yet" | "unknown-component" | "missing-path", Some(step)) => {
            nodes.entry(step).or_insert_with(|| found.message.clone());
            true
        }
        _ => false,
    }
}
