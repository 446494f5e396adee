//! A run on a terminal: the output of steps scrolls above, the state of the steps stays below.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain;
use super::style::{Paint, capped, for_locale, is_utf8, sign};
use super::{summary, trials};
use crate::clock::human_duration;
use crate::diagnostic::visible::{painted, sanitize, visible};
use crate::event::{EventKind, Moving, Note, RunView, StepView};
use crate::outcome::{JobStatus, StepOutcome};

/// With more steps, only running ones have a line; the others are counted.
const TABLE: usize = 14;
/// How many trials of a sweep are shown.
const RANKED: usize = 5;

/// Draws on stdout until the notes end. With `quiet`, the output of steps is not shown.
pub fn draw(notes: Receiver<Note>, paint: Paint, quiet: bool) {
    let mut screen = Screen {
        bars: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
        view: RunView::default(),
        lines: HashMap::new(),
        tables: HashMap::new(),
        count: None,
        paint,
    };
    for note in notes {
        match note {
            Note::Line { step, text } => screen.printed(&step, &text, quiet),
            Note::Progress { step, text } => screen.redrawn(&step, &text),
            Note::Moving(moving) => screen.moving(&moving),
            Note::Past(event) => screen.view.apply(&event),
            Note::Event(event) => {
                screen.view.apply(&event);
                screen.happened(&event.what);
            }
        }
    }
    screen.clear();
}

struct Screen {
    bars: MultiProgress,
    view: RunView,
    lines: HashMap<String, ProgressBar>,
    /// The best trials below the line of their sweep.
    tables: HashMap<String, Vec<ProgressBar>>,
    count: Option<ProgressBar>,
    paint: Paint,
}

impl Screen {
    fn happened(&mut self, what: &EventKind) {
        match what {
            EventKind::RunStarted { .. } => {
                self.print(&plain::headline(&self.view, self.paint));
                self.begin();
            }
            EventKind::RunResumed { steps, .. } => {
                self.clear();
                self.print(&plain::resumed(&self.view, steps.len(), self.paint));
                self.begin();
            }
            EventKind::Note { message } => self.print(&self.paint.dim(&format!("note: {}", visible(message)))),
            EventKind::StepPreparing { step, .. }
            | EventKind::StepQueued { step }
            | EventKind::ParentStarted { step }
            | EventKind::StepStarted { step, .. } => {
                self.update(step);
            }
            EventKind::StepReused { step, .. } => {
                self.update(step);
                self.update_waiting(step);
            }
            EventKind::StepRetried { step, failure, attempt, of } => {
                let text = format!("{step}: {}", plain::retried(failure, *attempt, *of));
                self.print(&self.paint.status(JobStatus::Canceled, &text));
                self.update(step);
            }
            EventKind::StepFinished { step, outcome, .. } => {
                self.update(step);
                self.update_waiting(step);
                if let (StepOutcome::Failed { .. }, Some(view)) = (outcome, self.view.step(step)) {
                    self.print(&summary::failure(view, self.paint));
                }
            }
            EventKind::CancelRequested { by } => {
                self.print(&format!("{by}: stopping the steps; repeat to kill them at once"));
            }
            EventKind::Warning { step, message } => {
                let about = step.as_ref().map(|s| format!("{s}: ")).unwrap_or_default();
                let text = visible(&format!("{about}{message}"));
                self.print(&format!("{} {text}", self.paint.status(JobStatus::Canceled, "warning:")));
            }
            EventKind::RunFinished { .. } => {
                self.clear();
                self.print(&summary::end(&self.view, self.paint));
            }
            EventKind::DataFetched { .. } | EventKind::OutputUploaded { .. } => {
                if let Some(text) = plain::moved(what) {
                    self.print(&self.paint.dim(&text));
                }
                if let EventKind::DataFetched { step, .. } | EventKind::OutputUploaded { step, .. } = what {
                    self.update(step);
                }
            }
            EventKind::EnvironmentBuilding { .. }
            | EventKind::EnvironmentReady { .. }
            | EventKind::ImagePreparing { .. }
            | EventKind::ImageReady { .. } => {
                if let Some(text) = plain::environment(what) {
                    self.print(&self.paint.dim(&text));
                }
            }
            EventKind::StepScored { step, .. } => self.rank(step),
            EventKind::StepStopped { step, why } => {
                self.print(&self.paint.dim(&visible(&format!("{step} is {why}"))));
            }
            EventKind::AssetRegistered { .. } | EventKind::StepTracked { .. } | EventKind::StepsAdded { .. } => {}
        }
    }

