//! `amlrun metrics` and `job show`: what runs were given and what they logged. Tables that fit.

use serde_json::{Value, json};

use crate::support::{Project, node, pipeline};

/// Logs a loss that falls with the rate that it is given.
const TRAIN: &str = r#"
import json, os, sys, urllib.request as u
uri, token = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_TOKEN"]
def post(what, **body):
    body["run_id"] = os.environ["MLFLOW_RUN_ID"]
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + token}
    u.urlopen(u.Request(uri + "/api/2.0/mlflow/runs/" + what, json.dumps(body).encode(), headers)).read()
rate = float(sys.argv[1])
post("log-parameter", key="optimizer", value="adam")
for step in range(4):
    post("log-metric", key="loss", value=(1 - rate) ** step, timestamp=step, step=step)
post("log-metric", key="accuracy", value=rate, timestamp=1)
"#;

fn project() -> Project {
    let job = "type: command\nenvironment: azureml:any@latest\ncode: src\ncommand: python3 train.py ${{inputs.rate}}\n\
               inputs: {rate: 0.5, data: {type: uri_file, path: table.csv}}\noutputs: {model: {type: uri_folder}}\n";
    let train = node("train", "python3 train.py ${{inputs.rate}}")
        + "    code: src\n    inputs: {rate: \"${{parent.inputs.rate}}\"}\n";
    let pipeline = pipeline(&train).replace("jobs:", "inputs: {rate: 0.5}\njobs:");
    Project::new()
        .with("src/train.py", TRAIN)
        .with("table.csv", "1\n")
        .with("job.yml", job)
        .with("pipeline.yml", &pipeline)
}

fn train(project: &Project, name: &str, rate: &str) {
    let set = format!("inputs.rate={rate}");
    project.amlrun(&["run", "pipeline.yml", "--name", name, "--set", &set, "--quiet"]).ended(0);
}

#[test]
fn a_command_job_shows_its_inputs_and_metrics() {
    let project = project();
    project.run("job.yml").ended(0);
    let shown = project.shown();
    assert_eq!(shown["inputs"]["rate"], "0.5");
    let data = &shown["inputs"]["data"];
    assert_eq!((&data["type"], data["path"].as_str()), (&json!("uri_file"), project.path("table.csv").to_str()));
    assert_eq!(shown["metrics"], json!({"accuracy": 0.5, "loss": 0.125}));
    assert_eq!(shown["outputs"]["model"]["uri"], "azureml://jobs/r/outputs/model");
}

#[test]
fn a_pipeline_shows_what_its_steps_were_given() {
    let project = project();
    train(&project, "r", "0.25");
    let shown = project.shown();
    assert_eq!(shown["inputs"], json!({"rate": "0.25"}));
    assert_eq!(shown["jobs"]["train"]["inputs"], json!({"rate": "0.25"}));
}

#[test]
fn what_a_removed_run_logged_is_not_found_in_another_of_its_name() {
    for remove in [&["job", "delete", "-n", "r"][..], &["cache", "gc", "--older-than", "0"]] {
        let project = project();
        project.run("job.yml").ended(0);
        assert_eq!(project.shown()["metrics"], json!({"accuracy": 0.5, "loss": 0.125}));
        project.amlrun(remove).ended(0);
        let last = TRAIN.lines().last().unwrap();
        project.write("src/train.py", &TRAIN.replace(last, "").replace("\"loss\"", "\"error\"").replace("adam", "sgd"));
        project.run("job.yml").ended(0);
        assert_eq!(project.shown()["metrics"], json!({"error": 0.125}), "after {remove:?}");
    }
}

#[test]
fn secrets_are_not_among_the_inputs_that_are_shown() {
    let url = "https://x.blob.core.windows.net/c/f?sv=2020&sig=c2VjcmV0";
    let job = format!(
        "type: command\nenvironment: azureml:any@latest\ncommand: echo\n\
         inputs: {{data: {{type: uri_file, mode: direct, path: '{url}'}}}}\n"
    );
    let project = Project::new().with("job.yml", &job);
    let ran = project.run("job.yml");
    let shown = project.amlrun(&["job", "show", "-n", "r"]);
    assert!(!shown.out.contains("c2VjcmV0"), "{} {}", ran.err, shown.out);
}

