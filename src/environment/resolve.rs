//! Decides what a step's environment becomes on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use pep440_rs::VersionSpecifiers;
use serde::Deserialize;

use super::container::{self, Container};
use super::managed::definition::Definition;
use super::managed::locked::Locked;
use super::managed::{conda, curated, gpu, identity, image, requirements};
use crate::digest::Digest;
use crate::spec::environment::Environment;

/// How environments are provided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// By what is installed on this machine, whatever the file names.
    Host,
    /// A conda file or a curated environment is built; others are as with [`Policy::Host`].
    #[default]
    Managed,
    /// Steps run in containers of their images; others are as with [`Policy::Host`].
    Container,
}

impl Policy {
    /// Its name in records; `None` for the host, which was the only one in earlier versions.
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

/// The environments that are registered in a workspace.
pub trait RegisteredEnvironments: Send + Sync {
    /// The environment that a reference names, such as `my-env:1` or `my-env@latest`. `None` if there is none.
    fn find(&self, reference: &str) -> Option<Environment>;
}

/// The settings that decide about environments.
#[derive(Clone, Default)]
pub struct Settings {
    /// How environments are provided.
    pub policy: Policy,
    /// The project's own definitions, by the name of the environment.
    pub replacements: BTreeMap<String, Replacement>,
    /// The container engine to use, by its name; any that works if none is given.
    pub engine: Option<String>,
    /// The folder of `amlrun.toml`: relative paths in replacements start there.
    pub folder: PathBuf,
    /// The environments of the workspace.
    pub registered: Option<Arc<dyn RegisteredEnvironments>>,
    /// Whether curated environments get their packages for debugging and profiling, too.
    pub tools: bool,
    /// The exact versions of another run, which are built instead of what the definitions allow.
    pub locked: Option<Locked>,
    /// Whether this machine has a GPU.
    pub has_gpu: bool,
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

/// The source of an environment whose image only tells the version of Python.
pub const IMAGE_NAME: &str = "image name";

/// What an environment becomes, according to the settings.
///
/// # Errors
/// A message, if its definition cannot be read.
pub fn resolve(environment: &Environment, settings: &Settings) -> Result<Resolution, String> {
    if let Some((name, replacement)) = replacement(environment, settings) {
        let definition = replaced(replacement, &settings.folder)?;
        return match &replacement.image {
            Some(image) => Ok(Resolution::Container(Box::new(container::defined(name, image, definition)))),
            None => managed(name.to_owned(), "amlrun.toml", definition, settings),
        };
    }
    if settings.policy == Policy::Container
        && let Some(container) = container::resolve(environment)?
    {
        return Ok(Resolution::Container(Box::new(container)));
    }
    if settings.policy == Policy::Host {
        return Ok(Resolution::Host("environments are not built, which is the setting".to_owned()));
    }
    if let Environment::Reference(reference) = environment
        && let Some(name) = reference.strip_prefix("azureml:")
        && let Some(registered) = settings.registered.as_ref().and_then(|all| all.find(name))
    {
        let name = name.split([':', '@']).next().unwrap_or(name).to_owned();
        // Locked versions are known by the name under which it is registered.
        let unlocked = Settings { locked: None, ..settings.clone() };
        return Ok(match resolve(&registered, &unlocked)? {
            Resolution::Managed(found) => managed(name, "registered environment", found.definition, settings)?,
            Resolution::Container(found) => Resolution::Container(Box::new(Container { name, ..*found })),
            host @ Resolution::Host(_) => host,
        });
    }
    if settings.policy == Policy::Container {
        return Ok(Resolution::Host(format!("{} has no image", environment.describe())));
    }
    inline(environment, settings)
}

/// What an environment becomes by its own content or its curated name.
fn inline(environment: &Environment, settings: &Settings) -> Result<Resolution, String> {
    let (conda, image) = match environment {
        Environment::Inline { conda, image, .. } => (conda.as_ref(), image.as_deref()),
        Environment::Reference(_) => (None, None),
    };
    if let Some(file) = conda {
        let definition = conda::read(&file.text, &file.folder).map_err(|error| error.to_string())?;
        let name = definition.name.clone().unwrap_or_else(|| file.shown());
        return managed(name, "conda file", definition, settings);
    }
    if let Some(name) = curated_name(environment) {
        return match curated::definition(name, settings.tools) {
            Some(definition) => managed(name.to_owned(), "curated environment", definition, settings),
            None => Err(format!("the content of the curated environment '{name}' is not known here")),
        };
    }
    if let Some(image) = image
        && let Some(version) = image::python(image)
    {
        let definition = Definition { python: python(&version).ok(), ..Definition::default() };
        return managed(format!("python {version}"), IMAGE_NAME, definition, settings);
    }
    Ok(Resolution::Host(match environment {
        Environment::Reference(reference) => {
            format!("{reference} is neither registered here nor a curated environment")
        }
        Environment::Inline { conda_file: Some(file), .. } => format!("its conda file {file} cannot be read"),
        Environment::Inline { build: Some(_), .. } => "an image that is built needs a container".to_owned(),
        Environment::Inline { .. } => format!("{} has no conda file", environment.describe()),
    }))
}

fn managed(
    name: String,
    source: &'static str,
    mut definition: Definition,
    settings: &Settings,
) -> Result<Resolution, String> {
    if !settings.has_gpu {
        gpu::leave_out(&mut definition);
    }
    let unreadable = |error| format!("the environment '{name}' cannot be read: {error}");
    let mut digest = identity::digest(&definition).map_err(unreadable)?;
    if let Some(locked) = &settings.locked {
        definition = locked.apply(&name, &digest, definition)?;
        digest = identity::digest(&definition).map_err(unreadable)?;
    }
    Ok(Resolution::Managed(Box::new(Managed { name, source, definition, digest })))
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
        let text = requirements::text_of(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        definition = conda::read(&text, path.parent().unwrap_or(folder)).map_err(|error| error.to_string())?;
    }
    if let Some(file) = &replacement.requirements {
        requirements::add_file(&folder.join(file), &mut definition).map_err(|error| error.to_string())?;
    }
    if let Some(version) = &replacement.python {
        definition.python = Some(python(version)?);
    }
    Ok(definition)
}

/// The versions of Python that begin with this one.
fn python(version: &str) -> Result<VersionSpecifiers, String> {
    VersionSpecifiers::from_str(&format!("=={version}.*"))
        .map_err(|_| format!("'{version}' is not a version of Python"))
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
        for environment in [inline(Some("library/python"), None), Environment::Reference("azureml:my-env:1".to_owned())]
        {
            assert!(matches!(of(&environment), Resolution::Host(_)), "{environment:?}");
        }
        let unknown = Environment::Reference("azureml:AzureML-AutoML@prod".to_owned());
        let refused = resolve(&unknown, &managed_settings()).unwrap_err();
        assert!(refused.contains("'AutoML' is not known"), "{refused}");
    }

