//! Nodes that copy data (reference, section 2.11).

use super::io::{self, Port};
use crate::language::value::{Object, Value};

/// A node that copies its inputs into its output.
#[derive(Clone, Debug)]
pub struct CopyNode {
    /// Its component; `None` if it is written inline.
    pub component: Option<CopyComponent>,
    /// What happens to files of the same name.
    pub mode: CopyMode,
}

/// A component that copies data.
#[derive(Clone, Debug)]
pub struct CopyComponent {
    /// Its name.
    pub name: Option<String>,
    /// Declared inputs.
    pub inputs: Vec<Port>,
    /// Declared outputs.
    pub outputs: Vec<Port>,
}

/// What happens to files of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyMode {
    /// The file of a later input replaces that of an earlier one.
    MergeWithOverwrite,
    /// The step fails, and copies nothing.
    #[default]
    FailIfConflict,
}

impl CopyMode {
    fn of(object: &Object) -> Option<Self> {
        Some(match object.text("data_copy_mode")? {
            "merge_with_overwrite" => Self::MergeWithOverwrite,
            _ => Self::FailIfConflict,
        })
    }
}

/// A node that copies data. `None` for other transfers, and if its component is not available here.
pub(super) fn copy(node: &Object) -> Option<CopyNode> {
    let mode = CopyMode::of(node);
    match node.class {
        "InlineDataTransferCopyNode" => Some(CopyNode { component: None, mode: mode.unwrap_or_default() }),
        "DataTransferCopyNode" => {
            let named = node.get("component").and_then(Value::object)?;
            let component = CopyComponent {
                name: named.written("name"),
                inputs: io::ports(named.map("inputs")),
                outputs: io::ports(named.map("outputs")),
            };
            Some(CopyNode { component: Some(component), mode: mode.or(CopyMode::of(named)).unwrap_or_default() })
        }
        _ => None,
    }
}
