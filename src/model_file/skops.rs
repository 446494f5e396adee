//! Archives of skops: a tree of objects in JSON, arrays of numpy beside it. Its own reader loads only types that somebody
//! trusts, and an MLflow model may bring the list of those along. So every type counts as if it were trusted.

use serde_json::Value;

use crate::model_file::unpickle::{Evidence, Uses};
use crate::model_file::zip_directory::ZipDirectory;

/// The member with the tree.
pub(super) const TREE: &str = "schema.json";
/// The longest tree.
const LIMIT: u64 = 256 << 20;

/// Notes every type that the tree names, and how its reader uses it.
pub(super) fn look(zip: &ZipDirectory, evidence: &mut Evidence) {
    let tree = zip.member(TREE).and_then(|member| member.map(|member| member.read_all(LIMIT)).transpose());
    match tree.ok().flatten().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
        Some(tree) => visit(&tree, evidence),
        None => evidence.doubt(format!("{TREE} in it cannot be read")),
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
