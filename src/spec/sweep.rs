//! Sweeps: a job of its own or a node of a pipeline (reference, sections 2.6, 2.7 and 7.5).

use std::sync::Arc;
use std::time::Duration;

use super::Spanned;
use super::component::{self, CommandBody, Component};
use super::job::Common;
use crate::diagnostic::Diagnostic;
use crate::language::value::{Data, Entry, Object, Origin, Value};
use crate::spec::io::{self, Input, Output};
use crate::sweep::{
    Algorithm, Choice, Distribution, EarlyTermination, Goal, Objective, Policy, Rule, Scalar, SearchSpace,
};

/// A standalone sweep.
#[derive(Clone, Debug)]
pub struct SweepJob {
    /// Name, tags and the like.
    pub common: Common,
    /// Values of its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What it runs.
    pub body: SweepBody,
}

/// What a sweep runs, and how it searches.
#[derive(Clone, Debug)]
pub struct SweepBody {
    /// What each trial runs.
    pub trial: Trial,
    /// What is tried.
    pub space: Spanned<SearchSpace>,
    /// In which order.
    pub algorithm: Algorithm,
    /// What is optimized.
    pub objective: Objective,
    /// When trials are ended early.
    pub early_termination: Option<EarlyTermination>,
    /// `limits.max_total_trials`.
    pub max_total_trials: usize,
    /// `limits.max_concurrent_trials`.
    pub max_concurrent_trials: Option<usize>,
    /// `limits.timeout`, of the whole sweep.
    pub timeout: Option<Duration>,
    /// `limits.trial_timeout`, of each trial.
    pub trial_timeout: Option<Duration>,
}

/// What a trial runs.
#[derive(Clone, Debug)]
pub enum Trial {
    /// A component.
    Component(Arc<Component>),
    /// A command whose ports are those of the sweep.
    Inline(Box<CommandBody>),
}

impl Trial {
    /// What it runs.
    #[must_use]
    pub fn body(&self) -> &CommandBody {
        match self {
            Self::Component(component) => &component.body,
            Self::Inline(body) => body,
        }
    }
}

pub(super) fn job(object: &Object, found: &mut Vec<Diagnostic>) -> Option<SweepJob> {
    let trial = object.get("trial")?.object()?;
    let trial = Trial::Inline(Box::new(component::command_body(trial, "trial", found)?));
    Some(SweepJob {
        common: Common::of(object, found),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        body: body(object, trial)?,
    })
}

/// Takes over a component that is written at a path.
type TakeOver<'a> = dyn FnMut(&Object, &str, &mut Vec<Diagnostic>) -> Option<Arc<Component>> + 'a;

