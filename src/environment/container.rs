//! What an environment becomes when steps run in containers: an image that is pulled or built, with the packages of a
//! conda file on top.
//!
//! How images are made is not known here. What a run needs to know of them it asks through [`Images`].

use std::fmt::Debug;
use std::path::PathBuf;

use super::managed::curated;
use super::managed::definition::Definition;
use crate::spec::environment::{CondaFile, Environment};

/// A container for the steps of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// The environment's name for people: the image, the curated name, or the folder that is built.
    pub name: String,
    /// Where its image is from.
    pub source: Source,
    /// The packages that are installed on top of the image.
    pub packages: Option<Packages>,
}

/// Where an image is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It has a name, and is pulled if it is not here.
    Image(String),
    /// It is built from a folder.
    Build {
        /// The folder.
        context: PathBuf,
        /// The Dockerfile, relative to the folder.
        dockerfile: String,
    },
}

/// Packages that are installed on top of an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packages {
    /// The conda file as written, for images that have conda.
    pub conda: Option<CondaFile>,
    /// The same for pip.
    pub definition: Definition,
}

/// The images that are on this machine.
pub trait Images: Debug + Send + Sync {
    /// The id of the image of a container: a digest of its content. `None` if it is not here yet.
    fn id(&self, container: &Container) -> Option<String>;
}

/// The container that the project defines for an environment: an image, with packages if there are any.
pub(super) fn defined(name: &str, image: &str, definition: Definition) -> Container {
    let packages = (definition != Definition::default()).then_some(Packages { conda: None, definition });
    Container { name: name.to_owned(), source: Source::Image(image.to_owned()), packages }
}

/// The container for an environment. `None` if it names no image that is known.
///
/// # Errors
/// A message, if its definition cannot be read.
pub(super) fn resolve(environment: &Environment) -> Result<Option<Container>, String> {
    let container = |name: &str, source| Container { name: name.to_owned(), source, packages: None };
    match environment {
        Environment::Reference(reference) => Ok(curated::name(reference).map(|name| {
            let image = format!("mcr.microsoft.com/azureml/curated/{name}:latest");
            container(name, Source::Image(image))
        })),
        Environment::Inline { image: Some(image), conda, .. } => {
            let packages = conda.as_ref().map(packages).transpose()?;
            Ok(Some(Container { packages, ..container(image, Source::Image(image.clone())) }))
        }
        Environment::Inline { context: Some(context), .. } => {
            let name = context
                .folder
                .file_name()
                .map_or_else(|| context.folder.display().to_string(), |name| name.to_string_lossy().into_owned());
            let (context, dockerfile) = (context.folder.clone(), context.dockerfile.clone());
            Ok(Some(container(&name, Source::Build { context, dockerfile })))
        }
        Environment::Inline { .. } => Ok(None),
    }
}

fn packages(file: &CondaFile) -> Result<Packages, String> {
    let definition = super::managed::conda::read(&file.text, &file.folder).map_err(|error| error.to_string())?;
    Ok(Packages { conda: Some(file.clone()), definition })
}

impl Container {
    /// What it is, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match (&self.source, &self.packages) {
            (Source::Image(image), None) if *image == self.name => "image".to_owned(),
            (Source::Image(image), None) => format!("image {image}"),
            (Source::Image(_), Some(Packages { conda: Some(_), .. })) => "image with a conda file".to_owned(),
            (Source::Image(_), Some(_)) => "image with packages".to_owned(),
            (Source::Build { dockerfile, .. }, _) => format!("built from {dockerfile}"),
        }
    }

    /// Variables that its packages rely on.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        self.packages.as_ref().map(|packages| packages.definition.variables.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::{Policy, Replacement, Resolution, Settings, resolve};
    use super::*;
    use crate::spec::environment::BuildContext;

    fn of(environment: &Environment) -> Resolution {
        resolve(environment, &Settings { policy: Policy::Container, ..Settings::default() }).unwrap()
    }

    fn container(environment: &Environment) -> Container {
        match of(environment) {
            Resolution::Container(container) => *container,
            other => panic!("{other:?}"),
        }
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
    fn images_curated_names_and_folders_become_containers() {
        let plain = container(&inline(Some("python:3.11"), None));
        assert_eq!((plain.name.as_str(), &plain.packages), ("python:3.11", &None));
        let curated = container(&Environment::Reference("azureml:AzureML-sklearn-1.5@latest".to_owned()));
        let image = "mcr.microsoft.com/azureml/curated/sklearn-1.5:latest".to_owned();
        assert_eq!(curated.source, Source::Image(image));
        let with = container(&inline(Some("python:3.11"), Some("dependencies: [{pip: [click]}]")));
        assert_eq!(with.packages.unwrap().definition.requirements, ["click"]);
        let context = BuildContext { folder: "/job/env".into(), dockerfile: "Dockerfile".to_owned() };
        let Environment::Inline { image, build, conda_file, conda, definition, .. } = inline(None, None) else {
            return;
        };
        let built = Environment::Inline { image, build, conda_file, conda, definition, context: Some(context) };
        assert_eq!(container(&built).describe(), "built from Dockerfile");
    }

    #[test]
    fn an_environment_without_an_image_stays_on_this_machine() {
        for environment in [Environment::Reference("azureml:my-env:1".to_owned()), inline(None, None)] {
            assert!(matches!(of(&environment), Resolution::Host(_)), "{environment:?}");
        }
    }

    #[test]
    fn the_project_can_name_an_image_for_an_environment() {
        let replacement = Replacement { image: Some("localhost/tools:2".to_owned()), ..Replacement::default() };
        let replacements = [("my-env".to_owned(), replacement)].into();
        let settings = Settings { replacements, ..Settings::default() };
        let environment = Environment::Reference("azureml:my-env:1".to_owned());
        let Ok(Resolution::Container(container)) = resolve(&environment, &settings) else { panic!("no container") };
        assert_eq!((container.name.as_str(), container.describe().as_str()), ("my-env", "image localhost/tools:2"));
    }
}
