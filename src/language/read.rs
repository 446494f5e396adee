//! Reads a YAML node against a shape of the grammar, as Azure ML's SDK loads it (reference, sections 1 and 2).
//!
//! A value that fits is returned in the SDK's form. A value that does not fit is returned as all of its diagnostics.
//! Where the grammar has a union, each branch is tried in order, as the SDK does; when none fits, [`super::union`]
//! finds the branch that the author meant.

use std::sync::Arc;

use super::cursor::{Bindings, Cursor, Fault, Read, Scope, last, wrong_type};
use super::files::Files;
use super::grammar::{Class, FieldRule, Shape, grammar};
use super::registered::RegisteredComponents;
use super::value::{Data, Entry, Object, Origin, Value};
use super::{post_load, scalar, union};
use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Kind, Node};

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
    pub(super) fn value(&mut self, shape: &Shape, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
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
            && scalar::takes_binding(shape)
            && let Some(text) = node.as_str().filter(|t| scalar::has_binding(t))
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
            leaf => scalar::read(leaf, node, at, scope),
        }
    }

    fn list(&mut self, item: &Shape, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
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

    fn map(&mut self, key: &Shape, value: &Shape, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        let Kind::Mapping(entries) = &node.kind else { return Err(wrong_type(node, at, "a mapping").into()) };
        let (mut read, mut faults) = (Vec::new(), Vec::new());
        for entry in entries {
            let here = at.entry(entry);
            faults.extend(scalar::key(key, entry, here));
            let value = match self.value(value, &entry.value, here, scope) {
                Ok(value) => value,
                Err(fault) => fault.into(&mut faults, entry.value.span),
            };
            read.push(Entry { key: entry.key.clone(), key_span: entry.key_span, value });
        }
        done(node.span, Data::Map(read), faults)
    }

    /// A `choice` whose values have one shape.
    fn choice(&mut self, values: &Shape, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        let value = self.class("Choice", false, node, at, scope)?;
        if let Some(given) = node.get("values") {
            self.list(values, given, at.key("values"), scope)?;
        }
        Ok(value)
    }

    pub(super) fn class(&mut self, name: &str, open: bool, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
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
    pub(super) fn object(
        &mut self,
        class: &'static Class,
        open: bool,
        node: &Node,
        at: Cursor<'_>,
        scope: &Scope,
    ) -> Read {
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
                        // The typo has been reported; the value is read as that of the field that was meant.
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
            faults = post_load::object(&object, at, scope);
        }
        done(node.span, Data::Object(Box::new(object)), faults)
    }

    /// The field that a misspelt key was meant to be, unless it is there as well.
    fn misspelt(&self, class: &'static Class, node: &Node, key: &str) -> Option<&'static FieldRule> {
        let known = known_fields(class, self.preview);
        let name = crate::diagnostic::suggest::nearest(key, known.iter().copied())?;
        class.field(name).filter(|_| node.get(name).is_none())
    }

    fn union(&mut self, branches: &[Shape], node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        if let Some(read) = self.registered(branches, node, at, scope) {
            return read;
        }
        let mut attempts = Vec::with_capacity(branches.len());
        for branch in branches {
            if scalar::rules_out(branch, node) {
                attempts.push((branch, None));
                continue;
            }
            match self.value(branch, node, at, scope) {
                Ok(value) => return Ok(value),
                Err(fault) => attempts.push((branch, Some(fault))),
            }
        }
        // Branches that were ruled out are read only now, because their mistakes are needed.
        let explained = attempts.into_iter().filter_map(|(branch, fault)| {
            let fault = fault.or_else(|| self.value(branch, node, at, scope).err());
            Some((branch, fault?))
        });
        let attempts = explained.collect();
        Err(union::branch(attempts, node, at))
    }
}

/// Bindings are allowed in a node's fields, but not inside the component that it names.
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
            Some(place) if place.source != span.source && d.labels.is_empty() => d.label(span, "referenced here"),
            _ => d,
        })
        .collect()
}

fn unknown_field(class: &Class, span: Span, key: &str, at: Cursor<'_>, preview: bool) -> Diagnostic {
    let what = super::describe::class(&class.name);
    let message = format!("unknown field '{key}' in {what}");
    let fault = Diagnostic::error("unknown-field", span, message).at(at.to_string());
    if let Some(advice) = super::advice::field(key, class) {
        return fault.help(advice);
    }
    let known = known_fields(class, preview);
    match crate::diagnostic::suggest::nearest(key, known.iter().copied()) {
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None => fault.help(format!("use one of the fields of {what}: {}", known.join(", "))),
    }
}

/// The fields that an author may write.
fn known_fields(class: &Class, preview: bool) -> Vec<&str> {
    let written = class.fields.iter().filter(|f| !f.read_only && (!f.preview || preview));
    written.map(|f| f.name.as_str()).collect()
}

/// A required field that is missing. Where unknown fields are kept, one of them may be the misspelt field.
fn missing_field(class: &Class, rule: &FieldRule, node: &Node, at: Cursor<'_>) -> Diagnostic {
    let what = super::describe::class(&class.name);
    let path = at.key(&rule.name).to_string();
    let unknown = node.as_mapping().unwrap_or_default().iter().filter(|e| class.field(&e.key).is_none());
    let near = crate::diagnostic::suggest::nearest(&rule.name, unknown.clone().map(|e| e.key.as_str()));
    if let Some(typo) = near.and_then(|near| unknown.clone().find(|e| e.key == near)) {
        let message = format!("{what} needs the field '{}', found '{}' instead", rule.name, typo.key);
        let fault = Diagnostic::error("missing-field", typo.key_span, message).at(path);
        return fault.help(format!("did you mean '{}'?", rule.name));
    }
    let message = format!("{what} needs the field '{}'", rule.name);
    let fault = Diagnostic::error("missing-field", at.place().unwrap_or(node.span), message).at(path);
    match &rule.shape {
        Shape::Enum { .. } | Shape::Union(_) | Shape::Asset { .. } => {
            fault.help(format!("add {}: {}", rule.name, super::describe::shape(&rule.shape)))
        }
        _ => fault,
    }
}
