//! skops archives: a tree of objects in JSON, and NumPy arrays. skops loads only types that the caller trusts, but an
//! MLflow model can contain its own list of trusted types. So every type is treated as trusted.

use serde_json::Value;

use crate::model_file::unpickle::{Evidence, Uses};
use crate::model_file::zip_directory::ZipDirectory;

/// The member with the tree.
pub(super) const TREE: &str = "schema.json";
/// The maximum size of the tree.
const LIMIT: u64 = 256 << 20;

/// Records every type in the tree, and how skops would use it.
pub(super) fn look(zip: &ZipDirectory, evidence: &mut Evidence) {
    let tree = zip.member(TREE).and_then(|member| member.map(|member| member.read_all(LIMIT)).transpose());
    match tree.ok().flatten().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
        Some(tree) => visit(&tree, evidence),
        None => evidence.doubt(format!("{TREE} cannot be read")),
    }
}

fn visit(value: &Value, evidence: &mut Evidence) {
    match value {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str);
            if let (Some(module), Some(class)) = (text("__module__"), text("__class__")) {
                evidence.import(module, class);
                let uses = match text("__loader__").unwrap_or_default() {
                    "ObjectNode" => Uses::MADE.and(Uses::STATE),
                    "ConstructorFromReduceNode" | "OperatorFuncNode" | "PartialNode" | "MethodNode" => Uses::CALLED,
                    _ => Uses::NAMED,
                };
                evidence.used(&(module.to_owned(), class.to_owned()), uses);
            }
            fields.values().for_each(|value| visit(value, evidence));
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, evidence)),
        _ => {}
    }
}
