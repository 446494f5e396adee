//! A node of a pipeline: a command by component file, or written inline (reference, sections 1.5, 2.2).

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::spec::component::{self, CommandBody, Component};
use crate::spec::io::{self, Input, Output};
use crate::spec::load::Loader;
use crate::spec::{Pairs, Spanned};
use crate::yaml::{Entry, Fields, Literal};

/// What a node runs.
#[derive(Clone, Debug)]
pub enum NodeBody {
    /// A component file; nodes that name the same file share it.
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

const NODE_TYPES: [&str; 8] =
    ["command", "import", "sweep", "parallel", "pipeline", "automl", "spark", "data_transfer"];
const PREVIEW_TYPES: [&str; 3] = ["if_else", "do_while", "parallel_for"];

/// Reads one entry of `jobs:`.
pub(crate) fn read(entry: &Entry, base: &Path, loader: &mut Loader<'_>) -> Option<Node> {
    let path = format!("jobs.{}", entry.key);
    check_name(entry, &path, loader.found);
    let mut fields = Fields::open(&entry.value, &path, loader.found)?;
    check_type(&mut fields, loader.found)?;
    let inputs = io::inputs(&mut fields, loader.found);
    let outputs = io::outputs(&mut fields, loader.found);
    let display_name = fields.string("display_name", loader.found).map(|(text, _)| text);
    fields.pass_over(&["name", "description", "tags", "properties", "compute", "$schema"]);
    let name = Spanned::new(entry.key.clone(), entry.key_span);
    if let Some(trial) = fields.entry("trial") {
        not_yet(loader.found, trial, &path, "sweep");
        return None;
    }
    let Some(reference) = fields.take_set("component") else {
        let body = component::command_body(&mut fields, base, "a command node", loader.found);
        fields.finish("a command node", loader.found);
        let (environment_variables, timeout) = (Vec::new(), None);
        return Some(Node {
            name,
            display_name,
            inputs,
            outputs,
            environment_variables,
            timeout,
            body: NodeBody::Inline(Box::new(body?)),
        });
    };
    // Azure ML ignores these beside a component without a word (surprise 13).
    for key in ["command", "code", "environment"] {
        if let Some(entry) = fields.entry(key) {
            let message = format!("'{key}' has no effect beside 'component': the component's own counts");
            loader.found.push(Diagnostic::warning("ignored-field", entry.key_span, message).at(fields.child(key)));
        }
    }
    let environment_variables = component::environment_variables(&mut fields, loader.found);
    let timeout = component::timeout(&mut fields, loader.found);
    component::run_settings(&mut fields, loader.found);
    fields.pass_over(&["comment"]);
    let mut unknown = Vec::new();
    fields.finish("a command node", &mut unknown);
    for mut diagnostic in unknown {
        diagnostic.severity = crate::diagnostic::Severity::Warning;
        loader.found.push(diagnostic);
    }
    let component = loader.component(reference, &format!("{path}.component"), base)?;
    Some(Node {
        name,
        display_name,
        inputs,
        outputs,
        environment_variables,
        timeout,
        body: NodeBody::Component(component),
    })
}

fn check_name(entry: &Entry, path: &str, found: &mut Vec<Diagnostic>) {
    let name = &entry.key;
    let legal = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !legal {
        let message = format!("'{name}' cannot name a node");
        let help = "a node's name has lower case letters, digits and '_', and begins with a letter or '_'";
        found.push(Diagnostic::error("bad-name", entry.key_span, message).at(path).help(help));
    }
}

/// `None` when the node is of a type that is not read, which has then been said.
fn check_type(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Option<()> {
    if fields.take_set("type").is_none() {
        return Some(());
    }
    let entry = fields.entry("type")?;
    let (text, span) = fields.string("type", found)?;
    if text == "command" {
        return Some(());
    }
    if NODE_TYPES.contains(&text.as_str()) || PREVIEW_TYPES.contains(&text.as_str()) {
        not_yet(found, entry, &fields.path, &text);
    } else {
        found.push(io::not_one_of("node type", &text, span, &NODE_TYPES).at(fields.child("type")));
    }
    None
}

fn not_yet(found: &mut Vec<Diagnostic>, entry: &Entry, path: &str, kind: &str) {
    found.push(
        Diagnostic::error("not-yet", entry.value.span, format!("a node of type '{kind}' is not run by amlrun yet"))
            .at(format!("{path}.{}", entry.key))
            .help("this version runs command nodes; the CHANGELOG tells what comes"),
    );
}
