//! The files that diagnostics refer to, and positions in them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The number of a loaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of text. Lines and columns count characters from 1; the end is exclusive.
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
    /// The column after the last character.
    pub end_column: usize,
}

impl Span {
    /// The start of a file.
    #[must_use]
    pub fn start_of(source: SourceId) -> Self {
        Self { source, line: 1, column: 1, end_line: 1, end_column: 2 }
    }
}

/// One loaded file.
#[derive(Debug)]
pub struct Source {
    /// The path as the user wrote it, or relative to a path that the user wrote.
    pub path: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
    /// The offset of each line, computed on first use.
    starts: OnceLock<Vec<usize>>,
}

impl Source {
    /// The name of a text that came with `--set` and not from a file.
    pub const SET: &str = "--set";

    /// A line without its line break, counted from 1. Large documents make thousands of such calls.
    fn line(&self, line: usize) -> Option<&str> {
        let after_breaks = || self.text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = self.starts.get_or_init(|| std::iter::once(0).chain(after_breaks()).collect());
        let from = *starts.get(line.saturating_sub(1))?;
        self.text[from..].lines().next()
    }

    /// Whether the text is from a file.
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
    /// The start and the text of the first file, which is the one that the user named.
    #[must_use]
    pub fn first(&self) -> Option<(Span, &str)> {
        self.files.first().map(|file| (Span::start_of(SourceId(0)), &*file.text))
    }

    /// Whether any text came with `--set`.
    #[must_use]
    pub fn any_set(&self) -> bool {
        self.files.iter().any(|file| !file.is_file())
    }

    /// Whether the text at a position came with `--set`.
    #[must_use]
    pub fn is_set(&self, span: Span) -> bool {
        self.get(span.source).is_some_and(|file| !file.is_file())
    }

    /// The paths of the files that were read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.is_file()).map(|file| file.path.as_path())
    }

    /// The position of a text inside a scalar. It is searched in the lines of the file, because folding and quoting
    /// shift columns. If it is not found, the position of the whole scalar.
    #[must_use]
    pub fn find(&self, scalar: Span, written: &str) -> Span {
        // The span of a block scalar may begin and end with its indicator line, so the search covers one line more.
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

    /// Adds a file's text and returns its number. A byte order mark is removed, so that columns do not count it.
    pub fn add(&mut self, path: &Path, text: &str) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        self.files.push(Source { path: path.to_owned(), text: text.into(), starts: OnceLock::new() });
        id
    }

    /// The same files with other texts, for a file that has secrets. The new texts must have the same lines and
    /// columns.
    #[must_use]
    pub fn masked(&self, mask: impl Fn(&str) -> String) -> Self {
        let mut masked = Self::default();
        for file in &self.files {
            masked.add(&file.path, &mask(&file.text));
        }
        masked
    }

    /// The file with that number, if there is one.
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
