//! Reads conda files, and writes their packages as requirements for pip.
//!
//! conda's version forms are in its specification of MatchSpec; pip's are in PEP 440. If PyPI does not have one of the
//! packages, a conda tool must install all of them, so that they fit together; the `pip:` list stays with pip.

use std::path::Path;
use std::str::FromStr as _;

use pep440_rs::VersionSpecifiers;
use serde_yaml::Value;

use super::definition::{Conda, Definition};
use super::requirements;
use crate::fs::program::on_path;

/// Why a conda file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CondaError {
    /// It is not YAML, or does not have the form of a conda file.
    #[error("this is not a conda file: {0}")]
    Form(String),
    /// A version cannot be written for pip.
    #[error("'{package}' asks for the version '{version}', {why}")]
    Version {
        /// The package.
        package: String,
        /// The version, as written.
        version: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A part of the `pip:` list cannot be read.
    #[error(transparent)]
    Pip(#[from] requirements::RequirementsError),
}

/// Reads a conda file. Relative paths in its `pip:` list start in `folder`.
///
/// # Errors
/// When it is not a conda file, or needs something that cannot be expressed.
pub fn read(text: &str, folder: &Path) -> Result<Definition, CondaError> {
    let form = |message: &str| CondaError::Form(message.to_owned());
    let root: Value = serde_yaml::from_str(text).map_err(|error| CondaError::Form(error.to_string()))?;
    let root = root.as_mapping().ok_or_else(|| form("a mapping with 'dependencies' is expected"))?;
    let name = root.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut definition = Definition { name, ..Definition::default() };
    let dependencies = match root.get("dependencies") {
        None | Some(Value::Null) => return Ok(definition),
        Some(Value::Sequence(dependencies)) => dependencies,
        Some(_) => return Err(form("'dependencies' is not a list")),
    };
    let mut conda = Conda { channels: channels(root.get("channels")), ..Conda::default() };
    let mut translated = Vec::new();
    for dependency in dependencies {
        match dependency {
            Value::String(text) => {
                let spec = match_spec(text);
                conda.packages.push(text.split(" #").next().unwrap_or_default().trim().to_owned());
                match translate(&spec, text)? {
                    Translated::Python(allowed) => definition.python = allowed,
                    Translated::Requirement(requirement) => translated.push(requirement),
                    Translated::Nothing(note) => definition.notes.extend(note),
                    Translated::CondaOnly => conda.only.push(text.trim().to_owned()),
                }
            }
            Value::Mapping(sections) => {
                for (name, lines) in sections {
                    let lines = match (name.as_str(), lines) {
                        (Some("pip"), Value::Sequence(lines)) => lines,
                        (Some("pip"), Value::Null) => continue,
                        _ => return Err(form("beside packages, 'dependencies' may only have a list 'pip'")),
                    };
                    for line in lines {
                        let line = line.as_str().ok_or_else(|| form("the list 'pip' may only have texts"))?;
                        requirements::add(line, folder, &mut definition)?;
                    }
                }
            }
            _ => return Err(form("'dependencies' may only have texts and a list 'pip'")),
        }
    }
    if conda.only.is_empty() {
        definition.requirements.splice(0..0, translated);
    } else {
        definition.notes.clear();
        definition.conda = Some(conda);
    }
    Ok(definition)
}

/// The channels of a conda file. `defaults` needs a licence in companies, and conda tools use it by themselves when a
/// file names none; conda-forge has the same packages.
fn channels(written: Option<&Value>) -> Vec<String> {
    let written = written.and_then(Value::as_sequence).into_iter().flatten().filter_map(Value::as_str);
    let named: Vec<String> = written.filter(|name| *name != "nodefaults").map(str::to_owned).collect();
    if named.is_empty() { vec!["conda-forge".to_owned()] } else { named }
}

/// What becomes of a conda package.
enum Translated {
    /// It is Python, of these versions.
    Python(Option<VersionSpecifiers>),
    /// pip installs it.
    Requirement(String),
    /// It need not be installed; the note says why, if a user should know.
    Nothing(Option<String>),
    /// Only conda has it.
    CondaOnly,
}

/// The table of names. It has a few dozen lines and is read once for each package of a file.
const NAMES: &str = include_str!("conda_names.txt");

/// What stands before the name of a program in the table.
const PROGRAM: &str = "program:";

/// The name on PyPI, or one of the words that `conda_names.txt` explains.
fn name_on_pypi(name: &str) -> &str {
    let mut rows = NAMES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    match rows.find(|(conda, _)| *conda == name) {
        Some((_, pip)) => pip,
        None if name.starts_with("r-") || name.starts_with("bioconductor-") => "conda",
        None if name.starts_with("cuda-") => "cuda",
        None => name,
    }
}

/// What becomes of one package. `text` is the package as written.
fn translate(MatchSpec { name, version }: &MatchSpec, text: &str) -> Result<Translated, CondaError> {
    if name.is_empty() {
        return Err(CondaError::Form(format!("'{text}' is not a package")));
    }
    let refused = |why| CondaError::Version { package: name.clone(), version: version.clone(), why };
    if name == "python" {
        let allowed = specifiers(version).map_err(refused)?;
        return Ok(Translated::Python((!allowed.is_empty()).then_some(allowed)));
    }
    Ok(match name_on_pypi(name) {
        "-" => Translated::Nothing(None),
        "cuda" => {
            let note = format!("{name} is left out: wheels bring the CUDA libraries that they need");
            Translated::Nothing(Some(note))
        }
        "conda" => Translated::CondaOnly,
        other if other.starts_with(PROGRAM) => {
            let program = &other[PROGRAM.len()..];
            match on_path(program, None) {
                Some(_) => Translated::Nothing(Some(format!("{name} is left out: this machine has {program}"))),
                None => Translated::CondaOnly,
            }
        }
        pip => Translated::Requirement(format!("{pip}{}", specifiers(version).map_err(refused)?)),
    })
}

/// A package and its version, as conda reads them.
struct MatchSpec {
    name: String,
    version: String,
}

/// Takes apart `channel::name[version='>=1']`, `name=1.2=build`, `name >=1,<2` and their mixtures.
fn match_spec(text: &str) -> MatchSpec {
    let text = text.split(" #").next().unwrap_or_default().trim();
    let text = text.rsplit_once("::").map_or(text, |(_, package)| package);
    let (text, bracket) = text.split_once('[').map_or((text, ""), |(text, rest)| (text, rest.trim_end_matches(']')));
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(text.len());
    let (name, version) = text.split_at(end);
    let bracketed = bracket.split(", ").find_map(|pair| pair.trim().strip_prefix("version="));
    let version = bracketed.map_or(version, |version| version.trim_matches(['"', '\'']));
    MatchSpec { name: name.to_lowercase(), version: version.trim().to_owned() }
}

/// conda's version constraint as PEP 440 writes it.
fn specifiers(version: &str) -> Result<VersionSpecifiers, &'static str> {
    if version.contains('|') {
        return Err("which allows several versions with '|': name one of them, because pip has no such form");
    }
    let parts = version.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "*");
    let parts: Vec<String> = parts.filter_map(specifier).collect();
    VersionSpecifiers::from_str(&parts.join(",")).map_err(|_| "which is not a version")
}

