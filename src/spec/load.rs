//! From a path to a [`Document`]: reads the job file and every component file that it names, once each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asset_ref::Reference;
use super::component::{self, Component};
use super::job::{self, Job};
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, Span, suggest};
use crate::yaml::overrides::{self, Override};
use crate::yaml::{self, Node};

/// A file larger than this is no job file.
const MAX_BYTES: u64 = 16 << 20;

/// A job as written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The job file as the person named it.
    pub path: PathBuf,
    /// The job file's text, kept with the run.
    pub text: Arc<str>,
    /// What it says.
    pub job: Job,
}

/// What came of loading: the document when it could be read, all findings, and the texts that they speak of.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The document; `None` when it could not be read at all, or is a component.
    pub document: Option<Document>,
    /// The component, when the file is a component file: it can be checked, but not run.
    pub component: Option<Arc<Component>>,
    /// Every mistake found.
    pub diagnostics: Diagnostics,
    /// The files read.
    pub sources: Sources,
    /// Whether the job file itself is not there.
    pub not_found: bool,
}

/// Loads a component file on its own, to check it; `None` when the file is no component. Azure ML's command line knows
/// from the verb which of the two is meant; here the file's `$schema` tells.
#[must_use]
pub fn load_component(path: &Path) -> Option<Loaded> {
    let mut loaded = Loaded::default();
    let mut found = Vec::new();
    let mut loader = Loader { sources: &mut loaded.sources, found: &mut found, components: HashMap::new() };
    let root = loader.parse(path, &read_text(path).ok()?)?;
    if !is_component(&root) {
        return None;
    }
    loaded.component = loader.component_root(&root, &folder_of(path), None).map(Arc::new);
    loaded.diagnostics.extend(found);
    Some(loaded)
}

/// The absolute folder of a file.
fn folder_of(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.parent().map(Path::to_owned).unwrap_or_default()
}

fn is_component(root: &Node) -> bool {
    let schema = root.get("$schema").and_then(Node::as_str).unwrap_or("");
    schema.contains("Component.schema.json")
}

/// Loads a job file with the command line's `--set` overrides.
#[must_use]
pub fn load(path: &Path, overrides: &[Override]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut found = Vec::new();
    loaded.not_found = !path.exists();
    let mut loader = Loader { sources: &mut loaded.sources, found: &mut found, components: HashMap::new() };
    loaded.document = loader.job(path, overrides);
    loaded.diagnostics.extend(found);
    loaded
}

pub(crate) struct Loader<'a> {
    pub(super) sources: &'a mut Sources,
    pub(super) found: &'a mut Vec<Diagnostic>,
    components: HashMap<PathBuf, Option<Arc<Component>>>,
}

const JOB_TYPES: [&str; 8] =
    ["command", "pipeline", "sweep", "spark", "automl", "import", "finetuning", "distillation"];

