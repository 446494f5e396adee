//! The fields that every standalone job has.

use crate::diagnostic::Diagnostic;
use crate::id::RunName;
use crate::language::value::{Entry, Object};
use crate::spec::{Pairs, Spanned};
use std::path::PathBuf;

/// The fields of every standalone job (reference, section 2.1).
#[derive(Clone, Debug)]
pub struct Common {
    /// The job's name, when the author gives one.
    pub name: Option<Spanned<String>>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The experiment that it belongs to.
    pub experiment_name: Option<String>,
    /// Free labels.
    pub tags: Pairs<Option<String>>,
    /// Free properties.
    pub properties: Pairs<Option<String>>,
    /// The folder that relative paths of the file are against.
    pub base: PathBuf,
}

impl Common {
    pub(in crate::spec) fn of(object: &Object, found: &mut Vec<Diagnostic>) -> Self {
        let text = |field: &str| object.text(field).map(str::to_owned);
        let pairs = |field: &str| {
            let pair = |e: &Entry| (e.key.clone(), e.value.text().map(str::to_owned));
            object.map(field).iter().map(pair).collect()
        };
        let name = object.get("name").and_then(|v| Some(Spanned::new(v.text()?.to_owned(), v.span)));
        if let Some(name) = &name
            && let Err(why) = RunName::parse(&name.value)
        {
            found.push(Diagnostic::error("bad-name", name.span, why.to_string()).at("name"));
        }
        Self {
            name,
            display_name: text("display_name"),
            description: text("description"),
            experiment_name: text("experiment_name"),
            tags: pairs("tags"),
            properties: pairs("properties"),
            base: object.base.to_path_buf(),
        }
    }
}
