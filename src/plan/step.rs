//! One step of the plan from one node, or from a job of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bind::Scope;
use super::inputs::{component_inputs, given, step_input};
use super::level::output_names;
use super::outputs::{self, Said};
use super::parallel;
use super::site::Site;
use super::spark;
use super::{Code, Command, Distribution, Local, Phase, Program, Step, StepBody, StepInput, StepOutput, Value};
use crate::diagnostic::{Diagnostic, suggest};
use crate::spec::component::{CommandBody, Component, RunSettings};
use crate::spec::expr::{Expr, Template};
use crate::spec::io::Output;
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;
use crate::spec::{Literal, Pairs, Spanned};

/// What runs: everything of a step that does not come from bindings.
pub(super) struct Runs<'a> {
    pub path: String,
    pub kind: &'a str,
    pub display_name: Option<String>,
    pub component: Option<String>,
    pub body: Option<&'a CommandBody>,
    pub settings: RunSettings,
    pub is_deterministic: bool,
    pub program: Program,
}

/// The place of a node in the document: `prefix` is the text before its name in the paths of steps.
pub(super) fn at(prefix: &str, name: &str) -> String {
    format!("jobs.{}{name}", prefix.replace('.', ".jobs."))
}

/// The step of a node that is no pipeline.
pub(super) fn of_node(
    node: &Node,
    scope: &Scope<'_>,
    outer: &Said,
    local: &Local,
    prefix: &str,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let at = at(prefix, &node.name.value);
    let said = outputs::of_node(node, outer);
    let step_outputs = outputs::of_step(&output_names(node), &said, &format!("{at}.outputs"), scope.world, found);
    let own = node.environment_variables.as_slice();
    let path = format!("{prefix}{}", node.name.value);
    let display_name = node.display_name.clone();
    let kind = match &node.body {
        NodeBody::Unsupported(other) => &other.kind,
        NodeBody::Spark(_) => "spark",
        NodeBody::Parallel(_) => "parallel",
        _ => "command",
    };
    let (reported, mut aside) = (found, Vec::new());
    // A field that is missing in a node that is not run is not a mistake.
    let found = if local.rules(&path, kind).policy.is_some() { &mut aside } else { &mut *reported };
    let mut driven = None;
    let command;
    let (inputs, runs) = match &node.body {
        NodeBody::Component(component) => {
            let inputs = component_inputs(&component.inputs, node, scope, &at, found);
            let runs = Runs {
                path,
                kind: "command",
                display_name: display_name.or_else(|| component.display_name.clone()),
                component: named(component),
                body: Some(&component.body),
                settings: node.settings.or(&component.body.settings),
                is_deterministic: component.is_deterministic,
                program: Program::Shell,
            };
            (inputs, runs)
        }
        NodeBody::Inline(body) => {
            let names: Vec<&str> = node.inputs.iter().map(|input| input.name.value.as_str()).collect();
            check_inline_command(body, &names, &node.outputs, &format!("{at}.command"), scope, found);
            let inputs = given(node, scope, &at, found).into_iter();
            let inputs = inputs.map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect();
            let settings = body.settings.clone();
            let runs = Runs {
                path,
                kind: "command",
                display_name,
                component: None,
                body: Some(body),
                settings,
                is_deterministic: true,
                program: Program::Shell,
            };
            (inputs, runs)
        }
        NodeBody::Unsupported(other) => {
            let runs = Runs {
                path,
                kind: &other.kind,
                display_name,
                component: None,
                body: None,
                settings: RunSettings::default(),
                is_deterministic: true,
                program: Program::Shell,
            };
            (Vec::new(), runs)
        }
        NodeBody::Spark(written) => {
            let component = written.component.as_ref();
            command = spark::command(&written.body, &node.name.value, &at, found);
            let mut inputs = match component {
                Some(component) => component_inputs(&component.inputs, node, scope, &at, found),
                None => {
                    let names: Vec<&str> = node.inputs.iter().map(|input| input.name.value.as_str()).collect();
                    check_inline_command(&command, &names, &node.outputs, &format!("{at}.args"), scope, found);
                    let inputs = given(node, scope, &at, found).into_iter();
                    inputs.map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect()
                }
            };
            spark::read_locally(&mut inputs);
            let runs = Runs {
                path,
                kind,
                display_name: display_name.or_else(|| component.and_then(|c| c.display_name.clone())),
                component: component.and_then(named),
                body: Some(&command),
                settings: component.map_or_else(|| node.settings.clone(), |c| node.settings.or(&c.body.settings)),
                is_deterministic: component.is_none_or(|c| c.is_deterministic),
                program: Program::Spark,
            };
            (inputs, runs)
        }
        NodeBody::Parallel(parallel) => {
            let component = parallel.component.as_ref();
            let mut inputs = match component {
                Some(component) => component_inputs(&component.inputs, node, scope, &at, found),
                None => {
                    let inputs = given(node, scope, &at, found).into_iter();
                    inputs.map(|(input, bound)| step_input(&input.name.value, bound, None, None)).collect()
                }
            };
            let variables: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
            let settings = component.map_or_else(|| node.settings.clone(), |c| node.settings.or(&c.body.settings));
            driven = parallel::of(&parallel.body, &mut inputs, &step_outputs, &variables, scope, &at, found);
            if let (Some(driven), None) = (&driven, component) {
                let at = format!("{at}.task.program_arguments");
                let names: Vec<&str> = node.inputs.iter().map(|input| input.name.value.as_str()).collect();
                check_inline_command(&driven.body, &names, &node.outputs, &at, scope, found);
            }
            let runs = Runs {
                path,
                kind,
                display_name: display_name.or_else(|| component.and_then(|c| c.display_name.clone())),
                component: component.and_then(named),
                body: driven.as_ref().map(|driven| &driven.body),
                program: Program::Parallel,
                // The driver runs all workers: the instances are not processes of their own.
                settings: RunSettings { instances: None, distribution: None, ..settings },
                is_deterministic: component.is_none_or(|c| c.is_deterministic),
            };
            (inputs, runs)
        }
        NodeBody::Pipeline(_)
        | NodeBody::Sweep(_)
        | NodeBody::Copy(_)
        | NodeBody::IfElse(_)
        | NodeBody::DoWhile(_)
        | NodeBody::ParallelFor(_) => {
            unreachable!("they have functions of their own")
        }
    };
    let mut step = of(runs, inputs, step_outputs, own, scope, local, &at, reported);
    if let Some(driven) = &driven {
        step.slots = local.rules(&step.path, kind).slots.unwrap_or(driven.workers).max(1);
    }
    if let (NodeBody::Unsupported(other), None) = (&node.body, &step.substitute) {
        let policy = || {
            let key = format!("[steps.\"{}\"]", step.path);
            format!("choose a substitute in amlrun.toml: {key} policy = \"stub\", \"replay\" or \"skip\"")
        };
        let help = other.help.clone().unwrap_or_else(policy);
        reported.push(Diagnostic::error(other.code, other.span, other.why.clone()).at(at).help(help));
    }
    step
}

