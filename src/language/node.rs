//! A node of a pipeline: which class it is, and the component that it names (reference, sections 1.5, 2.2, 2.5).

use super::cursor::{Bindings, Cursor, Fault, Read, Scope, wrong_type};
use super::grammar::{Shape, grammar};
use super::read::{Reader, from_file};
use super::value::Origin;
use super::{flow, scalar};
use crate::diagnostic::{Diagnostic, suggest};
use crate::yaml::{Kind, Node};

/// The classes of nodes by `type`: first those that name a component, then those written in place. The bool says whether
/// unknown fields are kept.
const CLASSES: &[(&str, &[(&str, bool)])] = &[
    ("command", &[("CommandNode", true), ("InlineCommandNode", false)]),
    ("import", &[("ImportNode", true), ("InlineImportNode", false)]),
    ("sweep", &[("SweepNode", true)]),
    ("parallel", &[("ParallelNode", true), ("InlineParallelNode", false)]),
    ("pipeline", &[("PipelineNode", true)]),
    (
        "automl",
        &[
            ("AutoMLClassificationNode", false),
            ("AutoMLRegressionNode", false),
            ("AutoMLForecastingNode", false),
            ("ImageClassificationNode", false),
            ("ImageClassificationMultilabelNode", false),
            ("ImageObjectDetectionNode", false),
            ("ImageInstanceSegmentationNode", false),
            ("TextClassificationNode", false),
            ("TextClassificationMultilabelNode", false),
            ("TextNerNode", false),
        ],
    ),
    ("spark", &[("SparkNode", true), ("InlineSparkNode", false)]),
    ("do_while", &[("DoWhile", true)]),
    ("if_else", &[("IfElse", true)]),
    ("parallel_for", &[("ParallelFor", true)]),
    (
        "data_transfer",
        &[
            ("DataTransferCopyNode", true),
            ("InlineDataTransferCopyNode", false),
            ("DataTransferImportNode", true),
            ("InlineDataTransferImportNode", false),
            ("DataTransferExportNode", true),
            ("InlineDataTransferExportNode", false),
        ],
    ),
];

/// Keys that are not typos of others.
const FIELDS_OF_NODES: [&str; 10] =
    ["type", "command", "compute", "comment", "task", "inputs", "outputs", "limits", "identity", "resources"];

const PREVIEW: [&str; 3] = ["do_while", "if_else", "parallel_for"];

impl Reader<'_> {
    /// Reads a node: by its `type`, or by the first class that fits when it has none.
    pub(super) fn node(&mut self, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        if !matches!(node.kind, Kind::Mapping(_)) {
            return Err(wrong_type(node, at, "a node (a mapping)").into());
        }
        let preview = self.preview;
        let known = || CLASSES.iter().filter(move |(kind, _)| preview || !PREVIEW.contains(kind));
        let classes: Vec<(&str, bool)> = match node.get("type") {
            // The SDK makes conditions and loops of nodes only by their type.
            None => {
                let kinds = known().filter(|(kind, _)| !PREVIEW.contains(kind));
                kinds.flat_map(|(_, classes)| classes.iter().copied()).collect()
            }
            Some(tag) => {
                let folded = tag.as_str().map(str::to_lowercase);
                let Some((_, classes)) = known().find(|(kind, _)| Some(*kind) == folded.as_deref()) else {
                    let kinds: Vec<String> = known().map(|(kind, _)| (*kind).to_owned()).collect();
                    return Err(unknown_type(tag, at, &kinds).into());
                };
                classes.to_vec()
            }
        };
        let mut attempts = Vec::new();
        for (name, open) in &classes {
            match self.class(name, *open, node, at, scope) {
                Ok(value) => return Ok(value),
                Err(fault) => attempts.push((*name, fault)),
            }
        }
        let meant = meant(node, &attempts, at);
        let fault = attempts.into_iter().find(|(name, _)| *name == meant).map(|(_, fault)| fault);
        Err(fault.unwrap_or_else(|| Vec::new().into()))
    }

    /// A component file that a node names by its bare path.
    pub(super) fn component_file(&mut self, kind: &str, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        let Some(text) = node.as_str() else {
            return Err(scalar::refused(node, at, "wrong-type", &Shape::File(kind.into())).into());
        };
        if text.starts_with("file:") && kind != "Flow" {
            let fault = Diagnostic::error("bad-reference", node.span, "a path cannot begin with 'file:' here");
            let bare = text.trim_start_matches("file:");
            return Err(fault.at(at.to_string()).help(format!("write: {}: {bare}", super::cursor::last(at))).into());
        }
        self.component_at(kind, text, node, at, scope)
    }

    /// A component that is named by its reference, when the workspace has registered it.
    pub(super) fn registered(
        &mut self,
        branches: &[Shape],
        node: &Node,
        at: Cursor<'_>,
        scope: &Scope,
    ) -> Option<Read> {
        let reference = node.as_str()?.strip_prefix("azureml:")?;
        let takes = |shape: &Shape| matches!(shape, Shape::Asset { kind, .. } if kind == "components");
        let kind = branches.iter().find_map(|shape| match shape {
            Shape::File(kind) => Some(kind),
            _ => None,
        });
        let kind = kind.filter(|_| branches.iter().any(takes))?;
        let file = self.components.as_ref()?.file(reference, &scope.base)?;
        Some(self.component_at(kind, file.to_str()?, node, at, scope))
    }

    fn component_at(&mut self, kind: &str, path: &str, node: &Node, at: Cursor<'_>, scope: &Scope) -> Read {
        let file = self.files.open(path, "component file", node, at, scope)?;
        let scope = Scope { base: file.folder.clone(), bindings: Bindings::No };
        let read = match (kind, flow::class(&file.root)) {
            ("Parallel" | "Flow", Some(class)) => {
                self.class(class, false, &flow::as_component(&file.root, class), at, &scope)
            }
            ("Flow", None) => self.class("FlowComponent", true, &file.root, at, &scope),
            (kind, _) => self.class(&format!("Anonymous{kind}Component"), true, &file.root, at, &scope),
        };
        self.files.close();
        from_file(read, node.span, Origin::File(file.path.clone()))
    }
}

