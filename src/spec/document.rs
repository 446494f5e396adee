//! From a path to a [`Document`]: the file is read as Azure ML's language, then taken over in typed form.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::job::{self, Job};
use crate::diagnostic::article::with_article;
use crate::diagnostic::{Diagnostic, Diagnostics, Sources};
use crate::language::{self, Kind};

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

/// The result of loading: the document when it was accepted, all findings, and the texts that they refer to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The document; `None` when it was refused, or is no job.
    pub document: Option<Document>,
    /// Every mistake found.
    pub diagnostics: Diagnostics,
    /// The files read.
    pub sources: Sources,
    /// Whether the job file itself is not there.
    pub not_found: bool,
}

/// Takes over a job file that was read.
#[must_use]
pub fn take(read: language::Document, path: &Path) -> Loaded {
    let accepted = read.accepted();
    let mut found = Vec::new();
    let mut document = None;
    if matches!(read.kind, Some(Kind::Other(_))) {
        // That it is not a job was reported when it was read.
    } else if read.kind.is_some_and(|kind| kind != Kind::Job) {
        let span = read.value.as_ref().map(|v| v.span).or(read.sources.first().map(|(start, _)| start));
        if let Some(span) = span {
            let message = format!("this file describes {}, not a job", with_article(&read.describe()));
            let help = "use the file of the pipeline that refers to it";
            found.push(Diagnostic::error("wrong-kind", span, message).at("$schema").help(help));
        }
    } else if accepted {
        document = of(&read, path, &mut found);
    }
    let mut diagnostics = read.diagnostics;
    diagnostics.extend(found);
    Loaded { document, diagnostics, sources: read.sources, not_found: read.not_found }
}

/// The typed form of a document that Azure ML's language accepts. `None` when it is not a job, or of a kind that is not
/// run yet, which is then reported.
pub fn of(read: &language::Document, path: &Path, found: &mut Vec<Diagnostic>) -> Option<Document> {
    let object = read.value.as_ref()?.object()?;
    let (_, text) = read.sources.first()?;
    let job = job::of(object, &read.sources, found)?;
    Some(Document { path: path.to_owned(), text: text.into(), job })
}