    fn begin(&mut self) {
        let roots: Vec<String> = self.view.roots().map(|step| step.path.clone()).collect();
        if roots.len() > TABLE {
            let bar = self.bars.add(ProgressBar::new(roots.len() as u64));
            bar.set_style(style("  {bar:30.green/dim} {pos}/{len}  {msg}"));
            self.count = Some(bar);
            return;
        }
        for path in roots {
            let bar = self.bars.add(ProgressBar::new_spinner());
            self.lines.insert(path.clone(), bar);
            self.update(&path);
        }
    }

    fn update(&mut self, path: &str) {
        // There may be thousands of trials: their sweep has a line, and a table of the best ones.
        let Some(step) = self.view.step(path).filter(|step| step.parent.is_none()).cloned() else { return };
        if step.status.is_final() {
            self.tables.remove(path).into_iter().flatten().for_each(|row| row.finish_and_clear());
        }
        if let Some(count) = &self.count {
            count.set_position(self.view.over() as u64);
            let failed = self.view.count(JobStatus::Failed);
            if failed > 0 {
                count.set_message(format!("{failed} failed"));
            }
            if step.status.is_final() {
                if let Some(line) = self.lines.remove(path) {
                    line.finish_and_clear();
                }
                return;
            }
            if !self.lines.contains_key(path) {
                let bar = self.bars.insert_before(count, ProgressBar::new_spinner());
                self.lines.insert(path.to_owned(), bar);
            }
        }
        let Some(line) = self.lines.get(path) else { return };
        self.show(line, &step, self.view.width.min(plain::NAME));
    }

    /// Shows the best trials of the sweep that a trial belongs to, the best one first.
    fn rank(&mut self, trial: &str) {
        let Some(parent) = self.view.step(trial).and_then(|step| self.view.step(step.parent.as_ref()?)) else { return };
        let Some(mut last) = self.lines.get(&parent.path).cloned() else { return };
        let ranked = trials::ranked(&self.view, parent);
        let rows = self.tables.entry(parent.path.clone()).or_default();
        for (number, trial) in ranked.into_iter().take(RANKED).enumerate() {
            if rows.len() == number {
                let row = self.bars.insert_after(rows.last().unwrap_or(&last), ProgressBar::new_spinner());
                row.set_style(style("    {wide_msg:.dim}"));
                rows.push(row);
            }
            rows[number].set_message(for_locale(&trials::line(trial)).into_owned());
            rows[number].tick();
            last = rows[number].clone();
        }
    }

    /// Updates the steps that waited for a step that is over.
    fn update_waiting(&mut self, over: &str) {
        let waits =
            |step: &&StepView| step.needs.iter().any(|need| need == over) && self.lines.contains_key(&step.path);
        let waiting: Vec<String> = self.view.steps.iter().filter(waits).map(|step| step.path.clone()).collect();
        waiting.iter().for_each(|path| self.update(path));
    }

