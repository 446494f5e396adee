//! The files that diagnostics speak of, and places in them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Which of the loaded files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A stretch of text: lines and columns count characters from 1; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First line.
    pub line: usize,
    /// First column.
    pub column: usize,
    /// Last line.
    pub end_line: usize,
    /// The column after the last.
    pub end_column: usize,
}

impl Span {
    /// The very beginning of a file.
    #[must_use]
    pub fn start_of(source: SourceId) -> Self {
        Self { source, line: 1, column: 1, end_line: 1, end_column: 2 }
    }
}

/// One loaded file.
#[derive(Debug)]
pub struct Source {
    /// The path as the person wrote it, or as it was reached from there.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// Where each line begins, found out when the first one is asked for.
    starts: OnceLock<Vec<usize>>,
}

impl Source {
    /// The name of a text that came with `--set` and is in no file.
    pub const SET: &str = "--set";

    /// A line without its break; lines count from 1. A large document asks for thousands of them.
    fn line(&self, line: usize) -> Option<&str> {
        let after_breaks = || self.text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = self.starts.get_or_init(|| std::iter::once(0).chain(after_breaks()).collect());
        let from = *starts.get(line.saturating_sub(1))?;
        self.text[from..].lines().next()
    }

    /// Whether the text is that of a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.path != Path::new(Self::SET)
    }
}

/// All files that were loaded for one document: the job file and the component files it names.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// The beginning of the first file, which is the one that the user named, and its text.
    #[must_use]
    pub fn first(&self) -> Option<(Span, &str)> {
        self.files.first().map(|file| (Span::start_of(SourceId(0)), &*file.text))
    }

    /// Whether something came with `--set`.
    #[must_use]
    pub fn any_set(&self) -> bool {
        self.files.iter().any(|file| !file.is_file())
    }

    /// Whether what stands there came with `--set`.
    #[must_use]
    pub fn is_set(&self, span: Span) -> bool {
        self.get(span.source).is_some_and(|file| !file.is_file())
    }

    /// The files that were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.is_file()).map(|file| file.path.as_path())
    }

    /// The place of a text inside a scalar: found in the lines of the file, since folding and quoting move columns. The
    /// scalar's own place when it is not found.
    #[must_use]
    pub fn find(&self, scalar: Span, written: &str) -> Span {
        // A block scalar's span may begin and end with its indicator line: look a little beyond it.
        for line in scalar.line..=scalar.end_line.max(scalar.line) + 1 {
            let text = self.line(scalar.source, line);
            let from = if line == scalar.line { scalar.column - 1 } else { 0 };
            let skipped: usize = text.chars().take(from).map(char::len_utf8).sum();
            if let Some(at) = text.get(skipped..).and_then(|rest| rest.find(written)) {
                let column = text[..skipped + at].chars().count() + 1;
                let end_column = column + written.chars().count();
                return Span { source: scalar.source, line, column, end_line: line, end_column };
            }
        }
        scalar
    }

    /// Adds a file's text and gives it a number. A byte order mark is no part of the text: columns do not count it.
    pub fn add(&mut self, path: &Path, text: &str) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.files.push(Source { path: path.to_owned(), text: text.into(), starts: OnceLock::new() });
        id
    }

    /// The same files with other texts, which must have the same lines and columns: for a file that holds secrets.
    #[must_use]
    pub fn masked(&self, mask: impl Fn(&str) -> String) -> Self {
        let mut masked = Self::default();
        for file in &self.files {
            masked.add(&file.path, &mask(&file.text));
        }
        masked
    }

    /// The file with that number, when it is one of ours.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// One line of a file, without its line break. Lines count from 1.
    #[must_use]
    pub fn line(&self, id: SourceId, line: usize) -> &str {
        self.get(id).and_then(|source| source.line(line)).unwrap_or("")
    }
}
