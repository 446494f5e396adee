//! Names of classes, shapes and kinds of assets for messages.

use super::grammar::Shape;
use crate::diagnostic::article::with_article;

/// The name of a class with its article: `a command job`.
pub(super) fn class(name: &str) -> String {
    let text = match name {
        "CommandJob" => "a command job",
        "PipelineJob" => "a pipeline job",
        "SweepJob" => "a sweep job",
        "SparkJob" | "InlineSparkNode" => "a spark job",
        "ImportJob" | "InlineImportNode" => "an import job",
        "DistillationJob" => "a distillation job",
        "AzureOpenAIFineTuning" | "CustomModelFineTuning" => "a finetuning job",
        "CommandNode" => "a node with a component",
        "InlineCommandNode" => "a command node",
        "ParallelNode" => "a parallel node with a component",
        "InlineParallelNode" => "a parallel node",
        "ParameterizedCommand" => "the trial of a sweep",
        "DataInput" | "ModelInput" | "MLTableInput" => "an input",
        "InputLiteralValue" => "a literal input",
        "Output" => "an output",
        "Parameter" | "InputPort" => "an input of a component",
        "OutputPort" | "PrimitiveOutput" => "an output of a component",
        "Settings" => "the settings of a pipeline",
        "JobResourceConfiguration" | "ComponentResource" | "ResourceConfiguration" => "resources",
        "SparkResourceConfiguration" | "SparkResourceConfigurationForNode" => "spark resources",
        "CommandJobLimits" | "SweepJobLimits" | "AutoMLTableLimits" | "ImageLimits" | "NlpLimits" => "limits",
        "QueueSettings" => "queue settings",
        "ComponentParallelTask" => "a parallel task",
        "SweepObjective" => "the objective of a sweep",
        "AnonymousEnvironment" | "Environment" => "an environment",
        "BuildContext" => "the build of an environment",
        "FlowDag" => "a prompt flow",
        "FlowRun" => "a run of a prompt flow",
        "Data" => "a data asset",
        "Model" => "a model",
        "AzureBlob" | "AzureFile" | "AzureDataLakeGen1" | "AzureDataLakeGen2" | "OneLake" => "a datastore",
        _ => "",
    };
    if !text.is_empty() {
        return text.to_owned();
    }
    // The names of other classes describe them: `AnonymousCommandComponent`, `MLTableInput`,
    // `TruncationSelectionPolicy`.
    let bare = name.trim_start_matches("Anonymous").trim_start_matches("Inline");
    with_article(&spaced(bare))
}

fn spaced(name: &str) -> String {
    let name = name.replace("AutoML", "Automl").replace("MPI", "Mpi").replace("AML", "Aml").replace("OpenAI", "Openai");
    super::case::snake_case(&name).replace('_', " ")
}

/// What a shape takes, for messages: `a string`, `one of 'a', 'b'`.
pub(super) fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any value".to_owned(),
        Shape::Free | Shape::Map { .. } => "a mapping".to_owned(),
        Shape::Str => "a string".to_owned(),
        Shape::Int { range: Some((low, high)), .. } => format!("an integer from {low} to {high}"),
        Shape::Int { .. } => "an integer".to_owned(),
        Shape::Float { .. } => "a number".to_owned(),
        Shape::Bool => "true or false".to_owned(),
        Shape::Version | Shape::Printed => "a version".to_owned(),
        Shape::NumberVersion => "a version of numbers such as 3.4".to_owned(),
        Shape::Path => "a local path".to_owned(),
        Shape::Url => "a URL".to_owned(),
        Shape::Git => "git+https://…".to_owned(),
        Shape::Enum { words, .. } if words.len() == 1 => format!("'{}'", words[0]),
        Shape::Enum { words, .. } => format!("one of {}", quoted(words)),
        Shape::Arm(kind) => format!("azureml:<name of {}>", asset(kind)),
        Shape::Asset { bare: true, .. } => "azureml:<name>, azureml:<name>:<version>".to_owned(),
        Shape::Asset { .. } => "azureml:<name>:<version>".to_owned(),
        Shape::Registry(kind) => format!("azureml://registries/<registry>/{kind}/<name>/versions/<version>"),
        Shape::Feed(kind) => format!("azureml://feeds/<feed>/{kind}/…"),
        Shape::Binding => "an expression ${{parent.…}}".to_owned(),
        Shape::NodeBinding => "a node ${{parent.jobs.<node>}}".to_owned(),
        Shape::OutputBinding => "${{parent.outputs.<name>}}".to_owned(),
        Shape::NodeName => "a name of lowercase letters, digits and '_'".to_owned(),
        Shape::ComponentName => "a name of lowercase letters, digits and '_' that begins with a letter".to_owned(),
        Shape::File(kind) => format!("the path of {} component file", with_article(&spaced(kind))),
        Shape::List(inner) => match shape_plural(inner) {
            Some(plural) => format!("a list of {plural}"),
            None => "a list".to_owned(),
        },
        Shape::Class { name, .. } => class(name),
        Shape::Choice(_) => "a mapping with 'type: choice' and 'values'".to_owned(),
        Shape::Node => "a node".to_owned(),
        Shape::Nullable(inner) => self::shape(inner),
        Shape::Union(branches) => {
            let mut all: Vec<String> = Vec::new();
            for text in branches.iter().map(self::shape) {
                if !all.contains(&text) {
                    all.push(text);
                }
            }
            either(&all)
        }
    }
}

fn shape_plural(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::Str | Shape::Enum { .. } => Some("strings"),
        Shape::Int { .. } => Some("integers"),
        Shape::Float { .. } => Some("numbers"),
        Shape::Bool => Some("booleans"),
        _ => None,
    }
}

/// `a, b or c`.
pub(super) fn either(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [some @ .., last] => format!("{} or {last}", some.join(", ")),
    }
}

/// `'a', 'b', 'c'`.
pub(super) fn quoted(words: &[String]) -> String {
    words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(", ")
}

/// A kind of asset in the singular, with its article.
pub(super) fn asset(kind: &str) -> &'static str {
    match kind {
        "environments" => "an environment",
        "components" => "a component",
        "computes" => "a compute",
        "codes" => "a code asset",
        "models" => "a model",
        "data" => "a data asset",
        "datastores" => "a datastore",
        "jobs" => "a job",
        _ => "an asset",
    }
}

/// A text short enough for a message.
pub(super) fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= 60 && line.len() == text.len() {
        return text.to_owned();
    }
    format!("{}…", line.chars().take(57).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names_that_people_use() {
        assert_eq!(class("AnonymousCommandComponent"), "a command component");
        assert_eq!(class("MPIDistribution"), "a mpi distribution");
        assert_eq!(class("TruncationSelectionPolicy"), "a truncation selection policy");
    }
}
