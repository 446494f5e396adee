//! The `type` of a node.

use super::super::value::Object;

/// The `type` that the SDK writes for a node that is neither AutoML nor control flow.
pub(super) fn kind(node: &Object) -> &'static str {
    match node.class {
        "CommandNode" | "InlineCommandNode" => "command",
        "ParallelNode" | "InlineParallelNode" => "parallel",
        "SweepNode" => "sweep",
        "PipelineNode" => "pipeline",
        "SparkNode" | "InlineSparkNode" => "spark",
        "ImportNode" | "InlineImportNode" => "import",
        _ => "data_transfer",
    }
}