/// The sweep of a node. `component` takes over the component of its trial. `None` if its trial is a component that is not available here.
pub(super) fn node(
    object: &Object,
    path: &str,
    component: &mut TakeOver<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<SweepBody> {
    let trial = object.get("trial")?.object()?;
    let path = format!("{path}.trial");
    let declares = ["inputs", "outputs"].iter().any(|field| !trial.map(field).is_empty());
    let trial = if matches!(trial.origin, Origin::Inline) && !declares {
        Trial::Inline(Box::new(component::command_body(trial, &path, found)?))
    } else {
        Trial::Component(component(trial, &path, found)?)
    };
    body(object, trial)
}

fn body(object: &Object, trial: Trial) -> Option<SweepBody> {
    let inner = |name: &str| object.get(name).and_then(Value::object);
    let (objective, limits) = (inner("objective")?, inner("limits")?);
    let span = object.entry("search_space").map_or(object.get("limits")?.span, |entry| entry.key_span);
    let seconds = |name| whole(limits.get(name)).filter(|seconds| *seconds > 0);
    // Azure ML raises shorter ones (reference, section 2.6).
    let timeout = |name| seconds(name).map(|seconds| Duration::from_secs(seconds.max(60)));
    let count = |name| whole(limits.get(name)).and_then(|count| usize::try_from(count).ok());
    Some(SweepBody {
        trial,
        space: Spanned::new(space(object.map("search_space"))?, span),
        algorithm: algorithm(object.get("sampling_algorithm")),
        objective: Objective {
            goal: if objective.text("goal")? == "maximize" { Goal::Maximize } else { Goal::Minimize },
            primary_metric: objective.text("primary_metric")?.to_owned(),
        },
        early_termination: inner("early_termination").and_then(early_termination),
        max_total_trials: count("max_total_trials")?,
        max_concurrent_trials: count("max_concurrent_trials").filter(|count| *count > 0),
        timeout: timeout("timeout"),
        trial_timeout: timeout("trial_timeout"),
    })
}

fn space(entries: &[Entry]) -> Option<SearchSpace> {
    let parameters = entries.iter().map(|entry| Some((entry.key.clone(), distribution(entry.value.object()?)?)));
    parameters.collect::<Option<Vec<_>>>().map(SearchSpace)
}

fn distribution(object: &Object) -> Option<Distribution> {
    let real = |name: &str| number(object.get(name));
    let bounds = || Some((real("min_value")?, real("max_value")?));
    let normal = || Some((real("mu")?, real("sigma")?));
    Some(match object.text("type")? {
        "choice" => {
            let values = object.get("values").and_then(Value::list).unwrap_or_default();
            Distribution::Choice { values: values.iter().map(choice).collect::<Option<_>>()? }
        }
        "randint" => Distribution::Randint { upper: whole(object.get("upper")).unwrap_or(0) },
        "uniform" => bounds().map(|(min, max)| Distribution::Uniform { min, max })?,
        "loguniform" => bounds().map(|(min, max)| Distribution::LogUniform { min, max })?,
        "quniform" => bounds().zip(real("q")).map(|((min, max), q)| Distribution::QUniform { min, max, q })?,
        "qloguniform" => bounds().zip(real("q")).map(|((min, max), q)| Distribution::QLogUniform { min, max, q })?,
        "normal" => normal().map(|(mu, sigma)| Distribution::Normal { mu, sigma })?,
        "lognormal" => normal().map(|(mu, sigma)| Distribution::LogNormal { mu, sigma })?,
        "qnormal" => normal().zip(real("q")).map(|((mu, sigma), q)| Distribution::QNormal { mu, sigma, q })?,
        "qlognormal" => normal().zip(real("q")).map(|((mu, sigma), q)| Distribution::QLogNormal { mu, sigma, q })?,
        _ => return None,
    })
}

/// A value of a choice. A mapping is a search space of its own; a scalar in it is its only value.
fn choice(value: &Value) -> Option<Choice> {
    let Some(entries) = value.map() else { return scalar(value).map(Choice::Value) };
    let nested = entries.iter().map(|entry| {
        let distribution = match entry.value.object() {
            Some(object) => distribution(object)?,
            None => Distribution::Choice { values: vec![choice(&entry.value)?] },
        };
        Some((entry.key.clone(), distribution))
    });
    nested.collect::<Option<Vec<_>>>().map(|space| Choice::Nested(SearchSpace(space)))
}

fn scalar(value: &Value) -> Option<Scalar> {
    Some(match &value.data {
        Data::Int(digits) => digits.parse().map_or_else(|_| Scalar::Text(digits.clone()), Scalar::Int),
        Data::Float(number) => Scalar::Float(*number),
        _ => Scalar::Text(value.python_str()),
    })
}

fn algorithm(value: Option<&Value>) -> Algorithm {
    let random = || Algorithm::Random { seed: None, rule: Rule::Random, logbase: None };
    let Some(value) = value else { return random() };
    let object = value.object();
    match object.and_then(|object| object.text("type")).or(value.text()) {
        Some("grid") => Algorithm::Grid,
        Some("bayesian") => Algorithm::Bayesian,
        _ => match object {
            Some(object) => Algorithm::Random {
                // A negative seed is a seed of its own.
                seed: object.get("seed").and_then(integer).map(i64::cast_unsigned),
                rule: if object.text("rule") == Some("sobol") { Rule::Sobol } else { Rule::Random },
                // `e` is the default.
                logbase: number(object.get("logbase")).filter(|base| *base > 0.0),
            },
            None => random(),
        },
    }
}

fn early_termination(object: &Object) -> Option<EarlyTermination> {
    let slack = |name: &str| number(object.get(name)).filter(|slack| *slack != 0.0);
    let policy = match object.text("type")? {
        "bandit" => Policy::Bandit { slack_factor: slack("slack_factor"), slack_amount: slack("slack_amount") },
        "median_stopping" => Policy::MedianStopping,
        "truncation_selection" => {
            let percentage = whole(object.get("truncation_percentage"))?;
            Policy::TruncationSelection { percentage: u8::try_from(percentage).unwrap_or(100) }
        }
        _ => return None,
    };
    let intervals = |name| whole(object.get(name)).unwrap_or(0);
    Some(EarlyTermination {
        policy,
        evaluation_interval: intervals("evaluation_interval"),
        delay_evaluation: intervals("delay_evaluation"),
    })
}

fn integer(value: &Value) -> Option<i64> {
    value.literal()?.python_str().parse().ok()
}

fn whole(value: Option<&Value>) -> Option<u64> {
    value.and_then(integer).and_then(|number| u64::try_from(number).ok())
}

fn number(value: Option<&Value>) -> Option<f64> {
    match &value?.data {
        Data::Float(number) => Some(*number),
        Data::Int(digits) | Data::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}
