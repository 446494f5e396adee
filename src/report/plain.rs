//! A run as plain lines: for pipes, CI logs and files.

use std::io::Write;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::style::{Paint, capped, for_locale, sign};
use super::summary;
use crate::clock::human_duration;
use crate::diagnostic::visible::{sanitize, visible};
use crate::event::{Event, EventKind, Moving, Note, RunView};
use crate::number::human_bytes;
use crate::outcome::{Failure, JobStatus, StepOutcome};

/// The time between two lines about the progress of data.
const TOLD: Duration = Duration::from_secs(10);

/// The width of a step's name before its output.
pub const NAME: usize = 24;

/// Draws until the notes end. With `quiet`, only failures and the end of the run are shown.
pub fn draw(notes: Receiver<Note>, mut out: impl Write, paint: Paint, quiet: bool) {
    let mut view = RunView::default();
    let mut told = Instant::now();
    for note in notes {
        let text = match note {
            Note::Moving(moving) if !quiet && told.elapsed() >= TOLD => {
                told = Instant::now();
                format!("{}\n", paint.dim(&on_its_way(&moving)))
            }
            Note::Moving(_) | Note::Progress { .. } => continue,
            Note::Line { step, text } if !quiet => line(&view, &step, &text, paint),
            Note::Line { .. } => continue,
            Note::Past(event) => {
                view.apply(&event);
                continue;
            }
            Note::Event(event) => {
                view.apply(&event);
                for_locale(&happened(&event, &view, paint, quiet)).into_owned()
            }
        };
        // The reader may be gone (`| head`): the run continues.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// A line of a step's output, after its name.
#[must_use]
pub fn line(view: &RunView, step: &str, text: &str, paint: Paint) -> String {
    let (width, index) = (view.width.min(NAME), view.position(step).unwrap_or(0));
    let name = paint.step(index, &format!("{:width$}", capped(&visible(step), NAME)));
    format!("{name} {} {}\n", paint.dim("|"), sanitize(text))
}

fn happened(event: &Event, view: &RunView, paint: Paint, quiet: bool) -> String {
    match &event.what {
        EventKind::RunFinished { .. } => summary::end(view, paint),
        EventKind::StepFinished { step, outcome: StepOutcome::Failed { .. }, .. } => {
            view.step(step).map(|s| summary::failure(s, paint)).unwrap_or_default()
        }
        _ if quiet => String::new(),
        EventKind::RunStarted { .. } => headline(view, paint),
        EventKind::RunResumed { steps, .. } => resumed(view, steps.len(), paint),
        EventKind::Note { message } => format!("{}\n", paint.dim(&format!("note: {}", visible(message)))),
        EventKind::StepReused { step, job, .. } => {
            let words = view
                .step(step)
                .and_then(summary::substitute_words)
                .map(|words| format!(": {words}"))
                .unwrap_or_default();
            format!("{} {} {}{words}\n", paint.status(JobStatus::Completed, "✓"), visible(step), reused(job))
        }
        EventKind::StepRetried { step, failure, attempt, of } => {
            let sign = paint.status(JobStatus::Canceled, "↻");
            format!("{sign} {} {}\n", visible(step), retried(failure, *attempt, *of))
        }
        EventKind::ParentStarted { step } | EventKind::StepStarted { step, .. } => {
            format!("▶ {} started\n", visible(step))
        }
        EventKind::StepFinished { step, outcome, .. } => {
            let status = outcome.status();
            let time = view.step(step).and_then(|s| s.duration(event.time)).map(human_duration);
            let time = time.map(|t| format!(" in {t}")).unwrap_or_default();
            let why = match (outcome, view.step(step).and_then(summary::substitute_words)) {
                (StepOutcome::Skipped { reason }, _) => format!(": {reason}"),
                (StepOutcome::Completed, Some(words)) => format!(": {words}"),
                _ => String::new(),
            };
            let word =
                if matches!(outcome, StepOutcome::Skipped { .. }) { "skipped".into() } else { status.to_string() };
            format!("{} {} {word}{time}{}\n", paint.status(status, sign(status)), visible(step), visible(&why))
        }
        EventKind::CancelRequested { by } => format!("{by}: stopping the steps; repeat to kill them at once\n"),
        EventKind::Warning { step, message } => {
            let about = step.as_ref().map(|s| format!("{s}: ")).unwrap_or_default();
            format!("warning: {}\n", visible(&format!("{about}{message}")))
        }
        EventKind::DataFetched { .. } | EventKind::OutputUploaded { .. } => {
            moved(&event.what).map(|text| format!("{}\n", paint.dim(&text))).unwrap_or_default()
        }
        EventKind::EnvironmentBuilding { .. }
        | EventKind::EnvironmentReady { .. }
        | EventKind::ImagePreparing { .. }
        | EventKind::ImageReady { .. } => {
            environment(&event.what).map(|text| format!("{}\n", paint.dim(&text))).unwrap_or_default()
        }
        EventKind::StepScored { step, score, best } => {
            let best = if *best { ", the best so far" } else { "" };
            format!("{}\n", paint.dim(&format!("{} has the score {score}{best}", visible(step))))
        }
        EventKind::StepStopped { step, why } => format!("{}\n", paint.dim(&visible(&format!("{step} is {why}")))),
        EventKind::StepPreparing { .. }
        | EventKind::StepQueued { .. }
        | EventKind::StepsAdded { .. }
        | EventKind::AssetRegistered { .. }
        | EventKind::StepTracked { .. } => String::new(),
    }
}

/// The line about an environment that is being built, or was built. `None` if it was there.
#[must_use]
pub fn environment(what: &EventKind) -> Option<String> {
    match what {
        EventKind::EnvironmentBuilding { environment, source, .. } => {
            Some(visible(&format!("building the environment '{environment}' ({source})")))
        }
        EventKind::EnvironmentReady { environment, python, packages, millis: Some(millis), .. } => {
            let took = human_duration(Duration::from_millis(*millis));
            let count = packages.len();
            Some(visible(&format!(
                "built the environment '{environment}' in {took}: Python {python}, {count} packages"
            )))
        }
        EventKind::ImagePreparing { environment, source, how, .. } => {
            let verb = if how == "pull" { "pulling" } else { "building" };
            Some(visible(&format!("{verb} the image of the environment '{environment}' ({source})")))
        }
        EventKind::ImageReady { environment, millis: Some(millis), .. } => {
            let took = human_duration(Duration::from_millis(*millis));
            Some(visible(&format!("the image of the environment '{environment}' is ready after {took}")))
        }
        _ => None,
    }
}

/// The first line of a run.
#[must_use]
pub fn headline(view: &RunView, paint: Paint) -> String {
    let title = view.display_name.as_deref().map(|name| format!("  {}", visible(name))).unwrap_or_default();
    let steps = match view.steps.len() {
        1 => "1 step".to_owned(),
        count => format!("{count} steps"),
    };
    format!("{} {}{title}  {}\n", paint.dim("run"), paint.bold(&view.run), paint.dim(&format!("({steps})")))
}

/// The first line of a run that is resumed.
#[must_use]
pub fn resumed(view: &RunView, open: usize, paint: Paint) -> String {
    let count = view.roots().count();
    let done = count.saturating_sub(open);
    let title = paint.bold(&view.run);
    format!(
        "{} {title} {}\n",
        paint.dim("run"),
        paint.dim(&format!("resumed: {done} of {count} steps are already complete"))
    )
}

/// The line about a transfer that is under way.
#[must_use]
pub fn on_its_way(moving: &Moving) -> String {
    let Moving { step, what, done, bytes, waiting, .. } = moving;
    if let Some(trouble) = waiting {
        return visible(&format!("{step} {what}: {trouble}; retrying"));
    }
    let rest = moving.rest().map(|seconds| format!(", {seconds} s left")).unwrap_or_default();
    let (done, bytes, rate) = (human_bytes(*done), human_bytes(*bytes), human_bytes(moving.rate()));
    visible(&format!("{step} {what}: {done} of {bytes}, {rate}/s{rest}"))
}

/// The line about a finished transfer; nothing if the data was already there.
#[must_use]
pub fn moved(what: &EventKind) -> Option<String> {
    let (step, verb, uri, moved) = match what {
        EventKind::DataFetched { step, uri, moved } => (step, "fetched", uri, moved),
        EventKind::OutputUploaded { step, uri, moved, .. } => (step, "uploaded", uri, moved),
        _ => return None,
    };
    let count = match (moved.moved_files, moved.files) {
        (0, _) => return None,
        (1, 1) => "1 file".to_owned(),
        (some, all) if some == all => format!("{all} files"),
        (some, all) => format!("{some} of {all} files"),
    };
    let time = human_duration(Duration::from_millis(moved.millis));
    Some(visible(&format!("{step} {verb} {uri}: {count}, {} in {time}", human_bytes(moved.moved_bytes))))
}

/// The line about a step that reuses an earlier result.
#[must_use]
pub fn reused(job: &str) -> String {
    visible(&format!("reused from {job}"))
}

/// The line about an attempt that failed.
#[must_use]
pub fn retried(failure: &Failure, attempt: u32, of: u32) -> String {
    visible(&format!("attempt {attempt} of {of} failed: {failure}; retrying"))
}
