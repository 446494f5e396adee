//! The options of a run: parses them, and writes them for a background runner.

use std::ffi::OsString;

use crate::config::Config;
use crate::environment::resolve::Policy;
use crate::error::Failed;
use crate::runner::environments;
use crate::runner::options::{RunOptions, StepSelection};
use crate::store::Home;
use crate::yaml::overrides::Override;

/// What `run`, `plan` and `job create` have in common.
#[derive(clap::Args, Clone, Default)]
pub(in crate::cli) struct RunArguments {
    /// Override values of the file, for example inputs.epochs=5; several can follow
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<Override>,

    #[command(flatten)]
    pub steps: StepArguments,

    /// Name of the run [default: 'name' in the file, else a generated name]
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,

    /// Maximum number of steps to run at the same time [default: number of CPU cores]
    #[arg(short, long, value_name = "N", env = "AMLRUN_JOBS", hide_env_values = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,

    /// Seconds to wait between SIGTERM and SIGKILL when a step is stopped [default: 10]
    #[arg(long, value_name = "SECONDS", env = "AMLRUN_GRACE", hide_env_values = true)]
    pub grace: Option<u64>,

    /// Maximum number of concurrent data requests [default: adapts to the throughput]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub transfer_jobs: Option<u16>,

    #[command(flatten)]
    pub environments: EnvironmentArguments,

    /// Show only failures and the summary, not the output of steps
    #[arg(short, long)]
    pub quiet: bool,
}

/// How the environments of steps are provided.
#[derive(clap::Args, Clone, Default)]
pub(in crate::cli) struct EnvironmentArguments {
    /// How to provide the environments of steps [default: as in amlrun.toml, else managed]
    #[arg(long, value_name = "HOW", env = "AMLRUN_ENVIRONMENT", hide_env_values = true)]
    pub environment: Option<EnvironmentArgument>,

    /// Build environments with exactly the versions that an earlier run had
    #[arg(long, value_name = "RUN")]
    pub locked: Option<String>,
}

impl EnvironmentArguments {
    /// The project's settings with these.
    pub(in crate::cli) fn apply(&self, config: Config, home: &Home) -> Result<Config, Failed> {
        environments::chosen(config, self.environment.map(Policy::from), self.locked.as_deref(), home)
    }
}

/// How environments are provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum EnvironmentArgument {
    /// Use the Python and the packages of this machine
    Host,
    /// Build environments from conda files and curated names
    Managed,
    /// Run steps in containers of their images, with docker or podman
    Container,
}

impl From<EnvironmentArgument> for Policy {
    fn from(argument: EnvironmentArgument) -> Self {
        match argument {
            EnvironmentArgument::Host => Self::Host,
            EnvironmentArgument::Managed => Self::Managed,
            EnvironmentArgument::Container => Self::Container,
        }
    }
}

/// Which steps run.
#[derive(clap::Args, Clone, Default)]
pub(in crate::cli) struct StepArguments {
    /// Run only these steps; results that they need must exist from earlier runs
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Run these steps and all steps that depend on them; other results must exist from earlier runs
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub from: Vec<String>,

    /// Run these steps and all steps that they depend on
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    pub until: Vec<String>,

    /// Do not reuse the results of these steps, or of any step if none is given
    #[arg(long, value_name = "STEP", value_delimiter = ',', num_args = 0.., require_equals = true)]
    pub force_rerun: Option<Vec<String>>,
}

impl RunArguments {
    /// The options in the runner's form.
    pub(crate) fn options(&self) -> RunOptions {
        RunOptions {
            set: self.set.clone(),
            steps: self.steps.selection(),
            name: self.name.clone(),
            jobs: self.jobs,
            grace: self.grace,
            transfer_jobs: self.transfer_jobs,
            environment: self.environments.environment.map(Policy::from),
            locked: self.environments.locked.clone(),
        }
    }
}

impl StepArguments {
    /// The selection in the runner's form.
    pub(crate) fn selection(&self) -> StepSelection {
        let Self { only, from, until, force_rerun } = self.clone();
        StepSelection { only, from, until, force_rerun }
    }
}

/// The command line arguments for these options.
pub(in crate::cli) fn to_args(options: &RunOptions) -> Vec<OsString> {
    let RunOptions { set, steps, name, jobs, grace, transfer_jobs, environment, locked } = options;
    let mut words: Vec<String> = Vec::new();
    words.extend(set.iter().map(|set| format!("--set={}={}", set.keys.join("."), set.value)));
    for (flag, steps) in [("only", &steps.only), ("from", &steps.from), ("until", &steps.until)] {
        words.extend(steps.iter().map(|step| format!("--{flag}={step}")));
    }
    words.extend(steps.force_rerun.iter().map(|steps| match steps.as_slice() {
        [] => "--force-rerun".to_owned(),
        steps => format!("--force-rerun={}", steps.join(",")),
    }));
    words.extend(name.iter().map(|name| format!("--name={name}")));
    words.extend(jobs.iter().map(|jobs| format!("--jobs={jobs}")));
    words.extend(grace.iter().map(|grace| format!("--grace={grace}")));
    words.extend(transfer_jobs.iter().map(|jobs| format!("--transfer-jobs={jobs}")));
    words.extend(environment.iter().map(|policy| match policy {
        Policy::Host => "--environment=host".to_owned(),
        Policy::Managed => "--environment=managed".to_owned(),
        Policy::Container => "--environment=container".to_owned(),
    }));
    words.extend(locked.iter().map(|run| format!("--locked={run}")));
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArguments,
    }

    fn parsed(words: impl IntoIterator<Item = OsString>) -> RunOptions {
        Line::try_parse_from(["run".into()].into_iter().chain(words)).unwrap().run.options()
    }

    #[test]
    fn options_are_the_same_after_a_round_trip_through_a_command_line() {
        for line in [
            "",
            "--set inputs.epochs=5 --set jobs.train.inputs.lr=a=b --name n -j 3 --grace 0 --transfer-jobs 7",
            "--only a,b --from c --until d,e.f --force-rerun",
            "--force-rerun=a,b --set tags.x=",
            "--environment managed --locked r",
        ] {
            let options = parsed(line.split_whitespace().map(OsString::from));
            assert_eq!(parsed(to_args(&options)), options, "{line}");
        }
    }
}
