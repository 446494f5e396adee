//! A part of a pipeline, a run that goes on, one step again: `--only`, `--from`, `--until`, `--resume`, `step rerun`,
//! retries.

use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::support::{Project, node, pipeline};

/// A command that writes its step's name into the file `ran` of the project.
fn noted(project: &Project, step: &str, command: &str) -> String {
    format!("echo {step} >> {}; {command}", project.path("ran").display())
}

/// `a`, then a pipeline `inner` of `x` and `y`, then `c`; and `lone`, which needs nothing.
fn nested() -> Project {
    let project = Project::new();
    let hand_on = |step: &str| {
        let command = "cat ${{inputs.i}} > ${{outputs.o}}; echo STEP >> ${{outputs.o}}".replace("STEP", step);
        node(step, &noted(&project, step, &command)) + "    outputs: {o: {type: uri_file}}\n"
    };
    let inner =
        "name: inner\nversion: 1\ntype: pipeline\ninputs: {i: {type: uri_file}}\noutputs: {o: {type: uri_file}}\n"
            .to_owned()
            + "jobs:\n"
            + &hand_on("x")
            + "    inputs: {i: \"${{parent.inputs.i}}\"}\n"
            + &hand_on("y").replace("{o: {type: uri_file}}", "{o: \"${{parent.outputs.o}}\"}")
            + "    inputs: {i: \"${{parent.jobs.x.outputs.o}}\"}\n";
    let jobs = node("a", &noted(&project, "a", "echo a > ${{outputs.o}}"))
        + "    outputs: {o: {type: uri_file}}\n"
        + "  inner:\n    type: pipeline\n    component: inner.yml\n    inputs: {i: \"${{parent.jobs.a.outputs.o}}\"}\n"
        + &hand_on("c")
        + "    inputs: {i: \"${{parent.jobs.inner.outputs.o}}\"}\n"
        + &node("lone", &noted(&project, "lone", "true"));
    project.write("inner.yml", &inner);
    project.write("pipeline.yml", &pipeline(&jobs));
    project
}

/// The steps that ran since this was last asked.
fn executed(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.path("ran")).unwrap_or_default();
    let _ = std::fs::remove_file(project.path("ran"));
    let mut steps: Vec<String> = text.lines().map(str::to_owned).collect();
    steps.sort();
    steps
}

fn chosen(project: &Project, name: &str, choice: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run", "pipeline.yml", "--name", name];
    arguments.extend(choice);
    project.amlrun(&arguments).ended(0);
    executed(project)
}

fn shown(project: &Project, run: &str) -> Value {
    let shown = project.amlrun(&["job", "show", "-n", run]).ended(0);
    serde_json::from_str(&shown.out).unwrap()
}

fn output(project: &Project, run: &str, step: &str, name: &str) -> PathBuf {
    shown(project, run)["jobs"][step]["outputs"][name]["path"].as_str().unwrap().into()
}

#[test]
fn only_these_steps() {
    let project = nested();
    assert_eq!(chosen(&project, "first", &["--only", "a,lone"]), ["a", "lone"]);
    let first = shown(&project, "first");
    assert_eq!(first["status"], "Completed");
    assert_eq!(first["jobs"]["c"]["error"], "it was not selected");
    assert_eq!(chosen(&project, "second", &["--only", "inner"]), ["x", "y"], "a's result is there");
    assert_eq!(chosen(&project, "third", &["--only=c"]), ["c"]);
    let made = output(&project, "third", "c", "o");
    assert_eq!(std::fs::read_to_string(made).unwrap(), "a\nx\ny\nc\n");
    assert!(chosen(&project, "fourth", &[]).is_empty(), "piece by piece it was all made");
}

#[test]
fn until_a_step_and_from_it() {
    let project = nested();
    assert_eq!(chosen(&project, "first", &["--until", "inner.x"]), ["a", "x"]);
    assert_eq!(chosen(&project, "second", &["--until", "inner"]), ["y"]);
    assert_eq!(chosen(&project, "third", &["--from", "inner"]), ["c"]);
    assert_eq!(chosen(&project, "fourth", &["--from", "inner.y", "--force-rerun"]), ["c", "y"]);
    assert_eq!(chosen(&project, "fifth", &["--from=inner", "--until=inner", "--force-rerun=inner"]), ["x", "y"]);
}

