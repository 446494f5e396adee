//! Workspaces that earlier versions made still open: their runs, results and assets.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Project, Ran};

/// A project with a workspace of the amlrun of that day: the runs `first` and `second` of a pipeline whose step `broken`
/// failed; `second` reused the others. Its programs are scripts of its own, so that results are valid on any machine.
fn made(day: &str) -> Project {
    let project = Project::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/workspaces/{day}.tar.gz"));
    let unpacked = Command::new("tar").arg("xzf").arg(kept).current_dir(project.path("")).status().unwrap();
    assert!(unpacked.success());
    project
}

fn amlrun(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.env_clear().env("PATH", project.path("bin")).env("HOME", project.path("home"));
    Ran::of(command)
}

#[test]
fn runs_results_and_assets_of_an_earlier_version_are_there() {
    let project = made("2026-11-27");
    let runs: Value = serde_json::from_str(&amlrun(&project, &["job", "list"]).ended(0).out).unwrap();
    let names: Vec<_> = runs.as_array().unwrap().iter().map(|run| (&run["name"], &run["status"])).collect();
    assert_eq!(format!("{names:?}"), r#"[(String("second"), String("Failed")), (String("first"), String("Failed"))]"#);
    let why = amlrun(&project, &["why", "second"]).ended(0).out;
    assert!(why.starts_with("make was reused: "), "{why}");

    let plan: Value =
        serde_json::from_str(&amlrun(&project, &["plan", "pipeline.yml", "-o", "json"]).ended(0).out).unwrap();
    let decisions: Vec<_> = plan.as_array().unwrap().iter().map(|step| step["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["reuse", "reuse", "run"], "{plan:#}");

    let data = amlrun(&project, &["data", "list", "--query", "[].id"]).ended(0).out;
    assert_eq!(data.trim(), "[\n  \"azureml:words:1\"\n]");
    amlrun(&project, &["data", "download", "-n", "words", "--version", "1", "-p", "out"]).ended(0);
}

#[test]
fn a_run_of_an_earlier_version_can_be_resumed() {
    let project = made("2026-11-27");
    project.write(".amlrun/store/v1/first.count.count/count.none", "");
    let resumed = amlrun(&project, &["run", "--resume", "first"]).ended(0).out;
    assert!(resumed.contains("2 of 3 steps are already complete"), "{resumed}");
    let shown = amlrun(&project, &["job", "show", "-n", "first", "--query", "status"]).ended(0).out;
    assert_eq!(shown.trim(), "\"Completed\"");
}
