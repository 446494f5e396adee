//! No record is lost: a workspace that is moved or copied stands on its own, a version is what was registered, names are
//! kept apart, and damage costs what is damaged.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Project, Ran, node, pipeline};

/// A pipeline with an input, an output that is handed on and one that becomes a model.
fn two_steps(project: &Project) {
    project.write("data/x", "1");
    let nodes = node("a", "cat ${{inputs.d}}/x > ${{outputs.o}}/r; cat ${{inputs.d}}/x > ${{outputs.m}}/model.txt")
        + "    inputs: {d: {type: uri_folder, path: ./data}}\n    outputs:\n      o: ${{parent.outputs.o}}\n"
        + "      m: {type: custom_model, name: mod}\n"
        + &node("b", "cat ${{inputs.i}}/r")
        + "    inputs: {i: {type: uri_folder, path: \"${{parent.jobs.a.outputs.o}}\"}}\n";
    project.write("pipeline.yml", &(pipeline(&nodes) + "outputs: {o: {type: uri_folder}}\n"));
}

/// `amlrun` in another folder than the project's.
fn at(folder: &Path, project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.current_dir(folder);
    Ran::of(command)
}

fn json(ran: Ran) -> Value {
    serde_json::from_str(&ran.ended(0).out).unwrap()
}

#[test]
fn a_moved_workspace_finds_its_own_files() {
    let project = Project::new();
    two_steps(&project);
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    let failing =
        pipeline(&node("c", "cat ok > ${{outputs.o}}/r").replace("    command", "    code: ./code\n    command"))
            + "    outputs: {o: {type: uri_folder}}\n";
    project.write("code/x", "");
    project.write("failing.yml", &failing);
    project.amlrun(&["run", "failing.yml", "--name", "broken", "--quiet"]).ended(1);
    let text = project.read(".amlrun/runs/one/events.jsonl") + &project.read(".amlrun/runs/one/plan.json");
    // The command is what the shell got; nothing else names where the project was.
    let root = project.path("").display().to_string();
    for line in text.lines().filter(|line| line.contains(root.trim_end_matches('/'))) {
        assert!(line.contains("\"step_started\""), "{line}");
    }
    let moved = project.path("").with_file_name("moved");
    std::fs::rename(project.path(""), &moved).unwrap();
    let on = |arguments: &[&str]| at(&moved, &project, arguments);
    assert_eq!(json(on(&["job", "show", "-n", "one"]))["status"], "Completed");
    on(&["job", "download", "-n", "one", "--all", "-p", "dl"]).ended(0);
    on(&["model", "download", "-n", "mod", "-p", "dl-model"]).ended(0);
    assert_eq!(std::fs::read_to_string(moved.join("dl-model/mod/model.txt")).unwrap(), "1");
    on(&["cp", "azureml://jobs/one/outputs/o", "out"]).ended(0);
    assert!(on(&["logs", "one"]).ended(0).out.ends_with("1"));
    let refused = on(&["run", "--resume", "one"]).ended(1);
    assert!(refused.err.contains("is complete"), "{}", refused.err);
    assert_eq!(json(on(&["job", "show", "-n", "one"]))["status"], "Completed");
    let again = on(&["run", "pipeline.yml", "--name", "two", "--quiet"]).ended(0);
    let shown = json(on(&["job", "show", "-n", "two"]));
    assert!(
        shown["jobs"]["a"]["reused_from"] == "one-a" && shown["jobs"]["b"]["reused_from"] == "one-b",
        "{}",
        again.out
    );
    // A run that failed before goes on with the code as it is now.
    std::fs::write(moved.join("code/ok"), "2").unwrap();
    on(&["run", "--resume", "broken", "--quiet"]).ended(0);
    on(&["cache", "gc"]).ended(0);
    on(&["job", "download", "-n", "one", "--all", "-p", "dl2"]).ended(0);
    std::fs::rename(&moved, project.path("")).unwrap();
}

