//! `amlrun sweep show`: the trials of a sweep, the best one first.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::format::TextOr;
use super::printer::Printer;
use crate::again::amlrun;
use crate::error::Failed;
use crate::event::{RunView, StepView};
use crate::exit_status::Exit;
use crate::history::{find, record};
use crate::number;
use crate::outcome::JobStatus;
use crate::plan::{StepBody, Sweep};
use crate::render::sweep::{Trials, coordinates, scatter, table};
use crate::runner::project::Project;
use crate::store::at;
use crate::sweep::better;

/// Show the trials of a sweep.
#[derive(clap::Subcommand)]
pub(super) enum Verb {
    Show(Args),
}

/// Show the trials of a sweep, the best one first.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun sweep show RUN\n  \
    amlrun sweep show RUN train --plot\n  \
    amlrun sweep show RUN --svg trials.svg\n  \
    amlrun sweep show RUN -o json --query \"trials[0].parameters\"")]
pub(super) struct Args {
    /// Name of the run, or the start of it
    run: String,

    /// Step of the run that is a sweep [default: the only one]
    step: Option<String>,

    /// Draw the score over each parameter that is a number
    #[arg(long)]
    plot: bool,

    /// Write a picture with parallel coordinates, one line for each trial
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn execute(verb: &Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Show(args) => show(args, project, printer),
    }
}

fn show(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let run = find::run(&project.home(), &args.run)?;
    let view = record::view(&run)?;
    let step = chosen(&view, args.step.as_deref())?;
    let plan = record::kept_plan(&run)?;
    let planned = plan.all_steps().into_iter().find(|planned| planned.path == step.path);
    let Some(StepBody::Sweep(sweep)) = planned.map(|planned| &planned.body) else { return Err(no_sweep(&view)) };
    let trials = ranked(&view, step, sweep);
    if let Some(file) = &args.svg {
        std::fs::write(file, coordinates(&trials)).map_err(at("write", file))?;
    }
    if let Some(format) = args.format.asked() {
        format.print(answer(&view, step, &trials), printer)?;
        return Ok(Exit::Ok);
    }
    printer.out(&table(&trials, printer.columns(), printer.paint()));
    if args.plot {
        printer.out(&scatter(&trials, printer.columns()));
    }
    Ok(Exit::Ok)
}

/// The sweep with that name, or the only one.
fn chosen<'v>(view: &'v RunView, name: Option<&str>) -> Result<&'v StepView, Failed> {
    if let Some(name) = name {
        return view.step(name).ok_or_else(|| record::no_step(view, name));
    }
    let mut sweeps = view.steps.iter().filter(|step| step.kind == "sweep");
    match (sweeps.next(), sweeps.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(no_sweep(view)),
        (Some(first), Some(second)) => {
            let message = format!("the run '{}' has several sweeps: {}, {} …", view.run, first.path, second.path);
            Err(Failed::usage(message).hint(format!("name one: {}", amlrun(&format!("sweep show {} STEP", view.run)))))
        }
    }
}

fn no_sweep(view: &RunView) -> Failed {
    let hint = format!("see its steps: {}", amlrun(&format!("job show -n {}", view.run)));
    Failed::new(format!("the run '{}' has no sweep", view.run)).hint(hint)
}

/// The trials, those with a score first, the best of them at the beginning.
fn ranked<'v>(view: &'v RunView, step: &'v StepView, sweep: &Sweep) -> Trials<'v> {
    let mut trials: Vec<&StepView> = view.children(step).collect();
    let goal = sweep.objective.goal;
    trials.sort_by(|a, b| match (a.score, b.score) {
        (Some(a), Some(b)) if better(goal, a, b) => std::cmp::Ordering::Less,
        (Some(a), Some(b)) if better(goal, b, a) => std::cmp::Ordering::Greater,
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    Trials {
        sweep: step,
        metric: sweep.objective.primary_metric.clone(),
        is_minimized: goal == crate::sweep::Goal::Minimize,
        parameters: sweep.space.0.iter().map(|(name, _)| name.clone()).collect(),
        trials,
    }
}

fn answer(view: &RunView, step: &StepView, trials: &Trials<'_>) -> Value {
    let trial = |trial: &&StepView| {
        json!({
            "name": trial.job,
            "trial": trial.path,
            "status": trial.status,
            "score": trial.score.map(number::json),
            "parameters": trial.parameters.iter().cloned().collect::<Map<_, _>>(),
            "stopped_because": trial.stopped,
            "reused_from": trial.reused_from,
            "outputs": trial.outputs.iter().map(|o| (o.name.clone(), json!(o.path))).collect::<Map<_, _>>(),
        })
    };
    let is_completed = |trial: &&&StepView| trial.status == JobStatus::Completed;
    json!({
        "run": view.run,
        "step": step.path,
        "status": step.status,
        "primary_metric": trials.metric,
        "goal": if trials.is_minimized { "minimize" } else { "maximize" },
        "best_trial": step.best,
        "completed": trials.trials.iter().filter(is_completed).count(),
        "trials": trials.trials.iter().map(trial).collect::<Vec<_>>(),
    })
}
