//! A node of a pipeline: a command by component, or written inline (reference, sections 1.5, 2.2).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::language::value::{Entry, Object, Origin};
use crate::spec::component::{self, CommandBody, Component};
use crate::spec::io::{self, Input, Output};
use crate::spec::{Pairs, Spanned};
use crate::yaml::Literal;

/// What a node runs.
#[derive(Clone, Debug)]
pub enum NodeBody {
    /// A component; nodes that name the same file share it.
    Component(Arc<Component>),
    /// The node's own command; its ports follow from its inputs and outputs.
    Inline(Box<CommandBody>),
}

/// A command node.
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
    /// A timeout that wins over its component's, in seconds.
    pub timeout: Option<Spanned<i64>>,
    /// What it runs.
    pub body: NodeBody,
}

/// The component files of a pipeline: each is taken over once, and what is not run yet in it is told once.
#[derive(Default)]
pub(super) struct Components {
    files: HashMap<Arc<Path>, Option<Arc<Component>>>,
}

impl Components {
    fn of(&mut self, object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Arc<Component>> {
        match &object.origin {
            Origin::Inline => component::of(object, path, found).map(Arc::new),
            Origin::File(file) | Origin::Prefixed(file) => self
                .files
                .entry(file.clone())
                .or_insert_with(|| component::of(object, path, found).map(Arc::new))
                .clone(),
        }
    }
}

/// Takes one entry of `jobs:` over. `None` when it is of a kind that is not run yet, which is then told.
pub(super) fn of(entry: &Entry, components: &mut Components, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let object = entry.value.object()?;
    let path = format!("jobs.{}", entry.key);
    let mut node = Node {
        name: Spanned::new(entry.key.clone(), entry.key_span),
        display_name: object.text("display_name").map(str::to_owned),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        environment_variables: Vec::new(),
        timeout: None,
        body: match object.class {
            "InlineCommandNode" => NodeBody::Inline(Box::new(component::command_body(object, &path, found)?)),
            "CommandNode" => {
                let reference = object.get("component")?;
                let Some(component) = reference.object() else {
                    let message = "a registered component is not read by amlrun yet";
                    let help = "name its file: component: ./component.yml";
                    let at = format!("{path}.component");
                    found.push(Diagnostic::error("not-yet", reference.span, message).at(at).help(help));
                    return None;
                };
                NodeBody::Component(components.of(component, &format!("{path}.component"), found)?)
            }
            _ => {
                not_yet(entry, object, &path, found);
                return None;
            }
        },
    };
    if matches!(node.body, NodeBody::Component(_)) {
        ignored(object, &path, found);
        let at = format!("{path}.environment_variables");
        node.environment_variables = component::environment_variables(object, &at, found);
        node.timeout = component::timeout(object, &path, found);
        component::run_settings(object, &path, found);
    }
    Some(node)
}

/// Azure ML ignores these beside a component without a word (surprise 13).
fn ignored(object: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    for key in ["command", "code", "environment"] {
        if let Some(entry) = object.entry(key) {
            let message = format!("'{key}' has no effect beside 'component': the component's own counts");
            let at = format!("{path}.{key}");
            found.push(Diagnostic::warning("ignored-field", entry.key_span, message).at(at));
        }
    }
}

fn not_yet(entry: &Entry, object: &Object, path: &str, found: &mut Vec<Diagnostic>) {
    let tag = object.get("type");
    let kind = tag.and_then(|t| t.text()).unwrap_or(match object.class {
        "SweepNode" => "sweep",
        "ParallelNode" | "InlineParallelNode" => "parallel",
        "PipelineNode" => "pipeline",
        "SparkNode" | "InlineSparkNode" => "spark",
        _ => "other",
    });
    let span = tag.map_or(entry.key_span, |t| t.span);
    found.push(
        Diagnostic::error("not-yet", span, format!("a node of type '{kind}' is not run by amlrun yet"))
            .at(format!("{path}.type"))
            .help("this version runs command nodes; the CHANGELOG tells what comes"),
    );
}
