//! The YAML files of a document: the one that was named and those that it names, each read once.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::cursor::{Cursor, Scope};
use crate::diagnostic::{Diagnostic, Sources, Span, suggest};
use crate::yaml::{self, Node};

/// Azure ML documents are far smaller; PyYAML would take minutes for a file of this size.
const MAX_BYTES: u64 = 16 << 20;
/// How many files may be nested: each names the next one.
const MAX_DEPTH: usize = 32;
/// How many YAML nodes the named files may have in total. A file counts each time that it is named: thirty small files,
/// each naming the next one twice, would have a billion nodes.
const MAX_NODES: usize = 500_000;

/// A file of YAML.
pub(super) struct File {
    /// Its content.
    pub(super) root: Node,
    /// Its path.
    pub(super) path: Arc<Path>,
    /// The folder that relative paths in it start from.
    pub(super) folder: Arc<Path>,
    /// How many YAML nodes it has.
    size: usize,
}

/// The files read so far.
#[derive(Default)]
pub(super) struct Files {
    /// Their texts, for messages.
    pub sources: Sources,
    /// Warnings about their YAML.
    pub(super) warnings: Vec<Diagnostic>,
    read: HashMap<PathBuf, Result<Arc<File>, Vec<Diagnostic>>>,
    /// Those that are being read, the innermost last.
    open: Vec<PathBuf>,
    /// The nodes of all files that were opened so far.
    opened: usize,
}

impl Files {
    /// Opens a file that a document names, and remembers that it is open until [`Files::close`].
    pub(super) fn open(
        &mut self,
        text: &str,
        what: &str,
        node: &Node,
        at: Cursor<'_>,
        scope: &Scope,
    ) -> Result<Arc<File>, Vec<Diagnostic>> {
        let path = tidy(&scope.base.join(text));
        if !path.is_file() {
            return Err(vec![missing(&path, text, what, node.span, at)]);
        }
        let key = path.canonicalize().unwrap_or_else(|_| path.clone());
        if self.open.contains(&key) || self.open.len() >= MAX_DEPTH {
            let message = format!("'{text}' refers to itself, directly or through other files");
            let fault = Diagnostic::error("self-reference", node.span, message).at(at.to_string());
            return Err(vec![fault.help("use another file: a component cannot contain itself")]);
        }
        let file = match self.read.get(&key) {
            Some(known) => known.clone(),
            None => {
                let read = self.parse(&path, Some(node.span)).map(Arc::new);
                self.read.insert(key.clone(), read.clone());
                read
            }
        }?;
        self.opened = self.opened.saturating_add(file.size);
        if self.too_large() {
            let message = format!("the document and the files that it refers to have more than {MAX_NODES} nodes");
            let fault = Diagnostic::error("too-large", node.span, message).at(at.to_string());
            return Err(vec![fault.help("check whether the same files are included many times")]);
        }
        self.open.push(key);
        Ok(file)
    }

    /// Whether the files together have more nodes than a document may have; no further file is opened then.
    pub(super) fn too_large(&self) -> bool {
        self.opened > MAX_NODES
    }

    /// The innermost open file has been read.
    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    /// Reads the file that the user named.
    pub(super) fn root(&mut self, path: &Path) -> Result<File, Vec<Diagnostic>> {
        if let Ok(key) = path.canonicalize() {
            self.open.push(key);
        }
        self.parse(path, None)
    }

    fn parse(&mut self, path: &Path, named: Option<Span>) -> Result<File, Vec<Diagnostic>> {
        let text = read_text(path, named.is_some()).map_err(|why| match named {
            Some(span) => vec![Diagnostic::error("unreadable-file", span, why)],
            None => vec![Diagnostic::without_place("unreadable-file", why)],
        })?;
        let shown = shown(path);
        let source = self.sources.add(&shown, &text);
        let mut found = Vec::new();
        let root = yaml::parse(&text, source, &mut found);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|d| d.severity == crate::diagnostic::Severity::Error);
        self.warnings.extend(warnings);
        if !errors.is_empty() {
            return Err(errors);
        }
        let start = Span::start_of(source);
        let root = match root {
            Some(root) if root.as_mapping().is_some() => root,
            Some(root) if !root.is_null() => {
                let message = format!("an Azure ML document must be a mapping, found {}", root.describe());
                return Err(vec![Diagnostic::error("wrong-type", root.span, message)]);
            }
            _ => return Err(vec![Diagnostic::error("empty-file", start, "the file is empty")]),
        };
        let path: Arc<Path> = tidy(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned())).into();
        let folder = path.parent().map_or_else(|| path.clone(), Arc::from);
        let size = root.size();
        Ok(File { root, path, folder, size })
    }
}

/// The diagnostic of a path that does not exist, with the nearest name in the same folder.
pub(super) fn missing(path: &Path, text: &str, what: &str, span: Span, at: Cursor<'_>) -> Diagnostic {
    let is_folder = path.is_dir() && what.ends_with("file");
    let wrong = if is_folder { "is a folder" } else { "does not exist" };
    let fault = Diagnostic::error("missing-path", span, format!("the {what} '{text}' {wrong}")).at(at.to_string());
    match neighbour(path) {
        _ if text.contains('\\') => fault.help(format!("use forward slashes: {}", text.replace('\\', "/"))),
        Some(near) => fault.help(format!("did you mean '{near}'?")),
        None if is_folder => fault.help("use the path of a file in it"),
        None => fault.help("use a path relative to the folder of the file that refers to it"),
    }
}

/// A path beside the missing one with a similar name.
fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let mut names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .take(1000)
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    suggest::nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// A path without `.` and without `x/..`, as Python's `Path.resolve` gives it for folders that are no links.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// A path relative to the current folder when it is below it, for messages.
pub(super) fn shown(path: &Path) -> PathBuf {
    let plain = tidy(path);
    std::env::current_dir().ok().and_then(|here| plain.strip_prefix(here).map(Path::to_owned).ok()).unwrap_or(plain)
}

/// The text of a file that a document names; `None` for a pipe or a device, where reading may wait for ever.
pub(crate) fn text_of(path: &Path) -> Option<String> {
    if path.is_file() { std::fs::read_to_string(path).ok() } else { None }
}

/// A file that the user named may be a pipe, as a shell makes one of `<(…)`; one that a document names may not.
fn read_text(path: &Path, by_document: bool) -> Result<String, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    if metadata.is_dir() {
        return Err(format!("{shown} is a folder: use a YAML file in it"));
    }
    if by_document && !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{shown} is too large for an Azure ML document ({} bytes)", metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    String::from_utf8(bytes).map_err(|e| {
        let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("{shown} is not UTF-8 text (line {line}): save it as UTF-8")
    })
}