    #[test]
    fn the_host_provides_everything_if_the_user_wants_that() {
        let reference = Environment::Reference("azureml:AzureML-sklearn-1.5@latest".to_owned());
        let settings = Settings { policy: Policy::Host, ..Settings::default() };
        assert!(matches!(resolve(&reference, &settings), Ok(Resolution::Host(_))));
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

    struct One(Environment);

    impl RegisteredEnvironments for One {
        fn find(&self, reference: &str) -> Option<Environment> {
            (reference == "my-env:1").then(|| self.0.clone())
        }
    }

    #[test]
    fn a_registered_environment_is_built_from_what_was_registered() {
        let registered = inline(Some("ubuntu"), Some("name: other\ndependencies: [numpy]"));
        let settings = Settings { registered: Some(Arc::new(One(registered))), ..managed_settings() };
        let of = |name: &str| resolve(&Environment::Reference(name.to_owned()), &settings).unwrap();
        let Resolution::Managed(built) = of("azureml:my-env:1") else { panic!("it is not built") };
        assert_eq!((built.name.as_str(), built.source), ("my-env", "registered environment"));
        assert!(matches!(of("azureml:my-env:2"), Resolution::Host(_)));
    }

    #[test]
    fn an_image_tells_its_python_by_its_name() {
        let Ok(Resolution::Managed(built)) = resolve(&inline(Some("python:3.11-slim"), None), &managed_settings())
        else {
            panic!("it is not built")
        };
        assert!(built.definition.allows(&"3.11.2".parse().unwrap()) && built.source == IMAGE_NAME);
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
