//! Parallel nodes and parallel components: a script that is called for each mini-batch of an input (reference, sections
//! 2.8 and 7.4).

use super::Spanned;
use super::component::{self, CommandBody, Component, RunSettings};
use super::environment::Environment;
use crate::diagnostic::{Diagnostic, Span};
use crate::language::value::{Object, Value};

/// What a parallel step runs, and how its input is split. Every number is written as such or is a binding to one.
#[derive(Clone, Debug)]
pub struct ParallelBody {
    /// Where the node is written, for what is missing in it.
    pub span: Span,
    /// What is called.
    pub task: Option<Task>,
    /// The input that is split, as `${{inputs.<name>}}`.
    pub input_data: Option<Spanned<String>>,
    /// How many files, or how many bytes of a table, one mini-batch has.
    pub mini_batch_size: Option<Spanned<String>>,
    /// The columns whose values a mini-batch has in common.
    pub partition_keys: Vec<String>,
    /// `resources`.
    pub resources: Option<Resources>,
    /// How many workers an instance has.
    pub max_concurrency_per_instance: Option<Spanned<String>>,
    /// How many items may fail; -1 for any number.
    pub error_threshold: Option<Spanned<String>>,
    /// How many mini-batches may fail; -1 for any number.
    pub mini_batch_error_threshold: Option<Spanned<String>>,
    /// `retry_settings`.
    pub retry_settings: Option<RetrySettings>,
    /// `DEBUG`, `INFO` or `WARNING`.
    pub logging_level: Option<Spanned<String>>,
}

/// `resources` of a parallel step.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// How many instances there are.
    pub instance_count: Option<Spanned<String>>,
}

/// `retry_settings` of a parallel step.
#[derive(Clone, Debug, Default)]
pub struct RetrySettings {
    /// How many seconds one call may take.
    pub timeout: Option<Spanned<String>>,
    /// How often a mini-batch is tried again.
    pub max_retries: Option<Spanned<String>>,
}

/// `task:` of a parallel step.
#[derive(Clone, Debug)]
pub struct Task {
    /// `run_function`, `model` or `function`.
    pub kind: Spanned<String>,
    /// The script that has `run()`.
    pub entry_script: Option<Spanned<String>>,
    /// Its arguments, as text for a shell.
    pub program_arguments: Option<Spanned<String>>,
    /// The output that gets what the calls return, as `${{outputs.<name>}}`.
    pub append_row_to: Option<Spanned<String>>,
    /// Its code and environment. The command is made when the step is planned.
    pub command: CommandBody,
}

/// A parallel node.
#[derive(Clone, Debug)]
pub struct ParallelNode {
    /// The component that it names; `None` for a node with a task of its own.
    pub component: Option<Component>,
    /// What it runs. What the node leaves open is the component's.
    pub body: ParallelBody,
}

