//! `amlrun metrics`: what runs were given and what they logged, side by side.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::format::TextOr;
use super::metrics_text as text;
use super::printer::Printer;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::event::{RunView, StepView};
use crate::exit_status::Exit;
use crate::history::find;
use crate::history::record;
use crate::history::record::kept_plan;
use crate::number;
use crate::plan::{Part, Plan, PortType, Value as Given};
use crate::runner::project::Project;
use crate::secret::MASK;
use crate::store::{Home, RunFolder};
use crate::tracking::Tracking;

/// Show what runs logged beside what they were given, several side by side.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun metrics                              the last run\n  \
    amlrun metrics first second third           side by side\n  \
    amlrun metrics --all --sort accuracy        every run that logged it, the best first\n  \
    amlrun metrics first second --plot          with the course of each metric\n\n\
    In a pipeline a metric is called STEP.METRIC; METRIC alone will do where one step logs it. Names with 'loss', 'error', \
    'mse', 'mae' or 'perplexity' in them are better when lower, others when higher, unless --goal says which.")]
pub(super) struct Args {
    /// The runs, or the beginnings of their names [default: the last run]
    runs: Vec<String>,

    /// Every run of this workspace that logged something
    #[arg(long, conflicts_with = "runs")]
    all: bool,

    /// Show the best run first by this metric
    #[arg(long, value_name = "METRIC")]
    sort: Option<String>,

    /// What 'best' means [default: by the metric's name]
    #[arg(long, value_enum, requires = "sort")]
    goal: Option<Goal>,

    /// Draw how each metric went from step to step
    #[arg(long)]
    plot: bool,

    #[command(flatten)]
    format: TextOr,
}

/// Which values are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Goal {
    /// Higher is better
    Maximize,
    /// Lower is better
    Minimize,
}

impl Goal {
    /// What a metric of that name is for.
    fn of(metric: &str) -> Self {
        let name = metric.rsplit('.').next().unwrap_or(metric).to_lowercase();
        let lower = ["loss", "err", "mse", "mae", "mape", "perplexity", "deviance", "latency"];
        if lower.iter().any(|word| name.contains(word)) { Self::Minimize } else { Self::Maximize }
    }

    pub fn word(self) -> &'static str {
        if self == Self::Minimize { "minimize" } else { "maximize" }
    }
}

/// A run as it is compared.
pub(super) struct Compared {
    pub name: String,
    pub status: String,
    /// What it was given and what it logged as parameters.
    pub parameters: Vec<(String, String)>,
    /// The last value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// Every value of each metric, by its step.
    pub histories: Vec<(String, Vec<(f64, f64)>)>,
}

impl Compared {
    fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

pub(super) fn metrics(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let home = project.home();
    let runs: Vec<RunFolder> = match (args.all, args.runs.as_slice()) {
        (true, _) => home.runs()?,
        (_, []) => vec![find::last(&home)?],
        (_, names) => names.iter().map(|name| find::run(&home, name)).collect::<Result<_, _>>()?,
    };
    let tracking = tracking(&home)?;
    let mut compared = Vec::new();
    for run in &runs {
        match record::view(run) {
            Ok(view) => compared.push((view.started, compare(run, &view, tracking.as_ref(), args.plot))),
            // Among all, a run that never began is passed over.
            Err(_) if args.all => {}
            Err(failed) => return Err(failed),
        }
    }
    if args.all {
        compared.retain(|(_, run)| !run.metrics.is_empty());
        compared.sort_by_key(|(started, _)| *started);
    }
    let mut compared: Vec<Compared> = compared.into_iter().map(|(_, run)| run).collect();
    let order = match &args.sort {
        Some(metric) => Some(sort(&mut compared, metric, args.goal)?),
        None => None,
    };
    if let Some(format) = args.format.asked() {
        format.print(compared.iter().map(|run| json(run, args.plot)).collect(), printer)?;
        return Ok(Exit::Ok);
    }
    if compared.iter().all(|run| run.metrics.is_empty()) {
        let whose = if args.all { "no run of this workspace" } else { "none of these runs" };
        printer.err(&format!("note: {whose} logged a metric: steps log with MLflow (mlflow.log_metric)\n"));
    }
    let width = printer.columns();
    printer.painted(&text::table(&compared, order.as_ref(), width, printer.paint()));
    if args.plot {
        printer.out(&text::charts(&compared, width));
    }
    Ok(Exit::Ok)
}

/// Puts the best run first, and those that did not log the metric last. Gives its full name and what is best.
fn sort(runs: &mut [Compared], metric: &str, goal: Option<Goal>) -> Result<(String, Goal), Failed> {
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
                    None if names.is_empty() => failed.hint("they logged no metrics"),
                    None => failed.hint(format!("they logged {}", names.join(", "))),
                });
            }
            ref many => {
                let many: Vec<&str> = many.iter().map(|name| **name).collect();
                return Err(Failed::usage(format!("several steps log '{metric}'"))
                    .hint(format!("write which: {}", many.join(", "))));
            }
        };
    let goal = goal.unwrap_or_else(|| Goal::of(&found));
    let key = |run: &Compared| {
        // Not-a-number is no result, either.
        let value = run.metric(&found).filter(|value| !value.is_nan());
        value.map_or(f64::INFINITY, |value| if goal == Goal::Maximize { -value } else { value })
    };
    let is_missing = |run: &Compared| run.metric(&found).is_none_or(f64::is_nan);
    runs.sort_by(|a, b| is_missing(a).cmp(&is_missing(b)).then_with(|| key(a).total_cmp(&key(b))));
    Ok((found, goal))
}

fn tracking(home: &Home) -> Result<Option<Tracking>, Failed> {
    let db = home.tracking_db();
    if !db.exists() {
        return Ok(None);
    }
    let registry = Arc::new(crate::history::registry::open(&home.registry_db())?);
    let opened = Tracking::open(&db, registry, home.models(), home.artifacts());
    opened.map(Some).map_err(|error| Failed::new(error.to_string()))
}

/// What is known of a run: what it was given is in its plan, what it logged in its record and with the tracking server.
fn compare(run: &RunFolder, view: &RunView, tracking: Option<&Tracking>, histories: bool) -> Compared {
    let mut compared = Compared {
        name: view.run.clone(),
        status: view.status.to_string(),
        parameters: kept_plan(run).map(|plan| given(&plan)).unwrap_or_default(),
        metrics: Vec::new(),
        histories: Vec::new(),
    };
    for step in &view.steps {
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
        // A step that goes on has told the server only.
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
    // Who logs without a step logs all at step 0: then they are counted.
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

fn json(run: &Compared, histories: bool) -> Value {
    let metrics = run.metrics.iter().map(|(name, value)| (name.clone(), number::json(*value)));
    let mut answer = json!({
        "name": run.name,
        "status": run.status,
        "parameters": run.parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>(),
        "metrics": metrics.collect::<Map<_, _>>(),
    });
    if let (true, Value::Object(map)) = (histories, &mut answer) {
        let point = |(step, value): &(f64, f64)| json!({ "step": step, "value": number::json(*value) });
        let each = run.histories.iter();
        let each = each.map(|(name, points)| (name.clone(), points.iter().map(point).collect::<Value>()));
        map.insert("histories".to_owned(), Value::Object(each.collect()));
    }
    answer
}
