//! Spark jobs, nodes and components: a Python script that `spark-submit` runs (reference, section 2.9).

use super::component::{self, CommandBody, Component};
use super::environment::Environment;
use super::job::Common;
use super::{Pairs, Spanned};
use crate::diagnostic::Diagnostic;
use crate::language::value::{Object, Value};
use crate::spec::io::{self, Input, Output};
use crate::yaml::Literal;

/// A standalone Spark job.
#[derive(Clone, Debug)]
pub struct SparkJob {
    /// Name, tags and the like.
    pub common: Common,
    /// Values of its inputs.
    pub inputs: Vec<Input>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What it runs.
    pub body: SparkBody,
}

/// A Spark node.
#[derive(Clone, Debug)]
pub struct SparkNode {
    /// The component that it names; `None` for a node with a script of its own.
    pub component: Option<Component>,
    /// What it runs.
    pub body: SparkBody,
}

/// What a Spark step runs.
#[derive(Clone, Debug)]
pub struct SparkBody {
    /// The script, relative to the code.
    pub entry: Spanned<String>,
    /// Its arguments, as text for a shell.
    pub args: Option<Spanned<String>>,
    /// Spark's properties.
    pub conf: Pairs<String>,
    /// The files that go with the script, by the option of `spark-submit` that takes them.
    pub files: Vec<(&'static str, Vec<Spanned<String>>)>,
    /// Its code and environment. The command is made when the step is planned.
    pub command: CommandBody,
}

/// The fields that list files, each with its option.
const FILES: [(&str, &str); 4] =
    [("py_files", "--py-files"), ("jars", "--jars"), ("files", "--files"), ("archives", "--archives")];

/// The names that Azure ML's SDK has for properties.
const PROPERTIES: [(&str, &str); 8] = [
    ("driver_cores", "spark.driver.cores"),
    ("driver_memory", "spark.driver.memory"),
    ("executor_cores", "spark.executor.cores"),
    ("executor_memory", "spark.executor.memory"),
    ("executor_instances", "spark.executor.instances"),
    ("dynamic_allocation_enabled", "spark.dynamicAllocation.enabled"),
    ("dynamic_allocation_min_executors", "spark.dynamicAllocation.minExecutors"),
    ("dynamic_allocation_max_executors", "spark.dynamicAllocation.maxExecutors"),
];

/// A standalone job.
pub(super) fn job(object: &Object, found: &mut Vec<Diagnostic>) -> Option<SparkJob> {
    Some(SparkJob {
        common: Common::of(object, found),
        inputs: io::inputs(object.map("inputs")),
        outputs: io::outputs(object.map("outputs")),
        body: SparkBody::of(object, "", found)?,
    })
}

/// A node. `None` if its component is not available here.
pub(super) fn node(node: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<SparkNode> {
    let Some(named) = node.get("component") else {
        return Some(SparkNode { component: None, body: SparkBody::of(node, path, found)? });
    };
    let named = named.object().filter(|object| object.class.ends_with("SparkComponent"))?;
    let mut body = SparkBody::of(named, &format!("{path}.component"), found)?;
    body.conf = merged(conf(node), body.conf);
    Some(SparkNode { component: Some(component::of_type(named, body.command.clone())), body })
}

impl SparkBody {
    fn of(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        let entry = written(object.get("entry")?.object()?, "file")?;
        let args = written(object, "args");
        let environment = object
            .get("environment")
            .and_then(|value| Some(Spanned::new(Environment::of(value, &at("environment"), found)?, value.span)));
        let place = args.as_ref().map_or(entry.span, |args| args.span);
        // A component without code has its own folder.
        let own_folder = object.class.ends_with("Component") && object.get("code").is_none();
        let own_folder = own_folder.then(|| Spanned::new(object.base.to_path_buf(), entry.span));
        let command = CommandBody {
            command: Spanned::new(String::new(), place),
            code: component::code(object).or(own_folder),
            includes: component::includes(object),
            remote_code: component::remote_code(object),
            environment,
            // Spark would look up the machine's name, which may lead to an address that does not work here.
            environment_variables: vec![(
                "SPARK_LOCAL_IP".to_owned(),
                Spanned::new(Literal::Str("127.0.0.1".to_owned()), place),
            )],
            settings: component::run_settings(object),
        };
        let files = FILES.iter().map(|(field, option)| (*option, list(object, field)));
        let files = files.filter(|(_, files)| !files.is_empty()).collect();
        Some(Self { entry, args, conf: conf(object), files, command })
    }
}

/// The properties of an object under Spark's own names.
fn conf(object: &Object) -> Pairs<String> {
    let name = |key: &str| {
        PROPERTIES
            .iter()
            .find(|(short, _)| *short == key)
            .map_or_else(|| key.to_owned(), |(_, name)| (*name).to_owned())
    };
    let text = |value: &Value| match value.bool() {
        Some(flag) => flag.to_string(),
        None => value.python_str(),
    };
    let entries = object.map("conf").iter().filter(|entry| entry.value.literal().is_some() && !entry.value.is_null());
    entries.map(|entry| (name(&entry.key), text(&entry.value))).collect()
}

/// The properties of a node with a component: its own as a whole, but the sizes that it leaves open are the component's.
fn merged(own: Pairs<String>, component: Pairs<String>) -> Pairs<String> {
    if own.is_empty() {
        return component;
    }
    let is_size = |name: &str| PROPERTIES.iter().any(|(_, size)| *size == name);
    let is_open = |name: &str| own.iter().all(|(known, _)| known != name);
    let sizes: Vec<_> = component.into_iter().filter(|(name, _)| is_size(name) && is_open(name)).collect();
    own.into_iter().chain(sizes).collect()
}

fn list(object: &Object, field: &str) -> Vec<Spanned<String>> {
    let items = object.get(field).and_then(Value::list).unwrap_or_default();
    items.iter().filter_map(|item| Some(Spanned::new(item.text()?.to_owned(), item.span))).collect()
}

fn written(object: &Object, name: &str) -> Option<Spanned<String>> {
    let value = object.get(name).filter(|value| !value.is_empty())?;
    Some(Spanned::new(value.text()?.to_owned(), value.span))
}
