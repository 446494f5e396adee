//! Going on with a run that stopped: `run --resume`.

use crate::support::{Project, node, pipeline};

fn project() -> Project {
    let nodes = node("a", "echo a > ${{outputs.o}}/f") + "    outputs: {o: }\n" + &node("b", "echo b");
    Project::new().with("pipeline.yml", &pipeline(&nodes))
}

#[test]
fn a_run_whose_runner_died_after_its_last_step_is_brought_to_its_end() {
    let project = project();
    project.run("pipeline.yml").ended(0);
    let record = project.read(".amlrun/runs/r/events.jsonl");
    let (before, last) = record.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("run_finished"), "{last}");
    project.write(".amlrun/runs/r/events.jsonl", &format!("{before}\n"));
    assert_eq!(project.shown()["status"], "NotResponding");
    project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert_eq!(project.shown()["status"], "Completed");
    let again = project.amlrun(&["run", "--resume", "r"]).ended(1);
    assert!(again.err.contains("is complete: there is nothing to resume"), "{}", again.err);
}

#[test]
fn a_run_that_has_no_record_never_began() {
    let project = project();
    project.run("pipeline.yml").ended(0);
    std::fs::remove_file(project.path(".amlrun/runs/r/events.jsonl")).unwrap();
    let ran = project.amlrun(&["run", "--resume", "r"]).ended(1);
    assert!(ran.err.contains("the run 'r' never started: run its job file again"), "{}", ran.err);
}

#[test]
fn a_signal_that_is_heard_after_the_end_changes_nothing() {
    let project = project();
    project.run("pipeline.yml").ended(0);
    let record = project.read(".amlrun/runs/r/events.jsonl");
    let last = r#"{"seq":99,"time":1795643581331,"event":"cancel_requested","by":"Ctrl-C"}"#;
    project.write(".amlrun/runs/r/events.jsonl", &format!("{record}{last}\n"));
    assert_eq!(project.shown()["status"], "Completed");
    project.amlrun(&["run", "--resume", "r"]).ended(1);
}
