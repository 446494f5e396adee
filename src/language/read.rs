//! The walk: a YAML node against a shape of the grammar, as Azure ML's SDK loads it (reference, sections 1 and 2).
//!
//! A value that fits comes back in the SDK's form; what does not fit comes back as diagnostics, all of one attempt.
//! Where the grammar leaves a choice, each branch is tried in order, as the SDK does; when none fits, [`super::blame`]
//! finds the branch that the author meant.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::grammar::{Class, FieldRule, Shape, grammar};
use super::value::{Data, Entry, Object, Origin, Value};
use super::{RegisteredComponents, blame, leaf, make};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{self, Kind, Node};

/// What one attempt gives.
pub(super) type Read = Result<Value, Fault>;

/// A value that does not fit: every mistake in it, and what could be read of it.
pub(super) struct Fault {
    /// The mistakes.
    pub(super) all: Vec<Diagnostic>,
    /// The value with [`Data::Unread`] where the mistakes are, so that the rest can be looked at as well.
    pub(super) partial: Option<Value>,
}

impl From<Vec<Diagnostic>> for Fault {
    fn from(all: Vec<Diagnostic>) -> Self {
        Self { all, partial: None }
    }
}

impl From<Diagnostic> for Fault {
    fn from(one: Diagnostic) -> Self {
        vec![one].into()
    }
}

impl Fault {
    /// Moves the mistakes into a list, and gives what could be read.
    fn into(self, faults: &mut Vec<Diagnostic>, span: Span) -> Value {
        faults.extend(self.all);
        self.partial.unwrap_or(Value { span, data: Data::Unread })
    }
}

/// Where in the document's structure the walk is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    up: Option<&'a At<'a>>,
    key: &'a str,
    place: Option<Span>,
}

impl<'a> At<'a> {
    /// The document itself.
    pub(super) const ROOT: At<'static> = At { up: None, key: "", place: None };

    /// What stands under a key.
    pub(super) fn key(&'a self, key: &'a str) -> At<'a> {
        At { up: Some(self), key, place: None }
    }

    /// What stands under a key that was written.
    pub(super) fn entry(&'a self, entry: &'a yaml::Entry) -> At<'a> {
        At { up: Some(self), key: &entry.key, place: Some(entry.key_span) }
    }

    /// Where the key was written.
    pub(super) fn place(&self) -> Option<Span> {
        self.place
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.up {
            None => f.write_str(self.key),
            Some(up) if up.up.is_none() && up.key.is_empty() => f.write_str(self.key),
            Some(up) => write!(f, "{up}.{}", self.key),
        }
    }
}

/// Whether `${{…}}` may stand for a value (reference, section 4.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// It may not.
    No,
    /// In all fields but `type`, `component`, `trial` and `inputs`.
    Node,
    /// In all fields.
    All,
}

/// What holds in the part of the document where the walk is.
#[derive(Clone)]
pub(super) struct Scope {
    /// The folder of the file.
    pub(super) base: Arc<Path>,
    /// Whether bindings are allowed.
    pub(super) bindings: Bindings,
}

/// Reads nodes.
pub(super) struct Reader<'a> {
    /// The files read on the way.
    pub(super) files: &'a mut Files,
    /// Whether the preview features are on.
    pub(super) preview: bool,
    /// The workspace's registered components, when they are to be read.
    pub(super) components: Option<Arc<dyn RegisteredComponents>>,
    /// What is worth knowing about a document that fits.
    pub(super) warnings: Vec<Diagnostic>,
}

const NEVER_BOUND: [&str; 4] = ["type", "component", "trial", "inputs"];

