//! Decides what a step's environment becomes on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use pep440_rs::VersionSpecifiers;
use serde::Deserialize;

use super::container::{self, Container};
use super::managed::definition::Definition;
use super::managed::{conda, curated, requirements};
use crate::digest::Digest;
use crate::fs;
use crate::spec::environment::Environment;

/// How environments are provided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// By what is installed on this machine, whatever the file names.
    #[default]
    Host,
    /// A conda file or a curated environment is built; others are as with [`Policy::Host`].
    Managed,
    /// Steps run in containers of their images; others are as with [`Policy::Host`].
    Container,
}

impl Policy {
    /// Its name in records; `None` for the host, which is the default.
    #[must_use]
    pub fn name(self) -> Option<String> {
        match self {
            Self::Host => None,
            Self::Managed => Some("managed".to_owned()),
            Self::Container => Some("container".to_owned()),
        }
    }

    /// The policy with that name in a record.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name {
            Some("managed") => Self::Managed,
            Some("container") => Self::Container,
            _ => Self::Host,
        }
    }
}

/// The project's own definition of an environment, in `amlrun.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replacement {
    /// The version of Python, such as `3.10`.
    pub python: Option<String>,
    /// A conda file.
    pub conda: Option<PathBuf>,
    /// A requirements file for pip.
    pub requirements: Option<PathBuf>,
    /// A container image: then steps run in containers of it.
    pub image: Option<String>,
}

/// The settings that decide about environments.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How environments are provided.
    pub policy: Policy,
    /// The project's own definitions, by the name of the environment.
    pub replacements: BTreeMap<String, Replacement>,
    /// The container engine to use, by its name; any that works if none is given.
    pub engine: Option<String>,
    /// The folder of `amlrun.toml`: relative paths in replacements start there.
    pub folder: PathBuf,
}

/// What a step's environment becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// What is installed on this machine, and why nothing is built.
    Host(String),
    /// It is built.
    Managed(Box<Managed>),
    /// Steps run in containers.
    Container(Box<Container>),
}

/// An environment that is built from its definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// Its name for people, such as `sklearn-1.5` or `conda.yml`.
    pub name: String,
    /// Where the definition is from.
    pub source: &'static str,
    /// What it contains.
    pub definition: Definition,
    /// The digest of the definition and of the files that it installs.
    pub digest: Digest,
}

/// What an environment becomes, according to the settings.
///
/// # Errors
/// A message, if its definition cannot be read.
pub fn resolve(environment: &Environment, settings: &Settings) -> Result<Resolution, String> {
    if let Some((name, replacement)) = replacement(environment, settings) {
        let definition = replaced(replacement, &settings.folder)?;
        return match &replacement.image {
            Some(image) => Ok(Resolution::Container(Box::new(container::defined(name, image, definition)))),
            None => managed(name.to_owned(), "amlrun.toml", definition),
        };
    }
    if settings.policy == Policy::Container {
        return Ok(match container::resolve(environment)? {
            Some(container) => Resolution::Container(Box::new(container)),
            None => Resolution::Host(format!("{} has no image", environment.describe())),
        });
    }
    if settings.policy == Policy::Host {
        return Ok(Resolution::Host("environments are not built, which is the setting".to_owned()));
    }
    let conda = match environment {
        Environment::Inline { conda, .. } => conda.as_ref(),
        Environment::Reference(_) => None,
    };
    if let Some(file) = conda {
        let definition = conda::read(&file.text, &file.folder).map_err(|error| error.to_string())?;
        let name = definition.name.clone().unwrap_or_else(|| file.shown());
        return managed(name, "conda file", definition);
    }
    match curated_name(environment) {
        Some(name) => match curated::definition(name, false) {
            Some(definition) => managed(name.to_owned(), "curated environment", definition),
            None => Ok(Resolution::Host(format!("the content of the curated environment '{name}' is not known"))),
        },
        None => Ok(Resolution::Host(format!("{} has neither a conda file nor a known name", environment.describe()))),
    }
}

