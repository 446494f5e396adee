//! What runs in a step: command components, and the same fields in jobs and nodes (reference, sections 2.2, 2.13).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::io::{self, Port};
use super::{Pairs, Spanned};
use crate::diagnostic::Diagnostic;
use crate::language::value::{Object, Value};
use crate::yaml::Literal;

/// What runs in a step: a command and what it needs. Standalone command jobs and inline nodes have the same fields.
#[derive(Clone, Debug)]
pub struct CommandBody {
    /// The command's text, expressions and all.
    pub command: Spanned<String>,
    /// The file or folder that becomes the working directory, made absolute.
    pub code: Option<Spanned<PathBuf>>,
    /// Files and folders that are placed beside it (`additional_includes`), made absolute.
    pub includes: Vec<PathBuf>,
    /// Its code when that is remote, such as in a Git repository; amlrun cannot fetch it yet.
    pub remote_code: Option<Spanned<String>>,
    /// What it runs in.
    pub environment: Option<Spanned<Environment>>,
    /// Variables of the step.
    pub environment_variables: Pairs<Spanned<Literal>>,
    /// Where and how it runs.
    pub settings: RunSettings,
}

/// Where and how a step runs; a node's own settings win over its component's.
#[derive(Clone, Debug, Default)]
pub struct RunSettings {
    /// `limits.timeout` in seconds, a number or a binding to one.
    pub timeout: Option<Spanned<String>>,
    /// `resources.instance_count`, a number or a binding to one.
    pub instances: Option<Spanned<String>>,
    /// Several processes for one step.
    pub distribution: Option<Distribution>,
    /// What a container gets; processes of this machine ignore it.
    pub container: ContainerSettings,
    /// Fields that only a service needs, each with its place: they change nothing here.
    pub without_effect: Vec<Spanned<&'static str>>,
}

/// The part of `resources:` that is for the container of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSettings {
    /// `shm_size`: the size of its shared memory, such as `2g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<String>,
    /// `docker_args`: more arguments for the container engine's `run`, each one word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub docker_args: Vec<String>,
}

impl ContainerSettings {
    fn of(resources: &Object) -> Self {
        let words = |text: &str| shlex::split(text).unwrap_or_else(|| vec![text.to_owned()]);
        let docker_args = resources.get("docker_args").map(|value| match (value.text(), value.list()) {
            (Some(text), _) => words(text),
            (None, Some(list)) => list.iter().filter_map(Value::text).map(str::to_owned).collect(),
            (None, None) => Vec::new(),
        });
        let shm_size = resources
            .get("shm_size")
            .filter(|size| !size.is_null())
            .and_then(Value::literal)
            .map(|size| size.python_str());
        Self { shm_size, docker_args: docker_args.unwrap_or_default() }
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These settings, and others for what they leave open.
    fn or(&self, others: &Self) -> Self {
        let docker_args = if self.docker_args.is_empty() { &others.docker_args } else { &self.docker_args };
        Self { shm_size: self.shm_size.clone().or_else(|| others.shm_size.clone()), docker_args: docker_args.clone() }
    }
}

/// `distribution:` (reference, section 7.3).
#[derive(Clone, Debug)]
pub struct Distribution {
    /// `pytorch`, `mpi`, `tensorflow` or `ray`.
    pub kind: Spanned<String>,
    /// Its numbers by the names of their fields, each a number or a binding to one.
    pub counts: Pairs<Spanned<String>>,
}

/// A command component, or the component of a parallel or Spark step.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name; an inline node's component has none.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its name for people.
    pub display_name: Option<String>,
    /// Whether the same inputs always give the same outputs, so that a step may be reused.
    pub is_deterministic: bool,
    /// Declared inputs.
    pub inputs: Vec<Port>,
    /// Declared outputs.
    pub outputs: Vec<Port>,
    /// What runs.
    pub body: CommandBody,
}

/// The fields that command jobs, inline nodes and command components share.
pub(super) fn command_body(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<CommandBody> {
    let at = |field: &str| if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    let environment = object
        .get("environment")
        .and_then(|value| Some(Spanned::new(Environment::of(value, &at("environment"), found)?, value.span)));
    let command = object.get("command")?;
    Some(CommandBody {
        command: Spanned::new(command.text()?.to_owned(), command.span),
        code: code(object),
        remote_code: remote_code(object),
        includes: includes(object),
        environment,
        environment_variables: environment_variables(object, &at("environment_variables"), found),
        settings: run_settings(object),
    })
}

/// A command component in a file, or written where it is used.
pub(super) fn of(object: &Object, path: &str, found: &mut Vec<Diagnostic>) -> Option<Component> {
    Some(of_type(object, command_body(object, path, found)?))
}

/// A component of any type with what it runs.
pub(super) fn of_type(object: &Object, body: CommandBody) -> Component {
    let text = |name: &str| object.text(name).map(str::to_owned);
    Component {
        name: text("name"),
        version: text("version"),
        display_name: text("display_name"),
        is_deterministic: object.get("is_deterministic").and_then(Value::bool).unwrap_or(true),
        inputs: io::ports(object.map("inputs")),
        outputs: io::ports(object.map("outputs")),
        body,
    }
}

/// `code:` as a local file or folder, which is there.
pub(super) fn code(object: &Object) -> Option<Spanned<PathBuf>> {
    let value = object.get("code")?;
    let place = object.base.join(value.text()?);
    place.exists().then(|| Spanned::new(place.components().collect(), value.span))
}

/// `code:` in another form (reference, section 1.8).
pub(super) fn remote_code(object: &Object) -> Option<Spanned<String>> {
    let value = object.get("code")?;
    let text = value.text().filter(|text| !object.base.join(text).exists())?;
    Some(Spanned::new(text.to_owned(), value.span))
}

pub(super) fn environment_variables(
    object: &Object,
    path: &str,
    found: &mut Vec<Diagnostic>,
) -> Pairs<Spanned<Literal>> {
    let mut all = Vec::new();
    for entry in object.map("environment_variables") {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            let message = format!("'{}' is not a valid name for an environment variable", entry.key);
            found.push(Diagnostic::error("bad-name", entry.key_span, message).at(path));
        } else if let Some(literal) = entry.value.literal() {
            all.push((entry.key.clone(), Spanned::new(literal, entry.value.span)));
        } else {
            let message = format!("the variable '{}' must be a scalar, but is a list or a mapping", entry.key);
            let at = format!("{path}.{}", entry.key);
            found.push(Diagnostic::error("wrong-type", entry.value.span, message).at(at));
        }
    }
    all
}

