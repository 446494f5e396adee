//! `amlrun plan`: before a run, what will run and what need not, and why.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::config::{Config, user};
use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::format::TextOr;
use super::outlook::{Looking, Outlook};
use super::printer::Printer;
use super::run::Choice;
use crate::because::Because;
use crate::diagnostic::visible::visible;
use crate::engine::{Decision, Verdict};
use crate::outcome::JobStatus;
use crate::plan::{StandIn, Step};
use crate::report::style::{Paint, wrapped};
use crate::yaml::overrides::Override;

/// Show what a run would do: which steps run, which are reused, and why.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun plan pipeline.yml\n  \
    amlrun plan pipeline.yml --check || echo 'something would run'\n  \
    amlrun plan pipeline.yml -o json | jq '.[] | select(.decision == \"run\")'")]
pub(super) struct Args {
    /// The job file
    file: PathBuf,

    /// Change a value of the file before it is read, as in inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    #[command(flatten)]
    choice: Choice,

    /// Fail when anything would run
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn plan(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    let config = Config::near(args.file.parent().unwrap_or(&args.file))?;
    let (plan, document) = context.accepted(&args.file, &args.set, &config.local(), printer)?;
    let job_file = std::path::absolute(&document.path).unwrap_or(document.path);
    let home = context.home_of(&args.file);
    // Whoever looks at a project of somebody else's wants nothing to be sent because of it.
    let offline = !user::ran_here(&home, &config);
    if offline && plan.is_remote() {
        printer.err(
            "note: this project has not run on this machine with its amlrun.toml yet: nothing is asked of its storage, and \
             what it reads there counts as new\n",
        );
    }
    let looking = Looking { offline, ..Looking::default() };
    let outlook = Outlook::new(plan, &job_file, &home, &args.choice, &config, looking)?;
    for warning in &outlook.warnings {
        printer.err(&format!("warning: {warning}\n"));
    }
    match args.format.asked() {
        Some(format) => format.print(json(&outlook), printer)?,
        None => printer.painted(&text(&outlook, printer.paint(), printer.width())),
    }
    let runs = outlook.decisions.iter().any(Decision::may_run);
    Ok(if args.check && runs { Exit::Failed } else { Exit::Ok })
}

fn json(outlook: &Outlook) -> Value {
    let steps = outlook.plan.steps.iter().zip(&outlook.decisions);
    let taken = steps.filter(|(_, decision)| !matches!(decision.verdict, Verdict::LeftOut));
    let stand_in = |step: &Step| step.stand_in.as_ref().map(StandIn::policy);
    taken.map(|(step, decision)| entry(&step.path, decision.may_run(), stand_in(step), &decision.because)).collect()
}

/// One step as `plan` and `why` tell it to scripts.
pub(super) fn entry(step: &str, runs: bool, stand_in: Option<&str>, because: &[Because]) -> Value {
    let mut entry = json!({ "step": step, "decision": if runs { "run" } else { "reuse" }, "because": because });
    if let (Some(policy), Value::Object(map)) = (stand_in, &mut entry) {
        map.insert("stand_in".to_owned(), json!(policy));
    }
    entry
}

fn text(outlook: &Outlook, paint: Paint, columns: Option<usize>) -> String {
    let width = outlook.plan.steps.iter().map(|s| s.path.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let mut counts = [0; 3];
    for (step, decision) in outlook.plan.steps.iter().zip(&outlook.decisions) {
        let name = format!("{:width$}", visible(&step.path));
        let mut reasons =
            decision.because.iter().map(|because| wrapped(&visible(&because.to_string()), width + 14, columns));
        let (sign, word, reason) = match &decision.verdict {
            Verdict::Run | Verdict::Waits if matches!(step.stand_in, Some(StandIn::Stub { .. })) => {
                counts[0] += 1;
                reasons.by_ref().for_each(drop);
                (paint.status(JobStatus::Running, "▷"), "stub", "samples stand in for it".to_owned())
            }
            Verdict::Run => {
                counts[0] += 1;
                (paint.status(JobStatus::Running, "▶"), "run", reasons.next().unwrap_or_default())
            }
            Verdict::Waits => {
                counts[0] += 1;
                (paint.status(JobStatus::Running, "▷"), "run", reasons.next().unwrap_or_default())
            }
            Verdict::Reuse(standing) => {
                counts[1] += 1;
                let from = format!("from {}", standing.job);
                (paint.status(JobStatus::Completed, "✓"), "reuse", from)
            }
            Verdict::LeftOut => {
                counts[2] += 1;
                (paint.dim("·"), "leave out", String::new())
            }
        };
        // Sign, name and word, and the spaces between them, are 14 wider than the name.
        out.push_str(format!("{sign} {name}  {word:9} {}", paint.dim(&reason)).trim_end());
        out.push('\n');
        for reason in reasons {
            out.push_str(&format!("  {:width$}  {:9} {}\n", "", "", paint.dim(&reason)));
        }
    }
    let [run, reuse, aside] = counts;
    let left = if aside > 0 { format!(", {aside} left out") } else { String::new() };
    out.push_str(&format!("{run} to run, {reuse} reused{left}\n"));
    out
}
