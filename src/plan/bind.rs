//! Following bindings: from what a node's input says to a value.

use std::collections::HashMap;
use std::path::Path;

use super::{InputMode, Part, Value};
use crate::diagnostic::{Diagnostic, Sources, Span, suggest};
use crate::spec::Literal;
use crate::spec::asset_ref::Reference;
use crate::spec::catalog::Catalog;
use crate::spec::expr::{Expr, Piece, Template};
use crate::spec::io::{Data, Input, InputValue, PortType};
use crate::spec::job::Node;
use crate::spec::job::node::NodeBody;

/// A value with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Its type.
    pub kind: PortType,
    /// How it is given, when somebody said so.
    pub mode: Option<InputMode>,
    /// The value.
    pub value: Value,
    /// Where the value is written, when a binding led there.
    pub origin: Option<Span>,
}

/// The names that bindings can refer to, and what is needed to follow them.
pub(super) struct Scope<'a> {
    pub inputs: HashMap<&'a str, Bound>,
    pub nodes: &'a [Node],
    pub unread: &'a [String],
    pub base: &'a Path,
    pub catalog: &'a dyn Catalog,
    pub sources: &'a Sources,
}

/// Where a binding is written, for messages.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub span: Span,
    pub path: &'a str,
}

impl Scope<'_> {
    /// The value of an input as a node (or the job itself) gives it. `None` after a mistake, which has been reported.
    pub fn input(&self, input: &Input, path: &str, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        let site = Site { span: input.value.span, path };
        match &input.value.value {
            InputValue::Literal(Literal::Str(text)) => self.template(text, site, 0, found),
            InputValue::Literal(literal) => Some(Bound {
                kind: literal_type(literal),
                mode: None,
                value: Value::text(literal.python_str()),
                origin: None,
            }),
            InputValue::Data(data) => self.data(data, site, found),
        }
    }

    /// A text with bindings in it; a single binding keeps the type of what it refers to, anything else is a string.
    pub fn template(&self, text: &str, site: Site<'_>, depth: usize, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        let template = Template::binding(text);
        if let [Piece::Expr(expr, written)] = template.pieces.as_slice() {
            return self.follow(expr, written, site, depth, found);
        }
        let mut value = Value::default();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => value.push(Value::text(text)),
                Piece::Expr(expr, written) => value.push(self.follow(expr, written, site, depth, found)?.value),
                Piece::Optional(_) => {}
            }
        }
        if value.parts.is_empty() {
            value = Value::text("");
        }
        Some(Bound { kind: PortType::String, mode: None, value, origin: None })
    }

    fn follow(
        &self,
        expr: &Expr,
        written: &str,
        site: Site<'_>,
        depth: usize,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Bound> {
        let mistake = |code, message: String| {
            Diagnostic::error(code, self.sources.find(site.span, written), message).at(site.path)
        };
        match expr {
            Expr::ParentInput(name) => {
                let bound = self.inputs.get(name.as_str()).cloned();
                if bound.is_none() {
                    let known = self.inputs.keys().copied();
                    let message = format!("the pipeline has no input '{name}'");
                    found.push(suggest_or(mistake("unknown-port", message), name, known, "declare it under 'inputs:'"));
                }
                bound
            }
            Expr::JobOutput(job, output) => {
                let step = self.node(job, written, site, found)?;
                let Some(kind) = output_type(&self.nodes[step], output) else {
                    let known = output_names(&self.nodes[step]);
                    let message = format!("the node '{job}' has no output '{output}'");
                    let help = "a node's outputs are those of its component";
                    found.push(suggest_or(mistake("unknown-port", message), output, known.iter().copied(), help));
                    return None;
                };
                let value = Value { parts: vec![Part::Output { step, output: output.clone() }] };
                Some(Bound { kind, mode: None, value, origin: None })
            }
            Expr::JobInput(job, name) => {
                let step = self.node(job, written, site, found)?;
                let node = &self.nodes[step];
                let input = node.inputs.iter().find(|i| i.name.value == *name);
                match input.map(|i| &i.value.value) {
                    Some(InputValue::Literal(Literal::Str(text))) if depth < self.nodes.len() => {
                        self.template(text, site, depth + 1, found)
                    }
                    Some(InputValue::Literal(Literal::Str(_))) => {
                        found.push(mistake("cycle", format!("{written} leads back to itself")));
                        None
                    }
                    Some(_) => input.and_then(|i| self.input(i, site.path, found)),
                    None => {
                        let known = node.inputs.iter().map(|i| i.name.value.as_str());
                        let message = format!("the node '{job}' is given no input '{name}'");
                        let help = "bind to the pipeline's input instead";
                        found.push(suggest_or(mistake("unknown-port", message), name, known, help));
                        None
                    }
                }
            }
            Expr::ParentOutput(name) => {
                let message = format!("an input cannot read the pipeline's output '{name}'");
                found.push(
                    mistake("bad-expression", message)
                        .help("bind it to the node that writes it: ${{parent.jobs.<node>.outputs.<output>}}"),
                );
                None
            }
            Expr::Input(name) => {
                let message = format!("{written} means nothing in a node's input");
                found.push(mistake("bad-expression", message).help(format!("write ${{{{parent.inputs.{name}}}}}")));
                None
            }
            Expr::Output(_) | Expr::Name | Expr::Other(_) => {
                let message = format!("{written} means nothing here");
                let help = "bindings are ${{parent.inputs.<name>}} and ${{parent.jobs.<node>.outputs.<name>}}";
                found.push(mistake("bad-expression", message).help(help));
                None
            }
        }
    }

    fn node(&self, name: &str, written: &str, site: Site<'_>, found: &mut Vec<Diagnostic>) -> Option<usize> {
        let index = self.nodes.iter().position(|n| n.name.value == name);
        if index.is_none() && !self.unread.iter().any(|n| n == name) {
            let span = self.sources.find(site.span, written);
            let known = self.nodes.iter().map(|n| n.name.value.as_str());
            let mistake = Diagnostic::error("unknown-job", span, format!("there is no node '{name}'")).at(site.path);
            found.push(suggest_or(mistake, name, known, "nodes are the keys under 'jobs:'"));
        }
        index
    }

    fn data(&self, data: &Data, site: Site<'_>, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        if let Some(mode @ ("eval_mount" | "eval_download")) = data.mode.as_deref() {
            let message = format!("the mode '{mode}', which evaluates an MLTable, is not run by amlrun yet");
            let help = "use 'ro_mount' and read the table's files in the step";
            found.push(Diagnostic::error("not-yet", site.span, message).at(format!("{}.mode", site.path)).help(help));
            return None;
        }
        let mode = data.mode.as_deref().and_then(input_mode);
        let Some(path) = &data.path else {
            let message = "this data input has no path";
            found.push(Diagnostic::error("missing-field", site.span, message).at(format!("{}.path", site.path)));
            return None;
        };
        let at = format!("{}.path", site.path);
        let site = Site { span: path.span, path: &at };
        if path.value.contains("${{") {
            let bound = self.template(&path.value, site, 0, found)?;
            let kind = data.kind.unwrap_or(if bound.kind.is_data() { bound.kind } else { PortType::UriFolder });
            return Some(Bound { kind, mode: mode.or(bound.mode), value: bound.value, origin: None });
        }
        let kind = data.kind.unwrap_or(PortType::UriFolder);
        let value = self.local(&path.value, kind, data.kind.is_some(), site, found)?;
        Some(Bound { kind, mode, value, origin: None })
    }

    /// A path that is no binding: a registered asset or something on this machine (reference, section 3.2).
    fn local(
        &self,
        text: &str,
        kind: PortType,
        said: bool,
        site: Site<'_>,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let mut refuse = |code, message: String, help: String| {
            found.push(Diagnostic::error(code, site.span, message).at(site.path).help(help));
            None
        };
        match Reference::parse(text) {
            Some(Ok(Reference::Workspace(asset))) => {
                return match self.catalog.find(&asset, kind) {
                    Ok(asset) => Some(Value { parts: vec![Part::Path(asset.path)] }),
                    Err(why) => refuse("unknown-asset", why, "see 'amlrun model list'".to_owned()),
                };
            }
            Some(Err(why)) => return refuse("bad-reference", why, "write azureml:name:version".to_owned()),
            Some(Ok(_)) => return refuse("not-yet", remote(text), substitute()),
            None if text.contains("://") || text.starts_with("runs:/") => {
                return refuse("not-yet", remote(text), substitute());
            }
            None => {}
        }
        if text.contains([':', '@']) {
            let message = format!("Azure ML reads '{text}' as the name of an asset, because of the ':' or '@' in it");
            let help = "write azureml:name:version for an asset, or rename the file".to_owned();
            return refuse("bad-reference", message, help);
        }
        let place = self.base.join(text);
        let place: std::path::PathBuf = place.components().collect();
        let wants_file = kind == PortType::UriFile;
        if !place.exists() {
            let what = if wants_file { "file" } else { "folder" };
            let message = format!("there is no {what} '{text}'");
            let near = place.parent().and_then(|folder| near_name(folder, &place));
            let help = near.map_or_else(
                || "the path is relative to the folder of the YAML file".to_owned(),
                |near| format!("did you mean '{near}'?"),
            );
            return refuse("missing-path", message, help);
        }
        let models = kind.is_model();
        if !models && wants_file != place.is_file() {
            let message = if wants_file {
                format!("'{text}' is a folder, but the input's type is uri_file")
            } else {
                format!("'{text}' is a file, but the input's type is {kind}")
            };
            let wanted = if wants_file { "uri_folder" } else { "uri_file" };
            let help = if said { format!("write type: {wanted}") } else { format!("add the line 'type: {wanted}'") };
            return refuse("wrong-type", message, help);
        }
        Some(Value { parts: vec![Part::Path(place)] })
    }
}