/// `additional_includes` in their order; `language` has checked that each is there.
pub(super) fn includes(object: &Object) -> Vec<PathBuf> {
    let items = object.get("additional_includes").and_then(Value::list).unwrap_or_default();
    let places = items.iter().filter_map(Value::text).map(|text| object.base.join(text.trim_end_matches('/')));
    places.map(|place| crate::language::tidy(&place)).collect()
}

/// What only a service needs.
const WITHOUT_EFFECT: [&str; 5] = ["compute", "identity", "services", "queue_settings", "resources"];
/// What counts of `resources` here: the number of processes, and what is for containers.
const COUNTED: [&str; 3] = ["instance_count", "docker_args", "shm_size"];
/// What does not, beside these.
const RESOURCES: [&str; 4] =
    ["resources.instance_type", "resources.locations", "resources.max_instance_count", "resources.properties"];

/// The same for Spark's properties, each with how its name begins: here, the driver runs everything on all cores.
const CONF: [(&str, &str); 5] = [
    ("conf.spark.driver.cores", "spark.driver.cores"),
    ("conf.spark.dynamicAllocation.*", "spark.dynamicAllocation."),
    ("conf.spark.executor.*", "spark.executor."),
    ("conf.spark.master", "spark.master"),
    ("conf.spark.submit.deployMode", "spark.submit.deployMode"),
];

/// Where and how the service runs a step: how long, and as how many processes. Scheduling means nothing here.
pub(super) fn run_settings(object: &Object) -> RunSettings {
    let number = |value: &Value| Some(Spanned::new(value.literal()?.python_str(), value.span));
    let inner = |field: &str, name: &str| object.get(field).and_then(Value::object)?.get(name).and_then(number);
    let distribution = object.get("distribution").and_then(|value| {
        let fields = value.object()?;
        let kind = fields.get("type").and_then(|t| Some(Spanned::new(t.text()?.to_owned(), t.span)))?;
        let counts = fields.fields.iter().filter(|e| e.key != "type" && !e.value.is_null());
        let counts = counts.filter_map(|e| Some((e.key.clone(), number(&e.value)?))).collect();
        Some(Distribution { kind, counts })
    });
    RunSettings {
        timeout: inner("limits", "timeout"),
        instances: inner("resources", "instance_count"),
        distribution,
        container: object.get("resources").and_then(Value::object).map(ContainerSettings::of).unwrap_or_default(),
        without_effect: without_effect(object),
    }
}

fn without_effect(object: &Object) -> Vec<Spanned<&'static str>> {
    let resources = object.get("resources").and_then(Value::object);
    let counted = resources.filter(|resources| COUNTED.iter().any(|name| resources.get(name).is_some()));
    let fields = WITHOUT_EFFECT.iter().filter(|name| counted.is_none() || **name != "resources");
    let fields = fields.filter_map(|name| Some(Spanned::new(*name, object.entry(name)?.key_span)));
    let below = RESOURCES.iter().filter_map(|path| {
        let (_, name) = path.split_once('.')?;
        Some(Spanned::new(*path, counted?.entry(name)?.key_span))
    });
    let conf = CONF.iter().filter_map(|(path, prefix)| {
        let entry = object.map("conf").iter().find(|entry| entry.key.starts_with(prefix))?;
        Some(Spanned::new(*path, entry.key_span))
    });
    fields.chain(below).chain(conf).collect()
}

impl RunSettings {
    /// The names of the fields that change nothing here.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        self.without_effect.iter().map(|field| field.value).collect()
    }

    /// These settings, and those of the component for what they leave open.
    #[must_use]
    pub fn or(&self, component: &Self) -> Self {
        Self {
            timeout: self.timeout.clone().or_else(|| component.timeout.clone()),
            instances: self.instances.clone().or_else(|| component.instances.clone()),
            distribution: self.distribution.clone().or_else(|| component.distribution.clone()),
            container: self.container.or(&component.container),
            without_effect: self.without_effect.iter().chain(&component.without_effect).cloned().collect(),
        }
    }
}
