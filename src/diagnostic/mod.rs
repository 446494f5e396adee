//! What is wrong with a person's text, said so that it can be mended.
//!
//! A [`Diagnostic`] is one mistake: a stable code, a sentence, the place in the file, and help. All mistakes of a
//! document are collected in [`Diagnostics`] and shown together; nothing runs while one of them is an error.
//! This module knows places in sources, not YAML and not Azure ML. `yaml`, `spec` and `plan` fill the collection;
//! the command line draws it as text with carets ([`render`]), JSON ([`json`]), annotations ([`github`]) or SARIF
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

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; changes nothing.
    Note,
    /// Probably not what the author meant; the document is still accepted.
    Warning,
    /// The document is refused.
    Error,
}

/// A second place that explains the first.
#[derive(Clone, Debug)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be seen there.
    pub message: String,
}

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// A stable name of the kind of mistake, such as `unknown-field`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence: what is wrong.
    pub message: String,
    /// Where; `None` only for a file that could not be read at all.
    pub span: Option<Span>,
    /// Where in the document's structure, as in `jobs.train.inputs.lr`.
    pub path: String,
    /// Other places that belong to it.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, Some(span), message)
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, Some(span), message)
    }

    /// A note at a place.
    pub fn note(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, Some(span), message)
    }

    /// An error about a file that cannot be read, so that there is no place inside it.
    pub fn without_place(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, None, message)
    }

    fn new(severity: Severity, code: &'static str, span: Option<Span>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, severity, message, span, path: String::new(), labels: Vec::new(), help: None }
    }

    /// Adds where in the document's structure it is.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean …" when one of the candidates is near the word.
    #[must_use]
    pub fn did_you_mean<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match suggest::nearest(word, candidates) {
            Some(near) => self.help(format!("did you mean '{near}'?")),
            None => self,
        }
    }

    /// Adds a second place.
    #[must_use]
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label { span, message: message.into() });
        self
    }
}

/// A diagnostic with the texts that it speaks of and the file whose check found it.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// What was found.
    pub diagnostic: &'a Diagnostic,
    /// The texts.
    pub sources: &'a Sources,
    /// The file that was checked.
    pub file: &'a Path,
}

impl<'a> Finding<'a> {
    /// The file and the place in it; of a finding that is in no file (it cannot be read, the text came with `--set`) the
    /// file that was checked, without a place.
    #[must_use]
    pub fn place(&self) -> (&'a Path, Option<Span>) {
        let source = self.diagnostic.span.and_then(|s| self.sources.get(s.source)).filter(|s| s.is_file());
        source.map_or((self.file, None), |source| (&source.path, self.diagnostic.span))
    }
}

/// All that was found in a document and the files it names.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether the document must be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|d| d.severity == severity).count()
    }

    /// Leaves those out that are not to be kept; others may be changed.
    pub fn retain(&mut self, keep: impl FnMut(&mut Diagnostic) -> bool) {
        self.found.retain_mut(keep);
    }

    /// Leaves the notes out: who wants to run a file has no use for them.
    pub fn drop_notes(&mut self) {
        self.found.retain(|d| d.severity != Severity::Note);
    }

    /// All of them in the order of the text they speak of: file by file, line by line.
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
