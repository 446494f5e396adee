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
    goal: Option<GoalName>,

    /// Draw how each metric went from step to step
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
        printer.err(&format!("note: {whose} logged a metric: steps log with MLflow (mlflow.log_metric)\n"));
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
