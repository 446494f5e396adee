//! The trials of a sweep, the best one first.

use super::chart::short;
use crate::diagnostic::visible::visible;
use crate::event::{RunView, StepView};
use crate::outcome::JobStatus;

/// The trials of a sweep that have a score, the best first. The best one is known from the record, so the goal is, too.
#[must_use]
pub fn ranked<'v>(view: &'v RunView, sweep: &'v StepView) -> Vec<&'v StepView> {
    let mut trials: Vec<&StepView> = view.children(sweep).filter(|trial| trial.score.is_some()).collect();
    let best = sweep.best.as_ref().and_then(|best| view.step(best)).and_then(|best| best.score);
    let worse = |best: f64| trials.iter().filter_map(|trial| trial.score).any(|score| score > best);
    let is_minimized = best.is_some_and(worse);
    trials.sort_by(|a, b| {
        let order = a.score.unwrap_or(f64::NAN).total_cmp(&b.score.unwrap_or(f64::NAN));
        if is_minimized { order } else { order.reverse() }
    });
    trials
}

/// A trial in one line: its name, score and parameters.
#[must_use]
pub fn line(trial: &StepView) -> String {
    let name = trial.path.rsplit('.').next().unwrap_or(&trial.path);
    let score = trial.score.map_or_else(|| trial.status.to_string(), short);
    let ended = if trial.status == JobStatus::Completed { String::new() } else { format!(" ({})", trial.status) };
    visible(&format!("{name}  {score}{ended}  {}", parameters(trial)))
}

/// The parameters of a trial: `lr=0.01 hidden=32`.
#[must_use]
pub fn parameters(trial: &StepView) -> String {
    let one = |(name, value): &(String, serde_json::Value)| match value {
        serde_json::Value::String(text) => format!("{name}={text}"),
        serde_json::Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => format!("{name}={}", short(number)),
            None => format!("{name}={number}"),
        },
        value => format!("{name}={value}"),
    };
    trial.parameters.iter().map(one).collect::<Vec<_>>().join(" ")
}