fn managed(name: String, source: &'static str, definition: Definition) -> Result<Resolution, String> {
    if !definition.conda_only.is_empty() {
        let packages = definition.conda_only.join(", ");
        return Err(format!("the environment '{name}' needs packages that only conda has: {packages}"));
    }
    let digest = digest(&definition).map_err(|error| format!("the environment '{name}' cannot be read: {error}"))?;
    Ok(Resolution::Managed(Box::new(Managed { name, source, definition, digest })))
}

/// The digest of a definition and of the user's files that it installs.
fn digest(definition: &Definition) -> std::io::Result<Digest> {
    let mut text = definition.digest().to_string();
    for path in &definition.local {
        let content = content(path).map_err(|error| fs::at(path, &error))?;
        text.push_str(&format!("\n{content}"));
    }
    Ok(Digest::of(text.as_bytes()))
}

/// The digest of a file or folder of the user that is installed. What tools leave in a project does not count: hidden
/// folders, such as a workspace or a repository, byte code, and earlier builds.
fn content(path: &Path) -> std::io::Result<Digest> {
    if path.is_file() {
        return Digest::of_file(path);
    }
    let is_left = |name: &str| {
        name.starts_with('.')
            || name.ends_with(".egg-info")
            || ["__pycache__", "node_modules", "build", "dist"].contains(&name)
    };
    let walk = walkdir::WalkDir::new(path).sort_by_file_name().into_iter();
    let walk = walk.filter_entry(|entry| entry.depth() == 0 || !is_left(&entry.file_name().to_string_lossy()));
    let mut text = String::new();
    for entry in walk {
        let entry = entry?;
        if entry.file_type().is_file() {
            let inner = entry.path().strip_prefix(path).unwrap_or(entry.path()).display();
            text.push_str(&format!("{inner}\n{}\n", Digest::of_file(entry.path())?));
        }
    }
    Ok(Digest::of(text.as_bytes()))
}

/// The name under which Azure ML's curated environments are known, if this is one.
fn curated_name(environment: &Environment) -> Option<&str> {
    match environment {
        Environment::Reference(reference) => curated::name(reference),
        Environment::Inline { image: Some(image), .. } => curated::name(image),
        Environment::Inline { .. } => None,
    }
}

/// The project's own definition for an environment, by its curated name or by the name of a reference.
fn replacement<'s>(environment: &Environment, settings: &'s Settings) -> Option<(&'s str, &'s Replacement)> {
    let name = curated_name(environment).or_else(|| match environment {
        Environment::Reference(reference) => {
            let name = reference.strip_prefix("azureml:").unwrap_or(reference);
            name.split(['@', ':']).next()
        }
        Environment::Inline { .. } => None,
    })?;
    settings.replacements.get_key_value(name).map(|(name, replacement)| (name.as_str(), replacement))
}