impl Reader<'_> {
    /// Reads a node that a shape is expected at.
    pub(super) fn value(&mut self, shape: &Shape, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        if let Shape::Nullable(inner) = shape {
            if node.is_null() {
                return Ok(Value { span: node.span, data: Data::Null });
            }
            return self.value(inner, node, at, scope);
        }
        if node.is_null() {
            return Err(Diagnostic::error("null-value", node.span, format!("'{}' has no value", last(at)))
                .at(at.to_string())
                .help("give it a value, or remove the line")
                .into());
        }
        if scope.bindings != Bindings::No
            && leaf::takes_binding(shape)
            && let Some(text) = node.as_str().filter(|t| leaf::has_binding(t))
        {
            return Ok(Value { span: node.span, data: Data::Text(text.to_owned()) });
        }
        match shape {
            Shape::Free => match node.kind {
                Kind::Mapping(_) => Ok(Value::plain(node)),
                _ => Err(wrong_type(node, at, "a mapping").into()),
            },
            Shape::List(item) => self.list(item, node, at, scope),
            Shape::Map { key, value } => self.map(key, value, node, at, scope),
            Shape::Class { name, open } => self.class(name, *open, node, at, scope),
            Shape::Choice(values) => self.choice(values, node, at, scope),
            Shape::File(kind) => self.component_file(kind, node, at, scope),
            Shape::Node => self.node(node, at, scope),
            Shape::Union(branches) => self.union(branches, node, at, scope),
            leaf => leaf::read(leaf, node, at, scope),
        }
    }

    fn list(&mut self, item: &Shape, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        let Kind::Sequence(items) = &node.kind else { return Err(wrong_type(node, at, "a list").into()) };
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for (index, one) in items.iter().enumerate() {
            match self.value(item, one, at.key(&index.to_string()), scope) {
                Ok(value) => values.push(value),
                Err(fault) => values.push(fault.into(&mut faults, one.span)),
            }
        }
        done(node.span, Data::List(values), faults)
    }

    fn map(&mut self, key: &Shape, value: &Shape, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        let Kind::Mapping(entries) = &node.kind else { return Err(wrong_type(node, at, "a mapping").into()) };
        let (mut read, mut faults) = (Vec::new(), Vec::new());
        for entry in entries {
            let here = at.entry(entry);
            faults.extend(leaf::key(key, entry, here));
            let value = match self.value(value, &entry.value, here, scope) {
                Ok(value) => value,
                Err(fault) => fault.into(&mut faults, entry.value.span),
            };
            read.push(Entry { key: entry.key.clone(), key_span: entry.key_span, value });
        }
        done(node.span, Data::Map(read), faults)
    }

    /// `choice` with values of one shape, or its like.
    fn choice(&mut self, values: &Shape, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        let value = self.class("Choice", false, node, at, scope)?;
        if let Some(given) = node.get("values") {
            self.list(values, given, at.key("values"), scope)?;
        }
        Ok(value)
    }

    pub(super) fn class(&mut self, name: &str, open: bool, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        let class = grammar().class(name);
        if let Some(path) = node.as_str().and_then(|t| t.strip_prefix("file:"))
            && class.is("YamlFile")
        {
            let file = self.files.open(path, "file", node, at, scope)?;
            let scope = Scope { base: file.folder.clone(), bindings: Bindings::No };
            let read = self.class(name, open, &file.root, at, &scope);
            self.files.close();
            return from_file(read, node.span, Origin::Prefixed(file.path.clone()));
        }
        self.object(class, open, node, at, scope)
    }

    /// The fields of a class.
    pub(super) fn object(&mut self, class: &'static Class, open: bool, node: &Node, at: At<'_>, scope: &Scope) -> Read {
        let Kind::Mapping(entries) = &node.kind else {
            return Err(wrong_type(node, at, "a mapping").into());
        };
        let (mut fields, mut faults) = (Vec::new(), Vec::new());
        let mut passed_over = Vec::new();
        let mut damaged = false;
        for entry in entries {
            let here = at.entry(entry);
            let rule = class.field(&entry.key).filter(|r| !r.preview || self.preview);
            match rule {
                // The SDK takes the name out of an environment in place before it looks for fields without a value.
                Some(rule) if rule.read_only && (!entry.value.is_null() || class.name == "AnonymousEnvironment") => {
                    passed_over.push(Entry {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        value: Value::plain(&entry.value),
                    });
                }
                Some(rule) if !rule.read_only => {
                    let inner = bindings_below(class, rule, scope);
                    let value = match self.value(&rule.shape, &entry.value, here, &inner) {
                        Ok(value) => value,
                        Err(fault) => fault.into(&mut faults, entry.value.span),
                    };
                    fields.push(Entry { key: entry.key.clone(), key_span: entry.key_span, value });
                }
                _ if open => fields.push(Entry {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    value: Value::plain(&entry.value),
                }),
                _ => {
                    faults.push(unknown_field(class, entry.key_span, &entry.key, here, self.preview));
                    match self.misspelt(class, node, &entry.key) {
                        // The author's slip has been told; what stands there is read as what was meant.
                        Some(rule) => {
                            let inner = bindings_below(class, rule, scope);
                            let value = match self.value(&rule.shape, &entry.value, here, &inner) {
                                Ok(value) => value,
                                Err(fault) => fault.into(&mut faults, entry.value.span),
                            };
                            fields.push(Entry { key: rule.name.clone(), key_span: entry.key_span, value });
                        }
                        None => damaged = true,
                    }
                }
            }
        }
        for rule in class.fields.iter().filter(|r| node.get(&r.name).is_none() && (!r.preview || self.preview)) {
            if fields.iter().any(|f| f.key == rule.name) {
                continue;
            }
            if rule.required {
                damaged = true;
                faults.push(missing_field(class, rule, node, at));
            } else if let Some(default) = &rule.default {
                let value = Value { span: node.span, data: Data::Text(default.clone()) };
                fields.push(Entry { key: rule.name.clone(), key_span: node.span, value });
            }
        }
        let base = scope.base.clone();
        let object = Object { class: &class.name, fields, passed_over, base, origin: Origin::Inline, damaged };
        if faults.is_empty() {
            faults = make::object(&object, at, scope);
        }
        done(node.span, Data::Object(Box::new(object)), faults)
    }

    /// The field that a misspelt key was meant to be, unless it is there as well.
    fn misspelt(&self, class: &'static Class, node: &Node, key: &str) -> Option<&'static FieldRule> {
        let known = known_fields(class, self.preview);
        let name = crate::diagnostic::suggest::nearest(key, known.iter().copied())?;
        class.field(name).filter(|_| node.get(name).is_none())
    }

    fn union(&mut self, branches: &[Shape], node: &Node, at: At<'_>, scope: &Scope) -> Read {
        if let Some(read) = self.registered(branches, node, at, scope) {
            return read;
        }
        let mut attempts = Vec::with_capacity(branches.len());
        for branch in branches {
            if leaf::rules_out(branch, node) {
                attempts.push((branch, None));
                continue;
            }
            match self.value(branch, node, at, scope) {
                Ok(value) => return Ok(value),
                Err(fault) => attempts.push((branch, Some(fault))),
            }
        }
        // Only now somebody reads what was wrong with those that were out of the question.
        let explained = attempts.into_iter().filter_map(|(branch, fault)| {
            let fault = fault.or_else(|| self.value(branch, node, at, scope).err());
            Some((branch, fault?))
        });
        let attempts = explained.collect();
        Err(blame::branch(attempts, node, at))
    }
}