/// The class whose signs the node bears, among those that were tried.
fn meant(node: &Node, attempts: &[(&'static str, Fault)], at: Cursor<'_>) -> &'static str {
    // A misspelt key is a sign as well.
    let near = |key: &str| {
        let keys = node.as_mapping().unwrap_or_default().iter().map(|e| e.key.as_str());
        suggest::nearest(key, keys.filter(|k| !FIELDS_OF_NODES.contains(k))).is_some()
    };
    let has = |key: &str| node.get(key).is_some() || near(key);
    let inline = |name: &str| name.starts_with("Inline") || grammar().class(name).is("AutoMLNode");
    let tried = |name: &str| attempts.iter().any(|(n, _)| *n == name);
    // `task` distinguishes AutoML nodes from data transfer nodes.
    let task = node.get("task").and_then(Node::as_str).map(super::case::snake_case);
    let of_task = |name: &str| match (grammar().class(name).field("task").map(|r| &r.shape), &task) {
        (Some(Shape::Enum { words, .. }), Some(task)) => words.contains(task) && inline(name) != has("component"),
        _ => false,
    };
    // A component of another type says so at its own `type`: the node is meant for that type.
    let component_type = at.key("component").key("type").to_string();
    let other_type = |fault: &Fault| fault.all.iter().any(|f| f.path == component_type && f.code == "bad-value");
    let signs = if node.get("type").is_some() {
        None
    } else if has("trial") || has("search_space") {
        Some("SweepNode")
    } else if has("component") {
        None
    } else if has("task") && !has("command") {
        Some("InlineParallelNode")
    } else {
        Some("InlineCommandNode")
    };
    signs
        .filter(|name| tried(name))
        .or_else(|| attempts.iter().find(|(name, _)| of_task(name)).map(|(name, _)| *name))
        .or_else(|| {
            let of_form = |name: &str| inline(name) != has("component");
            let mut fitting = attempts.iter().filter(|(name, _)| of_form(name));
            fitting.clone().find(|(_, fault)| !other_type(fault)).or_else(|| fitting.next()).map(|(name, _)| *name)
        })
        .or_else(|| attempts.first().map(|(name, _)| *name))
        .unwrap_or_default()
}

fn unknown_type(tag: &Node, at: Cursor<'_>, known: &[String]) -> Diagnostic {
    let mut fault = scalar::not_one_of(tag, at.key("type"), known);
    if let Some(text) = tag.as_str() {
        if PREVIEW.contains(&text) {
            let message = format!("nodes of type '{text}' are a preview feature");
            return Diagnostic::error("preview-only", tag.span, message)
                .at(at.key("type").to_string())
                .help("set AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED=true, as for az ml");
        }
        fault.code = "unknown-kind";
        fault.message = format!("unknown type of node '{text}'");
    }
    fault
}