#[test]
fn a_copied_workspace_stands_on_its_own() {
    let project = Project::new();
    two_steps(&project);
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    let copy = project.path("").with_file_name("copy");
    let copied = Command::new("cp").arg("-a").arg(project.path("")).arg(&copy).status().unwrap();
    assert!(copied.success());
    let on = |arguments: &[&str]| at(&copy, &project, arguments);
    on(&["run", "pipeline.yml", "--name", "two", "--quiet"]).ended(0);
    let shown = json(on(&["job", "show", "-n", "two"]));
    assert_eq!(shown["jobs"]["a"]["reused_from"], "one-a", "the same bytes are the same result");
    let path = shown["jobs"]["a"]["outputs"]["o"]["path"].as_str().unwrap();
    assert!(Path::new(path).starts_with(&copy), "{path} is the original's");
    let refused = on(&["run", "--resume", "one"]).ended(1);
    assert!(refused.err.contains("is complete"), "{}", refused.err);
    std::fs::rename(project.path(".amlrun"), project.path("gone")).unwrap();
    for run in ["one", "two"] {
        on(&["job", "download", "-n", run, "--all", "-p", &format!("dl-{run}")]).ended(0);
    }
    on(&["model", "download", "-n", "mod", "-p", "dl-model"]).ended(0);
    on(&["cache", "gc"]).ended(0);
    on(&["job", "download", "-n", "two", "--all", "-p", "after-gc"]).ended(0);
    std::fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn a_version_that_was_edited_in_the_store_is_never_served() {
    let project = Project::new();
    two_steps(&project);
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    project.write("given.txt", "data");
    project.amlrun(&["data", "create", "-n", "given", "-p", "given.txt", "--type", "uri_file"]).ended(0);
    let use_of = |kind: &str, asset: &str| {
        format!(
            "type: command\nenvironment: azureml:any@latest\ncommand: ls ${{{{inputs.m}}}}\n\
                 inputs: {{m: {{type: {kind}, path: 'azureml:{asset}:1'}}}}\n"
        )
    };
    project.write("use-model.yml", &use_of("custom_model", "mod"));
    project.write("use-data.yml", &use_of("uri_file", "given"));
    let shown = json(project.amlrun(&["model", "show", "-n", "mod", "-o", "json"]));
    let model = Path::new(shown["path"].as_str().unwrap()).join("model.txt");
    let data =
        json(project.amlrun(&["data", "show", "-n", "given", "-o", "json"]))["path"].as_str().unwrap().to_owned();
    // Touched, and as it was: nobody minds.
    for file in [model.as_path(), Path::new(&data)] {
        let text = std::fs::read(file).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
        std::fs::write(file, text).unwrap();
    }
    project.amlrun(&["model", "download", "-n", "mod", "-p", "same"]).ended(0);
    project.amlrun(&["run", "use-model.yml", "--name", "before", "--quiet"]).ended(0);
    for file in [model.as_path(), Path::new(&data)] {
        std::fs::write(file, "hacked").unwrap();
    }
    let attempts: [&[&str]; 7] = [
        &["model", "download", "-n", "mod", "-p", "dl"],
        &["data", "download", "-n", "given", "-p", "dl"],
        &["run", "use-model.yml", "--name", "model", "--quiet"],
        &["run", "use-data.yml", "--name", "data", "--quiet"],
        &["cp", "models:/mod/1", "out"],
        &["cp", "azureml:given:1", "out"],
        &["model", "inspect", "azureml:mod:1"],
    ];
    for arguments in attempts {
        let ran = project.amlrun(arguments);
        assert_ne!(ran.code, 0, "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains("differs from what was registered") && ran.err.contains("was changed"), "{}", ran.err);
    }
    let shown = project.amlrun(&["model", "show", "-n", "mod"]).ended(0);
    assert!(shown.err.contains("warning: the model asset 'mod:1' differs"), "{}", shown.err);
}

#[test]
fn two_jobs_never_share_a_name() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&(node("a", "true") + &node("b_2", "true"))));
    project.write("job.yml", "type: command\nenvironment: azureml:any@latest\ncommand: 'true'\n");
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    let refused = project.amlrun(&["run", "job.yml", "--name", "one-a"]).ended(1);
    assert!(refused.err.contains("a step of the run 'one' is already named 'one-a'"), "{}", refused.err);
    assert!(!project.path(".amlrun/runs/one-a").exists());
    project.amlrun(&["run", "job.yml", "--name", "one-c", "--quiet"]).ended(0);
    // The other way round: the step gets another name.
    project.amlrun(&["run", "job.yml", "--name", "two-a", "--quiet"]).ended(0);
    project.amlrun(&["run", "pipeline.yml", "--name", "two", "--force-rerun", "--quiet"]).ended(0);
    let shown = json(project.amlrun(&["job", "show", "-n", "two"]));
    assert_eq!(shown["jobs"]["a"]["name"], "two-a-2");
    assert_eq!(shown["jobs"]["b_2"]["name"], "two-b_2");
}

