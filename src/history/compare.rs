//! Compares runs: their inputs and what they logged.

use std::sync::Arc;

use super::record::kept_plan;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::event::{RunView, StepView};
use crate::plan::{Part, Plan, PortType, Value as Given};
use crate::secret::MASK;
use crate::store::{Home, RunFolder};
use crate::tracking::Tracking;

/// Whether higher or lower values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Higher is better
    Maximize,
    /// Lower is better
    Minimize,
}

impl Goal {
    /// The goal that a metric's name suggests.
    fn of(metric: &str) -> Self {
        let name = metric.rsplit('.').next().unwrap_or(metric).to_lowercase();
        let lower = ["loss", "err", "mse", "mae", "mape", "perplexity", "deviance", "latency"];
        if lower.iter().any(|word| name.contains(word)) { Self::Minimize } else { Self::Maximize }
    }

    pub(crate) fn word(self) -> &'static str {
        if self == Self::Minimize { "minimize" } else { "maximize" }
    }
}

/// A run in a comparison.
pub(crate) struct Compared {
    pub name: String,
    pub status: String,
    /// Its inputs, and the parameters that it logged.
    pub parameters: Vec<(String, String)>,
    /// The last value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// All values of each metric, with their steps.
    pub histories: Vec<(String, Vec<(f64, f64)>)>,
}

impl Compared {
    fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// Puts the best run first, and runs without the metric last. Returns the metric's full name and its goal.
pub(crate) fn sort(runs: &mut [Compared], metric: &str, goal: Option<Goal>) -> Result<(String, Goal), Failed> {
    let mut names: Vec<&str> = runs.iter().flat_map(|run| &run.metrics).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let ends = |name: &&&str| name.strip_suffix(metric).is_some_and(|step| step.ends_with('.'));
    let found =
        match names.iter().filter(|name| **name == metric).chain(names.iter().filter(ends)).collect::<Vec<_>>()[..] {
            [one] => (*one).to_owned(),
            [first, ..] if *first == metric => (*first).to_owned(),
            [] => {
                let failed = Failed::not_found(format!("none of these runs logged the metric '{metric}'"));
                let bare = names.iter().filter_map(|name| name.rsplit('.').next());
                return Err(match suggest::nearest(metric, names.iter().copied().chain(bare)) {
                    Some(near) => failed.hint(format!("did you mean '{near}'?")),
                    None if names.is_empty() => {
                        failed.hint("log metrics with MLflow (mlflow.log_metric): they logged none")
                    }
                    None => failed.hint(format!("use one of {}", names.join(", "))),
                });
            }
            ref many => {
                let many: Vec<&str> = many.iter().map(|name| **name).collect();
                return Err(Failed::usage(format!("several steps log '{metric}'"))
                    .hint(format!("use one of {}", many.join(", "))));
            }
        };
    let goal = goal.unwrap_or_else(|| Goal::of(&found));
    let key = |run: &Compared| {
        // NaN does not count as a value.
        let value = run.metric(&found).filter(|value| !value.is_nan());
        value.map_or(f64::INFINITY, |value| if goal == Goal::Maximize { -value } else { value })
    };
    let is_missing = |run: &Compared| run.metric(&found).is_none_or(f64::is_nan);
    runs.sort_by(|a, b| is_missing(a).cmp(&is_missing(b)).then_with(|| key(a).total_cmp(&key(b))));
    Ok((found, goal))
}

pub(crate) fn tracking(home: &Home) -> Result<Option<Tracking>, Failed> {
    let db = home.tracking_db();
    if !db.exists() {
        return Ok(None);
    }
    let registry = Arc::new(crate::history::registry::open(&home.registry_db())?);
    let opened = Tracking::open(&db, registry, home.models(), home.artifacts());
    opened.map(Some).map_err(|error| Failed::new(error.to_string()))
}

/// Collects the values of a run: its inputs from its plan, what it logged from its record and from the tracking store.
pub(crate) fn compare(run: &RunFolder, view: &RunView, tracking: Option<&Tracking>, histories: bool) -> Compared {
    let mut compared = Compared {
        name: view.run.clone(),
        status: view.status.to_string(),
        parameters: kept_plan(run).map(|plan| given(&plan)).unwrap_or_default(),
        metrics: Vec::new(),
        histories: Vec::new(),
    };
    // Of trials and iterations, the step that they belong to has the result.
    for step in view.roots() {
        let full = |name: &str| match view.kind.as_str() {
            "pipeline" => format!("{}.{name}", step.path),
            _ => name.to_owned(),
        };
        let logged = tracking.and_then(|tracking| tracking.run(step.reused_from.as_ref().unwrap_or(&step.job)).ok());
        if let Some(logged) = &logged {
            let params = logged.data.params.iter().map(|param| (full(&param.key), param.value.clone()));
            compared.parameters.extend(params);
        }
        let mut metrics = step.metrics.clone();
        // The values of a running step are only in the tracking store.
        if let (true, Some(logged)) = (metrics.is_empty(), &logged) {
            metrics.extend(logged.data.metrics.iter().map(|metric| (metric.key.clone(), metric.value)));
        }
        metrics.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, value) in metrics {
            if let (true, Some(tracking)) = (histories, tracking) {
                compared.histories.push((full(&name), history(tracking, step, &name)));
            }
            compared.metrics.push((full(&name), value));
        }
    }
    compared
}

#[expect(clippy::cast_precision_loss, reason = "places in a chart")]
fn history(tracking: &Tracking, step: &StepView, metric: &str) -> Vec<(f64, f64)> {
    let job = step.reused_from.as_ref().unwrap_or(&step.job);
    let values = tracking.history(job, metric).unwrap_or_default();
    // Code that logs without a step logs everything at step 0. Then the values are numbered.
    let counted = values.iter().all(|value| value.step == 0);
    let place = |(number, step): (usize, i64)| if counted { number as f64 } else { step as f64 };
    values.iter().enumerate().map(|(number, value)| (place((number, value.step)), value.value)).collect()
}

/// The literal inputs of the job.
fn given(plan: &Plan) -> Vec<(String, String)> {
    let text = |value: &Given| match value.parts.as_slice() {
        [Part::Text(text)] => text.clone(),
        [Part::Secret(_)] => MASK.to_owned(),
        _ => String::new(),
    };
    let literal = |kind: &PortType| !kind.is_data();
    match plan.steps.as_slice() {
        [step] if plan.kind != "pipeline" => {
            let inputs = step.inputs.iter().filter(|input| literal(&input.kind));
            inputs.filter_map(|input| Some((input.name.clone(), text(input.value.as_ref()?)))).collect()
        }
        _ => {
            let inputs = plan.inputs.iter().filter(|input| literal(&input.kind));
            inputs.map(|input| (input.name.clone(), text(&input.value))).collect()
        }
    }
}
