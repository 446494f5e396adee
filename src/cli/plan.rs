//! `amlrun plan`: shows before a run which steps will run or be reused, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::format::TextOr;
use super::printer::Printer;
use super::run::options::{EnvironmentArguments, StepArguments};
use crate::config::{Config, trust};
use crate::data::inspection::InspectionOptions;
use crate::diagnostic::visible::visible;
use crate::engine::{CacheDecision, Decision};
use crate::environment::container::{Container, Source};
use crate::environment::resolve::Managed;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::outcome::JobStatus;
use crate::plan::Substitute;
use crate::reason::Reason;
use crate::report::style::{Paint, wrapped};
use crate::runner::partial_plan::Rest;
use crate::runner::project::Project;
use crate::runner::run_plan::RunPlan;
use crate::yaml::overrides::Override;

/// Show which steps a run would run or reuse, and why.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun plan pipeline.yml\n  \
    amlrun plan pipeline.yml --check || echo 'something would run'\n  \
    amlrun plan pipeline.yml -o json | jq '.[] | select(.decision == \"run\")'")]
pub(super) struct Args {
    /// YAML file of the job
    file: PathBuf,

    /// Override values of the file, for example inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    #[command(flatten)]
    steps: StepArguments,

    #[command(flatten)]
    environments: EnvironmentArguments,

