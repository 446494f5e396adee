//! Describes the end of a run.

use std::fmt::Write as _;
use std::path::Path;

use super::style::{Paint, sign};
use super::trials;
use crate::again::amlrun;
use crate::clock::{Timestamp, human_duration};
use crate::diagnostic::visible::{sanitize, visible};
use crate::event::{RunView, StepView};
use crate::outcome::{JobStatus, SkipReason, StepOutcome};

/// How many last lines of a failed step's log are shown.
const LAST_LINES: usize = 12;
/// In a run with more steps, completed steps are counted, not listed.
const MANY_STEPS: usize = 40;
/// How many failures are shown at the end.
const FAILURES: usize = 5;
/// How many trials of a sweep are shown at the end.
const TRIALS: usize = 5;
/// Outputs with more files are shown as folders only.
const MANY_FILES: u64 = 8;

/// The report of a failed step: why it failed, the end of its log, and where the whole log is.
#[must_use]
pub fn failure(step: &StepView, paint: Paint) -> String {
    let mut out = String::new();
    let Some(StepOutcome::Failed { failure }) = &step.outcome else { return out };
    let headline = format!("step '{}' failed: {failure}", step.path);
    let _ = writeln!(
        out,
        "{} {}",
        paint.status(JobStatus::Failed, sign(JobStatus::Failed)),
        paint.bold(&visible(&headline))
    );
    if let Some(log) = step.log_of_failure() {
        let lines = last_lines(log, LAST_LINES);
        if !lines.is_empty() {
            let _ = writeln!(out, "  last lines of its log:");
            for line in &lines {
                let _ = writeln!(out, "  {} {}", paint.dim("|"), sanitize(line));
            }
        }
        if let Some(module) = lines.iter().rev().find_map(|line| missing_module(line)) {
            let advice = match &step.environment {
                Some(name) => format!(
                    "the environment '{}' has no module '{module}': add its package to the environment",
                    visible(name)
                ),
                None => format!(
                    "the Python on PATH has no module '{module}': install it, or activate an environment that has it \
                    before you run amlrun"
                ),
            };
            let _ = writeln!(out, "  {advice}; a module of your own must be in the step's 'code'");
        }
        let _ = writeln!(out, "  full log: {}", shown(log));
    }
    out
}

/// The module that Python could not find.
fn missing_module(line: &str) -> Option<&str> {
    let module = line.split_once("ModuleNotFoundError: No module named '")?.1.split('\'').next()?;
    module.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.').then_some(module)
}

