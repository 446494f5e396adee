//! Finds the files that a command line names: files by name, all YAML files below a folder, and matches of patterns.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;

use crate::error::Failed;
use crate::language::detect::is_azure_ml;

/// How many bytes of a file are read to decide whether it is an Azure ML document.
const ENOUGH: u64 = 1 << 20;

/// The files to check, in the order of the command line, and in the order of their paths below a folder.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// The files, without duplicates.
    pub files: Vec<PathBuf>,
    /// How many files in folders and matches of patterns are not Azure ML documents.
    pub passed_over: usize,
    /// Whether several files may be checked, so that the output names each file.
    pub many: bool,
}

/// Finds the files. A named file is always taken; from a folder or pattern, only Azure ML documents are. Hidden
/// folders, `.git`, `.amlrun` and ignored files are skipped.
///
/// # Errors
/// When a pattern is invalid, or a folder or pattern has nothing to check.
pub(super) fn choose(named: &[PathBuf]) -> Result<Chosen, Failed> {
    let mut chosen = Chosen { many: named.len() > 1, ..Chosen::default() };
    let mut seen = HashMap::new();
    for path in named {
        let found = if path.is_dir() {
            walk(path, None)?
        } else if let Some((folder, pattern)) = pattern(path)? {
            let found = walk(&folder, Some(&pattern))?;
            if found.is_empty() {
                return Err(Failed::not_found(format!("no file matches '{}'", path.display()))
                    .hint("use '**' to match folders at any depth; hidden and ignored files are skipped"));
            }
            found
        } else {
            add(path.clone(), &mut chosen.files, &mut seen);
            continue;
        };
        chosen.many = true;
        let (before, mut documents) = (chosen.passed_over, 0);
        for file in found {
            if is_document(&file) {
                documents += 1;
                add(file, &mut chosen.files, &mut seen);
            } else {
                chosen.passed_over += 1;
            }
        }
        if documents == 0 {
            // Without this error, a check of nothing would always succeed.
            let others = passed_over(chosen.passed_over - before);
            let aside = if others.is_empty() { others } else { format!(" ({others})") };
            return Err(Failed::not_found(format!("no Azure ML document was found in '{}'{aside}", path.display()))
                .hint("add the '$schema' of Azure ML to the documents, or name each file to check"));
        }
    }
    Ok(chosen)
}

/// `3 files skipped`. Empty if there are none.
pub(super) fn passed_over(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 file skipped".to_owned(),
        n => format!("{n} files skipped"),
    }
}

fn add(file: PathBuf, files: &mut Vec<PathBuf>, seen: &mut HashMap<PathBuf, ()>) {
    let key = file.canonicalize().unwrap_or_else(|_| file.clone());
    if seen.insert(key, ()).is_none() {
        files.push(file);
    }
}

/// A file that cannot be read counts as a document, so that the error is reported.
fn is_document(file: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    match std::fs::File::open(file).and_then(|open| open.take(ENOUGH).read_to_end(&mut start)) {
        Ok(_) => is_azure_ml(&String::from_utf8_lossy(&start)),
        Err(_) => true,
    }
}

/// The files below a folder that match the pattern, or all YAML files.
fn walk(folder: &Path, pattern: Option<&GlobMatcher>) -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    let walk = WalkBuilder::new(folder).require_git(false).sort_by_file_path(Path::cmp).build();
    for entry in walk {
        let entry = entry.map_err(|why| Failed::new(format!("cannot read '{}': {why}", folder.display())))?;
        let path = entry.path();
        let shown = path.strip_prefix("./").unwrap_or(path);
        let wanted = match pattern {
            Some(pattern) => pattern.is_match(shown),
            None => path.extension().is_some_and(|e| e == "yml" || e == "yaml"),
        };
        if wanted && path.is_file() {
            files.push(shown.to_owned());
        }
    }
    Ok(files)
}

/// Splits a path with `*`, `?`, `[` or `{` that is not an existing file: the folder before the first of them, and the
/// pattern.
fn pattern(path: &Path) -> Result<Option<(PathBuf, GlobMatcher)>, Failed> {
    let magic = |part: &Path| part.to_string_lossy().contains(['*', '?', '[', '{']);
    if path.exists() || !magic(path) {
        return Ok(None);
    }
    let text = path.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|why| Failed::usage(format!("'{text}' is not a valid pattern: {}", why.kind())))?;
    let folder: PathBuf = Path::new(text).components().take_while(|c| !magic(Path::new(c.as_os_str()))).collect();
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    // If the folder does not exist, nothing matches, and the caller reports that.
    let folder =
        if folder.is_dir() { folder } else { return Err(Failed::not_found(format!("no file matches '{text}'"))) };
    Ok(Some((folder, glob.compile_matcher())))
}
