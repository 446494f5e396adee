//! A node of a pipeline: a command by component or written inline, a pipeline inside the pipeline, a sweep, a parallel or
//! Spark step, a condition or loop, or something that only a service runs (reference, sections 1.5, 2.2, 2.5 to 2.12).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::again::amlrun;
use crate::diagnostic::{Diagnostic, Span};
use crate::language::value::{Entry, Object, Origin};
use crate::spec::component::{self, CommandBody, Component, RunSettings};
use crate::spec::control_flow::{self, DoWhile, IfElse, ParallelFor};
use crate::spec::data_transfer::{self, CopyNode};
use crate::spec::io::{self, Input, Output, Port};
use crate::spec::parallel::{self, ParallelNode};
use crate::spec::spark::{self, SparkNode};
use crate::spec::sweep::{self, SweepBody};
use crate::spec::{Pairs, Spanned};
use crate::yaml::Literal;
use std::path::PathBuf;

/// What a node runs.
#[derive(Clone, Debug)]
pub enum NodeBody {
    /// A component; nodes that name the same file share it.
    Component(Arc<Component>),
    /// The node's own command; its ports follow from its inputs and outputs.
    Inline(Box<CommandBody>),
    /// A pipeline component.
    Pipeline(Arc<PipelineComponent>),
    /// A script for Spark.
    Spark(Box<SparkNode>),
    /// Trials of a command.
    Sweep(Box<SweepBody>),
    /// A copy of data.
    Copy(Box<CopyNode>),
    /// A condition.
    IfElse(Box<IfElse>),
    /// A loop with a condition.
    DoWhile(Box<DoWhile>),
    /// A loop over items.
    ParallelFor(Box<ParallelFor>),
    /// A script that is called for each mini-batch of an input.
    Parallel(Box<ParallelNode>),
    /// A node that cannot run on this machine.
    Unsupported(Unsupported),
}

impl NodeBody {
    /// The component of a node that becomes one step; `None` when what it runs is written inline.
    #[must_use]
    pub fn component(&self) -> Option<&Component> {
        match self {
            Self::Component(component) => Some(component),
            Self::Parallel(node) => node.component.as_ref(),
            Self::Spark(node) => node.component.as_ref(),
            _ => None,
        }
    }
}

/// A node of a kind that amlrun does not run.
#[derive(Clone, Debug)]
pub struct Unsupported {
    /// Its `type`.
    pub kind: String,
    /// The code of the diagnostic that says why.
    pub code: &'static str,
    /// Why it cannot run here, without a full stop.
    pub why: String,
    /// What to do about it, when there is something.
    pub help: Option<String>,
    /// Where to point.
    pub span: Span,
    /// The outputs that its component declares and those that it names itself.
    pub outputs: Vec<Port>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the pipeline.
    pub name: Spanned<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Values of its inputs.
    pub inputs: Vec<Input>,
    /// What it says of its outputs.
    pub outputs: Vec<Output>,
    /// Variables that it adds to its component's.
    pub environment_variables: Pairs<Spanned<Literal>>,
    /// Settings that win over its component's.
    pub settings: RunSettings,
    /// What it runs.
    pub body: NodeBody,
}

/// A pipeline component.
#[derive(Clone, Debug)]
pub struct PipelineComponent {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Declared inputs.
    pub inputs: Vec<Port>,
    /// Declared outputs.
    pub outputs: Vec<Port>,
    /// The folder that relative paths in it start from.
    pub base: PathBuf,
    /// Its nodes in the order of the text.
    pub nodes: Vec<Node>,
}

impl PipelineComponent {
    fn of(object: &Object, components: &mut Components, found: &mut Vec<Diagnostic>) -> Self {
        let text = |name: &str| object.written(name);
        Self {
            name: text("name"),
            version: text("version"),
            inputs: io::ports(object.map("inputs")),
            outputs: io::ports(object.map("outputs")),
            base: object.base.to_path_buf(),
            nodes: nodes(object, components, found),
        }
    }
}

pub(super) fn nodes(object: &Object, components: &mut Components, found: &mut Vec<Diagnostic>) -> Vec<Node> {
    object.map("jobs").iter().filter_map(|entry| of(entry, components, found)).collect()
}

/// The component files of a document: each is taken over once.
#[derive(Default)]
pub(super) struct Components {
    commands: HashMap<Arc<Path>, Option<Arc<Component>>>,
    pipelines: HashMap<Arc<Path>, Arc<PipelineComponent>>,
}

