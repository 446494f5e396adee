//! The rest of the road, against the project's own tracking server: register, fetch, evaluate, require.

use std::process::Command;

use serde_json::Value;

use crate::stage_house::Bench;
use crate::support::Ran;
use crate::tracking_house::{House, TOKEN};

/// A trained and persisted model, and a server to register it with.
fn ready() -> (Bench, House) {
    let bench = Bench::new();
    bench.train("c", "--epochs 40 --learning-rate 0.01").ended(0);
    bench.stage("persist --checkpoint c --model m").ended(0);
    let house = House::open(&bench.path(""));
    (bench, house)
}

fn at(house: &House, mut command: Command) -> Command {
    command.env("MLFLOW_TRACKING_URI", format!("http://{}", house.address)).env("MLFLOW_TRACKING_TOKEN", TOKEN);
    command
}

fn register(bench: &Bench, house: &House) -> Ran {
    Ran::of(at(house, bench.command("register --model m --name net --output r --tag team=blue --description good")))
}

#[test]
fn a_model_is_registered_fetched_and_scored() {
    let (bench, house) = ready();
    assert_eq!(register(&bench, &house).ended(0).out, "Model 'net' registered with model id: net:1\n");
    assert_eq!(register(&bench, &house).ended(0).out, "Model 'net' registered with model id: net:2\n");
    let version = house.ask("model-versions/get?name=net&version=2").json()["model_version"].clone();
    let tag = |key: &str| {
        let tags = version["tags"].as_array().unwrap();
        tags.iter().find(|tag| tag["key"] == key).map(|tag| tag["value"].as_str().unwrap().to_owned())
    };
    assert_eq!((tag("framework").as_deref(), tag("team").as_deref()), (Some("pytorch"), Some("blue")));
    assert!(tag("libtorch_version").unwrap().starts_with("2."));
    assert_eq!(version["description"], "good");

    // What is scored is what the registry holds: training's own output is gone.
    std::fs::remove_dir_all(bench.path("m")).unwrap();
    std::fs::remove_dir_all(bench.path("c")).unwrap();
    let words = "evaluate --registered r --data test.csv --report report --require accuracy>=0.8";
    let ran = Ran::of(at(&house, bench.command(words))).ended(0);
    assert!(ran.out.starts_with("fetched models:/net/2 from http://127.0.0.1:"), "{}", ran.out);
    let metrics: Value = serde_json::from_slice(&bench.read("report/metrics.json")).unwrap();
    assert_eq!((&metrics["model"], &metrics["metrics"]["rows"]), (&"net:2".into(), &30.0.into()));
    for picture in ["confusion_matrix.png", "roc_curve.png"] {
        assert!(bench.read(&format!("report/{picture}")).starts_with(b"\x89PNG"), "{picture}");
    }
    assert!(bench.text("report/report.md").contains("| `accuracy>=0.8` |"));
    let left: Vec<_> = std::fs::read_dir(bench.path("report")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "nothing of the fetched model is left: {left:?}");
    house.close();
}

#[test]
fn a_model_that_is_not_good_enough_fails_after_everything_is_written() {
    let (bench, house) = ready();
    register(&bench, &house).ended(0);
    let words =
        "evaluate --registered r/registered.json --data test.csv --report p --require accuracy>1 --require log_loss<9";
    let ran = Ran::of(at(&house, bench.command(words))).ended(1);
    assert!(ran.err.starts_with("error: requirements not met: required accuracy>1, but it is "), "{}", ran.err);
    assert!(bench.text("p/report.md").contains("**not met**"));
    let ran = Ran::of(at(&house, bench.command(&words.replace("accuracy", "acuracy")))).ended(1);
    assert!(ran.err.contains("did you mean 'accuracy'?") && ran.err.contains("recall_up"), "{}", ran.err);
    bench.write("strange.csv", "x,y,z,kind\n1,2,3,sideways\n");
    let ran = Ran::of(at(&house, bench.command("evaluate --registered r --data strange.csv --report p"))).ended(1);
    assert!(
        ran.err
            .contains("line 2, column 'kind': the class 'sideways' is not one of the classes of the model: down, up"),
        "{}",
        ran.err
    );
    house.close();
}

#[test]
fn training_metrics_arrive_at_the_run_that_the_step_was_given() {
    let (bench, house) = ready();
    let run = house.run();
    let mut command = at(&house, bench.command("train --data train.csv --label kind --checkpoint d --epochs 3"));
    command.env("MLFLOW_RUN_ID", &run);
    let ran = Ran::of(command).ended(0);
    assert_eq!(ran.err, "");
    let history = house.ask(&format!("metrics/get-history?run_id={run}&metric_key=validation_loss")).json();
    assert_eq!(history["metrics"].as_array().unwrap().len(), 3);
    let shown = house.ask(&format!("runs/get?run_id={run}")).json();
    assert_eq!(shown["run"]["info"]["status"], "RUNNING", "the run belongs to whoever gave it");
    house.close();
}

#[test]
fn a_wrong_token_is_told_and_never_shown() {
    let (bench, house) = ready();
    let mut command = at(&house, bench.command("register --model m --name net --output r"));
    command.env("MLFLOW_TRACKING_TOKEN", "s3cret");
    let ran = Ran::of(command).ended(1);
    assert!(ran.err.contains("the MLflow server refused") && ran.err.contains("401"), "{}", ran.err);
    assert!(!ran.err.contains("s3cret"));
    let ran = bench.stage("register --model m --name net --output r").ended(1);
    assert!(ran.err.contains("MLFLOW_TRACKING_URI is not set"), "{}", ran.err);
    house.close();
}
