//! The step of a sweep: its search, and the template of its trials (reference, section 7.5).

use super::bind::Scope;
use super::inputs::{component_inputs, given, step_input};
use super::level::output_names;
use super::local::Local;
use super::model::parameter;
use super::outputs::{self, Said};
use super::step::{self, Runs, check_inline_command};
use super::{
    InputMode, JobOutput, Part, Phase, PortType, Program, Step, StepBody, StepInput, StepOutput, Sweep, Template, Value,
};
use crate::diagnostic::Diagnostic;
use crate::spec::expr::{Expr, Piece, Template as Text};
use crate::spec::io::{Input, Output};
use crate::spec::job::Node;
use crate::spec::sweep::{SweepBody, Trial};
use crate::sweep::{Distribution, Level, SearchSpace};

/// Where a sweep was written.
pub(super) struct Written<'a> {
    /// The path of its step.
    pub path: String,
    /// Its place in the document; empty for a job of its own.
    pub at: &'a str,
    /// Its name for people.
    pub display_name: Option<String>,
    /// The inputs and outputs that it gives.
    pub inputs: &'a [Input],
    /// The outputs that it names.
    pub outputs: &'a [Output],
}

/// The step of a sweep. `inputs` and `outputs` are those of the sweep.
pub(super) fn of(
    sweep: &SweepBody,
    written: Written<'_>,
    inputs: Vec<StepInput>,
    outputs: Vec<StepOutput>,
    scope: &Scope<'_>,
    local: &Local,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let at = |field: &str| if written.at.is_empty() { field.to_owned() } else { format!("{}.{field}", written.at) };
    // A sweep with a substitute needs nothing but its outputs.
    let (reported, mut aside) = (found, Vec::new());
    let found = if local.rules(&written.path, "sweep").policy.is_some() { &mut aside } else { &mut *reported };
    check_space(sweep, &at("search_space"), found);
    let mut body = sweep.trial.body().clone();
    if let Trial::Inline(inline) = &sweep.trial {
        let names = written.inputs.iter().map(|input| input.name.value.as_str());
        let names: Vec<&str> = names.chain(sweep.space.value.0.iter().map(|(name, _)| name.as_str())).collect();
        check_inline_command(inline, &names, written.outputs, &at("trial.command"), scope, found);
    }
    body.command.value = with_inputs(&body.command.value, &inputs, &sweep.space.value);
    let component = match &sweep.trial {
        Trial::Component(component) => Some(&**component),
        Trial::Inline(_) => None,
    };
    let runs = Runs {
        path: written.path.clone(),
        kind: "sweep",
        display_name: None,
        component: component.and_then(|component| component.name.clone()),
        settings: body.settings.clone(),
        body: Some(&body),
        is_deterministic: component.is_none_or(|component| component.is_deterministic),
        program: Program::Shell,
    };
    let trial_inputs = inputs.iter().map(handed_on).chain(swept_inputs(sweep, &inputs));
    // Only the sweep's own outputs become assets: those of its best trial.
    let trial_outputs = outputs.iter().map(|output| StepOutput { asset: None, place: None, ..output.clone() });
    // A trial knows nothing of the steps around the sweep: it gets everything through the sweep's inputs.
    let alone = Scope { inputs: std::collections::HashMap::new(), level: None, base: scope.base, world: scope.world };
    let (trial_inputs, trial_outputs) = (trial_inputs.collect(), trial_outputs.collect());
    let mut trial = step::of(runs, trial_inputs, trial_outputs, &[], &alone, local, &at("trial"), reported);
    trial.timeout = [trial.timeout, sweep.trial_timeout].into_iter().flatten().min();
    let substitute = trial.substitute.take();
    let taken = outputs.iter().map(|o| JobOutput { name: o.name.clone(), step: 0, output: o.name.clone() });
    let total = sweep.max_total_trials;
    let mut step = Step {
        path: written.path,
        display_name: written.display_name,
        component: trial.component.clone(),
        body: StepBody::Sweep(Box::new(Sweep {
            trial: Template { steps: vec![trial], outputs: taken.collect() },
            space: sweep.space.value.clone(),
            algorithm: sweep.algorithm.clone(),
            objective: sweep.objective.clone(),
            early_termination: sweep.early_termination.clone(),
            max_total_trials: total,
            max_concurrent_trials: sweep.max_concurrent_trials.unwrap_or(total).clamp(1, total.max(1)),
            timeout: sweep.timeout,
        })),
        inputs,
        outputs,
        timeout: None,
        is_deterministic: true,
        phase: Phase::Main,
        substitute,
        retries: 0,
        slots: 1,
        needs: Vec::new(),
        optional_needs: Vec::new(),
    };
    if step.substitute.is_none() {
        step.find_needs();
    }
    step
}

