//! The files that a component needs to run: its own file, those that it names, and the code, environments and data
//! that these name. A registered component is a copy of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::language::tidy;
use crate::language::value::{Data, Object, Origin, Value};
use crate::store::StoreError;
use crate::store::snapshot::Snapshot;

/// Everything on this machine that a component names, with absolute paths.
#[derive(Debug, Default)]
pub struct Footprint {
    /// Files, each by the path that leads to it from the component.
    pub files: BTreeSet<PathBuf>,
    /// Folders that must exist, even if nothing in them is needed.
    pub folders: BTreeSet<PathBuf>,
    /// Absolute paths in the file: a copy could not contain them.
    pub absolute: Vec<String>,
    /// References to registered components.
    pub references: BTreeSet<String>,
}

impl Footprint {
    /// The footprint of a component file that was parsed as `component`. Ignore files of code folders are respected.
    ///
    /// # Errors
    /// When a code folder cannot be listed.
    pub fn of(file: &Path, component: &Object, workspace: &Path) -> Result<Self, StoreError> {
        let mut footprint = Self::default();
        footprint.files.insert(tidy(file));
        footprint.object(component, workspace)?;
        Ok(footprint)
    }

    /// The footprint of an environment file that was parsed as `environment`: unlike a component's, it has the whole
    /// folder that an image is built from.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn of_environment(file: &Path, environment: &Object, workspace: &Path) -> Result<Self, StoreError> {
        let mut footprint = Self::of(file, environment, workspace)?;
        if let Some(build) = environment.get("build").and_then(Value::object)
            && let Some(folder) = build.text("path").and_then(|path| footprint.local(environment, path))
        {
            let context = Snapshot::of(Some(&folder), &[], false, workspace)?;
            footprint.files.extend(context.files().into_iter().map(|(_, source)| source));
        }
        Ok(footprint)
    }

    /// Adds a file, or a folder with all its content, if it is in the folder that contains the rest.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn include(&mut self, place: &Path, workspace: &Path) -> Result<(), StoreError> {
        let place = tidy(place);
        if place.exists() && place.starts_with(self.root()) { self.whole(&place, workspace) } else { Ok(()) }
    }

    /// The innermost folder that contains everything.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        let parents = self.files.iter().filter_map(|file| file.parent());
        let mut folders = parents.chain(self.folders.iter().map(PathBuf::as_path));
        let Some(mut root) = folders.next() else { return PathBuf::from("/") };
        for folder in folders {
            while !folder.starts_with(root) {
                root = root.parent().unwrap_or(Path::new("/"));
            }
        }
        root.to_owned()
    }

    fn value(&mut self, value: &Value, workspace: &Path) -> Result<(), StoreError> {
        match &value.data {
            Data::List(items) => items.iter().try_for_each(|item| self.value(item, workspace)),
            Data::Map(entries) => entries.iter().try_for_each(|entry| self.value(&entry.value, workspace)),
            Data::Object(object) => self.object(object, workspace),
            _ => Ok(()),
        }
    }

    fn object(&mut self, object: &Object, workspace: &Path) -> Result<(), StoreError> {
        if let Origin::File(path) | Origin::Prefixed(path) = &object.origin {
            self.files.insert(Arc::as_ref(path).to_owned());
        }
        if let Some(reference) = object.text("component") {
            self.references.insert(reference.to_owned());
        }
        self.code(object, workspace)?;
        if let Some(conda) = object.text("conda_file")
            && let Some(file) = self.local(object, conda)
        {
            self.whole(&file, workspace)?;
        }
        if let Some(build) = object.get("build").and_then(Value::object)
            && let Some(folder) = build.text("path").and_then(|path| self.local(object, path))
        {
            // The folder may be a whole repository, and a run reads only this file.
            let dockerfile = tidy(&folder.join(build.text("dockerfile_path").unwrap_or("Dockerfile")));
            if dockerfile.is_file() {
                self.files.insert(dockerfile);
            }
            self.folders.insert(folder);
        }
        if matches!(object.class, "DataInput" | "ModelInput" | "MLTableInput")
            && let Some(path) = object.text("path").filter(|path| !path.contains([':', '@']))
            && let Some(data) = self.local(object, path)
        {
            self.whole(&data, workspace)?;
        }
        object.fields.iter().try_for_each(|entry| self.value(&entry.value, workspace))
    }

    fn code(&mut self, object: &Object, workspace: &Path) -> Result<(), StoreError> {
        // The code of a Spark component is its own folder, unless it names another.
        let own_folder = object.class.ends_with("SparkComponent").then_some(".");
        let code = object.text("code").or(own_folder).and_then(|text| self.local(object, text));
        let items = object.get("additional_includes").and_then(Value::list).unwrap_or_default();
        let mut includes = Vec::new();
        for text in items.iter().filter_map(Value::text) {
            let text = text.trim_end_matches('/');
            self.note_absolute(text);
            includes.push(tidy(&object.base.join(text)));
        }
        if code.is_none() && includes.is_empty() {
            return Ok(());
        }
        let snapshot = Snapshot::of(code.as_deref(), &includes, true, workspace)?;
        self.files.extend(snapshot.files().into_iter().map(|(_, source)| source));
        for place in code.into_iter().chain(includes) {
            // The rules of an ignore file apply to the copy as well, even if the file ignores itself.
            let rules = [".amlignore", ".gitignore"].map(|name| place.join(name));
            self.files.extend(rules.into_iter().filter(|file| file.is_file()));
            if place.is_dir() {
                self.folders.insert(place);
            } else if place.extension().is_some_and(|e| e == "zip") && place.with_extension("").is_dir() {
                self.folders.insert(place.with_extension(""));
            }
        }
        Ok(())
    }

    /// Adds a file, or a folder with all its content.
    fn whole(&mut self, place: &Path, workspace: &Path) -> Result<(), StoreError> {
        let everything = Snapshot::of(None, &[place.to_owned()], false, workspace)?;
        self.files.extend(everything.files().into_iter().map(|(_, source)| source));
        if place.is_dir() {
            self.folders.insert(place.to_owned());
        }
        Ok(())
    }

    /// The local path for a text, if it is one.
    fn local(&mut self, object: &Object, text: &str) -> Option<PathBuf> {
        let place = tidy(&object.base.join(text));
        let there = !text.contains("${{") && !text.contains("://") && place.exists();
        if there {
            self.note_absolute(text);
        }
        there.then_some(place)
    }

    fn note_absolute(&mut self, text: &str) {
        if Path::new(text).is_absolute() {
            self.absolute.push(text.to_owned());
        }
    }
}
