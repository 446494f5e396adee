//! Following bindings: from what a node's input says to a value.
//!
//! `language` has checked that bindings name something that exists. Planning looks up assets, local paths and
//! addresses, and reports those that are missing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::level::Level;
use super::mltable;
use super::site::{Site, is_datastore};
use super::{Form, InputMode, Located, Part, Remote, Value};
use crate::again::amlrun;
use crate::diagnostic::{Diagnostic, Sources, suggest};
use crate::spec::Literal;
use crate::spec::asset_ref::Reference;
use crate::spec::catalog::Catalog;
use crate::spec::data_uri::DataUri;
use crate::spec::expr::{Expr, Piece, Template};
use crate::spec::io::{Data, Input, InputValue, PortType};

/// A value with its type and mode.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    /// Its type.
    pub kind: PortType,
    /// How it is given, when that is set.
    pub mode: Option<InputMode>,
    /// The value; `None` for an optional input of the pipeline that was left out.
    pub value: Option<Value>,
}

/// What planning looks things up in.
pub(super) struct World<'a> {
    /// Registered assets and datastores.
    pub catalog: &'a dyn Catalog,
    /// The texts, for places in messages.
    pub sources: &'a Sources,
    /// The value of `${{default_datastore}}`.
    pub default_datastore: &'a str,
}

/// The names that bindings of one pipeline can refer to, and what is needed to resolve them.
pub(super) struct Scope<'a> {
    /// The pipeline's inputs.
    pub inputs: HashMap<String, Bound>,
    /// Its nodes; `None` in a job of its own.
    pub level: Option<&'a Level<'a>>,
    /// The folder that relative paths are against.
    pub base: &'a Path,
    /// Everything else.
    pub world: &'a World<'a>,
}