/// Every step in one line, the registered assets, the run's outputs, and the status of the run.
#[must_use]
pub fn end(view: &RunView, paint: Paint) -> String {
    let mut out = String::new();
    let now = view.ended.unwrap_or_else(Timestamp::now);
    let width = view.width;
    out.push('\n');
    let count = view.roots().count();
    let many = count > MANY_STEPS;
    for step in view.roots().filter(|s| !many || s.status != JobStatus::Completed) {
        let _ = writeln!(out, "{}", step_line(step, width, now, paint));
        let ranked = trials::ranked(view, step);
        for trial in ranked.iter().take(TRIALS) {
            let _ = writeln!(out, "      {}", paint.dim(&trials::line(trial)));
        }
        if ranked.len() > TRIALS {
            let more = amlrun(&format!("sweep show {}", view.run));
            let _ = writeln!(out, "      {}", paint.dim(&format!("… all {}: {more}", step.children.len())));
        }
    }
    if many {
        let completed = view.count(JobStatus::Completed);
        let sign = paint.status(JobStatus::Completed, sign(JobStatus::Completed));
        let reused = view.roots().filter(|s| s.reused_from.is_some()).count();
        let aside = if reused > 0 { format!(", {reused} of them reused") } else { String::new() };
        let _ = writeln!(out, "  {sign} {completed} of {count} steps Completed{aside}");
    }
    for step in view.roots().filter(|s| !s.metrics.is_empty() && !many) {
        let _ = writeln!(out, "  {} {}: {}", paint.dim("metrics of"), visible(&step.path), visible(&metrics(step)));
    }
    for step in &view.steps {
        for asset in &step.assets {
            let _ = writeln!(out, "  {} {}", paint.dim("registered"), paint.bold(&visible(asset)));
        }
    }
    for output in &view.outputs {
        let _ = writeln!(out, "  {} {}: {}", paint.dim("output"), visible(&output.name), shown(&output.path));
        let _ = writeln!(out, "         {}", paint.dim(&visible(&output.uri(&view.run))));
        if output.path.is_dir() && output.files <= MANY_FILES {
            for file in files(&output.path) {
                let _ = writeln!(out, "         {}", shown(&output.path.join(file)));
            }
        }
    }
    for warning in &view.warnings {
        let _ = writeln!(out, "  {} {}", paint.status(JobStatus::Canceled, "warning:"), visible(warning));
    }
    for step in view.roots().filter(|step| step.status == JobStatus::Failed).take(FAILURES) {
        let _ = writeln!(out, "{}", failed_line(view, step, paint));
    }
    let took = view.resumed.or(view.started).map(|start| human_duration(now.since(start))).unwrap_or_default();
    let status = view.status.to_string();
    let _ = writeln!(out, "{} in {took}{}", paint.status(view.status, &paint.bold(&status)), counts(view));
    let _ = writeln!(out, "{}", paint.dim(&format!("details: {}", amlrun(&format!("job show -n {}", view.run)))));
    if matches!(view.status, JobStatus::Failed | JobStatus::Canceled) {
        let _ = writeln!(out, "{}", paint.dim(&format!("resume:  {}", amlrun(&format!("run --resume {}", view.run)))));
    }
    out
}

/// A failed step in one line, and where to read more in a second line.
fn failed_line(view: &RunView, step: &StepView, paint: Paint) -> String {
    let sign = paint.status(JobStatus::Failed, sign(JobStatus::Failed));
    let (mut why, mut rank) = (String::new(), String::new());
    if let Some(StepOutcome::Failed { failure }) = &step.outcome {
        why = format!(": {failure}");
        if let Some(number) = step.process_that_failed() {
            rank = format!(" --rank {number}");
        }
    }
    let log = match &step.log {
        Some(_) => {
            let command = amlrun(&format!("logs {} {}{rank}", view.run, visible(&step.path)));
            paint.dim(&format!("\n  log: {command}"))
        }
        None => String::new(),
    };
    format!("{sign} {}{log}", paint.bold(&visible(&format!("{} failed{why}", step.path))))
}

