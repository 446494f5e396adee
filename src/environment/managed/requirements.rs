//! Requirements for pip, line by line: packages, options, and other requirements files.
//!
//! Paths are made absolute, because pip reads the lines from another folder. The format is pip's requirements file
//! format.

use std::fs;
use std::path::{Path, PathBuf};

use super::definition::Definition;
use crate::again::word;

/// Why requirements cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequirementsError {
    /// A requirements file cannot be read.
    #[error("cannot read the requirements file {path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// The error.
        why: String,
    },
    /// Requirements files name each other without end.
    #[error("the requirements file {0} names itself")]
    Circle(String),
}

/// How deep requirements files may name each other.
const DEPTH: usize = 16;

/// Adds one line of a `pip:` list. Relative paths start in `folder`.
///
/// # Errors
/// When it names a requirements file that cannot be read.
pub fn add(line: &str, folder: &Path, definition: &mut Definition) -> Result<(), RequirementsError> {
    add_line(line, folder, definition, 0)
}

/// Adds the lines of a requirements file.
///
/// # Errors
/// When the file, or one that it names, cannot be read.
pub fn add_file(path: &Path, definition: &mut Definition) -> Result<(), RequirementsError> {
    read_file(path, definition, 0)
}

fn read_file(path: &Path, definition: &mut Definition, depth: usize) -> Result<(), RequirementsError> {
    let shown = path.display().to_string();
    if depth == DEPTH {
        return Err(RequirementsError::Circle(shown));
    }
    let unreadable = |error: std::io::Error| RequirementsError::Unreadable { path: shown, why: error.to_string() };
    let text = text_of(path).map_err(unreadable)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // A backslash at the end of a line continues it.
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").lines() {
        add_line(line, folder, definition, depth + 1)?;
    }
    Ok(())
}

/// The text of a file that defines an environment. A pipe or a device, whose end may never come, and a huge file are refused: a project of
/// a stranger may name any path.
pub(in crate::environment) fn text_of(path: &Path) -> std::io::Result<String> {
    const LONGEST: u64 = 1 << 20;
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(std::io::Error::other("this is not a file"));
    }
    if about.len() > LONGEST {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    fs::read_to_string(path)
}

fn add_line(line: &str, folder: &Path, definition: &mut Definition, depth: usize) -> Result<(), RequirementsError> {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Ok(());
    }
    let option = |names: [&str; 2]| names.into_iter().find_map(|name| value_of(line, name));
    if let Some(file) = option(["-r", "--requirement"]) {
        if is_address(file) {
            definition.options.push(line.to_owned());
            return Ok(());
        }
        let file = folder.join(file);
        definition.files.push(file.clone());
        return read_file(&file, definition, depth);
    }
    if let Some(file) = option(["-c", "--constraint"]) {
        let file = located(file, folder, definition);
        definition.options.push(format!("--constraint {file}"));
    } else if let Some(project) = option(["-e", "--editable"]) {
        let (path, rest) = split_extras(project);
        let project =
            if is_address(path) { project.to_owned() } else { format!("{}{rest}", located(path, folder, definition)) };
        definition.requirements.push(format!("-e {project}"));
    } else if let Some(place) = option(["-f", "--find-links"]) {
        let place = located(place, folder, definition);
        definition.options.push(format!("--find-links {place}"));
    } else if line.starts_with('-') {
        definition.options.push(line.to_owned());
    } else {
        let requirement = requirement(line, folder, definition);
        definition.requirements.push(requirement);
    }
    Ok(())
}

/// Whether this is an address and no path: `https://…`, `git+ssh://…`.
fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// The place of a file or folder of the user: an absolute path, as one word. An address stays as it is.
fn located(place: &str, folder: &Path, definition: &mut Definition) -> String {
    if is_address(place) {
        note_file_address(place, definition);
        return place.to_owned();
    }
    let absolute: PathBuf = folder.join(place).components().collect();
    definition.local.push(absolute.clone());
    word(&absolute)
}

/// Notes the file behind `file:///…`: its content belongs to the environment.
fn note_file_address(text: &str, definition: &mut Definition) {
    if let Some((_, path)) = text.split_once("file://") {
        let end = path.find([' ', ';', '#']).unwrap_or(path.len());
        definition.local.push(PathBuf::from(&path[..end]));
    }
}

