//! `environment:` in its four written forms (reference, section 1.7).
//!
//! A local run is met by the host for now; the environment is still read and checked, because the same file goes to
//! Azure ML.

use std::path::Path;

use super::asset_ref::Reference;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::yaml::{Fields, Node};

/// An environment as written.
#[derive(Clone, Debug)]
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
    },
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

    /// Reads the field's value; relative paths are against `base`, the folder of the file it is written in.
    pub fn read(node: &Node, path: &str, base: &Path, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let Some(text) = node.as_str() else { return Self::read_mapping(node, path, base, found) };
        if let Some(reference) = Reference::parse(text) {
            if let Err(why) = reference {
                found.push(Diagnostic::error("bad-reference", node.span, why).at(path));
                return None;
            }
            return Some(Self::Reference(text.to_owned()));
        }
        if let Some(file) = text.strip_prefix("file:") {
            if !base.join(file).is_file() {
                found.push(missing(node.span, "environment file", file, path));
                return None;
            }
            return Some(Self::Reference(text.to_owned()));
        }
        let mut diagnostic = Diagnostic::error(
            "bad-environment",
            node.span,
            format!("'{text}' is neither a registered environment nor a definition"),
        )
        .at(path);
        diagnostic = if base.join(text).is_file() {
            diagnostic.help(format!("a file needs its prefix here: environment: file:{text}"))
        } else {
            diagnostic
                .help("write azureml:name:version, a mapping with 'image:' or 'build:', or file:./environment.yml")
        };
        found.push(diagnostic);
        None
    }

    fn read_mapping(node: &Node, path: &str, base: &Path, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut fields = Fields::open(node, path, found)?;
        let image = fields.string("image", found).map(|(text, _)| text);
        let mut conda_file = None;
        if let Some(conda) = fields.take_set("conda_file")
            && let Some(file) = conda.as_str()
        {
            if base.join(file).is_file() {
                conda_file = Some(file.to_owned());
            } else {
                found.push(missing(conda.span, "conda file", file, &fields.child("conda_file")));
            }
        }
        let mut build = None;
        if let Some(node) = fields.take_set("build")
            && let Some(mut inner) = Fields::open(node, &fields.child("build"), found)
        {
            let dockerfile = inner.string("dockerfile_path", found);
            if let Some((folder, span)) = inner.string("path", found) {
                let place = base.join(&folder);
                let dockerfile = dockerfile.unwrap_or_else(|| ("Dockerfile".to_owned(), span));
                if !place.is_dir() {
                    found.push(missing(span, "build folder", &folder, &inner.child("path")));
                } else if !place.join(&dockerfile.0).is_file() {
                    // Azure ML finds out when it builds the image, so this does not refuse the file.
                    let mut late = missing(dockerfile.1, "Dockerfile", &dockerfile.0, &inner.child("dockerfile_path"));
                    late.severity = Severity::Warning;
                    late.help = Some(format!("'dockerfile_path' is relative to the build's folder, '{folder}'"));
                    found.push(late);
                }
                build = Some(folder);
            } else {
                inner.missing("path", "an environment's build", found);
            }
            inner.finish("an environment's build", found);
        }
        fields.string("name", found);
        fields.version("version", found);
        fields.pass_over(&["$schema", "os_type", "inference_config", "datastore", "tags", "description", "properties"]);
        if image.is_none() && build.is_none() {
            found.push(
                Diagnostic::error("bad-environment", node.span, "an environment needs 'image' or 'build'").at(path),
            );
        } else if image.is_some() && build.is_some() {
            let message = "an environment has either 'image' or 'build', not both";
            found.push(Diagnostic::error("bad-environment", node.span, message).at(path));
        }
        fields.finish("an environment", found);
        Some(Self::Inline { image, build, conda_file })
    }
}

fn missing(span: Span, what: &str, name: &str, path: &str) -> Diagnostic {
    Diagnostic::error("missing-path", span, format!("there is no {what} '{name}'"))
        .at(path)
        .help("relative paths are against the folder of the file that they are written in")
}