impl Loader<'_> {
    fn job(&mut self, path: &Path, overrides: &[Override]) -> Option<Document> {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(why) => {
                self.found.push(Diagnostic::without_place("unreadable-file", why));
                return None;
            }
        };
        let mut root = self.parse(path, &text)?;
        overrides::apply(&mut root, overrides, self.sources, self.found);
        let base = folder_of(path);
        if is_component(&root) {
            let span = root.get("$schema").map_or(root.span, |n| n.span);
            let message = "this is a component file, and a component is no job";
            let help = "name the pipeline that uses it: its components are read with it";
            self.found.push(Diagnostic::error("wrong-kind", span, message).at("$schema").help(help));
            return None;
        }
        let kind = match root.get("type").filter(|n| !n.is_null()) {
            None => "command".to_owned(),
            Some(node) => node.literal().map(|l| l.python_str()).unwrap_or_default(),
        };
        let job = match kind.as_str() {
            "command" => job::command::read(&root, &base, self.found).map(|job| Job::Command(Box::new(job))),
            "pipeline" => job::pipeline::read(&root, &base, self).map(|job| Job::Pipeline(Box::new(job))),
            other => {
                let span = root.get("type").map_or(root.span, |n| n.span);
                self.found.push(if JOB_TYPES.contains(&other) {
                    Diagnostic::error("not-yet", span, format!("a job of type '{other}' is not run by amlrun yet"))
                        .at("type")
                        .help("this version runs command and pipeline jobs; the CHANGELOG tells what comes")
                } else {
                    super::io::not_one_of("job type", other, span, &JOB_TYPES).at("type")
                });
                None
            }
        }?;
        Some(Document { path: path.to_owned(), text: text.into(), job })
    }

    fn parse(&mut self, path: &Path, text: &str) -> Option<Node> {
        let source = self.sources.add(path, text);
        let before = self.found.len();
        match yaml::parse(text, source, self.found) {
            Some(root) if root.as_mapping().is_some() => Some(root),
            Some(root) if !root.is_null() => {
                let message = format!("an Azure ML document is a mapping, but this is {}", root.describe());
                self.found.push(Diagnostic::error("wrong-type", root.span, message));
                None
            }
            _ => {
                if self.found.len() == before {
                    self.found.push(Diagnostic::error("empty-file", Span::start_of(source), "the file is empty"));
                }
                None
            }
        }
    }

    /// The component that a node's `component:` names; each file is read once.
    pub(super) fn component(&mut self, node: &Node, at: &str, base: &Path) -> Option<Arc<Component>> {
        let Some(text) = node.as_str() else {
            let (message, help) = if node.as_mapping().is_some() {
                ("an inline mapping under 'component:' is not read by amlrun yet", "put it into a file of its own")
            } else {
                ("'component' must name a component file", "write: component: ./component.yml")
            };
            self.found.push(Diagnostic::error("bad-reference", node.span, message).at(at).help(help));
            return None;
        };
        if let Some(reference) = Reference::parse(text) {
            self.found.push(match reference {
                Err(why) => Diagnostic::error("bad-reference", node.span, why).at(at),
                Ok(_) => Diagnostic::error("not-yet", node.span, "a registered component is not read by amlrun yet")
                    .at(at)
                    .help("name its file: component: ./component.yml"),
            });
            return None;
        }
        let file = text.strip_prefix("file:").unwrap_or(text);
        let path = base.join(file);
        let key = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(known) = self.components.get(&key) {
            return known.clone();
        }
        if !path.is_file() {
            let message = format!("there is no component file '{file}'");
            let mut diagnostic = Diagnostic::error("missing-path", node.span, message).at(at);
            diagnostic = match neighbour(&path) {
                Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                None => diagnostic.help("the path is relative to the folder of the file that it is written in"),
            };
            self.found.push(diagnostic);
            return None;
        }
        let component = self.component_file(&path, node, at).map(Arc::new);
        self.components.insert(key, component.clone());
        component
    }

    fn component_file(&mut self, path: &Path, node: &Node, at: &str) -> Option<Component> {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(why) => {
                self.found.push(Diagnostic::error("unreadable-file", node.span, why).at(at));
                return None;
            }
        };
        let shown = simplified(path);
        let root = self.parse(&shown, &text)?;
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        self.component_root(&root, &base, Some(node))
    }

    /// A component file's mapping; `named` is where a node names it.
    fn component_root(&mut self, root: &Node, base: &Path, named: Option<&Node>) -> Option<Component> {
        if let Some(kind) = root.get("type").filter(|n| !n.is_null())
            && kind.as_str() != Some("command")
        {
            let word = kind.literal().map(|l| l.python_str()).unwrap_or_default();
            let message = format!("a component of type '{word}' is not run by amlrun yet");
            let mut refusal = Diagnostic::error("not-yet", kind.span, message).at("type");
            if let Some(node) = named {
                refusal = refusal.label(node.span, "named here");
            }
            self.found.push(refusal.help("this version runs command components"));
            return None;
        }
        component::read(root, base, self.sources, self.found)
    }
}

/// A path without `./` in its middle, and relative to the current folder when it lies below it, for messages.
fn simplified(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().collect();
    std::env::current_dir().ok().and_then(|here| plain.strip_prefix(here).map(Path::to_owned).ok()).unwrap_or(plain)
}

/// A file beside the missing one with a similar name.
fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let names: Vec<String> =
        std::fs::read_dir(path.parent()?).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

fn read_text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder: name the YAML file in it"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{shown} has {} bytes: that is no job file", metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("{shown} is not UTF-8 text (line {line}): save it as UTF-8")
    })
}
