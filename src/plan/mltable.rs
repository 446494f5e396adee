//! MLTable files: the paths that one selects (reference, section 7.4). Its rules for rows are for the program that
//! loads it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::site::{Site, is_datastore};
use super::{Form, Located, Part, Remote};
use crate::diagnostic::Diagnostic;
use crate::spec::catalog::Catalog;
use crate::spec::data_uri::DataUri;

/// The name that the file has in its folder.
pub const FILE: &str = "MLTable";

/// A path that a table selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// As it is written: relative to the table's folder, absolute, or an address.
    pub path: String,
    /// One file, a folder, or a pattern.
    pub form: Form,
}

impl Selected {
    /// Whether it is somewhere else than on this machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(DataUri::parse(&self.path), Some(Ok(_)))
    }

    /// Its path in the table's folder; `None` when it leads out of it.
    #[must_use]
    pub fn inside(&self) -> Option<PathBuf> {
        let names = Path::new(&self.path).components().filter(|part| *part != std::path::Component::CurDir);
        (!leads_out(&self.path)).then(|| names.collect())
    }
}

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    paths: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    file: Option<String>,
    folder: Option<String>,
    pattern: Option<String>,
}

/// What the table in a folder selects, in its order.
///
/// # Errors
/// A sentence: there is no table, or it cannot be read.
pub fn selected(folder: &Path) -> Result<Vec<Selected>, String> {
    let path = folder.join(FILE);
    if path.exists() && !path.is_file() {
        return Err(format!("cannot read {}: it is not a file", path.display()));
    }
    let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let table: Table = serde_yaml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut all = Vec::new();
    for entry in table.paths {
        let (path, form) = match (entry.file, entry.folder, entry.pattern) {
            (Some(file), None, None) => (file, Form::File),
            (None, Some(folder), None) => (folder, Form::Folder),
            // A pattern of an address is looked up there; one of this machine is followed when the step begins.
            (None, None, Some(pattern)) => (pattern, Form::Any),
            _ => {
                return Err(format!(
                    "{}: each entry of 'paths' must have one of 'file', 'folder' and 'pattern'",
                    path.display()
                ));
            }
        };
        all.push(Selected { path, form });
    }
    if all.is_empty() {
        return Err(format!("{} has no 'paths'", path.display()));
    }
    Ok(all)
}

/// The remote data that the table in a local folder selects, so that it is fetched with everything else.
pub(super) fn remotes(
    folder: &Path,
    catalog: &dyn Catalog,
    site: Site<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<Part>> {
    let mut refuse = |code, message: String| {
        found.push(Diagnostic::error(code, site.span, message).at(site.path));
        None
    };
    let selected = match selected(folder) {
        Ok(selected) => selected,
        Err(why) => return refuse("bad-table", why),
    };
    let mut parts = Vec::new();
    for Selected { path, form } in selected {
        let form = if form == Form::Any { Form::Folder } else { form };
        match DataUri::parse(&path) {
            None if leads_out(&path) => {
                let why =
                    format!("'{path}' is outside the folder of the MLTable, and Azure ML receives only this folder");
                return refuse("bad-table", why);
            }
            None => {}
            Some(Err(why)) => return refuse("bad-reference", why),
            Some(Ok(uri)) => match catalog.locate(&uri) {
                Ok(Located::Remote(remote)) => parts.push(Part::Remote(Remote { form, ..remote })),
                Ok(Located::Here(path)) => parts.push(Part::Path(path)),
                Err(why) if is_datastore(&uri) => return refuse("unknown-datastore", why),
                Err(why) => return refuse("unknown-asset", why),
            },
        }
    }
    Some(parts)
}

/// Whether a path that is no address leaves the table's folder.
fn leads_out(path: &str) -> bool {
    use std::path::Component;
    Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_it_selects() {
        let folder = tempfile::tempdir().unwrap();
        let select = |text: &str| {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            selected(folder.path())
        };
        let text = "paths:\n- file: ./a.csv\n- folder: b\n- pattern: https://x.blob.core.windows.net/c/*.csv\n\
                    transformations:\n- read_delimited: {delimiter: ','}\n";
        let all = select(text).unwrap();
        assert_eq!(all.iter().map(|s| s.form).collect::<Vec<_>>(), [Form::File, Form::Folder, Form::Any]);
        assert_eq!(all.iter().map(Selected::is_remote).collect::<Vec<_>>(), [false, false, true]);
        assert!(select("paths:\n- {file: a, folder: b}\n").unwrap_err().contains("one of"));
        assert!(select("type: mltable\n").unwrap_err().contains("has no 'paths'"));
        assert!(select("paths: [").unwrap_err().contains("MLTable"));
    }
}