impl Components {
    fn command(&mut self, object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Arc<Component>> {
        match &object.origin {
            Origin::Inline => component::of(object, path, found).map(Arc::new),
            Origin::File(file) | Origin::Prefixed(file) => self
                .commands
                .entry(file.clone())
                .or_insert_with(|| component::of(object, path, found).map(Arc::new))
                .clone(),
        }
    }

    pub(super) fn pipeline(&mut self, object: &Object, found: &mut Vec<Diagnostic>) -> Arc<PipelineComponent> {
        let file = match &object.origin {
            Origin::File(file) | Origin::Prefixed(file) => Some(file.clone()),
            Origin::Inline => None,
        };
        if let Some(known) = file.as_ref().and_then(|file| self.pipelines.get(file)) {
            return known.clone();
        }
        let read = Arc::new(PipelineComponent::of(object, self, found));
        if let Some(file) = file {
            self.pipelines.insert(file, read.clone());
        }
        read
    }
}

/// Takes one entry of `jobs:` over.
pub(super) fn of(entry: &Entry, components: &mut Components, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let object = entry.value.object()?;
    let path = format!("jobs.{}", entry.key);
    let named = object.get("component").and_then(|c| c.object());
    let body = match (object.class, named) {
        ("InlineCommandNode", _) => NodeBody::Inline(Box::new(component::command_body(object, &path, found)?)),
        ("CommandNode", Some(named)) => {
            let known = found.len();
            match components.command(named, &format!("{path}.component"), found) {
                Some(component) => NodeBody::Component(component),
                // It was accepted in spite of its mistakes, because a substitute is used instead of the node.
                None if found.len() == known => NodeBody::Unsupported(unsupported(entry, object)),
                None => return None,
            }
        }
        ("SparkNode" | "InlineSparkNode", _) => match spark::node(object, &path, found) {
            Some(node) => NodeBody::Spark(Box::new(node)),
            None => NodeBody::Unsupported(unsupported(entry, object)),
        },
        ("SweepNode", _) => {
            match sweep::node(object, &path, &mut |trial, at, found| components.command(trial, at, found), found) {
                Some(sweep) => NodeBody::Sweep(Box::new(sweep)),
                None => NodeBody::Unsupported(unsupported(entry, object)),
            }
        }
        ("InlineDataTransferCopyNode" | "DataTransferCopyNode", _) => match data_transfer::copy(object) {
            Some(copy) => NodeBody::Copy(Box::new(copy)),
            None => NodeBody::Unsupported(unsupported(entry, object)),
        },
        ("IfElse", _) => NodeBody::IfElse(Box::new(control_flow::if_else(object)?)),
        ("DoWhile", _) => NodeBody::DoWhile(Box::new(control_flow::do_while(object)?)),
        ("ParallelFor", _) => NodeBody::ParallelFor(Box::new(control_flow::parallel_for(object)?)),
        ("PipelineNode", Some(named)) => NodeBody::Pipeline(components.pipeline(named, found)),
        ("ParallelNode" | "InlineParallelNode", _) => match parallel::of(object, &path, found) {
            Some(node) => NodeBody::Parallel(Box::new(node)),
            None => NodeBody::Unsupported(unsupported(entry, object)),
        },
        _ => NodeBody::Unsupported(unsupported(entry, object)),
    };
    let inline = matches!(body, NodeBody::Inline(_));
    if !inline {
        ignored(object, &path, found);
    }
    let at = format!("{path}.environment_variables");
    Some(Node {
        name: Spanned::new(entry.key.clone(), entry.key_span),
        display_name: object.text("display_name").map(str::to_owned),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        environment_variables: if inline { Vec::new() } else { component::environment_variables(object, &at, found) },
        settings: component::run_settings(object),
        body,
    })
}

/// Azure ML silently ignores these beside a component (surprise 13).
fn ignored(object: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    if object.class != "CommandNode" {
        return;
    }
    for key in ["command", "code", "environment"] {
        if let Some(entry) = object.entry(key) {
            let message = format!("'{key}' has no effect next to 'component': the component's own '{key}' is used");
            let at = format!("{path}.{key}");
            found.push(Diagnostic::warning("ignored-field", entry.key_span, message).at(at));
        }
    }
}

/// The `type` of a node, also of one that leaves it out.
#[must_use]
pub fn kind(node: &Object) -> &str {
    node.text("type").unwrap_or(match node.class {
        "CommandNode" | "InlineCommandNode" => "command",
        "SweepNode" => "sweep",
        "ParallelNode" | "InlineParallelNode" => "parallel",
        "PipelineNode" => "pipeline",
        "SparkNode" | "InlineSparkNode" => "spark",
        _ => "other",
    })
}

fn unsupported(entry: &Entry, object: &Object) -> Unsupported {
    let tag = object.get("type");
    let kind = kind(object);
    let (mut help, mut code) = (None, "not-yet");
    let component = object.get("component").or_else(|| object.get("trial"));
    let reference = component
        .filter(|_| matches!(kind, "command" | "pipeline" | "spark" | "sweep" | "parallel"))
        .and_then(|c| Some((c.text()?, c.span)));
    let (why, span) = match reference {
        Some((name, span)) if name.contains("://") || name.starts_with('/') => {
            (format!("the component '{name}' is not available on this machine"), span)
        }
        Some((name, span)) => {
            let (create, list) = (amlrun("component create -f FILE"), amlrun("component list"));
            help = Some(format!("register it ({create}), or list the registered components: {list}"));
            code = "unknown-component";
            (format!("the component '{name}' is not registered in this workspace"), span)
        }
        None => {
            let span = tag.map_or(entry.key_span, |t| t.span);
            (format!("nodes of type '{kind}' are not supported by amlrun yet"), span)
        }
    };
    let mut outputs = io::ports(component.and_then(|c| c.object()).map(|c| c.map("outputs")).unwrap_or_default());
    for output in io::outputs(object.map("outputs")) {
        if outputs.iter().all(|port| port.name.value != output.name.value) {
            outputs.push(Port::of_output(&output));
        }
    }
    Unsupported { kind: kind.to_owned(), code, why, help, span, outputs }
}
