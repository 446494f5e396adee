//! Environments that are written in place: the SDK names them by a digest of their content (reference, section 1.7).

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::super::files;
use super::super::value::{Object, Value};
use super::fields::{is_empty, plain};
use super::python;

/// The name that the SDK gives to an environment written in place.
pub(super) const NAME: &str = "CliV2AnonymousEnvironment";

/// The content of its conda file, as PyYAML reads it.
pub(super) fn conda(object: &Object) -> Option<Json> {
    let conda = object.get("conda_file")?;
    let Some(text) = conda.text() else { return Some(plain(conda)) };
    let path = files::tidy(&object.base.join(text));
    let text = files::text_of(&path)?;
    let mut sources = crate::diagnostic::Sources::default();
    let source = sources.add(Path::new("conda"), &text);
    crate::yaml::parse(&text, source, &mut Vec::new()).map(|node| plain(&Value::plain(&node)))
}

/// The digest of its content, which is its version. `inference_config` is that field as the schema dumps it.
pub(super) fn version(object: &Object, inference_config: Option<&Json>) -> Option<String> {
    let build = object.get("build").and_then(Value::object);
    let text = match build.and_then(|b| b.text("path")) {
        Some(path) => {
            let build = build?;
            let content = folder_digest(&files::tidy(&object.base.join(path)));
            match build.text("dockerfile_path").filter(|d| !d.is_empty()) {
                Some(dockerfile) => joined(&digest(&content), &digest(dockerfile)),
                None => digest(&content),
            }
        }
        None => {
            let mut text = digest(object.text("image")?);
            if let Some(config) = inference_config {
                text = joined(&text, &digest(&python::yaml_dump(config, true)));
            }
            if let Some(conda) = conda(object).filter(|c| !is_empty(c)) {
                text = joined(&text, &digest(&python::yaml_dump(&conda, true)));
            }
            text
        }
    };
    Some(digest(&text))
}

/// Python's `a.join(b)` of two texts: the first between all characters of the second.
fn joined(between: &str, text: &str) -> String {
    text.chars().map(String::from).collect::<Vec<_>>().join(between)
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The SDK's digest of a folder: names and contents, sorted by name without case.
fn folder_digest(path: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(b"Initialize for october 2021 AML CLI version");
    add(path, &mut Vec::new(), &mut hash);
    hex(&hash.finalize())
}

/// `above` are the folders that a path is in: a link back to one of them has no end.
fn add(path: &Path, above: &mut Vec<PathBuf>, hash: &mut Sha256) {
    if !path.is_dir() {
        // Reading a pipe would wait for a writer.
        if path.is_file()
            && let Ok(bytes) = std::fs::read(path)
        {
            hash.update(&bytes);
        }
        return;
    }
    let Ok(real) = path.canonicalize() else { return };
    if above.contains(&real) {
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    above.push(real);
    let mut all: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    all.sort_by_key(|p| p.display().to_string().to_lowercase());
    for entry in all {
        if let Some(name) = entry.file_name() {
            hash.update(name.to_string_lossy().as_bytes());
        }
        add(&entry, above, hash);
    }
    above.pop();
}