/// A step that logs numbers which JSON has no form for.
const LOGS: &str = r#"
import json, os, urllib.request as u
uri, token = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_TOKEN"]
for key, value in [("loss", "NaN"), ("high", "Infinity"), ("low", "-Infinity"), ("fine", 1.5)]:
    body = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "timestamp": 1}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + token}
    u.urlopen(u.Request(uri + "/api/2.0/mlflow/runs/log-metric", body, headers)).read()
"#;

#[test]
fn a_job_inherits_nothing_from_a_deleted_one_of_its_name() {
    let logs = node("a", "python3 log.py").replace("    command", "    code: ./src\n    command");
    let project = Project::new().with("src/log.py", LOGS).with("pipeline.yml", &pipeline(&logs));
    project.write("job.yml", "type: command\nenvironment: azureml:any@latest\ncommand: 'true'\n");
    let metrics = |name: &str| json(project.amlrun(&["job", "show", "-n", name]))["metrics"].clone();
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    assert_eq!(json(project.amlrun(&["job", "show", "-n", "one"]))["jobs"]["a"]["metrics"]["fine"], 1.5);
    project.amlrun(&["job", "delete", "-n", "one"]).ended(0);
    project.amlrun(&["run", "job.yml", "--name", "one-a", "--quiet"]).ended(0);
    assert!(metrics("one-a").as_object().is_none_or(serde_json::Map::is_empty), "{}", metrics("one-a"));
    let database = rusqlite::Connection::open(project.path(".amlrun/tracking.db")).unwrap();
    let logged = database.query_row("SELECT count(*) FROM metrics", [], |row| row.get::<_, i64>(0));
    assert_eq!(logged.unwrap(), 0);
}

#[test]
fn a_metric_that_is_not_a_number_leaves_the_record_readable() {
    let project = Project::new().with("src/log.py", LOGS);
    let logs = node("a", "python3 log.py").replace("    command", "    code: ./src\n    command");
    project.write("pipeline.yml", &pipeline(&logs));
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    let metrics = json(project.amlrun(&["job", "show", "-n", "one"]))["jobs"]["a"]["metrics"].clone();
    assert_eq!((&metrics["loss"], &metrics["fine"]), (&"NaN".into(), &1.5.into()), "{metrics}");
    project.amlrun(&["run", "pipeline.yml", "--name", "two", "--quiet"]).ended(0);
    let reused = json(project.amlrun(&["job", "show", "-n", "two"]))["jobs"]["a"].clone();
    assert_eq!((&reused["reused_from"], &reused["metrics"]["loss"]), (&"one-a".into(), &"NaN".into()));
    // As an earlier version wrote it.
    let record = project.read(".amlrun/runs/one/events.jsonl");
    assert!(record.contains("\"NaN\""), "{record}");
    project.write(".amlrun/runs/one/events.jsonl", &record.replace("\"NaN\"", "null"));
    let listed = project.amlrun(&["job", "list", "-o", "tsv"]).ended(0);
    assert!(listed.out.contains("one") && listed.out.contains("two") && listed.err.is_empty(), "{}", listed.err);
}

