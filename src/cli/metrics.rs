//! `amlrun metrics`: compares the inputs and metrics of runs.

use serde_json::{Map, Value, json};

use super::format::TextOr;
use super::printer::Printer;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::history::compare::{Compared, Goal, compare, sort, tracking};
use crate::history::find;
use crate::history::record;
use crate::number;
use crate::render::comparison as text;
use crate::runner::project::Project;
use crate::store::RunFolder;

/// Compare the metrics and inputs of runs.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun metrics                              the last run\n  \
    amlrun metrics first second third           compare three runs\n  \
    amlrun metrics --all --sort accuracy        all runs, best first\n  \
    amlrun metrics first second --plot          with a chart of each metric\n\n\
    The metrics of a pipeline's steps are named STEP.METRIC. If only one step logs a metric, METRIC is enough. By \
    default, lower is better if the name contains 'loss', 'error', 'mse', 'mae' or 'perplexity', and higher is \
    better otherwise. Use --goal to change this.")]
pub(super) struct Args {
    /// Names of runs, or the start of them [default: the last run]
    runs: Vec<String>,

    /// Compare all runs of this workspace that logged metrics
    #[arg(long, conflicts_with = "runs")]
    all: bool,

    /// Sort runs by this metric, best first
    #[arg(long, value_name = "METRIC")]
    sort: Option<String>,

    /// Whether higher or lower is better [default: depends on the name of the metric]
    #[arg(long, value_enum, requires = "sort")]
    goal: Option<GoalName>,

    /// Draw a chart of each metric over its steps
    #[arg(long)]
    plot: bool,

    #[command(flatten)]
    format: TextOr,
}

/// The words for a goal.
#[derive(Clone, Copy, clap::ValueEnum)]
enum GoalName {
    /// Higher is better
    Maximize,
    /// Lower is better
    Minimize,
}

impl From<GoalName> for Goal {
    fn from(name: GoalName) -> Self {
        match name {
            GoalName::Maximize => Self::Maximize,
            GoalName::Minimize => Self::Minimize,
        }
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
            // With `--all`, runs that never started are skipped.
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
        Some(metric) => Some(sort(&mut compared, metric, args.goal.map(Goal::from))?),
        None => None,
    };
    if let Some(format) = args.format.asked() {
        format.print(compared.iter().map(|run| json(run, args.plot)).collect(), printer)?;
        return Ok(Exit::Ok);
    }
    if compared.iter().all(|run| run.metrics.is_empty()) {
        let whose = if args.all { "no run of this workspace" } else { "none of these runs" };
        printer.err(&format!("note: {whose} logged a metric; log metrics with MLflow (mlflow.log_metric)\n"));
    }
    let width = printer.columns();
    printer.painted(&text::table(&compared, order.as_ref(), width, printer.paint()));
    if args.plot {
        printer.out(&text::charts(&compared, width));
    }
    Ok(Exit::Ok)
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
