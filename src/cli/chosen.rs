//! Which files a command line means: files by name, all YAML below a folder, all that a pattern matches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use ignore::WalkBuilder;

use crate::error::Failed;
use crate::language::detect::is_azure_ml;

/// So much of a file is read to see whether it is an Azure ML document.
const ENOUGH: u64 = 1 << 20;

/// The files to check, in the order of the command line and below a folder in that of their paths.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Each file once.
    pub files: Vec<PathBuf>,
    /// How many files of folders and patterns are no Azure ML documents.
    pub passed_over: usize,
    /// Whether more than one file was asked for, so that each should be told of by name.
    pub many: bool,
}

/// Finds the files. One that is named is taken whatever it is; of a folder or pattern only Azure ML documents are.
/// Hidden folders, `.git`, `.amlrun` and what ignore files exclude are not looked into.
///
/// # Errors
/// A pattern that is none; a folder or pattern in which there is nothing to check.
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
                    .hint("'**' stands for any folders; hidden and ignored files are left out"));
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
            // A check that checks nothing would pass for ever.
            let others = passed_over(chosen.passed_over - before);
            let aside = if others.is_empty() { others } else { format!(" ({others})") };
            return Err(Failed::not_found(format!("there is no Azure ML document in '{}'{aside}", path.display()))
                .hint("a document has an Azure '$schema' or the keys of a job, component or asset; name a file to check it"));
        }
    }
    Ok(chosen)
}

/// `3 files passed over`; empty for none.
pub(super) fn passed_over(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "1 file passed over".to_owned(),
        n => format!("{n} files passed over"),
    }
}

fn add(file: PathBuf, files: &mut Vec<PathBuf>, seen: &mut HashMap<PathBuf, ()>) {
    let key = file.canonicalize().unwrap_or_else(|_| file.clone());
    if seen.insert(key, ()).is_none() {
        files.push(file);
    }
}

/// A file that cannot be read is checked, so that somebody is told.
fn is_document(file: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    match std::fs::File::open(file).and_then(|open| open.take(ENOUGH).read_to_end(&mut start)) {
        Ok(_) => is_azure_ml(&String::from_utf8_lossy(&start)),
        Err(_) => true,
    }
}

/// The files below a folder: those that the pattern matches, or all YAML.
fn walk(folder: &Path, pattern: Option<&GlobMatcher>) -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    let walk = WalkBuilder::new(folder).require_git(false).sort_by_file_path(Path::cmp).build();
    for entry in walk {
        let entry = entry.map_err(|why| Failed::new(format!("cannot look into '{}': {why}", folder.display())))?;
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

/// A path with `*`, `?`, `[` or `{` in it that is no file: the folder before the first of them, and what to match.
fn pattern(path: &Path) -> Result<Option<(PathBuf, GlobMatcher)>, Failed> {
    let magic = |part: &Path| part.to_string_lossy().contains(['*', '?', '[', '{']);
    if path.exists() || !magic(path) {
        return Ok(None);
    }
    let text = path.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|why| Failed::usage(format!("'{text}' is no pattern: {}", why.kind())))?;
    let folder: PathBuf = Path::new(text).components().take_while(|c| !magic(Path::new(c.as_os_str()))).collect();
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    // Without the folder nothing can match, which is what the caller says.
    let folder =
        if folder.is_dir() { folder } else { return Err(Failed::not_found(format!("no file matches '{text}'"))) };
    Ok(Some((folder, glob.compile_matcher())))
}
