//! The main job: the example pipeline, with the real native stages, as a user runs it.

use std::path::Path;

use serde_json::Value;

use crate::support::Project;

/// The example's file, run from a folder of its own so that its workspace is fresh.
fn example() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/simple_net/pipeline.yml").display().to_string()
}

fn run(project: &Project, name: &str) -> Value {
    let home = project.path(".amlrun").display().to_string();
    let ran = project.amlrun(&["--home", &home, "run", &example(), "--name", name]).ended(0);
    assert!(ran.out.contains("metrics of evaluate: "), "{}", ran.out);
    let shown = project.amlrun(&["--home", &home, "job", "show", "-n", name]).ended(0);
    serde_json::from_str(&shown.out).unwrap()
}

#[test]
fn simple_net_goes_the_whole_road_and_a_second_run_registers_version_2() {
    let project = Project::new();
    let first = run(&project, "first");
    assert_eq!(first["status"], "Completed");
    assert_eq!(first["jobs"].as_object().unwrap().len(), 4);
    assert_eq!(first["jobs"]["register"]["assets"][0], "simple-torch-model:1");
    let accuracy = first["jobs"]["evaluate"]["metrics"]["accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.90, "test accuracy {accuracy}");
    let report = Path::new(first["outputs"]["report"]["path"].as_str().unwrap());
    for file in ["metrics.json", "report.md", "confusion_matrix.png", "roc_curve.png"] {
        assert!(report.join(file).is_file(), "{file} is missing");
    }

    let second = run(&project, "second");
    assert_eq!(second["jobs"]["register"]["assets"][0], "simple-torch-model:2");
    let model = |version: &str| -> Value {
        let shown = project.amlrun(&["model", "show", "-n", "simple-torch-model", "-v", version]).ended(0);
        serde_json::from_str(&shown.out).unwrap()
    };
    let bytes =
        |model: &Value| std::fs::read(Path::new(model["path"].as_str().unwrap()).join("model.safetensors")).unwrap();
    let (one, two) = (model("1"), model("2"));
    assert_eq!(bytes(&one), bytes(&two), "the same seed gives the same weights, bit for bit");
    assert_eq!(one["tags"]["framework"], "pytorch");
}

#[test]
fn a_model_that_is_not_good_enough_fails_its_step() {
    let project = Project::new();
    let home = project.path(".amlrun").display().to_string();
    let set = "inputs.min_accuracy=1.0";
    let short = "inputs.epochs=1";
    let ran =
        project.amlrun(&["--home", &home, "run", &example(), "--name", "r", "--set", set, "--set", short]).ended(1);
    assert!(ran.out.contains("step 'evaluate' failed: exit code 1"), "{}", ran.out);
}

#[test]
fn python_steps_stand_beside_native_ones() {
    let project = Project::new();
    let home = project.path(".amlrun").display().to_string();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/python_beside_native/pipeline.yml");
    project.amlrun(&["--home", &home, "run", &file.display().to_string(), "--name", "r"]).ended(0);
    let shown = project.shown();
    let summary = shown["outputs"]["summary"]["path"].as_str().unwrap();
    assert!(!std::fs::read_to_string(summary).unwrap().is_empty());
}
