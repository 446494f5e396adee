//! `environment:` in its written forms (reference, section 1.7).
//!
//! What a local run makes of it is decided in `environment`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::language::value::{Object, Value};
use crate::language::{text_of, tidy};

/// An environment as written. In stored plans a reference is a text and an inline environment a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Environment {
    /// `azureml:name:version`, a curated environment, a registry URI.
    Reference(String),
    /// A mapping, or the file that `file:` names.
    Inline {
        /// The container image to run in, when given.
        image: Option<String>,
        /// The folder to build an image from, when given.
        build: Option<String>,
        /// The conda file, when given as a path.
        conda_file: Option<String>,
        /// The content of the conda file, given as a path or in place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conda: Option<CondaFile>,
        /// What `build` names, as absolute paths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<BuildContext>,
        /// What it comes to, the texts of its files included: two environments with the same are the same.
        definition: String,
    },
}

/// The content of a conda file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CondaFile {
    /// Its text.
    pub text: String,
    /// The folder from which its relative paths start.
    pub folder: PathBuf,
    /// Its file name; `None` if it was written in place.
    pub file: Option<String>,
}

/// A folder to build an image from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BuildContext {
    /// The folder.
    pub folder: PathBuf,
    /// The Dockerfile, relative to the folder.
    pub dockerfile: String,
}

impl BuildContext {
    /// The `build` of an environment. `None` if its folder is not on this machine.
    fn of(build: &Object, base: &Path) -> Option<Self> {
        let folder = build.text("path").filter(|path| !path.contains("://"))?;
        let dockerfile = build.text("dockerfile_path").unwrap_or("Dockerfile").to_owned();
        Some(Self { folder: tidy(&base.join(folder)), dockerfile })
    }
}

impl CondaFile {
    /// The `conda_file` of an environment. `None` if there is none, or it cannot be read, which is reported elsewhere.
    fn of(environment: &Object) -> Option<Self> {
        let value = environment.get("conda_file")?;
        let Some(path) = value.text() else {
            // JSON is YAML.
            let text = serde_json::to_string(&crate::language::rest::conda_content(environment)?).ok()?;
            return Some(Self { text, folder: environment.base.to_path_buf(), file: None });
        };
        let path = environment.base.join(path);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Some(Self { text: text_of(&path)?, folder, file })
    }

    /// Its name for people.
    #[must_use]
    pub fn shown(&self) -> String {
        self.file.clone().unwrap_or_else(|| "inline".to_owned())
    }
}

impl Environment {
    /// One line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Reference(text) => text.clone(),
            Self::Inline { image: Some(image), conda_file: Some(_), .. } => format!("image {image} with a conda file"),
            Self::Inline { image: Some(image), .. } => format!("image {image}"),
            Self::Inline { build: Some(build), .. } => format!("image built from {build}"),
            Self::Inline { .. } => "inline environment".to_owned(),
        }
    }

    /// The environment that an earlier version stored by its description and its definition.
    #[must_use]
    pub fn described(description: &str, definition: String) -> Self {
        if description == definition {
            return Self::Reference(definition);
        }
        let image = description.strip_prefix("image ").filter(|image| !image.starts_with("built from "));
        let has_conda = image.is_some_and(|image| image.ends_with(" with a conda file"));
        Self::Inline {
            image: image.map(|image| image.trim_end_matches(" with a conda file").to_owned()),
            build: description.strip_prefix("image built from ").map(str::to_owned),
            conda_file: has_conda.then(String::new),
            conda: None,
            context: None,
            definition,
        }
    }

    /// What decides whether two environments are the same: the reference, or the content.
    #[must_use]
    pub fn definition(&self) -> &str {
        match self {
            Self::Reference(text) => text,
            Self::Inline { definition, .. } => definition,
        }
    }

    /// Takes the field's value over. What the SDK finds only when it sends the environment is reported here.
    pub fn of(value: &Value, path: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Some(text) = value.text() {
            let full = if text.starts_with("azureml:") { text.to_owned() } else { format!("azureml:{text}") };
            return Some(Self::Reference(full));
        }
        let object = value.object()?;
        let text = |name: &str| object.text(name).map(str::to_owned);
        let build = object.get("build").and_then(Value::object);
        if let Some(build) = build {
            dockerfile(build, object, value.span, path, found);
        }
        let definition = definition(object);
        Some(Self::Inline {
            image: text("image"),
            build: build.and_then(|build| build.text("path")).map(str::to_owned),
            conda_file: text("conda_file"),
            conda: CondaFile::of(object),
            context: build.and_then(|build| BuildContext::of(build, &object.base)),
            definition,
        })
    }
}

/// The fields as Python prints them, and the texts of the conda file and the Dockerfile in place of their paths. The
/// other files of a build are not read: the folder may be a whole repository.
fn definition(object: &Object) -> String {
    let file = |path: PathBuf| text_of(&path).unwrap_or_default();
    let mut parts = Vec::new();
    for entry in &object.fields {
        let value = match (entry.key.as_str(), entry.value.text(), entry.value.object()) {
            ("name" | "version" | "description" | "tags" | "$schema", ..) => continue,
            ("conda_file", Some(path), _) => file(object.base.join(path)),
            ("build", _, Some(build)) => {
                let folder = object.base.join(build.text("path").unwrap_or("."));
                file(folder.join(build.text("dockerfile_path").unwrap_or("Dockerfile")))
            }
            _ => entry.value.python_str(),
        };
        parts.push(format!("{}: {value}", entry.key));
    }
    parts.join("\n")
}

/// Azure ML finds a missing Dockerfile when it builds the image, so this does not refuse the document.
fn dockerfile(build: &Object, environment: &Object, span: Span, path: &str, found: &mut Vec<Diagnostic>) {
    let Some(folder) = build.text("path").filter(|p| !p.contains("://")) else { return };
    let named = build.get("dockerfile_path");
    let name = named.and_then(Value::text).unwrap_or("Dockerfile");
    if environment.base.join(folder).join(name).is_file() {
        return;
    }
    let span = named.or_else(|| build.get("path")).map_or(span, |v| v.span);
    let mut late = Diagnostic::warning("missing-path", span, format!("the Dockerfile '{name}' does not exist"));
    late.severity = Severity::Warning;
    let help = format!("use a 'dockerfile_path' relative to the build folder '{folder}'");
    found.push(late.at(format!("{path}.build.dockerfile_path")).help(help));
}