impl Scope<'_> {
    /// The value of an input as a node (or the job itself) gives it. `None` after a mistake, which has been reported.
    pub(super) fn input(&self, input: &Input, path: &str, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        self.given(input, path, 0, found)
    }

    fn given(&self, input: &Input, path: &str, depth: usize, found: &mut Vec<Diagnostic>) -> Option<Bound> {
        let site = Site { span: input.value.span, path };
        match &input.value.value {
            InputValue::Literal(Literal::Str(text)) => self.template(text, site, depth, found),
            InputValue::Literal(literal) => {
                Some(Bound { kind: literal_type(literal), mode: None, value: Some(Value::text(literal.python_str())) })
            }
            InputValue::Data(data) => self.data(data, site, found),
        }
    }

    /// A text with bindings in it; a single binding keeps the type of what it refers to, anything else is a string.
    /// Absent inputs in a longer text are nothing.
    pub(super) fn template(
        &self,
        text: &str,
        site: Site<'_>,
        depth: usize,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Bound> {
        let template = Template::binding(text);
        if let [Piece::Expr(expr, written)] = template.pieces.as_slice() {
            return self.follow(expr, written, site, depth, found);
        }
        let mut value = Value::default();
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => value.push(Value::text(text)),
                Piece::Expr(expr, written) => {
                    value.push(self.follow(expr, written, site, depth, found)?.value.unwrap_or_default());
                }
                Piece::Optional(_) => {}
            }
        }
        if value.parts.is_empty() {
            value = Value::text("");
        }
        Some(Bound { kind: PortType::String, mode: None, value: Some(value) })
    }

    fn follow(
        &self,
        expr: &Expr,
        written: &str,
        site: Site<'_>,
        depth: usize,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Bound> {
        let mut mistake = |code, message: String, help: &str| {
            let span = self.world.sources.find(site.span, written);
            found.push(Diagnostic::error(code, span, message).at(site.path).help(help));
            None
        };
        let node = |name: &str| self.level.and_then(|level| Some((level, level.node(name)?)));
        match expr {
            Expr::ParentInput(name) => match self.inputs.get(name) {
                Some(bound) => {
                    let bound = bound.clone();
                    Some(Bound { value: bound.value.map(|value| value.under(name)), ..bound })
                }
                None => {
                    mistake("unknown-port", format!("the pipeline has no input '{name}'"), "declare it under 'inputs:'")
                }
            },
            Expr::JobOutput(job, output) => match node(job).and_then(|(level, at)| level.output(at, output)) {
                Some((step, output, kind)) => {
                    let value = Some(Value { parts: vec![Part::Output { step, output }] });
                    Some(Bound { kind, mode: None, value })
                }
                None => mistake(
                    "unknown-port",
                    format!("no step writes the output '{output}' of the node '{job}'"),
                    "bind an output of a node in the pipeline component to it: <output>: ${{parent.outputs.<name>}}",
                ),
            },
            Expr::JobInput(job, name) => {
                let given = node(job).and_then(|(level, at)| {
                    let node = &level.nodes[at];
                    Some((node, node.inputs.iter().find(|i| i.name.value == *name)?))
                });
                let rounds = self.level.map_or(0, |level| level.nodes.len());
                match given {
                    Some(_) if depth > rounds => {
                        mistake("cycle", format!("{written} refers to itself"), "bind to the pipeline's input instead")
                    }
                    Some((_, input)) => self.given(input, site.path, depth + 1, found),
                    None => mistake(
                        "unknown-port",
                        format!("the node '{job}' does not set the input '{name}'"),
                        "bind to the pipeline's input instead",
                    ),
                }
            }
            Expr::ParentOutput(name) => mistake(
                "bad-expression",
                format!("an input cannot read the pipeline's output '{name}'"),
                "use the output of the node that writes it: ${{parent.jobs.<node>.outputs.<output>}}",
            ),
            Expr::Input(name) => mistake(
                "bad-expression",
                format!("{written} cannot be used in the input of a node"),
                &format!("use ${{{{parent.inputs.{name}}}}}"),
            ),
            Expr::Output(_)
            | Expr::SearchSpace(_)
            | Expr::Name
            | Expr::OutputName
            | Expr::DefaultDatastore
            | Expr::Other(_) => mistake(
                "bad-expression",
                format!("{written} cannot be used here"),
                "use ${{parent.inputs.<name>}} or ${{parent.jobs.<node>.outputs.<name>}}",
            ),
        }
    }

    /// A number that is written as such or bound to an input of the pipeline.
    pub(super) fn number(&self, text: &str, site: Site<'_>, found: &mut Vec<Diagnostic>) -> Option<u64> {
        let value = self.template(text, site, 0, found)?.value?.as_text().unwrap_or_default();
        let number = value.trim().parse::<u64>().ok().filter(|n| *n > 0);
        if number.is_none() {
            let message = format!("'{value}' is not a positive integer");
            found.push(Diagnostic::error("bad-value", site.span, message).at(site.path));
        }
        number
    }

    fn data(&self, data: &Data, site: Site<'_>, found: &mut Vec<Diagnostic>) -> Option<Bound> {
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
            return Some(Bound { kind, mode: mode.or(bound.mode), value: bound.value });
        }
        let kind = data.kind.unwrap_or(PortType::UriFolder);
        let mut value = self.local(&path.value, kind, data.kind.is_some(), site, found)?;
        if let (Some(InputMode::EvalMount | InputMode::EvalDownload), [Part::Path(folder)]) =
            (mode, value.parts.as_slice())
        {
            value.parts.extend(mltable::remotes(folder, self.world.catalog, site, found)?);
        }
        Some(Bound { kind, mode, value: Some(value) })
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
            let mistake = Diagnostic::error(code, site.span, message).at(site.path);
            found.push(if help.is_empty() { mistake } else { mistake.help(help) });
            None
        };
        let located = match (DataUri::parse(text), Reference::parse(text)) {
            (Some(Ok(uri)), _) => match self.world.catalog.locate(&uri) {
                Ok(located) => located,
                Err(why) if is_datastore(&uri) => return refuse("unknown-datastore", why, String::new()),
                Err(why) => return refuse("unknown-asset", why, String::new()),
            },
            (Some(Err(why)), _) if text.starts_with("azureml://registries/") => {
                return refuse("not-yet", why, substitute(site));
            }
            (Some(Err(why)), _) => return refuse("bad-reference", why, String::new()),
            (None, Some(Ok(Reference::Workspace(asset)))) => match self.world.catalog.find(&asset, kind) {
                Ok(asset) => asset.located,
                Err(why) => {
                    let noun = if kind.is_model() { "model" } else { "data" };
                    return refuse("unknown-asset", why, registered(noun, site));
                }
            },
            (None, Some(Err(why))) => return refuse("bad-reference", why, "use azureml:name:version".to_owned()),
            (None, Some(Ok(_))) => {
                let message = format!("'{text}' is in an Azure ML workspace, which amlrun cannot read");
                return refuse("not-yet", message, substitute(site));
            }
            (None, None) => Located::Here(PathBuf::new()),
        };
        match located {
            Located::Remote(remote) if !remote.is_blob && kind != PortType::UriFile && !kind.is_model() => {
                let message = format!("'{}' is a single file on the web, but the input's type is {kind}", remote.uri);
                let help = if said { "write type: uri_file" } else { "add the line 'type: uri_file'" };
                return refuse("wrong-type", message, help.to_owned());
            }
            Located::Remote(remote) => {
                return Some(Value { parts: vec![Part::Remote(Remote { form: Form::of(kind), ..remote })] });
            }
            Located::Here(place) if !place.as_os_str().is_empty() => {
                return there(place).or_else(|| {
                    refuse("missing-path", format!("'{text}' was not found in this workspace"), substitute(site))
                });
            }
            Located::Here(_) => {}
        }
        if text.contains([':', '@']) {
            let message = format!("Azure ML reads '{text}' as the name of an asset because it contains ':' or '@'");
            let help = "use azureml:name:version for an asset, or rename the file".to_owned();
            return refuse("bad-reference", message, help);
        }
        let place = self.base.join(text);
        let place: PathBuf = place.components().collect();
        let wants_file = kind == PortType::UriFile;
        if !place.exists() {
            let what = if wants_file { "file" } else { "folder" };
            let message = match self.world.catalog.missing(&place, format!("the {what} '{text}' does not exist")) {
                Ok(Located::Remote(remote)) => return Some(Value { parts: vec![Part::Remote(remote)] }),
                Ok(Located::Here(place)) => return Some(Value { parts: vec![Part::Path(place)] }),
                Err(message) => message,
            };
            let near = place.parent().and_then(|folder| near_name(folder, &place));
            let help = near.map_or_else(
                || "use a path relative to the folder of the YAML file".to_owned(),
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

/// How to run with a local file instead of a missing one.
fn substitute(site: Site<'_>) -> String {
    format!("use a local copy: --set {}=<path>", site.path)
}

/// What to do about an asset that is not registered.
fn registered(noun: &str, site: Site<'_>) -> String {
    format!("{}, or list the registered assets: {}", substitute(site), amlrun(&format!("{noun} list")))
}

fn near_name(folder: &Path, wanted: &Path) -> Option<String> {
    let names: Vec<String> =
        std::fs::read_dir(folder).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    suggest::nearest(wanted.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}

fn there(place: PathBuf) -> Option<Value> {
    let inside = place.components().all(|part| part != std::path::Component::ParentDir);
    (inside && place.exists()).then(|| Value { parts: vec![Part::Path(place)] })
}

pub(super) fn input_mode(word: &str) -> Option<InputMode> {
    match word {
        "ro_mount" | "mount" => Some(InputMode::RoMount),
        "download" => Some(InputMode::Download),
        "direct" => Some(InputMode::Direct),
        "eval_mount" => Some(InputMode::EvalMount),
        "eval_download" => Some(InputMode::EvalDownload),
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