    /// Exit with code 1 if any step would run
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn plan(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let config = Config::near(args.file.parent().unwrap_or(&args.file))?;
    let config = args.environments.apply(config, &project.home_of(&args.file))?;
    let mut rest = Rest::of(&args.file, &args.set, &config, project)?;
    let plan = std::mem::take(&mut rest.plan);
    let job_file = std::path::absolute(&rest.document.path).unwrap_or_else(|_| rest.document.path.clone());
    let home = project.home_of(&args.file);
    // A project that never ran here may come from a stranger. Nothing is sent only to show its plan.
    let offline = !trust::ran_here(&home, &config);
    if offline && plan.is_remote() {
        printer.err(
            "note: this project has not run on this machine with this amlrun.toml yet: its remote storage is not \
            accessed, and remote inputs count as new\n",
        );
    }
    let inspection = InspectionOptions {
        offline,
        tolerates_unreachable: true,
        reporter: Some(project.reporter()),
        ..InspectionOptions::default()
    };
    let run_plan = RunPlan::new(plan, &job_file, &home, &args.steps.selection(), &config, inspection)?;
    let hindered = rest.hindered(&run_plan);
    for warning in &run_plan.warnings {
        printer.err(&format!("warning: {warning}\n"));
    }
    match args.format.asked() {
        Some(format) => format.print(json(&run_plan, &hindered), printer)?,
        None => printer.painted(&text(&run_plan, &hindered, printer.paint(), printer.width())),
    }
    let runs = run_plan.decisions.iter().any(Decision::may_run);
    Ok(if !hindered.is_empty() || args.check && runs { Exit::Failed } else { Exit::Ok })
}

fn json(run_plan: &RunPlan, hindered: &BTreeMap<usize, String>) -> Value {
    let steps = run_plan.plan.steps.iter().zip(&run_plan.decisions).enumerate();
    let entries = steps.filter_map(|(index, (step, decision))| match (hindered.get(&index), &decision.cache) {
        (Some(why), _) => {
            let because = [Reason::sentence(why)];
            Some(json!({ "step": step.path, "decision": "cannot-run", "because": because }))
        }
        (None, CacheDecision::Skipped) => None,
        (None, _) => {
            let policy = step.substitute.as_ref().map(Substitute::policy);
            Some(entry(&step.path, decision.may_run(), policy, &decision.because))
        }
    });
    entries.collect()
}

/// A step in the JSON output of `plan` and `why`.
pub(super) fn entry(step: &str, runs: bool, substitute: Option<&str>, because: &[Reason]) -> Value {
    let mut entry = json!({ "step": step, "decision": if runs { "run" } else { "reuse" }, "because": because });
    if let (Some(policy), Value::Object(map)) = (substitute, &mut entry) {
        map.insert("substitute".to_owned(), json!(policy));
    }
    entry
}

fn text(run_plan: &RunPlan, hindered: &BTreeMap<usize, String>, paint: Paint, columns: Option<usize>) -> String {
    let width = run_plan.plan.steps.iter().map(|s| s.path.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let mut counts = [0; 4];
    for (index, (step, decision)) in run_plan.plan.steps.iter().zip(&run_plan.decisions).enumerate() {
        let name = format!("{:width$}", visible(&step.path));
        let mut reasons =
            decision.because.iter().map(|because| wrapped(&visible(&because.to_string()), width + 14, columns));
        let (sign, word, reason) = match &decision.cache {
            _ if hindered.contains_key(&index) => {
                counts[3] += 1;
                reasons.by_ref().for_each(drop);
                let why = wrapped(&visible(&hindered[&index]), width + 14, columns);
                (paint.status(JobStatus::Failed, "✗"), "cannot", why)
            }
            CacheDecision::Miss | CacheDecision::Pending
                if matches!(step.substitute, Some(Substitute::Stub { .. })) =>
            {
                counts[0] += 1;
                reasons.by_ref().for_each(drop);
                (paint.status(JobStatus::Running, "▷"), "stub", "samples are used instead".to_owned())
            }
            CacheDecision::Miss => {
                counts[0] += 1;
                (paint.status(JobStatus::Running, "▶"), "run", reasons.next().unwrap_or_default())
            }
            CacheDecision::Pending => {
                counts[0] += 1;
                (paint.status(JobStatus::Running, "▷"), "run", reasons.next().unwrap_or_default())
            }
            CacheDecision::Hit(cached) => {
                counts[1] += 1;
                let mut from = format!("from {}", cached.job);
                if matches!(step.substitute, Some(Substitute::Stub { .. })) {
                    from.push_str(": samples are used instead");
                }
                (paint.status(JobStatus::Completed, "✓"), "reuse", from)
            }
            CacheDecision::Skipped => {
                counts[2] += 1;
                (paint.dim("·"), "skip", String::new())
            }
        };
        // The sign, the word and the spaces add 14 columns to the name.
        out.push_str(format!("{sign} {name}  {word:9} {}", paint.dim(&reason)).trim_end());
        out.push('\n');
        for reason in reasons {
            out.push_str(&format!("  {:width$}  {:9} {}\n", "", "", paint.dim(&reason)));
        }
    }
    let [run, reuse, aside, cannot] = counts;
    let left = if aside > 0 { format!(", {aside} skipped") } else { String::new() };
    let cannot = if cannot > 0 { format!(", {cannot} cannot run") } else { String::new() };
    out.push_str(&format!("{run} to run, {reuse} reused{left}{cannot}\n"));
    out.push_str(&environments(run_plan, paint));
    out
}

/// The environments that are built for steps, a line each.
fn environments(run_plan: &RunPlan, paint: Paint) -> String {
    let line = |(managed, steps): &(Managed, Vec<usize>)| {
        let count = if steps.len() == 1 { "1 step".to_owned() } else { format!("{} steps", steps.len()) };
        let state = if run_plan.environments.ready(managed).is_some() { "built" } else { "to be built" };
        let text = format!("environment '{}' ({}): {count}, {state}", managed.name, managed.source);
        format!("{}\n", paint.dim(&visible(&text)))
    };
    let container = |(container, count): (Container, usize)| {
        let count = if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
        let is_plain = container.packages.is_none() && matches!(container.source, Source::Image(_));
        let state = match run_plan.images.find(&container) {
            Some(_) => "ready",
            None if is_plain => "to be pulled",
            None => "to be built",
        };
        let text = format!("container '{}' ({}): {count}, {state}", container.name, container.describe());
        format!("{}\n", paint.dim(&visible(&text)))
    };
    let managed: String = run_plan.managed().iter().map(line).collect();
    managed + &run_plan.containers().into_iter().map(container).collect::<String>()
}