/// One part of a constraint. `None` if it allows everything.
fn specifier(part: &str) -> Option<String> {
    let end = part.find(|c: char| !"=!<>~".contains(c)).unwrap_or(part.len());
    let (operator, version) = part.split_at(end);
    // A build after the version (`1.2=py38_0`, `1.2 py38_0`) is conda's own.
    let (version, build) = version.trim().split_once(['=', ' ']).unwrap_or((version.trim(), ""));
    let stem = version.trim_end_matches('*').trim_end_matches('.');
    if stem.is_empty() {
        return None;
    }
    let has_star = version.ends_with('*');
    Some(match operator {
        // `name=1.2` and `name 1.2.*` allow 1.2.7; `name==1.2` and `name 1.2` do not.
        "=" if build.is_empty() => format!("=={stem}.*"),
        "=" => format!("=={stem}"),
        "" | "==" if has_star => format!("=={stem}.*"),
        "" => format!("=={stem}"),
        "!=" if has_star => format!("!={stem}.*"),
        operator => format!("{operator}{stem}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(package: &str) -> Definition {
        read(&format!("dependencies: [\"{package}\"]"), Path::new("/job")).unwrap()
    }

    #[test]
    fn versions_of_conda_become_versions_of_pip() {
        for (conda, pip) in [
            ("numpy", "numpy"),
            ("numpy=1.21", "numpy==1.21.*"),
            ("numpy=1.21.*", "numpy==1.21.*"),
            ("numpy==1.21.0", "numpy==1.21.0"),
            ("numpy=1.21.0=py38h7e635c6_0", "numpy==1.21.0"),
            ("numpy 1.21.*", "numpy==1.21.*"),
            ("numpy 1.21.0", "numpy==1.21.0"),
            ("numpy>=1.20,<2", "numpy>=1.20, <2"),
            ("numpy >=1.20, <2.*", "numpy>=1.20, <2"),
            ("numpy~=1.22.0", "numpy~=1.22.0"),
            ("numpy!=1.22.*", "numpy!=1.22.*"),
            ("conda-forge::numpy=1.2", "numpy==1.2.*"),
            ("numpy[version='>=1.2']", "numpy>=1.2"),
            ("NumPy", "numpy"),
            ("pytorch=2.1", "torch==2.1.*"),
            ("opencv", "opencv-python"),
        ] {
            assert_eq!(of(conda).requirements, [pip], "{conda}");
        }
    }

    #[test]
    fn python_is_not_a_requirement() {
        let definition = of("python=3.8");
        assert!(definition.requirements.is_empty());
        assert!(definition.allows(&"3.8.18".parse().unwrap()));
        assert!(!definition.allows(&"3.11.2".parse().unwrap()));
        assert!(of("python").allows(&"3.11.2".parse().unwrap()));
        assert!(!of("python>=3.9,<3.12").allows(&"3.12.0".parse().unwrap()));
    }

    #[test]
    fn a_conda_tool_installs_all_packages_when_pypi_lacks_one() {
        let text = "channels: [conda-forge, nodefaults]\ndependencies:\n- python=3.10\n- numpy=1.21\n- r-base=4.1\n\
                    - pip:\n  - click\n";
        let definition = read(text, Path::new("/job")).unwrap();
        let conda = definition.conda.unwrap();
        assert_eq!(conda.only, ["r-base=4.1"]);
        assert_eq!(conda.packages, ["python=3.10", "numpy=1.21", "r-base=4.1"]);
        assert_eq!(conda.channels, ["conda-forge"]);
        assert_eq!(definition.requirements, ["click"]);
    }

    #[test]
    fn what_need_not_be_installed_is_left_out() {
        assert_eq!(of("cudatoolkit=11.3").notes.len(), 1);
        assert_eq!(of("pip=21.3"), Definition::default());
        let shell = translate(&match_spec("bash=5"), "bash=5").unwrap();
        assert!(matches!(shell, Translated::Nothing(Some(note)) if note.contains("this machine has bash")));
        for name in ["librosa", "libcst", "libclang", "cudf"] {
            assert_eq!(of(name).requirements, [name]);
        }
    }

    #[test]
    fn the_pip_list_is_read() {
        let text = "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.10\n- pip\n- pip:\n  - pandas==2.2.*\n  \
                    - --extra-index-url https://example.org/simple\n";
        let definition = read(text, Path::new("/job")).unwrap();
        assert_eq!(definition.requirements, ["pandas==2.2.*"]);
        assert_eq!(definition.options, ["--extra-index-url https://example.org/simple"]);
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        let refused = |text: &str| read(text, Path::new("/job")).unwrap_err().to_string();
        assert!(refused("dependencies: ['numpy=1.1|1.2']").contains("'|'"));
        assert!(refused("dependencies: ['numpy=abc']").contains("not a version"));
        assert!(refused("dependencies: numpy").contains("not a list"));
        assert!(refused("[]").contains("mapping"));
    }

    proptest! {
        #[test]
        fn no_package_makes_it_panic(text in "\\PC{0,40}") {
            let _ = translate(&match_spec(&text), &text);
        }
    }
}
