//! Workspaces that another version of amlrun wrote: an older one's are read, a newer one's are refused in words.

use serde_json::{Value, json};

use crate::support::{Project, node, pipeline};

/// A run whose second step failed, as an amlrun without fingerprints and reuse would have left it.
fn old_run() -> Project {
    let project = Project::new().with("ok", "no");
    let check = format!("cat ${{{{inputs.i}}}}; grep -q yes {}", project.path("ok").display());
    let nodes = node("make", "echo made > ${{outputs.o}}; echo it >> $OLDPWD/ran")
        .replace("$OLDPWD", &project.path("").display().to_string())
        + "    outputs: {o: {type: uri_file}}\n"
        + &node("use", &check)
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(1);
    let events = project.read(".amlrun/runs/r/events.jsonl");
    let old = events.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let fields = event.as_object_mut().unwrap();
        for newer in ["because", "attempt"] {
            fields.remove(newer);
        }
        for output in fields.get_mut("outputs").and_then(Value::as_array_mut).into_iter().flatten() {
            output.as_object_mut().unwrap().remove("fingerprint");
        }
        format!("{event}\n")
    });
    let old: String = old.collect();
    project.write(".amlrun/runs/r/events.jsonl", &old);
    project.write(".amlrun/store/v1/r.make.o.seal.json", "{\"files\":[]}");
    std::fs::remove_dir_all(project.path(".amlrun/reuse")).unwrap();
    project
}

fn times_made(project: &Project) -> usize {
    project.read("ran").lines().count()
}

#[test]
fn an_older_run_is_listed_and_shown() {
    let project = old_run();
    let shown = project.shown();
    assert_eq!((&shown["status"], &shown["jobs"]["make"]["status"]), (&json!("Failed"), &json!("Completed")));
    let list = project.amlrun(&["job", "list", "--query", "[].name"]).ended(0);
    assert_eq!(serde_json::from_str::<Value>(&list.out).unwrap(), json!(["r"]));
    assert_eq!(project.amlrun(&["why", "r", "make"]).ended(0).out, "make ran\n");
    assert_eq!(project.amlrun(&["logs", "r", "use"]).ended(0).out, "made\n");
    project.amlrun(&["cache", "gc"]).ended(0);
    assert!(project.path(".amlrun/store/v1/r.make.o/o").exists());
    project.amlrun(&["job", "delete", "-n", "r"]).ended(0);
    assert!(!project.path(".amlrun/store/v1/r.make.o").exists());
}

#[test]
fn an_older_run_goes_on_and_its_outputs_are_believed() {
    let project = old_run();
    project.write("ok", "yes");
    let resumed = project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert!(resumed.err.contains("an older version of amlrun started this run"), "{}", resumed.err);
    assert_eq!(times_made(&project), 1);
    assert_eq!(project.shown()["status"], "Completed");
}

#[test]
fn an_older_run_s_output_of_another_size_is_not_believed() {
    let project = old_run();
    project.write("ok", "yes");
    std::fs::remove_file(project.path(".amlrun/store/v1/r.make.o/o")).unwrap();
    project.write(".amlrun/store/v1/r.make.o/o", "something longer\n");
    let resumed = project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert!(
        resumed.err.contains("the outputs of 'make' are missing or were changed: it runs again"),
        "{}",
        resumed.err
    );
    assert_eq!((times_made(&project), project.log("use").as_str()), (2, "made\n"));
}

#[test]
fn a_plan_of_another_version_is_told_and_not_guessed() {
    let project = old_run();
    let mut plan: Value = serde_json::from_str(&project.read(".amlrun/runs/r/plan.json")).unwrap();
    plan["steps"][0].as_object_mut().unwrap().remove("is_deterministic");
    project.write(".amlrun/runs/r/plan.json", &plan.to_string());
    for verb in
        [&["run", "--resume", "r"] as &[&str], &["step", "rerun", "r", "make"], &["shell", "r", "make", "-c", "ls"]]
    {
        let refused = project.amlrun(verb).ended(1);
        assert!(
            refused.err.contains("run its job file again: the plan is from another version of amlrun"),
            "{}",
            refused.err
        );
    }
    assert_eq!(project.shown()["status"], "Failed", "looking at it goes on as before");
}

#[test]
fn a_newer_workspace_is_refused_and_left_alone() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    project.run("pipeline.yml").ended(0);
    std::fs::create_dir(project.path(".amlrun/store/v2")).unwrap();
    for verb in [
        &["run", "pipeline.yml", "--name", "second"] as &[&str],
        &["plan", "pipeline.yml"],
        &["run", "--resume", "r"],
        &["why", "r"],
        &["job", "list"],
        &["job", "show", "-n", "r"],
        &["job", "delete", "-n", "r"],
        &["cache", "gc"],
        &["cache", "du"],
        &["model", "list"],
    ] {
        let refused = project.amlrun(verb).ended(1);
        let said = "store/v2: this workspace was written by a newer version of amlrun; nothing was changed";
        assert!(refused.err.contains(said), "{verb:?}: {}", refused.err);
    }
    assert!(project.path(".amlrun/runs/r").exists() && !project.path(".amlrun/runs/second").exists());
}

/// Says in a database of the workspace that a newer amlrun wrote it, in its header as SQLite keeps it.
fn newer(project: &Project, database: &str) {
    let file = project.path(&format!(".amlrun/{database}"));
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{beside}", file.display()));
    }
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_newer_database_is_refused_or_done_without() {
    let project = Project::new().with("m/w", "1");
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    project.amlrun(&["model", "create", "-n", "net", "-p", "m"]).ended(0);
    project.run("pipeline.yml").ended(0);
    newer(&project, "reuse/v1/reuse.db");
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "second"]).ended(0);
    assert!(ran.out.contains("no results are reused:") && ran.out.contains("newer amlrun (format 99"), "{}", ran.out);
    assert!(ran.out.contains("▶ say started"), "{}", ran.out);
    newer(&project, "registry.db");
    let refused = project.amlrun(&["model", "list"]).ended(1);
    assert!(refused.err.contains("registry.db: written by a newer amlrun (format 99"), "{}", refused.err);
    let untracked = project.amlrun(&["run", "pipeline.yml", "--name", "third"]).ended(0);
    assert!(untracked.out.contains("this run is not tracked:"), "{}", untracked.out);
}

#[test]
fn a_record_with_events_that_nobody_knows_is_told() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    project.run("pipeline.yml").ended(0);
    let record = project.read(".amlrun/runs/r/events.jsonl");
    let newer = record.replacen('\n', "\n{\"seq\":1,\"time\":0,\"event\":\"of_tomorrow\"}\n", 1);
    project.write(".amlrun/runs/r/events.jsonl", &newer);
    let shown = project.amlrun(&["job", "show", "-n", "r"]).ended(0);
    assert!(shown.out.contains("\"Completed\""), "{}", shown.out);
    let told = "events.jsonl: line cannot be read and is ignored: 2 (damaged, or written by a newer version of amlrun)";
    assert!(shown.err.contains(told), "{}", shown.err);
}