/// How many steps ended with each status; nothing if all of them ran and completed.
fn counts(view: &RunView) -> String {
    let count = |wanted: &dyn Fn(&StepView) -> bool| view.roots().filter(|step| wanted(step)).count();
    let is_skipped = |step: &StepView| matches!(step.outcome, Some(StepOutcome::Skipped { .. }));
    let by_samples =
        |step: &StepView| step.status == JobStatus::Completed && step.substitute.as_deref() == Some("stub");
    let counted = [
        (count(&|step| step.status == JobStatus::Completed && !by_samples(step)), "completed"),
        (count(&by_samples), "replaced by samples"),
        (count(&|step| step.status == JobStatus::Failed), "failed"),
        (count(&|step| step.status == JobStatus::Canceled && !is_skipped(step)), "canceled"),
        (count(&is_skipped), "skipped"),
    ];
    if counted[0].0 == view.roots().count() {
        return String::new();
    }
    let words = counted.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let words = words.collect::<Vec<_>>().join(", ");
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// What replaced a step that did not run.
#[must_use]
pub fn substitute_words(step: &StepView) -> Option<String> {
    match step.substitute.as_deref()? {
        "stub" => Some(stubbed(step)),
        "replay" => Some("policy \"replay\"".to_owned()),
        _ => None,
    }
}

/// Which samples a stub got: `stubbed from samples/model`.
#[must_use]
pub fn stubbed(step: &StepView) -> String {
    let samples: Vec<String> = step.samples.iter().map(|sample| shown(sample)).collect();
    match samples.as_slice() {
        [] => "stubbed from samples".to_owned(),
        [one] => format!("stubbed from {one}"),
        [one, two] => format!("stubbed from {one} and {two}"),
        [one, rest @ ..] => format!("stubbed from {one} and {} more", rest.len()),
    }
}

/// As many metrics as fit into one line of a narrow terminal.
fn metrics(step: &StepView) -> String {
    let room = 60_usize.saturating_sub(step.path.len());
    let mut line = String::new();
    for (name, value) in &step.metrics {
        let next = format!("{name} {value:.4}");
        if line.len() + next.len() + 2 > room {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&next);
    }
    line
}

/// One step in one line: sign, name, status, time, and the reason if it did not simply complete.
#[must_use]
pub fn step_line(step: &StepView, width: usize, now: Timestamp, paint: Paint) -> String {
    let name = format!("{:width$}", visible(&step.path));
    let (word, aside) = match &step.outcome {
        // The line of that step shows that it did not complete.
        Some(StepOutcome::Skipped { reason: SkipReason::DependencyFailed { step } }) => {
            ("Skipped".to_owned(), format!("depends on '{step}'"))
        }
        Some(StepOutcome::Skipped { reason }) => ("Skipped".to_owned(), reason.to_string()),
        outcome => {
            let time = match &step.reused_from {
                Some(job) => format!("reused from {job}"),
                None => step.duration(now).map(human_duration).unwrap_or_default(),
            };
            let why = match outcome {
                Some(StepOutcome::Failed { failure }) => failure.to_string(),
                Some(StepOutcome::Completed) => substitute_words(step).unwrap_or_default(),
                _ => String::new(),
            };
            (step.status.to_string(), format!("{time:>8}  {why}"))
        }
    };
    let sign = paint.status(step.status, sign(step.status));
    let word = paint.status(step.status, &format!("{word:10}"));
    format!("  {sign} {name}  {word} {}", paint.dim(&visible(aside.trim_end())))
}

/// The last lines of a file, read from its end.
fn last_lines(path: &Path, count: usize) -> Vec<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|l| (*l).to_owned()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// A path as a user would type it: relative if it is below the current folder.
#[must_use]
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    visible(&path.strip_prefix(here).unwrap_or(path).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind, StepInfo};
    use crate::outcome::Failure;

    #[test]
    fn a_failure_shows_the_end_of_the_log_and_its_place() {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("std_log.txt");
        let text: String = (1..=30).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&log, text).unwrap();
        let step = StepInfo {
            path: "train".into(),
            display_name: None,
            job: "r-train".into(),
            kind: "command".into(),
            substitute: None,
            samples: vec![],
            needs: vec![],
            parent: None,
            parameters: vec![],
        };
        let all = [
            EventKind::RunStarted {
                run: "r".into(),
                kind: "pipeline".into(),
                display_name: None,
                description: None,
                experiment: "e".into(),
                tags: vec![],
                job_file: "p.yml".into(),
                pid: 1,
                amlrun: "0".into(),
                grace: 0,
                locked: None,
                environments: None,
                steps: vec![step],
            },
            EventKind::StepStarted {
                step: "train".into(),
                command: "false".into(),
                log: log.clone(),
                logs: vec![],
                environment: None,
                handle: None,
            },
            EventKind::StepFinished {
                step: "train".into(),
                outcome: StepOutcome::Failed { failure: Failure::ExitCode { code: 3 } },
                outputs: vec![],
            },
        ];
        let events = all.into_iter().enumerate().map(|(i, what)| Event { seq: i as u64, time: Timestamp(0), what });
        let view = RunView::of(&events.collect::<Vec<_>>());
        let text = failure(&view.steps[0], Paint { colour: false });
        assert!(text.contains("step 'train' failed: exit code 3"));
        assert!(text.contains("| line 30\n") && text.contains("| line 19\n") && !text.contains("| line 18\n"));
        assert!(text.contains("std_log.txt"));
        assert!(end(&view, Paint { colour: false }).contains("✗ train  Failed"));
    }
}