/// A parallel node. `None` if it names a component of another kind, such as a prompt flow.
pub(super) fn of(node: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<ParallelNode> {
    let Some(named) = node.get("component") else {
        return Some(ParallelNode { component: None, body: ParallelBody::of(node, path, found)? });
    };
    let named = named.object().filter(|object| object.class.ends_with("ParallelComponent"))?;
    let body = ParallelBody::of(node, path, found)?.or(ParallelBody::of(named, &format!("{path}.component"), found)?);
    let settings = component::run_settings(named);
    let component = component::of_type(named, self::body(body.span, settings));
    Some(ParallelNode { component: Some(component), body })
}

impl ParallelBody {
    fn of(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let span = object.fields.first().map(|entry| entry.key_span)?;
        let task = object.get("task").and_then(|task| Task::of(task.object()?, &format!("{path}.task"), found));
        let keys = object.get("partition_keys").and_then(Value::list).unwrap_or_default();
        Some(Self {
            span,
            task,
            input_data: written(object, "input_data"),
            mini_batch_size: written(object, "mini_batch_size"),
            partition_keys: keys.iter().filter_map(Value::text).map(str::to_owned).collect(),
            resources: group(object, "resources")
                .map(|group| Resources { instance_count: written(group, "instance_count") }),
            max_concurrency_per_instance: written(object, "max_concurrency_per_instance"),
            error_threshold: written(object, "error_threshold"),
            mini_batch_error_threshold: written(object, "mini_batch_error_threshold"),
            retry_settings: group(object, "retry_settings").map(|group| RetrySettings {
                timeout: written(group, "timeout"),
                max_retries: written(group, "max_retries"),
            }),
            logging_level: written(object, "logging_level"),
        })
    }

    /// This, and a component's for what it leaves open. `resources` and `retry_settings` are each taken as a whole.
    fn or(self, component: Self) -> Self {
        let own_keys = !self.partition_keys.is_empty();
        Self {
            span: self.span,
            task: self.task.or(component.task),
            input_data: self.input_data.or(component.input_data),
            mini_batch_size: self.mini_batch_size.or(component.mini_batch_size),
            partition_keys: if own_keys { self.partition_keys } else { component.partition_keys },
            resources: self.resources.or(component.resources),
            max_concurrency_per_instance: self.max_concurrency_per_instance.or(component.max_concurrency_per_instance),
            error_threshold: self.error_threshold.or(component.error_threshold),
            mini_batch_error_threshold: self.mini_batch_error_threshold.or(component.mini_batch_error_threshold),
            retry_settings: self.retry_settings.or(component.retry_settings),
            logging_level: self.logging_level.or(component.logging_level),
        }
    }
}

impl Task {
    fn of(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let environment = object.get("environment").and_then(|value| {
            Some(Spanned::new(Environment::of(value, &format!("{path}.environment"), found)?, value.span))
        });
        let kind = written(object, "type")?;
        Some(Self {
            entry_script: written(object, "entry_script"),
            program_arguments: written(object, "program_arguments"),
            append_row_to: written(object, "append_row_to"),
            command: CommandBody {
                code: component::code(object),
                remote_code: component::remote_code(object),
                environment,
                ..body(kind.span, RunSettings::default())
            },
            kind,
        })
    }
}

/// A body without a command: the command is made when the step is planned.
fn body(place: Span, settings: RunSettings) -> CommandBody {
    CommandBody {
        command: Spanned::new(String::new(), place),
        code: None,
        includes: Vec::new(),
        remote_code: None,
        environment: None,
        environment_variables: Vec::new(),
        settings,
    }
}

fn written(object: &Object, name: &str) -> Option<Spanned<String>> {
    let value = object.get(name).filter(|value| !value.is_null())?;
    Some(Spanned::new(value.literal()?.python_str(), value.span))
}

/// A field that is a mapping, unless it is empty: Azure ML takes an empty one as absent.
fn group<'o>(object: &'o Object, name: &str) -> Option<&'o Object> {
    object.get(name)?.object().filter(|group| !group.fields.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Sources;

    fn body(fields: &[(&str, &str)]) -> ParallelBody {
        let source = Sources::default().add(std::path::Path::new("job.yml"), "x");
        let span = Span { source, line: 1, column: 1, end_line: 1, end_column: 2 };
        let field = |name: &str| {
            let (_, text) = fields.iter().find(|(known, _)| *known == name)?;
            Some(Spanned::new((*text).to_owned(), span))
        };
        let has_retries = field("timeout").is_some() || field("max_retries").is_some();
        ParallelBody {
            span,
            task: None,
            input_data: field("input_data"),
            mini_batch_size: field("mini_batch_size"),
            partition_keys: field("key").map(|key| key.value).into_iter().collect(),
            resources: field("instance_count").map(|count| Resources { instance_count: Some(count) }),
            max_concurrency_per_instance: field("concurrency"),
            error_threshold: None,
            mini_batch_error_threshold: None,
            retry_settings: has_retries
                .then(|| RetrySettings { timeout: field("timeout"), max_retries: field("max_retries") }),
            logging_level: None,
        }
    }

    #[test]
    fn a_node_has_its_own_settings_and_those_of_its_component_that_it_leaves_open() {
        let node = body(&[("timeout", "5"), ("mini_batch_size", "3")]);
        let component = body(&[("timeout", "9"), ("max_retries", "7"), ("concurrency", "2"), ("key", "k")]);
        let both = node.or(component);
        let text = |field: &Option<Spanned<String>>| field.as_ref().map(|text| text.value.clone());
        assert_eq!(text(&both.mini_batch_size).as_deref(), Some("3"));
        assert_eq!(text(&both.max_concurrency_per_instance).as_deref(), Some("2"));
        assert_eq!(both.partition_keys, ["k"]);
        let retries = both.retry_settings.unwrap();
        assert_eq!(text(&retries.timeout).as_deref(), Some("5"));
        assert_eq!(retries.max_retries.map(|text| text.value), None, "retry_settings is taken as a whole");
    }
}