fn replaced(replacement: &Replacement, folder: &Path) -> Result<Definition, String> {
    let mut definition = Definition::default();
    if let Some(file) = &replacement.conda {
        let path = folder.join(file);
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        definition = conda::read(&text, path.parent().unwrap_or(folder)).map_err(|error| error.to_string())?;
    }
    if let Some(file) = &replacement.requirements {
        requirements::add_file(&folder.join(file), &mut definition).map_err(|error| error.to_string())?;
    }
    if let Some(version) = &replacement.python {
        let allowed = VersionSpecifiers::from_str(&format!("=={version}.*"));
        definition.python = Some(allowed.map_err(|_| format!("'{version}' is not a version of Python"))?);
    }
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::environment::CondaFile;

    fn managed_settings() -> Settings {
        Settings { policy: Policy::Managed, ..Settings::default() }
    }

    fn inline(image: Option<&str>, conda: Option<&str>) -> Environment {
        Environment::Inline {
            image: image.map(str::to_owned),
            build: None,
            conda_file: None,
            conda: conda.map(|text| CondaFile { text: text.to_owned(), folder: "/job".into(), file: None }),
            context: None,
            definition: String::new(),
        }
    }

    #[test]
    fn conda_files_and_curated_names_are_built_and_images_are_not() {
        let of = |environment: &Environment| resolve(environment, &managed_settings()).unwrap();
        let conda = of(&inline(Some("mcr.microsoft.com/azureml/curated/sklearn-1.5"), Some("dependencies: [numpy]")));
        assert!(matches!(&conda, Resolution::Managed(built) if built.source == "conda file"), "{conda:?}");
        let curated = of(&Environment::Reference("azureml:AzureML-sklearn-1.5@latest".to_owned()));
        assert!(matches!(&curated, Resolution::Managed(built) if built.name == "sklearn-1.5"), "{curated:?}");
        for environment in [
            inline(Some("library/python"), None),
            Environment::Reference("azureml:AzureML-AutoML@prod".to_owned()),
            Environment::Reference("azureml:my-env:1".to_owned()),
        ] {
            assert!(matches!(of(&environment), Resolution::Host(_)), "{environment:?}");
        }
    }

    #[test]
    fn the_host_provides_everything_by_default() {
        let reference = Environment::Reference("azureml:AzureML-sklearn-1.5@latest".to_owned());
        assert!(matches!(resolve(&reference, &Settings::default()), Ok(Resolution::Host(_))));
    }

    #[test]
    fn the_project_can_define_an_environment() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("reqs.txt"), "click==8.1.7\n").unwrap();
        let replacement = Replacement {
            python: Some("3.11".to_owned()),
            requirements: Some("reqs.txt".into()),
            ..Replacement::default()
        };
        let replacements = BTreeMap::from([("my-env".to_owned(), replacement)]);
        let settings = Settings { replacements, folder: root.path().to_owned(), ..Settings::default() };
        let reference = Environment::Reference("azureml:my-env:3".to_owned());
        let Ok(Resolution::Managed(built)) = resolve(&reference, &settings) else { panic!("it is not built") };
        assert_eq!(built.definition.requirements, ["click==8.1.7"]);
        assert!(built.definition.allows(&"3.11.4".parse().unwrap()));
    }

    #[test]
    fn packages_that_only_conda_has_are_named() {
        let refused = resolve(&inline(None, Some("dependencies: [r-base=4.1]")), &managed_settings());
        assert!(refused.unwrap_err().contains("r-base=4.1"));
    }

    #[test]
    fn of_a_project_that_is_installed_only_its_files_count() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("pyproject.toml"), "[project]").unwrap();
        let before = content(root.path()).unwrap();
        for left in [".amlrun/runs/r", ".git", "src/__pycache__", "a.egg-info", "build/lib"] {
            std::fs::create_dir_all(root.path().join(left)).unwrap();
            std::fs::write(root.path().join(left).join("file"), "x").unwrap();
        }
        assert_eq!(content(root.path()).unwrap(), before);
        std::fs::write(root.path().join("src/code.py"), "x = 1").unwrap();
        assert_ne!(content(root.path()).unwrap(), before);
    }

    #[test]
    fn a_changed_wheel_is_another_environment() {
        let root = tempfile::tempdir().unwrap();
        let wheel = root.path().join("a-1-py3-none-any.whl");
        std::fs::write(&wheel, "one").unwrap();
        let environment = Environment::Inline {
            image: None,
            build: None,
            conda_file: None,
            conda: Some(CondaFile {
                text: "dependencies: [{pip: [./a-1-py3-none-any.whl]}]".to_owned(),
                folder: root.path().to_owned(),
                file: None,
            }),
            context: None,
            definition: String::new(),
        };
        let digest = || match resolve(&environment, &managed_settings()) {
            Ok(Resolution::Managed(built)) => built.digest,
            other => panic!("{other:?}"),
        };
        let before = digest();
        std::fs::write(&wheel, "two").unwrap();
        assert_ne!(before, digest());
    }
}