/// The step of a sweep that is a node.
pub(super) fn of_node(
    node: &Node,
    sweep: &SweepBody,
    scope: &Scope<'_>,
    outer: &Said,
    local: &Local,
    prefix: &str,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let at = step::at(prefix, &node.name.value);
    let said = outputs::of_node(node, outer);
    let path = format!("{prefix}{}", node.name.value);
    let step_outputs = outputs::of_step(&output_names(node), &said, &format!("{at}.outputs"), scope.world, found);
    let mut aside = Vec::new();
    let of_inputs = if local.rules(&path, "sweep").policy.is_some() { &mut aside } else { &mut *found };
    let inputs = inputs_of_node(sweep, node, scope, &at, of_inputs);
    let display_name = node.display_name.clone();
    let written = Written { path, at: &at, display_name, inputs: &node.inputs, outputs: &node.outputs };
    of(sweep, written, inputs, step_outputs, scope, local, found)
}

/// The inputs of a sweep that is a node.
fn inputs_of_node(
    sweep: &SweepBody,
    node: &Node,
    scope: &Scope<'_>,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepInput> {
    match &sweep.trial {
        Trial::Component(component) => {
            let is_swept = |name: &str| sweep.space.value.0.iter().any(|(swept, _)| swept == name);
            let ports: Vec<_> = component.inputs.iter().filter(|port| !is_swept(&port.name.value)).cloned().collect();
            component_inputs(&ports, node, scope, at, found)
        }
        Trial::Inline(_) => {
            let inputs = given(node, scope, at, found).into_iter();
            inputs.map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect()
        }
    }
}

/// An input of the sweep, as a trial gets it.
fn handed_on(input: &StepInput) -> StepInput {
    let value = input.value.as_ref().map(|_| Value { parts: vec![Part::Input(input.name.clone())] });
    StepInput { value, ..input.clone() }
}

/// The parameters, as inputs of a trial.
fn swept_inputs<'a>(sweep: &'a SweepBody, inputs: &'a [StepInput]) -> impl Iterator<Item = StepInput> + 'a {
    let declared = |name: &str| match &sweep.trial {
        Trial::Component(component) => component.inputs.iter().find(|port| port.name.value == name),
        Trial::Inline(_) => None,
    };
    sweep.space.value.0.iter().map(move |(name, distribution)| {
        let kind = match distribution {
            Distribution::Choice { .. } => PortType::String,
            Distribution::Randint { .. } => PortType::Integer,
            _ => PortType::Number,
        };
        StepInput {
            name: input_name(name, inputs),
            kind: declared(name).map_or(kind, |port| port.kind),
            mode: InputMode::default(),
            optional: false,
            value: Some(Value { parts: vec![Part::Input(parameter(name))] }),
        }
    })
}

/// The name under which a trial gets a parameter: its own, unless the sweep has an input of that name.
fn input_name(parameter: &str, inputs: &[StepInput]) -> String {
    if inputs.iter().any(|input| input.name == parameter) {
        format!("search_space.{parameter}")
    } else {
        parameter.to_owned()
    }
}

/// A trial's command with `${{search_space.x}}` as an input.
fn with_inputs(command: &str, inputs: &[StepInput], space: &SearchSpace) -> String {
    let known = |name: &str| space.0.iter().any(|(swept, _)| swept == name);
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Expr(Expr::SearchSpace(name), _) if known(name) => {
            format!("${{{{inputs.{}}}}}", input_name(name, inputs))
        }
        Piece::Expr(_, written) => written.clone(),
        Piece::Optional(_) => String::new(),
    };
    let pieces = Text::command(command).pieces.into_iter().map(|outer| match outer {
        Piece::Optional(inner) => format!("$[[{}]]", inner.iter().map(piece).collect::<String>()),
        outer => piece(&outer),
    });
    pieces.collect()
}

/// Reports what cannot be drawn.
fn check_space(sweep: &SweepBody, at: &str, found: &mut Vec<Diagnostic>) {
    for problem in sweep.space.value.check(&sweep.algorithm) {
        let place = if problem.parameter.is_empty() { at.to_owned() } else { format!("{at}.{}", problem.parameter) };
        let diagnostic = match problem.level {
            Level::Error => Diagnostic::error("bad-search-space", sweep.space.span, problem.text),
            Level::Warning => Diagnostic::warning("bad-search-space", sweep.space.span, problem.text),
        };
        found.push(diagnostic.at(place));
    }
}
