//! The command line: parses the arguments, calls the other modules, and shows the results.
//!
//! Each command has one file or folder. [`printer`] is the only file that writes to stdout and stderr. Commands and
//! options have the names of `az ml`, so that a script changes only one word; short commands (`run`, `validate`,
//! `graph`, `logs`) are for typing. No other module uses this one.

mod arguments;
mod asset;
mod cache;
mod check;
mod chosen;
mod completion;
mod component;
mod cp;
mod data;
mod datastore;
mod environment;
mod explain;
mod format;
mod graph;
mod job;
mod logs;
mod metrics;
mod model;
mod plan;
mod printer;
mod run;
mod shell;
mod show;
mod signals;
mod step;
mod sweep;
mod validate;
mod watchdog;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Failed;
use crate::exit_status::{self, Exit};
use crate::runner::project::Project;
use printer::Printer;

const EXAMPLES: &str = "Examples:\n  \
        amlrun validate pipeline.yml          check a file without running it\n  \
        amlrun validate pipelines/            check all files of a folder\n  \
        amlrun explain unknown-field          explain an error, with examples\n  \
        amlrun graph pipeline.yml             show the steps and the data flow\n  \
        amlrun show pipeline.yml              show the file with components and defaults filled in\n  \
        amlrun run pipeline.yml               run it on this machine\n  \
        amlrun plan pipeline.yml              show which steps would run or be reused, and why\n  \
        amlrun why RUN train                  explain why a step ran or was reused\n  \
        amlrun run pipeline.yml --set inputs.epochs=5\n  \
        amlrun job list -o table              list the runs\n  \
        amlrun logs RUN train                 print the log of a step\n  \
        amlrun metrics RUN OTHER              compare the metrics of two runs\n  \
        amlrun model list -o table            list the registered models\n  \
        amlrun data create -n iris -p iris.csv --type uri_file\n  \
        amlrun datastore list -o table        list the datastores and their locations";

/// Run Azure ML pipeline YAML on this machine, unmodified.
#[derive(Parser)]
#[command(
    name = "amlrun",
    version,
    long_about = "Run Azure ML v2 job YAML on this machine, unmodified: no login, no workspace, no Docker.\n\n\
        Each step of a pipeline runs as a separate process. Steps pass files to each other through inputs and \
        outputs, as on Azure ML. All results are stored in .amlrun/, next to your amlrun.toml or .git.",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", exit_status::TABLE),
    disable_help_subcommand = true
)]
struct Cli {
    /// Folder of the workspace [default: .amlrun next to the nearest amlrun.toml or .git]
    #[arg(long, global = true, env = "AMLRUN_HOME", value_name = "DIR", hide_env_values = true)]
    home: Option<PathBuf>,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Args),
    Plan(plan::Args),
    Why(why::Args),
    Validate(validate::Args),
    Explain(explain::Args),
    Graph(graph::Args),
    Show(show::Args),
    Logs(logs::Args),
    Metrics(metrics::Args),
    Shell(shell::Args),
    #[command(subcommand)]
    Step(step::Verb),
    #[command(subcommand)]
    Sweep(sweep::Verb),
    #[command(subcommand)]
    Job(job::Verb),
    #[command(subcommand)]
    Component(component::Verb),
    #[command(subcommand)]
    Environment(environment::Verb),
    #[command(subcommand)]
    Model(model::Verb),
    #[command(subcommand)]
    Data(data::Verb),
    #[command(subcommand)]
    Datastore(datastore::Verb),
    #[command(subcommand)]
    Cache(cache::Verb),
    Cp(cp::Args),
    Completion(completion::Args),
    #[command(name = crate::exec::watchdog::VERB, hide = true)]
    Watchdog(watchdog::Args),
}

/// Parses the command line, runs the command, and returns its documented exit code.
#[must_use]
pub fn main() -> ExitCode {
    let printer = Printer::new();
    printer::print_warnings();
    if let Some(done) = crate::exec::read_only::requested(std::env::args_os()) {
        return done.map_or_else(|message| printer.failed(&Failed::new(message)), |()| Exit::Ok).into();
    }
    let cli = match Cli::try_parse_from(arguments::spread(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` take this path too, with stdout and exit code 0.
            printer.command_line(&error);
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    // Commands in messages need no `--home` if the environment variable is set to the same value.
    if let Some(home) = cli.home.as_ref().filter(|home| std::env::var_os("AMLRUN_HOME").is_none_or(|set| set != **home))
    {
        crate::again::with_home(home);
    }
    let done = std::panic::catch_unwind(|| {
        let project = Project::new(cli.home, Box::new(Printer::new()));
        execute(cli.verb, &project, &printer)
    });
    match done {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failed)) => printer.failed(&failed).into(),
        // The panic hook has already reported the panic.
        Err(_) => Exit::Internal.into(),
    }
}

fn execute(verb: Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    match verb {
        Verb::Run(args) => run::run(&args, project, printer),
        Verb::Plan(args) => plan::plan(&args, project, printer),
        Verb::Why(args) => why::why(&args, project, printer),
        Verb::Shell(args) => shell::shell(&args, project, printer),
        Verb::Step(verb) => step::execute(&verb, project, printer),
        Verb::Cache(verb) => cache::execute(&verb, project, printer),
        Verb::Cp(args) => cp::cp(&args, project, printer),
        Verb::Watchdog(args) => Ok(watchdog::watch_over(&args)),
        Verb::Validate(args) => validate::validate(&args, project, printer),
        Verb::Explain(args) => explain::explain(&args, printer),
        Verb::Graph(args) => graph::graph(&args, project, printer),
        Verb::Show(args) => show::show(&args, project, printer),
        Verb::Logs(args) => logs::logs(&args, project, printer),
        Verb::Metrics(args) => metrics::metrics(&args, project, printer),
        Verb::Sweep(verb) => sweep::execute(&verb, project, printer),
        Verb::Job(verb) => job::execute(verb, project, printer),
        Verb::Component(verb) => component::execute(verb, project, printer),
        Verb::Environment(verb) => environment::execute(verb, project, printer),
        Verb::Model(verb) => model::execute(verb, project, printer),
        Verb::Data(verb) => data::execute(verb, project, printer),
        Verb::Datastore(verb) => datastore::execute(verb, project, printer),
        Verb::Completion(args) => Ok(completion::print(&args, <Cli as clap::CommandFactory>::command(), printer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Whether a text can be the first line of a help: short, a sentence without a full stop.
    fn is_first_line(text: &str) -> bool {
        text.chars().count() <= 72 && text.starts_with(char::is_uppercase) && !text.ends_with('.')
    }

    #[test]
    fn every_command_and_option_has_a_help_text() {
        let mut open = vec![("amlrun".to_owned(), Cli::command())];
        while let Some((path, command)) = open.pop() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(is_first_line(&about), "{path}: {about}");
            for argument in command.get_arguments() {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{path} {}: {help}", argument.get_id());
            }
            open.extend(command.get_subcommands().map(|sub| (format!("{path} {}", sub.get_name()), sub.clone())));
        }
    }
}