    /// The steps that a step still waits for.
    fn open_needs<'s>(&self, step: &'s StepView) -> Vec<&'s str> {
        let is_open = |need: &&String| self.view.step(need).is_some_and(|need| !need.status.is_final());
        step.needs.iter().filter(is_open).map(String::as_str).collect()
    }

    /// The line of a running step has a spinner and a clock; any other line does not change.
    fn show(&self, line: &ProgressBar, step: &StepView, width: usize) {
        let name = format!("{:width$}", capped(&visible(&step.path), width));
        let needs = self.open_needs(step);
        let word = match (&step.outcome, step.status) {
            (Some(StepOutcome::Skipped { .. }), _) => "Skipped".to_owned(),
            (_, JobStatus::NotStarted) if needs.is_empty() => "Queued".to_owned(),
            (_, JobStatus::NotStarted) => "Waiting".to_owned(),
            (_, status) => status.to_string(),
        };
        let word = self.paint.status(step.status, &format!("{word:10}"));
        if step.status == JobStatus::Running {
            line.set_style(style("  {spinner:.cyan} {prefix} {elapsed:>8.dim}  {wide_msg:.dim}"));
            line.reset_elapsed();
            line.set_prefix(for_locale(&format!("{name}  {word}")).into_owned());
            line.set_message("");
            line.enable_steady_tick(Duration::from_millis(120));
            return;
        }
        line.disable_steady_tick();
        line.set_style(style("  {prefix} {wide_msg}"));
        let sign = self.paint.status(step.status, sign(step.status));
        line.set_prefix(for_locale(&format!("{sign} {name}  {word}")).into_owned());
        let time = step.duration(step.ended.unwrap_or(crate::clock::Timestamp(0))).map(human_duration);
        let text = match &step.outcome {
            Some(StepOutcome::Skipped { .. }) => String::new(),
            Some(_) if step.reused_from.is_some() => "reused".to_owned(),
            Some(_) if step.substitute.as_deref() == Some("stub") => summary::stubbed(step),
            Some(_) => time.map(|t| format!("{t:>8}")).unwrap_or_default(),
            None if needs.is_empty() || step.status != JobStatus::NotStarted => String::new(),
            None => visible(&format!("for {}", needs.join(", "))),
        };
        line.set_message(self.paint.dim(&text));
        line.tick();
    }

    /// Shows a transfer beside the step's name, where its output will be shown later.
    fn moving(&self, moving: &Moving) {
        if let Some(line) = self.lines.get(&moving.step) {
            let width = self.view.width.min(plain::NAME);
            let word = if moving.what == "fetch" { "Fetching" } else { "Uploading" };
            line.set_style(style("  {prefix} {wide_msg}"));
            let name = capped(&visible(&moving.step), width);
            line.set_prefix(format!("{} {name:width$}  {word:10}", self.paint.dim(&for_locale("⇅"))));
            line.set_message(self.paint.dim(&plain::on_its_way(moving)));
            line.tick();
        }
    }

    fn printed(&self, step: &str, text: &str, quiet: bool) {
        // The width of a tab is unknown when a line is redrawn.
        let text = sanitize(&text.replace('\t', "    "));
        if !quiet {
            self.print(&plain::line(&self.view, step, &text, self.paint));
        }
        if let Some(line) = self.lines.get(step) {
            line.set_message(text);
        }
    }

    /// Shows a tool's progress bar in the step's own line.
    fn redrawn(&self, step: &str, text: &str) {
        if let Some(line) = self.lines.get(step) {
            line.set_message(sanitize(&text.replace('\t', "    ")));
        }
    }

    fn print(&self, text: &str) {
        let _ = self.bars.println(painted(for_locale(text).trim_end_matches('\n')));
    }

    fn clear(&mut self) {
        for line in self.lines.drain().map(|(_, line)| line).chain(self.tables.drain().flat_map(|(_, rows)| rows)) {
            line.finish_and_clear();
        }
        if let Some(count) = self.count.take() {
            count.finish_and_clear();
        }
        let _ = self.bars.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    match is_utf8() {
        true => style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").progress_chars("━━╌"),
        false => style.tick_chars("|/-\\ ").progress_chars("=> "),
    }
}
