//! Values: text, local paths and outputs of steps, joined; known but for the addresses of outputs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::catalog::Remote;

/// A value, known but for the addresses of outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Value {
    /// Its parts, to be joined without anything between them.
    pub parts: Vec<Part>,
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// Text under a name that suggests a secret: only the step sees it.
    Secret(String),
    /// A local file or folder.
    Path(PathBuf),
    /// Data that is fetched before the step begins.
    Remote(Remote),
    /// An input of the parent of a step that is added during the run ([`Template`](super::Template)).
    Input(String),
    /// Another step's output.
    Output {
        /// That step.
        step: usize,
        /// Its name for the output.
        output: String,
    },
}

impl Value {
    /// Plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    /// The text, when no part of the value is data.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) | Part::Secret(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Whether a part of it is secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Secret(_)))
    }

    /// The same value under a name: when the name suggests a secret, its text becomes one.
    #[must_use]
    pub(crate) fn under(mut self, name: &str) -> Self {
        if crate::spec::is_secret(name) {
            for part in &mut self.parts {
                if let Part::Text(text) = part {
                    *part = Part::Secret(std::mem::take(text));
                }
            }
        }
        self
    }

    /// The value with every part turned into text.
    pub fn render(&self, mut place: impl FnMut(&Part) -> String) -> String {
        self.parts.iter().map(&mut place).collect()
    }

    /// The remote data that it mentions.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.parts.iter().filter_map(|part| match part {
            Part::Remote(remote) => Some(remote),
            _ => None,
        })
    }

    /// The steps whose outputs it mentions.
    pub fn steps(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Output { step, .. } => Some(*step),
            _ => None,
        })
    }

    pub(super) fn push(&mut self, more: Value) {
        for part in more.parts {
            match (self.parts.last_mut(), part) {
                (Some(Part::Text(text)), Part::Text(new)) => text.push_str(&new),
                (_, part) => self.parts.push(part),
            }
        }
    }
}