/// Inside a node's fields bindings may stand for values; never inside the component that it names.
fn bindings_below(class: &Class, rule: &FieldRule, scope: &Scope) -> Scope {
    let starts = class.is("BaseNode") || class.is("AutoMLNode");
    let bindings = match rule.name.as_str() {
        "inputs" if starts && !class.is("AutoMLNode") || class.name == "PipelineJob" && rule.name == "inputs" => {
            Bindings::All
        }
        "task" | "type" if class.is("AutoMLNode") => Bindings::No,
        name if scope.bindings != Bindings::All && NEVER_BOUND.contains(&name) => Bindings::No,
        _ if starts => Bindings::Node,
        _ => scope.bindings,
    };
    Scope { bindings, ..scope.clone() }
}

pub(super) fn done(span: Span, data: Data, faults: Vec<Diagnostic>) -> Read {
    let value = Value { span, data };
    if faults.is_empty() { Ok(value) } else { Err(Fault { all: faults, partial: Some(value) }) }
}

/// What was read from a named file: its origin, and its mistakes labelled with the place that names it.
pub(super) fn from_file(read: Read, span: Span, origin: Origin) -> Read {
    let keep = |mut value: Value| {
        if let Data::Object(object) = &mut value.data {
            object.origin = origin;
        }
        value.span = span;
        value
    };
    match read {
        Ok(value) => Ok(keep(value)),
        Err(fault) => Err(Fault { all: named_here(fault.all, span), partial: fault.partial.map(keep) }),
    }
}