#[test]
fn one_damaged_line_costs_that_line_and_is_told() {
    let project = Project::new();
    two_steps(&project);
    project.amlrun(&["run", "pipeline.yml", "--name", "one", "--quiet"]).ended(0);
    let path = project.path(".amlrun/runs/one/events.jsonl");
    let whole = std::fs::read(&path).unwrap();
    let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
    for damaged in 0..lines {
        let mut bytes = Vec::new();
        for (number, line) in whole.split_inclusive(|byte| *byte == b'\n').enumerate() {
            bytes.extend_from_slice(line);
            if number == damaged {
                let at = bytes.len() - line.len() / 2;
                bytes[at] |= 0x80;
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let listed = project.amlrun(&["job", "list", "-o", "tsv"]).ended(0);
        assert!(listed.out.contains("one"), "line {damaged}: {}", listed.out);
        let told = format!("line cannot be read and is ignored: {}", damaged + 1);
        assert!(listed.err.contains(&told), "line {damaged}: {}", listed.err);
        let shown = project.amlrun(&["job", "show", "-n", "one"]).ended(0);
        let shown: Value = serde_json::from_str(&shown.out).unwrap();
        assert_eq!((&shown["type"], shown["jobs"].as_object().unwrap().len()), (&"pipeline".into(), 2));
        project.amlrun(&["logs", "one"]).ended(0);
        // What only the damaged line named is kept.
        project.amlrun(&["cache", "gc"]).ended(0);
        assert_eq!(project.read(".amlrun/store/v1/one.a.o/r"), "1");
    }
    std::fs::write(&path, whole).unwrap();
    project.amlrun(&["run", "pipeline.yml", "--name", "two", "--quiet"]).ended(0);
}

#[test]
fn a_registry_that_is_gone_or_empty_is_restored_and_that_is_told() {
    let project = Project::new();
    two_steps(&project);
    for name in ["one", "two"] {
        project.amlrun(&["run", "pipeline.yml", "--name", name, "--force-rerun", "--quiet"]).ended(0);
    }
    project.write("given.txt", "data");
    project.amlrun(&["data", "create", "-n", "given", "-p", "given.txt", "-v", "first", "--type", "uri_file"]).ended(0);
    let models = |name: &str| project.amlrun(&["model", "list", "-n", name, "-o", "json"]);
    let before = models("mod").ended(0).out;
    for damage in ["empty", "gone"] {
        for file in ["registry.db-wal", "registry.db-shm"] {
            let _ = std::fs::remove_file(project.path(".amlrun").join(file));
        }
        match damage {
            "empty" => std::fs::write(project.path(".amlrun/registry.db"), "").unwrap(),
            _ => std::fs::remove_file(project.path(".amlrun/registry.db")).unwrap(),
        }
        let after = models("mod").ended(0);
        assert!(after.err.contains("was missing or empty: 3 versions were restored"), "{damage}: {}", after.err);
        assert_eq!(after.out, before, "{damage}");
        assert!(models("mod").ended(0).err.is_empty(), "it is told once");
        project.amlrun(&["data", "download", "-n", "given", "-v", "first", "-p", damage]).ended(0);
    }
    project.amlrun(&["run", "pipeline.yml", "--name", "three", "--force-rerun", "--quiet"]).ended(0);
    let numbers = project.amlrun(&["model", "list", "-n", "mod", "--query", "[].version", "-o", "tsv"]).ended(0).out;
    assert_eq!(numbers, "3\n2\n1\n", "numbers are not given twice");
}
