//! What is printed, as people see it: each snapshot in `tests/snapshots/` is one screen.
//!
//! After an intended change, `INSTA_UPDATE=always cargo test --test behaviour snapshots` writes them again; read the
//! difference before you commit it.

use insta::assert_snapshot;

use crate::support::{Project, node, pipeline};

/// Times, names and paths that differ from run to run become words.
fn masked(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+\.\d+s|\b\d+\.\d+ s\b", "[time]");
    settings.add_filter(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?Z?)?", "[date]");
    settings.add_filter(r"/tmp/[\w./-]*project", "[project]");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(check);
}

/// What a command prints on both streams, and its exit code.
fn screen(project: &Project, arguments: &[&str]) -> String {
    let ran = project.amlrun(arguments);
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
    let groups = ["step", "job", "component", "model", "data", "datastore", "cache"].map(|group| [group, "--help"]);
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