/// A component as people name it.
fn named(component: &Component) -> Option<String> {
    let name = component.name.clone()?;
    Some(match &component.version {
        Some(version) => format!("{name}:{version}"),
        None => name,
    })
}

/// A step from its parts.
#[allow(clippy::too_many_arguments)]
pub(super) fn of(
    runs: Runs<'_>,
    inputs: Vec<StepInput>,
    outputs: Vec<StepOutput>,
    own_variables: &[(String, Spanned<Literal>)],
    scope: &Scope<'_>,
    local: &Local,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Step {
    let body = runs.body;
    let rules = local.rules(&runs.path, runs.kind);
    let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    let substitute = local.substitute(&rules, &names).unwrap_or_else(|why| {
        let message = format!("the policy for the step '{}' cannot be followed: {why}", runs.path);
        found.push(Diagnostic::without_place("bad-policy", message).at(at));
        None
    });
    let mut aside = Vec::new();
    let found = if rules.policy.is_some() { &mut aside } else { found };
    if let Some(code) = body.and_then(|body| body.remote_code.as_ref()) {
        let message = format!("amlrun cannot fetch code from '{}' yet", code.value);
        let fault = Diagnostic::error("not-yet", code.span, message).at(under(at, "code"));
        found.push(fault.help("check the code out next to the YAML file and set 'code' to its folder"));
    }
    let nothing = Vec::new();
    let environment_variables =
        variables(body.map_or(&nothing, |b| &b.environment_variables), own_variables, scope, at, found);
    let timeout = runs.settings.timeout.as_ref();
    let timeout = timeout.and_then(|t| {
        let path = under(at, "limits.timeout");
        scope.number(&t.value, Site { span: t.span, path: &path }, found)
    });
    let timeout = [timeout, rules.timeout].into_iter().flatten().min();
    let distribution = distribution(&runs.settings, scope, at, found);
    // Several processes take several slots, unless the rules say otherwise.
    let processes = distribution.as_ref().map_or(1, Distribution::processes);
    let slots = rules.slots.unwrap_or(processes).max(1);
    let body = match body {
        Some(body) => StepBody::Command(Box::new(Command {
            program: runs.program,
            text: body.command.value.clone(),
            code: code(body),
            environment: body.environment.as_ref().map(|environment| environment.value.clone()),
            environment_variables,
            distribution,
            container: runs.settings.container.clone(),
        })),
        None => StepBody::Unsupported { kind: runs.kind.to_owned() },
    };
    let mut step = Step {
        path: runs.path,
        display_name: runs.display_name,
        component: runs.component,
        body,
        inputs,
        outputs,
        timeout: timeout.map(Duration::from_secs),
        is_deterministic: runs.is_deterministic,
        phase: Phase::Main,
        substitute,
        retries: rules.retries.unwrap_or(0),
        slots,
        needs: Vec::new(),
        optional_needs: Vec::new(),
    };
    if step.substitute.is_none() {
        step.find_needs();
    }
    step
}

fn code(body: &CommandBody) -> Option<Code> {
    let root = body.code.as_ref().map(|c| c.value.components().collect());
    (root.is_some() || !body.includes.is_empty()).then(|| Code { root, includes: body.includes.clone() })
}

fn distribution(
    settings: &RunSettings,
    scope: &Scope<'_>,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Distribution> {
    let mut number = |text: &Spanned<String>, field: &str| {
        let path = under(at, field);
        let number = scope.number(&text.value, Site { span: text.span, path: &path }, found);
        number.and_then(|n| u32::try_from(n).ok())
    };
    let instances = settings.instances.as_ref().and_then(|n| number(n, "resources.instance_count")).unwrap_or(1);
    let Some(written) = &settings.distribution else {
        return (instances > 1).then(|| Distribution {
            kind: None,
            instances,
            counts: BTreeMap::new(),
            options: BTreeMap::new(),
        });
    };
    let counts = written.counts.iter().filter(|(name, _)| name.ends_with("_count") || name.contains("count_per"));
    let mut given = BTreeMap::new();
    for (name, count) in counts {
        // Zero parameter servers are allowed.
        let count = if count.value == "0" { Some(0) } else { number(count, &format!("distribution.{name}")) };
        given.extend(count.map(|count| (name.clone(), count)));
    }
    let is_ray = written.kind.value == "ray";
    let options = written.counts.iter().filter(|_| is_ray).filter_map(|(name, text)| {
        let path = under(at, &format!("distribution.{name}"));
        let bound = scope.template(&text.value, Site { span: text.span, path: &path }, 0, found)?;
        Some((name.clone(), bound.value.as_ref().and_then(Value::as_text)?.to_owned()))
    });
    let options = options.collect();
    let kind = Some(written.kind.value.clone());
    Some(Distribution { kind, instances, counts: given, options })
}

fn under(at: &str, field: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") }
}

fn variables(
    component: &Pairs<Spanned<Literal>>,
    node: &[(String, Spanned<Literal>)],
    scope: &Scope<'_>,
    at: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = Vec::new();
    for (name, literal) in component.iter().chain(node) {
        let path = under(at, &format!("environment_variables.{name}"));
        let value = match &literal.value {
            Literal::Str(text) => {
                let site = Site { span: literal.span, path: &path };
                scope.template(text, site, 0, found).map(|bound| bound.value.unwrap_or_else(|| Value::text("")))
            }
            Literal::Null => Some(Value::text("")),
            other => Some(Value::text(other.python_str())),
        };
        let Some(value) = value.map(|value| value.under(name)) else { continue };
        match all.iter_mut().find(|(n, _)| n == name) {
            Some(known) => known.1 = value,
            None => all.push((name.clone(), value)),
        }
    }
    all
}

/// An inline command may use the inputs and outputs of the same node. An input in an optional block only may be absent.
pub(super) fn check_inline_command(
    body: &CommandBody,
    inputs: &[&str],
    outputs: &[Output],
    path: &str,
    scope: &Scope<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for (expr, written, optional) in Template::command(&body.command.value).expressions() {
        let (side, name, known): (_, _, Vec<&str>) = match expr {
            Expr::Input(name) => ("input", name, inputs.to_vec()),
            Expr::Output(name) => ("output", name, outputs.iter().map(|o| o.name.value.as_str()).collect()),
            _ => continue,
        };
        if known.contains(&name.as_str()) || optional {
            continue;
        }
        let span = scope.world.sources.find(body.command.span, written);
        let message = format!("the command uses the {side} '{name}', which has no value here");
        let mistake = Diagnostic::error("unknown-port", span, message).at(path);
        found.push(match suggest::nearest(name, known.iter().copied()) {
            Some(near) => mistake.help(format!("did you mean '{near}'?")),
            None => mistake.help(format!("add it under '{side}s:'")),
        });
    }
}