/// A comment begins with `#` at the start of a line or after a space.
fn without_comment(line: &str) -> &str {
    let start = line.match_indices('#').map(|(at, _)| at).find(|&at| at == 0 || line[..at].ends_with([' ', '\t']));
    start.map_or(line, |start| &line[..start])
}

/// The value of an option: `-r file`, `-rfile`, `--requirement file` or `--requirement=file`.
fn value_of<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let rest = line.strip_prefix(name)?;
    let is_short = !name.starts_with("--");
    let value = rest.strip_prefix(['=', ' ', '\t']).or_else(|| is_short.then_some(rest))?.trim();
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

/// A requirement, with the path of a file or folder of the user made absolute.
fn requirement(text: &str, folder: &Path, definition: &mut Definition) -> String {
    let (path, rest) = split_extras(text);
    let is_path = path.starts_with(['.', '/']) || path.ends_with(".whl") || path.ends_with(".tar.gz");
    if !is_path || is_address(path) {
        note_file_address(text, definition);
        return text.to_owned();
    }
    let absolute: PathBuf = folder.join(path).components().collect();
    definition.local.push(absolute.clone());
    format!("{}{rest}", absolute.display())
}

/// Splits `./project[extra]` before the bracket.
fn split_extras(text: &str) -> (&str, &str) {
    text.find(['[', ' ', ';']).map_or((text, ""), |at| text.split_at(at))
}

/// The name of the package that a requirement asks for, in the normal form of PEP 503. `None` for a path or an address.
#[must_use]
pub fn name(requirement: &str) -> Option<String> {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
    let is_address = rest.starts_with([':', '/', '+']) || name.is_empty() || name.starts_with(['-', '.']);
    (!is_address).then(|| name.to_lowercase().replace(['_', '.'], "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_pip_reads_them() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("more.txt"), "# tools\nclick==8.1.0  # pinned\n\nrich>=13,\\\n<14\n").unwrap();
        let mut definition = Definition::default();
        for line in ["-r more.txt", "-e ./pkg[dev]", "wheels/a-1-py3-none-any.whl", "b@git+https://example.org/b#egg=b"]
        {
            add(line, root.path(), &mut definition).unwrap();
        }
        let at = |name: &str| root.path().join(name).display().to_string();
        let expected = [
            "click==8.1.0".to_owned(),
            "rich>=13, <14".to_owned(),
            format!("-e {}[dev]", at("pkg")),
            at("wheels/a-1-py3-none-any.whl"),
            "b@git+https://example.org/b#egg=b".to_owned(),
        ];
        assert_eq!(definition.requirements, expected);
        assert_eq!(definition.local.len(), 2);
    }

    #[test]
    fn options_stay_options_and_their_paths_are_absolute() {
        let mut definition = Definition::default();
        for line in ["--extra-index-url https://example.org/simple", "--find-links=./wheels", "-c pins.txt", "--pre"] {
            add(line, Path::new("/job"), &mut definition).unwrap();
        }
        let expected = [
            "--extra-index-url https://example.org/simple",
            "--find-links /job/wheels",
            "--constraint /job/pins.txt",
            "--pre",
        ];
        assert_eq!(definition.options, expected);
        assert!(definition.requirements.is_empty());
    }

    #[test]
    fn files_that_name_themselves_and_missing_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.txt"), "-r a.txt").unwrap();
        let mut definition = Definition::default();
        let circle = add("-r a.txt", root.path(), &mut definition).unwrap_err().to_string();
        assert!(circle.contains("names itself"), "{circle}");
        let device = add("-r /dev/zero", root.path(), &mut definition).unwrap_err().to_string();
        assert!(device.contains("not a file"), "{device}");
        let missing = add("--requirement=b.txt", root.path(), &mut definition).unwrap_err().to_string();
        assert!(missing.contains("b.txt"), "{missing}");
    }

    #[test]
    fn names_have_one_form() {
        for (requirement, expected) in [
            ("Scikit_Learn>=1", Some("scikit-learn")),
            ("torch", Some("torch")),
            ("tensorflow[and-cuda]==2.16.2", Some("tensorflow")),
            ("pandas ; python_version < '3.9'", Some("pandas")),
            ("./pkg", None),
            ("git+https://example.org/x", None),
            ("-e .", None),
        ] {
            assert_eq!(name(requirement).as_deref(), expected, "{requirement}");
        }
    }
}