#[test]
fn runs_stand_side_by_side_with_what_they_were_given() {
    let project = project();
    train(&project, "slow", "0.25");
    train(&project, "fast", "0.75");
    let table = project.amlrun(&["metrics", "slow", "fast"]).ended(0).out;
    let expected = "\
run                slow       fast
status             Completed  Completed
parameters
  rate             0.25       0.75
  train.optimizer  adam       adam
metrics
  train.accuracy   0.25       0.75
  train.loss       0.4219     0.01562
";
    assert_eq!(table, expected);
    let json: Value = serde_json::from_str(&project.amlrun(&["metrics", "slow", "-o", "json"]).ended(0).out).unwrap();
    assert_eq!(json[0]["metrics"]["train.accuracy"], 0.25);
    assert_eq!(json[0]["parameters"]["rate"], "0.25");
}

#[test]
fn the_best_run_comes_first() {
    let project = project();
    train(&project, "a_middle", "0.5");
    train(&project, "b_best", "0.75");
    train(&project, "c_worst", "0.25");
    let names = |sort: &[&str]| {
        let mut arguments = vec!["metrics", "--all", "--query", "[].name", "-o", "tsv", "--sort"];
        arguments.extend(sort);
        project.amlrun(&arguments).ended(0).out
    };
    assert_eq!(names(&["accuracy"]), "b_best\na_middle\nc_worst\n");
    assert_eq!(names(&["train.loss"]), "b_best\na_middle\nc_worst\n", "less loss is better");
    assert_eq!(names(&["accuracy", "--goal", "minimize"]), "c_worst\na_middle\nb_best\n");
    let text = project.amlrun(&["metrics", "--all", "--sort", "loss"]).ended(0).out;
    assert!(text.starts_with("best first by train.loss (minimize)\nrun"), "{text}");
    let wrong = project.amlrun(&["metrics", "--all", "--sort", "accuracee"]).ended(3);
    assert!(wrong.err.contains("did you mean 'accuracy'?"), "{}", wrong.err);
}

#[test]
fn histories_are_drawn_in_plain_characters() {
    let project = project();
    train(&project, "slow", "0.25");
    train(&project, "fast", "0.75");
    let text = project.amlrun(&["metrics", "slow", "fast", "--plot"]).ended(0).out;
    let chart = text.split("\ntrain.loss\n").nth(1).expect("a chart of the loss");
    assert!(chart.contains("* slow   + fast") && chart.contains("+----"), "{text}");
    assert!(!text.contains("\ntrain.accuracy\n"), "one value makes no line");
    assert!(text.is_ascii() && text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_reused_run_has_the_metrics_and_histories_of_the_run_that_made_them() {
    let project = project();
    train(&project, "first", "0.5");
    train(&project, "second", "0.5");
    let text = project.amlrun(&["metrics", "--plot"]).ended(0).out;
    assert!(text.contains("second") && text.contains("train.loss       0.125") && text.contains("* second"), "{text}");
}

#[test]
fn a_run_that_logged_nothing_says_how_to_log() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("a", "true")));
    project.run("pipeline.yml").ended(0);
    let none = project.amlrun(&["metrics", "r"]).ended(0);
    assert!(none.err.contains("mlflow.log_metric"), "{}", none.err);
}

#[test]
fn tables_fit_eighty_columns_and_say_what_they_leave_out() {
    let long = "a display name that is quite a bit longer than most of them are";
    let text =
        pipeline(&node("a", "true")) + &format!("display_name: {long}\nexperiment_name: an-experiment-of-mine\n");
    let project = Project::new().with("pipeline.yml", &text);
    for name in ["brave_fox_1a2b3c4d5e", "calm_owl_1a2b3c4d5e"] {
        project.amlrun(&["run", "pipeline.yml", "--name", name, "--quiet"]).ended(0);
    }
    let list = project.amlrun(&["job", "list", "-o", "table"]).ended(0);
    assert!(list.out.lines().all(|line| line.chars().count() <= 80), "{}", list.out);
    assert!(list.out.contains("brave_fox_1a2b3c4d5e") && list.out.contains("Completed"), "{}", list.out);
    assert!(list.err.contains("not shown in 80 columns: type") && list.err.contains("-o json"), "{}", list.err);
    let mut wide = project.command(&["job", "list", "-o", "table"]);
    wide.env("COLUMNS", "200");
    assert!(crate::support::Ran::of(wide).ended(0).out.contains(long));
}
