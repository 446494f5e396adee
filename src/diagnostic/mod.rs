//! Diagnostics: what is wrong in the user's files, and how to fix it.
//!
//! A [`Diagnostic`] is one mistake: a stable code, a message, the position in the file, and help. All mistakes of a
//! document are collected in [`Diagnostics`] and shown together. Nothing runs if one of them is an error. This module
//! must not know YAML or Azure ML, only positions in files. `yaml`, `language`, `spec` and `plan` fill the collection.
//! The command line shows it as text with carets ([`render`]), JSON ([`json`]), annotations ([`github`]) or SARIF
//! ([`sarif`]).

pub mod article;
pub mod github;
pub mod json;
pub mod render;
pub mod sarif;
mod snippet;
pub mod source;
pub mod suggest;
pub mod visible;

use std::path::Path;

use serde::Serialize;

pub use source::{SourceId, Sources, Span};

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information only.
    Note,
    /// Probably not what the author meant. The document is still accepted.
    Warning,
    /// The document is refused.
    Error,
}

/// A second position that explains the first.
#[derive(Clone, Debug)]
pub struct Label {
    /// The position.
    pub span: Span,
    /// The text shown there.
    pub message: String,
}

/// One mistake, or one note.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The stable code of this kind of mistake, such as `unknown-field`.
    pub code: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// One sentence that says what is wrong.
    pub message: String,
    /// Its position. `None` only for a file that could not be read at all.
    pub span: Option<Span>,
    /// Its path in the document, such as `jobs.train.inputs.lr`.
    pub path: String,
    /// Related positions.
    pub labels: Vec<Label>,
    /// How to fix it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a position.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Some(span), message)
    }

    /// A warning at a position.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Some(span), message)
    }

    /// A note at a position.
    pub fn note(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, Some(span), message)
    }

    /// An error about a file that cannot be read, and therefore has no position.
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, None, message)
    }

    fn new(severity: Severity, code: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, severity, message, span, path: String::new(), labels: Vec::new(), help: None }
    }

    /// Sets the path in the document.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean …" if one of the candidates is similar to the word.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match suggest::nearest(word, candidates) {
            Some(near) => self.help(format!("did you mean '{near}'?")),
            None => self,
        }
    }

    /// Adds a second position.
    #[must_use]
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }
}

/// A diagnostic with the texts that it refers to and the file that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// The diagnostic.
    pub diagnostic: &'a Diagnostic,
    /// The texts.
    pub sources: &'a Sources,
    /// The file that was checked.
    pub file: &'a Path,
}

impl<'a> Finding<'a> {
    /// The file and the position in it. If the diagnostic is in no file (the file cannot be read, or the text came with
    /// `--set`), the file that was checked, without a position.
    #[must_use]
    pub fn place(&self) -> (&'a Path, Option<Span>) {
        let source = self.diagnostic.span.and_then(|s| self.sources.get(s.source)).filter(|s| s.is_file());
        source.map_or((self.file, None), |source| (&source.path, self.diagnostic.span))
    }
}

/// All diagnostics of a document and the files that it names.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether there is an error, so that the document is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// The number of diagnostics with that severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|d| d.severity == severity).count()
    }

    /// Removes the diagnostics for which `keep` returns false. It may change the others.
    pub fn retain(&mut self, keep: impl FnMut(&mut Diagnostic) -> bool) {
        self.found.retain_mut(keep);
    }

    /// Removes the notes: they are of no use when a file is run.
    pub fn drop_notes(&mut self) {
        self.found.retain(|d| d.severity != Severity::Note);
    }

    /// All diagnostics in the order of their positions: file by file, line by line.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<&Diagnostic> = self.found.iter().collect();
        all.sort_by_key(|d| d.span.map(|s| (s.source, s.line, s.column)));
        all
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, iter: T) {
        self.found.extend(iter);
    }
}