#[test]
fn a_plan_of_a_part_shows_the_part() {
    let project = nested();
    let plan = project.amlrun(&["plan", "pipeline.yml", "--until", "inner.x"]).ended(0);
    assert!(plan.out.ends_with("2 to run, 0 reused, 3 skipped\n"), "{}", plan.out);
    let plan = project.amlrun(&["plan", "pipeline.yml", "--until", "inner.x", "-o", "json", "--query", "[].step"]);
    assert_eq!(serde_json::from_str::<Value>(&plan.ended(0).out).unwrap(), json!(["a", "inner.x"]));
}

#[test]
fn a_step_without_what_it_needs_is_refused_before_anything_runs() {
    let project = nested();
    for choice in ["--only=c", "--from=c", "--only=a,c"] {
        let refused = project.amlrun(&["run", "pipeline.yml", choice]).ended(1);
        let message = "the step 'c' needs 'inner.y', which has no result to reuse";
        assert!(refused.err.contains(message) && refused.err.contains("--until c"), "{}", refused.err);
    }
    assert!(executed(&project).is_empty());
    assert_eq!(project.amlrun(&["job", "list"]).ended(0).out, "[]\n");
    let misspelt = project.amlrun(&["run", "pipeline.yml", "--only", "iner.y"]).ended(2);
    assert!(misspelt.err.contains("the step 'iner.y' does not exist; did you mean 'inner.y'?"), "{}", misspelt.err);
    // A result of other inputs is none.
    chosen(&project, "all", &[]);
    let text = project.read("pipeline.yml").replace("echo a > ", "echo b > ");
    project.write("pipeline.yml", &text);
    let refused = project.amlrun(&["run", "pipeline.yml", "--only", "inner.x"]).ended(1);
    assert!(refused.err.contains("the step 'inner.x' needs 'a'"), "{}", refused.err);
}

/// `make`, then `use`, whose script fails, then `last`.
fn failing() -> Project {
    let project = Project::new().with("src/use.sh", "echo half > $2; exit 3\n");
    let nodes = node("make", &noted(&project, "make", "echo made > ${{outputs.o}}"))
        + "    outputs: {o: {type: uri_file}}\n"
        + &node("use", &noted(&project, "use", "bash use.sh ${{inputs.i}} ${{outputs.o}}"))
        + "    code: src\n    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n    outputs: {o: {type: uri_file}}\n"
        + &node("last", &noted(&project, "last", "cat ${{inputs.i}}"))
        + "    inputs: {i: \"${{parent.jobs.use.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project
}

#[test]
fn a_run_goes_on_when_the_script_that_failed_is_mended() {
    let project = failing();
    project.run("pipeline.yml").ended(1);
    assert_eq!(executed(&project), ["make", "use"]);
    project.amlrun(&["run", "--resume", "r"]).ended(1);
    assert_eq!(executed(&project), ["use"], "it fails again, and what was made before it stays");
    project.write("src/use.sh", "cat $1 > $2; echo used >> $2\n");
    let resumed = project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert!(resumed.out.starts_with("run r resumed: 1 of 3 steps are already complete\n"), "{}", resumed.out);
    assert_eq!(executed(&project), ["last", "use"]);
    assert_eq!(project.log("last"), "made\nused\n");
    let job = project.shown();
    assert_eq!((&job["status"], &job["jobs"]["use"]["attempt"]), (&json!("Completed"), &json!(3)));
    assert_eq!(job["jobs"]["last"]["attempt"], 1);
    let complete = project.amlrun(&["run", "--resume", "r"]).ended(1);
    assert!(complete.err.contains("the run 'r' is complete"), "{}", complete.err);
    assert!(complete.err.contains("amlrun step rerun"), "{}", complete.err);
    // What the resumed run made counts for later ones.
    project.amlrun(&["run", "pipeline.yml", "--name", "again"]).ended(0);
    assert!(executed(&project).is_empty());
    let unknown = project.amlrun(&["run", "--resume", "agian"]).ended(3);
    assert!(unknown.err.contains("did you mean 'again'?"), "{}", unknown.err);
}