/// Labels mistakes of a named file with the place that names it.
fn named_here(faults: Vec<Diagnostic>, span: Span) -> Vec<Diagnostic> {
    faults
        .into_iter()
        .map(|d| match d.span {
            Some(place) if place.source != span.source && d.labels.is_empty() => d.label(span, "named here"),
            _ => d,
        })
        .collect()
}

/// The last key of a place, for messages.
pub(super) fn last<'a>(at: At<'a>) -> &'a str {
    if at.key.is_empty() { "the document" } else { at.key }
}

/// What a value is called in messages: `'epochs'`, `an item of 'enum'`.
fn called(at: At<'_>) -> String {
    match at.up {
        Some(list) if !at.key.is_empty() && at.place.is_none() && at.key.bytes().all(|b| b.is_ascii_digit()) => {
            format!("an item of '{}'", last(*list))
        }
        _ => format!("'{}'", last(at)),
    }
}

/// The mistake of a value of another type.
pub(super) fn wrong_type(node: &Node, at: At<'_>, wanted: &str) -> Vec<Diagnostic> {
    let message = format!("{} must be {wanted}, but is {}", called(at), node.describe());
    let fault = Diagnostic::error("wrong-type", node.span, message).at(at.to_string());
    let written = match &node.kind {
        Kind::Scalar(scalar) if scalar.plain && !node.is_null() => Some(&scalar.text),
        _ => None,
    };
    vec![match written.filter(|_| wanted.split([',', ' ']).any(|word| word == "string")) {
        Some(text) => fault.help(format!("put it in quotes: \"{text}\"")),
        None => fault,
    }]
}

fn unknown_field(class: &Class, span: Span, key: &str, at: At<'_>, preview: bool) -> Diagnostic {
    let what = super::words::class(&class.name);
    let message = format!("unknown field '{key}' in {what}");
    let fault = Diagnostic::error("unknown-field", span, message).at(at.to_string());
    if let Some(advice) = super::advice::field(key, class) {
        return fault.help(advice);
    }
    let known = known_fields(class, preview);
    match crate::diagnostic::suggest::nearest(key, known.iter().copied()) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None => fault.help(format!("the fields of {what} are: {}", known.join(", "))),
    }
}

/// The fields that an author may write.
fn known_fields(class: &Class, preview: bool) -> Vec<&str> {
    let written = class.fields.iter().filter(|f| !f.read_only && (!f.preview || preview));
    written.map(|f| f.name.as_str()).collect()
}

/// A required field that is not there. Where unknown fields are kept, one of them may be it, misspelt.
fn missing_field(class: &Class, rule: &FieldRule, node: &Node, at: At<'_>) -> Diagnostic {
    let what = super::words::class(&class.name);
    let path = at.key(&rule.name).to_string();
    let strangers = node.as_mapping().unwrap_or_default().iter().filter(|e| class.field(&e.key).is_none());
    let near = crate::diagnostic::suggest::nearest(&rule.name, strangers.clone().map(|e| e.key.as_str()));
    if let Some(slip) = near.and_then(|near| strangers.clone().find(|e| e.key == near)) {
        let message = format!("{what} needs the field '{}', but here stands '{}'", rule.name, slip.key);
        let fault = Diagnostic::error("missing-field", slip.key_span, message).at(path);
        return fault.help(format!("did you mean '{}'?", rule.name));
    }
    let message = format!("{what} needs the field '{}'", rule.name);
    let fault = Diagnostic::error("missing-field", at.place().unwrap_or(node.span), message).at(path);
    match &rule.shape {
        Shape::Enum { .. } | Shape::Union(_) | Shape::Asset { .. } => {
            fault.help(format!("write {}: {}", rule.name, super::words::shape(&rule.shape)))
        }
        _ => fault,
    }
}
