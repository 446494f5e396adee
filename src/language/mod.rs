//! The whole language of Azure ML's YAML: every kind of document, loaded and checked as Azure's own SDK does.
//!
//! The steps: a file is parsed ([`crate::yaml`]), its kind is found (`detect`, and `class` for the class that it must
//! fit), its nodes are read against the [`grammar`] into [`value`]s (`read`, with `scalar` for scalars, `node` for the
//! nodes of pipelines, `post_load` for what the SDK checks when it builds objects, and `union` for the branch that the
//! author meant), and what the SDK validates afterwards is checked (`check`). The result is a [`Document`] with all
//! findings, accepted or refused.
//!
//! This module runs nothing: `spec` and `plan` find out what a document means for a run.

mod advice;
mod case;
mod check;
mod class;
mod cursor;
mod describe;
pub(crate) mod detect;
mod files;
mod flow;
pub mod grammar;
pub mod graph;
pub mod kind;
mod node;
mod post_load;
mod read;
mod registered;
pub mod resolved;
pub mod rest;
mod scalar;
pub mod schema;
mod union;
pub mod value;

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Sources};
use crate::yaml::overrides::{self, Override};
use cursor::{Bindings, Cursor, Scope};
use read::Reader;

pub(crate) use check::control_flow::{body_name, port_name};
use check::nodes as check_nodes;
pub(crate) use files::text_of;
pub(crate) use files::tidy;
pub use kind::Kind;
pub use registered::RegisteredComponents;
pub use value::Value;

/// Whose rules apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Azure ML's: what its SDK refuses is an error, what it overlooks a warning.
    Azure,
    /// A run on this machine: what the SDK overlooks is an error too; what only a service needs is a note.
    #[default]
    Local,
}

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose rules apply.
    pub target: Target,
    /// Changes to the document before it is read.
    pub set: Vec<Override>,
    /// Whether Azure ML's preview features are on (`AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED`).
    pub preview: bool,
    /// The kind, when the caller knows it; otherwise it is detected.
    pub kind: Option<Kind>,
    /// Registered components: a reference that they know is read as the file behind it. Others stay references.
    pub components: Option<Arc<dyn RegisteredComponents>>,
}

/// A file after reading, with all that was found.
pub struct Document {
    /// Its kind; `None` when the file could not be read at all.
    pub kind: Option<Kind>,
    /// Its content; after mistakes what could be read of it.
    pub value: Option<Value>,
    /// Every finding.
    pub diagnostics: Diagnostics,
    /// The texts that the diagnostics refer to.
    pub sources: Sources,
    /// Whether the file itself is not there.
    pub not_found: bool,
}

impl Document {
    /// The `type` of a job, with its default; `None` for other documents.
    #[must_use]
    pub fn job_type(&self) -> Option<&str> {
        let object = self.value.as_ref().and_then(Value::object).filter(|_| self.kind == Some(Kind::Job))?;
        Some(object.text("type").unwrap_or("command"))
    }

    /// What it is, for people: `a sweep job` without the article.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.value.as_ref().and_then(Value::object) {
            Some(object) => {
                let words = describe::class(object.class);
                words.trim_start_matches("an ").trim_start_matches("a ").to_owned()
            }
            None => self.kind.map_or("document", Kind::word).to_owned(),
        }
    }

    /// Whether Azure ML would take it.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.value.is_some() && !self.diagnostics.has_errors()
    }
}

/// Loads and checks a file.
#[must_use]
pub fn load(path: &Path, options: &Options) -> Document {
    let mut files = files::Files::default();
    let mut found = Vec::new();
    let (kind, mut value) = document(path, options, &mut files, &mut found);
    if files.too_large() {
        // Its consequences are not mistakes of their own.
        found.retain(|d| d.code == "too-large");
        found.truncate(1);
        value = None;
    }
    if options.target == Target::Local {
        for finding in found.iter_mut().filter(|d| d.code == "no-compute") {
            finding.severity = Severity::Note;
        }
    }
    if let Some(object) = value.as_ref().and_then(Value::object) {
        for mut finding in check::run(object, &files.sources) {
            // A wrong `--set` is a mistake under both targets.
            if options.target == Target::Azure && finding.code != "bad-override" {
                finding.severity = Severity::Warning;
            }
            let is_reported = |f: &Diagnostic| {
                f.span == finding.span && (f.code == finding.code || finding.code.starts_with("unknown-"))
            };
            if !found.iter().any(is_reported) {
                found.push(finding);
            }
        }
    }
    let mut diagnostics = Diagnostics::default();
    diagnostics.extend(files.warnings);
    diagnostics.extend(found);
    Document { kind, value, diagnostics, sources: files.sources, not_found: !path.exists() }
}

fn document(
    path: &Path,
    options: &Options,
    files: &mut files::Files,
    found: &mut Vec<Diagnostic>,
) -> (Option<Kind>, Option<Value>) {
    let file = match files.root(path) {
        Ok(file) => file,
        Err(faults) => {
            found.extend(faults);
            return (None, None);
        }
    };
    let kind =
        options.kind.unwrap_or_else(|| detect::kind(&file.root, files.sources.first().map_or("", |(_, text)| text)));
    let mut root = file.root;
    overrides::apply(&mut root, &options.set, &mut files.sources, found);
    if !found.is_empty() {
        return (None, None);
    }
    if kind == Kind::Component {
        root.drop_null("type");
        // The SDK takes anything for a version, and sends its text.
        root.stringify("version");
    }
    let class = match class::of(kind, &root) {
        Ok(class) => class,
        Err(fault) => {
            found.push(*fault);
            return (Some(kind), None);
        }
    };
    if flow::class(&root) == Some(class) {
        root = flow::as_component(&root, class);
    }
    let mut reader =
        Reader { files, preview: options.preview, components: options.components.clone(), warnings: Vec::new() };
    let scope = Scope { base: file.folder.clone(), bindings: Bindings::No };
    // Components keep fields that the grammar does not know, jobs do not.
    let open = kind == Kind::Component;
    let value = match reader.class(class, open, &root, Cursor::ROOT, &scope) {
        Ok(value) => value,
        // The part that could be read is checked as well, to report every mistake at once.
        Err(fault) => {
            found.extend(fault.all);
            match fault.partial {
                Some(partial) => partial,
                None => return (Some(kind), None),
            }
        }
    };
    found.append(&mut reader.warnings);
    if let Some(object) = value.object() {
        check::document(object, &reader.files.sources, found);
    }
    (Some(kind), Some(value))
}