#[test]
fn a_finished_step_whose_output_was_touched_is_not_taken_for_finished() {
    let project = failing();
    project.run("pipeline.yml").ended(1);
    executed(&project);
    std::fs::remove_file(output(&project, "r", "make", "o")).unwrap();
    project.write("src/use.sh", "cat $1 > $2\n");
    let resumed = project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert!(
        resumed.err.contains("the outputs of 'make' are missing or were changed: it runs again"),
        "{}",
        resumed.err
    );
    assert_eq!(executed(&project), ["last", "make", "use"]);
    assert_eq!(project.log("last"), "made\n");
}

/// `done`, then `held`, which waits at a gate if there is one.
fn held() -> Project {
    let project = Project::new();
    let gate = project.path("gate").display().to_string();
    let wait = format!(
        "echo half > ${{{{outputs.o}}}}; echo ready; test ! -e {gate} || read x < {gate}; cat ${{{{inputs.i}}}}"
    );
    let nodes = node("done", &noted(&project, "done", "echo made > ${{outputs.o}}"))
        + "    outputs: {o: {type: uri_file}}\n"
        + &node("held", &noted(&project, "held", &wait))
        + "    inputs: {i: \"${{parent.jobs.done.outputs.o}}\"}\n    outputs: {o: {type: uri_file}}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    mkfifo(&project.path("gate"), Mode::from_bits_truncate(0o600)).unwrap();
    project
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_goes_on_when_its_runner_was_killed() {
    let project = held();
    let (mut child, _events) = project.start_until(&["pipeline.yml"], "ready");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(project.shown()["status"], "NotResponding");
    std::fs::remove_file(project.path("gate")).unwrap();
    assert_eq!(executed(&project), ["done", "held"]);
    project.amlrun(&["run", "--resume", "r"]).ended(0);
    assert_eq!(executed(&project), ["held"]);
    let job = project.shown();
    assert_eq!((&job["status"], &job["jobs"]["held"]["attempt"]), (&json!("Completed"), &json!(2)));
    assert_eq!(project.log("held"), "ready\nmade\n");
    let first = project.read(".amlrun/runs/r/steps/held/user_logs/attempt_1_std_log.txt");
    assert_eq!(first, "ready\n", "what the killed one printed is kept");
}

#[test]
fn a_run_that_is_under_way_cannot_be_taken_over() {
    let project = held();
    let (mut child, events) = project.start_until(&["pipeline.yml"], "ready");
    for verb in
        [&["run", "--resume", "r"] as &[&str], &["step", "rerun", "r", "done"], &["shell", "r", "held", "-c", "ls"]]
    {
        let refused = project.amlrun(verb).ended(1);
        assert!(refused.err.contains("the run 'r' is still running in another process"), "{verb:?}: {}", refused.err);
    }
    std::fs::write(project.path("gate"), "go\n").unwrap();
    drop(events);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn one_step_again_with_the_same_inputs() {
    let project = failing();
    project.write("src/use.sh", "cat $1 > $2; echo $AZUREML_RUN_ID >> $2\n");
    project.run("pipeline.yml").ended(0);
    assert_eq!(executed(&project), ["last", "make", "use"]);
    let old = output(&project, "r", "use", "o");
    project.write("src/use.sh", "cat $1 > $2; echo anew >> $2\n");
    project.amlrun(&["step", "rerun", "r", "use"]).ended(0);
    assert_eq!(executed(&project), ["use"], "this step alone");
    let new = output(&project, "r", "use", "o");
    assert_ne!(old, new);
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "made\nr-use\n", "what it wrote before stays");
    assert_eq!(std::fs::read_to_string(&new).unwrap(), "made\nanew\n");
    let job = project.shown();
    assert_eq!((&job["status"], &job["jobs"]["use"]["attempt"]), (&json!("Completed"), &json!(2)));
    assert_eq!(job["jobs"]["make"]["attempt"], 1);
    let why = project.amlrun(&["why", "r", "use"]).ended(0);
    assert_eq!(why.out, "use ran because it was requested with 'amlrun step rerun'\n");
    std::fs::remove_file(output(&project, "r", "make", "o")).unwrap();
    let without = project.amlrun(&["step", "rerun", "r", "use"]).ended(1);
    assert!(
        without.err.contains("'use' needs the outputs of 'make', which are missing or were changed"),
        "{}",
        without.err
    );
    project.amlrun(&["step", "rerun", "r", "make"]).ended(0);
    project.amlrun(&["step", "rerun", "r", "use"]).ended(0);
    let unknown = project.amlrun(&["step", "rerun", "r", "usse"]).ended(3);
    assert!(unknown.err.contains("did you mean 'use'?"), "{}", unknown.err);
}

#[test]
fn a_step_cannot_be_run_again_without_what_it_needs() {
    let project = failing();
    project.run("pipeline.yml").ended(1);
    let refused = project.amlrun(&["step", "rerun", "r", "last"]).ended(1);
    assert!(refused.err.contains("'last' depends on 'use', which did not complete in this run"), "{}", refused.err);
    assert!(refused.err.contains("amlrun run --resume r"), "{}", refused.err);
    project.write("src/use.sh", "cat $1 > $2\n");
    let rerun = project.amlrun(&["step", "rerun", "r", "use"]).ended(1);
    assert!(rerun.out.contains("✓ use"), "the step completes, the run is still without its last: {}", rerun.out);
    project.amlrun(&["run", "--resume", "r"]).ended(0);
}

#[test]
fn a_step_is_tried_again_as_often_as_the_project_says() {
    let project = Project::new().with("amlrun.toml", "[steps.flaky]\nretries = 2\n");
    let ran = project.path("ran").display().to_string();
    let flaky =
        format!("echo try >> {ran}; echo try $(wc -l < {ran}) | tee ${{{{outputs.o}}}}; test $(wc -l < {ran}) = 3");
    project.write("pipeline.yml", &pipeline(&(node("flaky", &flaky) + "    outputs: {o: {type: uri_file}}\n")));
    let tried = project.run("pipeline.yml").ended(0);
    for said in ["attempt 1 of 3 failed: exit code 1; retrying", "attempt 2 of 3 failed"] {
        assert!(tried.out.contains(said), "{}", tried.out);
    }
    assert_eq!(executed(&project).len(), 3);
    assert_eq!(project.shown()["jobs"]["flaky"]["attempt"], 3);
    assert_eq!(std::fs::read_to_string(output(&project, "r", "flaky", "o")).unwrap(), "try 3\n");
    assert_eq!(project.log("flaky"), "try 3\n");
    assert_eq!(project.read(".amlrun/runs/r/steps/flaky/user_logs/attempt_1_std_log.txt"), "try 1\n");
    let why = project.amlrun(&["why", "r", "flaky"]).ended(0);
    assert_eq!(why.out, "flaky ran because it has no earlier result\n");
}

#[test]
fn a_step_that_fails_each_time_fails_in_the_end() {
    let project = Project::new().with("amlrun.toml", "[steps.\"*\"]\nretries = 1\n");
    project.write("pipeline.yml", &pipeline(&node("bad", &noted(&project, "bad", "exit 7"))));
    let failed = project.run("pipeline.yml").ended(1);
    assert!(failed.out.contains("attempt 1 of 2 failed: exit code 7"), "{}", failed.out);
    assert_eq!(failed.out.matches("step 'bad' failed: exit code 7").count(), 1, "{}", failed.out);
    assert_eq!(executed(&project), ["bad", "bad"]);
    project.amlrun(&["run", "--resume", "r"]).ended(1);
    assert_eq!(executed(&project), ["bad", "bad"]);
    assert_eq!(project.shown()["jobs"]["bad"]["attempt"], 4);
}