fn remote(text: &str) -> String {
    format!("amlrun cannot fetch '{text}' yet")
}

fn substitute() -> String {
    "download it and run with --set <input>.path=<local path>".to_owned()
}

fn near_name(folder: &Path, wanted: &Path) -> Option<String> {
    let names: Vec<String> =
        std::fs::read_dir(folder).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    suggest::nearest(wanted.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}

pub(super) fn suggest_or<'n>(
    diagnostic: Diagnostic,
    word: &str,
    known: impl Iterator<Item = &'n str>,
    otherwise: &str,
) -> Diagnostic {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    match suggest::nearest(word, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
        None if known.is_empty() => diagnostic.help(otherwise.to_owned()),
        None => diagnostic.help(format!("{otherwise}; there are: {}", known.join(", "))),
    }
}

pub(super) fn input_mode(word: &str) -> Option<InputMode> {
    match word {
        "ro_mount" | "mount" => Some(InputMode::RoMount),
        "download" => Some(InputMode::Download),
        "direct" => Some(InputMode::Direct),
        _ => None,
    }
}

fn literal_type(literal: &Literal) -> PortType {
    match literal {
        Literal::Int(_) => PortType::Integer,
        Literal::Float(_) => PortType::Number,
        Literal::Bool(_) => PortType::Boolean,
        _ => PortType::String,
    }
}

/// The type of a node's output, or `None` when it has no such output.
pub(super) fn output_type(node: &Node, name: &str) -> Option<PortType> {
    let said = node.outputs.iter().find(|o| o.name.value == name);
    match &node.body {
        NodeBody::Component(component) => component.outputs.iter().find(|p| p.name.value == name).map(|port| port.kind),
        NodeBody::Inline(_) => said.map(|output| match &output.value.value {
            crate::spec::io::OutputValue::Data(data) => data.kind.unwrap_or(PortType::UriFolder),
            crate::spec::io::OutputValue::Binding(_) => PortType::UriFolder,
        }),
    }
}

pub(super) fn output_names(node: &Node) -> Vec<&str> {
    match &node.body {
        NodeBody::Component(component) => component.outputs.iter().map(|p| p.name.value.as_str()).collect(),
        NodeBody::Inline(_) => node.outputs.iter().map(|o| o.name.value.as_str()).collect(),
    }
}
