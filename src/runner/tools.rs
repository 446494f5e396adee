//! What steps need beside the programs in their commands: Spark and Java, or Ray. What is missing is reported before
//! anything runs; in an environment that must be built first, before the step runs.

use std::ffi::OsStr;
use std::path::Path;

use crate::environment::Environments;
use crate::environment::resolve::Resolution;
use crate::fs::program::{is_program, on_path};
use crate::plan::{Command, Part, Program};

/// A program that a step needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    SparkSubmit,
    Java,
    Ray,
}

impl Tool {
    /// Those that a step needs.
    fn of(command: &Command) -> &'static [Self] {
        let ray = command.distribution.as_ref().filter(|distribution| distribution.is_ray());
        if command.program == Program::Spark {
            &[Self::SparkSubmit, Self::Java]
        } else if ray.is_some_and(|ray| !ray.options.contains_key("address")) {
            &[Self::Ray]
        } else {
            &[]
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SparkSubmit => "spark-submit",
            Self::Java => "Java",
            Self::Ray => "ray",
        }
    }

    /// How to get it, on this machine or in an environment that is built.
    fn install(self, environment: Option<&str>) -> String {
        match (self, environment) {
            (Self::SparkSubmit, None) => "pip install 'pyspark<4'".to_owned(),
            (Self::SparkSubmit, Some(name)) => format!("add pyspark<4 to the packages of '{name}'"),
            (Self::Ray, None) => "pip install ray".to_owned(),
            (Self::Ray, Some(name)) => format!("add ray to the packages of '{name}'"),
            (Self::Java, _) => "apt install default-jre-headless".to_owned(),
        }
    }

    fn is_in(self, path: &OsStr) -> bool {
        match self {
            Self::SparkSubmit => on_path("spark-submit", Some(path)).is_some(),
            Self::Ray => on_path("ray", Some(path)).is_some(),
            // Spark takes the Java of JAVA_HOME first.
            Self::Java => {
                let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
                home.is_some_and(|home| is_program(&Path::new(&home).join("bin/java")))
                    || on_path("java", Some(path)).is_some()
            }
        }
    }
}

/// What a step's environment lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// The step.
    pub step: String,
    /// What is missing, without the step: `its environment has no Java`.
    pub what: String,
    /// How to install it.
    pub install: String,
}

impl Lacking {
    /// What to do.
    pub(crate) fn help(&self) -> String {
        let key = format!("[steps.\"{}\"]", self.step);
        let install = &self.install;
        format!(
            "install it: {install}; or choose a substitute in amlrun.toml: {key} policy = \"stub\", \"replay\" or \"skip\""
        )
    }
}

/// What a step lacks that finds its programs in the folders of `path`. `environment` is the name of an environment that
/// was built for it.
pub(crate) fn lacking(step: &str, command: &Command, path: &str, environment: Option<&str>) -> Option<Lacking> {
    let own = command.environment_variables.iter().find(|(name, _)| name == "PATH");
    let own = own.and_then(|(_, value)| match value.parts.as_slice() {
        [Part::Text(text)] => Some(text.as_str()),
        _ => None,
    });
    let path = OsStr::new(own.unwrap_or(path));
    let missing: Vec<Tool> = Tool::of(command).iter().copied().filter(|tool| !tool.is_in(path)).collect();
    report(step, &missing, environment)
}

fn report(step: &str, missing: &[Tool], environment: Option<&str>) -> Option<Lacking> {
    let names: Vec<&str> = missing.iter().map(|tool| tool.name()).collect();
    let what = match names.as_slice() {
        [] => return None,
        [one] => format!("no {one}"),
        all => format!("neither {}", all.join(" nor ")),
    };
    let whose = environment.map_or_else(String::new, |name| format!(" '{name}'"));
    let install: Vec<String> = missing.iter().map(|tool| tool.install(environment)).collect();
    let what = format!("its environment{whose} has {what}");
    Some(Lacking { step: step.to_owned(), what, install: install.join(", and ") })
}

/// The first of these steps that cannot run here, as far as is known before its environment is built.
pub(crate) fn first_lacking<'p>(
    steps: impl IntoIterator<Item = (&'p str, &'p Command)>,
    environments: &Environments,
) -> Option<Lacking> {
    let own = std::env::var("PATH").unwrap_or_default();
    let of = |(step, command): (&str, &Command)| {
        if Tool::of(command).is_empty() {
            return None;
        }
        match &*environments.resolve(command.environment.as_ref()).ok()? {
            Resolution::Host(_) => lacking(step, command, &own, None),
            Resolution::Managed(managed) => match environments.ready(managed) {
                Some(built) => lacking(step, command, &built.search_path, Some(&managed.name)),
                // Packages of pip cannot bring Java; those of conda can.
                None => {
                    let lacks_java = managed.definition.conda.is_none() && !Tool::Java.is_in(OsStr::new(&own));
                    let needed = Tool::of(command).iter().copied();
                    let missing: Vec<Tool> = needed.filter(|tool| *tool == Tool::Java && lacks_java).collect();
                    report(step, &missing, Some(&managed.name))
                }
            },
            // An image has its own programs.
            Resolution::Container(_) => None,
        }
    };
    steps.into_iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn spark() -> Command {
        Command { program: Program::Spark, ..Command::default() }
    }

    #[test]
    fn what_is_missing_is_named_with_how_to_get_it() {
        let both = report("a.b", &[Tool::SparkSubmit, Tool::Java], None).unwrap();
        assert_eq!(both.what, "its environment has neither spark-submit nor Java");
        assert!(
            both.help().contains("pip install 'pyspark<4', and apt install default-jre-headless; or"),
            "{}",
            both.help()
        );
        assert!(both.help().contains("[steps.\"a.b\"] policy"), "{}", both.help());
        let built = report("a", &[Tool::SparkSubmit], Some("env")).unwrap();
        assert_eq!(built.what, "its environment 'env' has no spark-submit");
        assert_eq!(built.install, "add pyspark<4 to the packages of 'env'");
        assert_eq!(report("a", &[], None), None);
    }

    #[test]
    fn a_step_lacks_only_what_it_needs_and_does_not_find() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(lacking("a", &Command::default(), path, None), None);
        assert!(lacking("a", &spark(), path, None).is_some());
        for name in ["spark-submit", "java"] {
            std::fs::write(folder.path().join(name), "").unwrap();
            std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(lacking("a", &spark(), path, None), None);
    }
}
