//! What is printed, as people see it: each snapshot in `tests/snapshots/` is one screen.
//!
//! After an intended change, `INSTA_UPDATE=always cargo test --test behaviour snapshots` writes them again; read the
//! difference before you commit it.

use insta::assert_snapshot;

use crate::support::{Project, Ran, node, pipeline};
use crate::terminal_screen::TerminalScreen;

/// Times, names and paths that differ from run to run become words.
fn masked(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+\.\d+s|\b\d+\.\d+ s\b", "[time]");
    settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?Z?)?", "[date]");
    settings.add_filter(r"/tmp/[\w./-]*project", "[project]");
    // A spinner and a clock of whole seconds.
    settings.add_filter("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "⠋");
    settings.add_filter(r"(?m)^  [-|/\\] (.* Running)", "  | $1");
    settings.add_filter(r"(Running +)\d+s", "${1}0s");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(check);
}

/// What a command prints on both streams, and its exit code.
fn screen(project: &Project, arguments: &[&str]) -> String {
    screen_in(project, arguments, "C.UTF-8")
}

fn screen_in(project: &Project, arguments: &[&str], locale: &str) -> String {
    let mut command = project.command(arguments);
    command.env("LC_ALL", locale);
    let ran = Ran::of(command);
    let part = |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("{name}\n{text}") };
    format!("$ amlrun {}\n{}{}exit code {}\n", arguments.join(" "), ran.out, part("-- stderr --", &ran.err), ran.code)
}

/// A pipeline whose step `evaluate` fails.
fn project() -> Project {
    let output = |name: &str| format!("    outputs: {{{name}: {{type: uri_file}}}}\n");
    let input = |name: &str, from: &str| format!("    inputs: {{{name}: '${{{{parent.jobs.{from}}}}}'}}\n");
    let steps = node("prepare", "echo 1,2 > ${{outputs.rows}}")
        + &output("rows")
        + &node("train", "wc -l < ${{inputs.rows}} > ${{outputs.model}}")
        + &input("rows", "prepare.outputs.rows")
        + &output("model")
        + &node("evaluate", "echo 'accuracy 0.4'; exit 3")
        + &input("model", "train.outputs.model")
        + &output("scores")
        + &node("report", "cat ${{inputs.scores}}")
        + &input("scores", "evaluate.outputs.scores");
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&steps));
    project
}

#[test]
fn help() {
    let project = Project::new();
    let groups = ["step", "job", "component", "environment", "model", "data", "datastore", "cache"]
        .map(|group| [group, "--help"]);
    let pages = [&["--help"][..], &["run", "--help"], &["job", "create", "--help"]];
    for arguments in pages.into_iter().chain(groups.iter().map(|page| &page[..])) {
        let name = format!("help_{}", arguments[..arguments.len() - 1].join("_"));
        masked(|| assert_snapshot!(name.trim_end_matches('_'), screen(&project, arguments)));
    }
}

#[test]
fn mistakes_in_a_file() {
    let project = Project::new();
    project.write(
        "pipeline.yml",
        "type: pipeline\njobs:\n  train:\n    type: command\n    environment: azureml:any@latest\n    comand: python train.py\n    \
         inputs:\n      rows: ${{parent.inputs.rows}}\n      model: ${{parent.jobs.trian.outputs.model}}\n",
    );
    masked(|| assert_snapshot!("mistakes_in_a_file", screen(&project, &["validate", "pipeline.yml"])));
}

#[test]
fn a_plan_a_run_and_why() {
    let project = project();
    masked(|| {
        assert_snapshot!("plan_before", screen(&project, &["plan", "pipeline.yml"]));
        let run = ["run", "pipeline.yml", "--name", "first", "--jobs", "1"];
        assert_snapshot!("run_with_a_failure", screen(&project, &run));
        assert_snapshot!("plan_after", screen(&project, &["plan", "pipeline.yml"]));
        assert_snapshot!("why", screen(&project, &["why", "first"]));
        assert_snapshot!("job_list_table", screen(&project, &["job", "list", "-o", "table"]));
        assert_snapshot!("logs", screen(&project, &["logs", "first"]));
    });
}

#[test]
fn mistakes_in_several_files() {
    let project = Project::new();
    project.write("job.yml", "type: command\ncommand: python train.py --rate ${{inputs.rat}}\ninputs:\n  rate: 0.1\n");
    project.write(
        "pipeline.yml",
        "type: pipeline\ndisplay_name: 学習 ünd Prüfung\njobs:\n  a: {type: command, command: echo 学習, envirnoment: x}\n",
    );
    project.write("broken.yml", "type: command\ncommand: 'not closed\n");
    let files = ["validate", "job.yml", "pipeline.yml", "broken.yml", "missing.yml"];
    masked(|| {
        assert_snapshot!("mistakes_in_several_files", screen(&project, &files));
        assert_snapshot!("mistakes_in_ascii", screen_in(&project, &files[..3], "C"));
    });
}

#[test]
fn a_plan_with_hits_and_misses() {
    let project = project();
    project.amlrun(&["run", "pipeline.yml", "--name", "first", "--jobs", "1"]).ended(1);
    let changed =
        project.read("pipeline.yml").replace("wc -l", "wc -c").replace("exit 3", "echo 1 > ${{outputs.scores}}");
    project.write("pipeline.yml", &changed);
    masked(|| {
        assert_snapshot!("plan_after_a_change", screen(&project, &["plan", "pipeline.yml"]));
        assert_snapshot!("plan_in_ascii", screen_in(&project, &["plan", "pipeline.yml"], "C"));
        let run = ["run", "pipeline.yml", "--name", "second", "--jobs", "1"];
        assert_snapshot!("run_with_a_hit", screen(&project, &run));
        assert_snapshot!("why_after_a_change", screen(&project, &["why", "second"]));
    });
}

#[test]
fn a_run_on_a_terminal() {
    for (columns, locale) in [(60, "C.UTF-8"), (80, "C.UTF-8"), (120, "C.UTF-8"), (80, "C")] {
        let project = project();
        let printed = "epoch 1 of 3: loss 0.693, accuracy 0.512, learning rate 0.001, 812 rows a second";
        let train = format!("echo '{printed}'; read -r line < {}; wc -l", project.path("go").display());
        project.write("pipeline.yml", &project.read("pipeline.yml").replace("wc -l", &train));
        nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut command = project.command(&["run", "pipeline.yml", "--name", "live", "--jobs", "1"]);
        command.env("LC_ALL", locale);
        let mut screen = TerminalScreen::start(command, columns);
        // What it prints is above the steps, and in its own line, which is before the last one.
        let live = screen.until(|shown| {
            let in_its_line = shown.lines().any(|line| line.contains("Running") && line.contains("epoch 1 of 3"));
            in_its_line && shown.contains("train    | epoch") && shown.ends_with("for evaluate\n")
        });
        std::fs::write(project.path("go"), "go\n").unwrap();
        let (end, code) = screen.end();
        assert_eq!(code, 1, "{end}");
        let name = format!("terminal_{columns}{}", if locale == "C" { "_ascii" } else { "" });
        masked(|| assert_snapshot!(name, format!("-- while it runs --\n{live}-- at the end --\n{end}")));
    }
}
