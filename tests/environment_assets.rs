//! `amlrun environment`, and the disk space of environments.

use serde_json::Value;

use crate::environments::{command, project, run, step, written};
use crate::support::{Project, Ran, node, pipeline};

fn amlrun(project: &Project, arguments: &[&str]) -> Ran {
    Ran::of(command(project, arguments))
}

fn answer(project: &Project, arguments: &[&str]) -> Value {
    serde_json::from_str(&amlrun(project, arguments).ended(0).out).unwrap()
}

/// A step with a registered environment.
fn with(name: &str, reference: &str) -> String {
    let command = "python -c 'import tool; print(tool.VERSION)' > ${{outputs.r}}";
    let node = node(name, command).replace("azureml:any@latest", reference);
    format!("{node}    outputs: {{r: {{type: uri_file}}}}\n")
}

#[test]
fn a_registered_environment_is_what_jobs_name_and_stays_as_it_was() {
    let project = project("1.0");
    // A copy has no folder of wheels beside it.
    let text = project.read("conda.yml").replace("./wheels", &project.path("wheels").display().to_string());
    project.write("conda.yml", &text);
    project.write("env.yml", "name: my-env\nimage: python\nconda_file: conda.yml\ntags: {team: a}\n");
    let created = answer(&project, &["environment", "create", "-f", "env.yml"]);
    assert_eq!((created["id"].as_str(), created["tags"]["team"].as_str()), (Some("azureml:my-env:1"), Some("a")));
    let again = amlrun(&project, &["environment", "create", "-f", "env.yml", "-v", "1"]).ended(0);
    assert!(again.err.contains("already registered with this content"), "{}", again.err);
    project.write(
        "pipeline.yml",
        &pipeline(&format!("{}{}", with("a", "azureml:my-env:1"), with("b", "azureml:my-env@latest"))),
    );
    let plan = amlrun(&project, &["plan", "pipeline.yml"]).ended(0);
    assert!(plan.out.contains("environment 'my-env' (registered environment): 2 steps"), "{}", plan.out);
    // A run that is resumed keeps the version that was the latest when it began.
    let ready = project.path("ready");
    let waits = node("w", &format!("python -c 'import tool; print(tool.VERSION)' && test -e {}", ready.display()));
    project.write("waits.yml", &pipeline(&waits.replace("azureml:any@latest", "azureml:my-env@latest")));
    amlrun(&project, &["run", "waits.yml", "--name", "waits"]).ended(1);
    // The file changes, and the registered version does not.
    let options = ["environment", "create", "-n", "my-env", "--image", "python:3", "--conda-file", "conda.yml"];
    project.write("conda.yml", &text.replace("tool==1.0", "tool==9.9"));
    assert_eq!(answer(&project, &options)["version"], "2");
    assert_eq!(answer(&project, &options)["version"], "3");
    std::fs::write(ready, "").unwrap();
    let resumed = amlrun(&project, &["run", "--resume", "waits"]).ended(0);
    assert!(!resumed.out.contains("building") && resumed.out.contains("w | 1.0"), "{}", resumed.out);
    project.write("conda.yml", &text);
    assert_eq!(answer(&project, &options)["version"], "4");
    amlrun(&project, &["environment", "archive", "-n", "my-env", "-v", "3"]).ended(0);
    let listed = answer(&project, &["environment", "list", "-n", "my-env", "--query", "[].version"]);
    assert_eq!(listed, serde_json::json!(["4", "2", "1"]));
    let all =
        answer(&project, &["environment", "list", "-n", "my-env", "--include-archived", "--query", "[].archived"]);
    assert_eq!(all, serde_json::json!([false, true, false, false]));
    amlrun(&project, &["environment", "restore", "-n", "my-env"]).ended(0);
    assert_eq!(answer(&project, &["environment", "show", "-n", "my-env"])["version"], "4");
    let unknown = amlrun(&project, &["environment", "show", "-n", "my-evn"]).ended(3);
    assert!(unknown.err.contains("did you mean 'my-env'"), "{}", unknown.err);
    project.write("pipeline.yml", &pipeline(&with("b", "azureml:my-env@latest")));
    run(&project, "r").ended(0);
    assert_eq!(written(&project, "r", "b"), "1.0\n");
}

#[test]
fn an_environment_is_built_before_a_run_needs_it() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    let built = amlrun(&project, &["environment", "build", "-f", "conda.yml"]).ended(0);
    assert!(built.err.contains("building the environment 'tools' (conda file)"), "{}", built.err);
    assert!(built.out.contains("the environment 'tools' is ready after"), "{}", built.out);
    // The same by the job that needs it.
    let again = amlrun(&project, &["environment", "build", "-f", "pipeline.yml", "-o", "json"]).ended(0);
    assert!(!again.err.contains("building"), "{}", again.err);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again[0]["packages"]["tool"], "1.0");
    assert!(!run(&project, "r").ended(0).out.contains("building"));
    let listed = answer(&project, &["environment", "list", "--built", "--query", "[].[name, source]"]);
    assert_eq!(listed, serde_json::json!([["tools", "conda file"]]));
}

#[test]
fn curated_environments_are_listed_and_shown() {
    let project = Project::new();
    let names = answer(&project, &["environment", "list", "--curated", "--query", "[].name"]);
    assert!(names.as_array().unwrap().contains(&Value::from("sklearn-1.5")), "{names}");
    let shown = answer(&project, &["environment", "show", "-n", "sklearn-1.5"]);
    assert_eq!(shown["type"], "curated");
    assert!(shown["packages"].as_array().unwrap().iter().any(|line| line == "scikit-learn~=1.5.0"), "{shown}");
}

#[test]
fn environments_are_counted_and_removed_with_the_cache() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    run(&project, "r").ended(0);
    let du = amlrun(&project, &["cache", "du"]).ended(0);
    assert!(du.out.contains("built environments, shared by all workspaces"), "{}", du.out);
    assert!(!amlrun(&project, &["cache", "gc", "--older-than", "1", "--dry-run"]).ended(0).out.contains("environment"));
    let gc = amlrun(&project, &["cache", "gc", "--older-than", "0"]).ended(0);
    assert!(gc.out.contains("environment tools"), "{}", gc.out);
    assert_eq!(answer(&project, &["environment", "list", "--built"]), serde_json::json!([]));
    // What a killed build left goes without an age.
    let left = project.path("cache/amlrun/environments/v1/0123456789ab/env");
    std::fs::create_dir_all(&left).unwrap();
    let gc = amlrun(&project, &["cache", "gc"]).ended(0);
    assert!(gc.out.contains("incomplete environment") && !left.exists(), "{}", gc.out);
}
