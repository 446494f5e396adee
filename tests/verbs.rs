//! `shell`, `run --watch`, keeping runs in order, `cache`, `amlrun.toml`, and workspaces of other versions of amlrun.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Project, Ran, node, pipeline};

/// `make` writes what `use` reads.
fn two_steps() -> Project {
    let project = Project::new().with("src/make.sh", "echo $1 > $2/f; echo $GREETING; test -e go\n").with("src/go", "");
    let nodes = node("make", "bash make.sh ${{inputs.n}} ${{outputs.o}}")
        + "    code: src\n    inputs: {n: 5}\n    outputs: {o: }\n    environment_variables: {GREETING: hello}\n"
        + &node("use", "cat ${{inputs.i}}/f")
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project
}

fn json(project: &Project, arguments: &[&str]) -> Value {
    let ran = project.amlrun(arguments).ended(0);
    serde_json::from_str(&ran.out).unwrap()
}

fn names(project: &Project, more: &[&str]) -> Value {
    let mut arguments = vec!["job", "list", "--query", "sort([].name)"];
    arguments.extend(more);
    json(project, &arguments)
}

fn output(project: &Project, run: &str, step: &str) -> PathBuf {
    let shown = json(project, &["job", "show", "-n", run]);
    shown["jobs"][step]["outputs"]["o"]["path"].as_str().unwrap().into()
}

#[test]
fn a_shell_is_where_the_step_was() {
    let project = two_steps();
    std::fs::remove_file(project.path("src/go")).unwrap();
    project.run("pipeline.yml").ended(1);
    let look = "pwd; ls; echo $AZUREML_RUN_ID $GREETING $AZUREML_PARAMETER_n; echo $AZURE_ML_OUTPUT_o; echo \"$AMLRUN_COMMAND\"";
    let shell = project.amlrun(&["shell", "r", "make", "-c", look]).ended(0);
    let (wd, made) = (project.path(".amlrun/runs/r/steps/make/wd"), project.path(".amlrun/store/v1/r.make.o"));
    let expected = format!(
        "{}\nlogs\nmake.sh\noutputs\nr-make hello 5\n{made}\nbash make.sh 5 {made}\n",
        wd.display(),
        made = made.display()
    );
    assert_eq!(shell.out, expected);
    let again = project.amlrun(&["shell", "r", "make", "-c", "bash -c \"$AMLRUN_COMMAND\""]).ended(1);
    assert_eq!(again.out, "hello\n", "the command at hand");
    project.amlrun(&["shell", "r", "make", "-c", "touch go; bash -c \"$AMLRUN_COMMAND\""]).ended(0);
    assert_eq!(project.shown()["status"], "Failed", "nothing of it counts");
    let unknown = project.amlrun(&["shell", "r", "mkae", "-c", "ls"]).ended(3);
    assert!(unknown.err.contains("did you mean 'make'?"), "{}", unknown.err);
    let without = project.amlrun(&["shell", "r", "use", "-c", "ls"]).ended(1);
    assert!(without.err.contains("'use' depends on 'make', which did not complete"), "{}", without.err);
}

#[test]
fn a_shell_at_a_step_that_was_reused_or_completed() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    project.amlrun(&["run", "pipeline.yml", "--name", "second"]).ended(0);
    for run in ["r", "second"] {
        let shell = project.amlrun(&["shell", run, "use", "-c", "bash -c \"$AMLRUN_COMMAND\""]).ended(0);
        assert_eq!(shell.out, "5\n", "{}", shell.err);
        project.amlrun(&["shell", run, "make", "-c", "cat make.sh; exit 0"]).ended(0);
    }
    assert_eq!(std::fs::read_to_string(output(&project, "r", "make").join("f")).unwrap(), "5\n");
    assert!(!project.path(".amlrun/store/v1/second.make.o").exists(), "looking makes no output");
}

#[test]
fn a_change_starts_another_run() {
    let project = Project::new().with("in.txt", "one\n");
    let input = "    inputs: {i: {type: uri_file, path: in.txt}}\n";
    project.write("pipeline.yml", &pipeline(&(node("say", "cat ${{inputs.i}}") + input)));
    let mut command = project.command(&["run", "pipeline.yml", "--watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |wanted: &str| assert!(lines.by_ref().any(|line| line.contains(wanted)), "never: {wanted}");
    until("| one");
    until("watching for changes");
    project.write("in.txt", "two\n");
    until("in.txt changed");
    until("| two");
    until("watching for changes");
    // A file that is refused is told, and watched.
    let text = project.read("pipeline.yml");
    project.write("pipeline.yml", "type: pipelin\n");
    until("watching for changes");
    project.write("pipeline.yml", &text.replace("cat ${{inputs.i}}", "echo mended"));
    until("| mended");
    until("watching for changes");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("did you mean 'pipeline'?"));
    assert_eq!(names(&project, &[]).as_array().unwrap().len(), 3);
}

#[test]
fn archived_runs_are_out_of_sight_only() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    project.amlrun(&["run", "pipeline.yml", "--name", "second"]).ended(0);
    assert_eq!(project.amlrun(&["job", "archive", "-n", "r"]).ended(0).out, "r: archived\n");
    assert_eq!(names(&project, &[]), json!(["second"]));
    assert_eq!(names(&project, &["--include-archived"]), json!(["r", "second"]));
    assert_eq!(names(&project, &["--archived-only"]), json!(["r"]));
    assert_eq!(project.shown()["status"], "Completed");
    project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(0);
    project.amlrun(&["job", "restore", "-n", "r"]).ended(0);
    project.amlrun(&["job", "restore", "-n", "r"]).ended(0);
    assert_eq!(names(&project, &[]), json!(["r", "second"]));
    project.amlrun(&["job", "archive", "-n", "none"]).ended(3);
}

#[test]
fn a_deleted_run_leaves_what_others_refer_to() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    let made = output(&project, "r", "make");
    project.amlrun(&["run", "pipeline.yml", "--name", "second"]).ended(0);
    let deleted = project.amlrun(&["job", "delete", "-n", "r"]).ended(0);
    assert_eq!(deleted.out, "r: deleted\n");
    assert!(deleted.err.contains("r.make.o is kept: an asset or another run refers to it"), "{}", deleted.err);
    assert!(made.join("f").exists());
    assert_eq!(names(&project, &[]), json!(["second"]));
    project.amlrun(&["job", "show", "-n", "r"]).ended(3);
    project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(0);
    project.amlrun(&["job", "delete", "-n", "second"]).ended(0);
    let freed = project.amlrun(&["cache", "gc"]).ended(0);
    assert!(freed.out.contains("r.make.o"), "{}", freed.out);
    assert!(!made.exists());
    let plan = project.amlrun(&["plan", "pipeline.yml"]).ended(0);
    assert!(plan.out.ends_with("2 to run, 0 reused\n"), "{}", plan.out);
    project.amlrun(&["run", "pipeline.yml", "--name", "r"]).ended(0);
}

#[test]
fn an_asset_outlives_its_run() {
    let project = Project::new();
    let outputs = "    outputs: {o: {type: custom_model, name: net}, p: }\n";
    project.write(
        "pipeline.yml",
        &pipeline(&(node("train", "echo w > ${{outputs.o}}/w; echo x > ${{outputs.p}}/x") + outputs)),
    );
    project.run("pipeline.yml").ended(0);
    let deleted = project.amlrun(&["job", "delete", "-n", "r"]).ended(0);
    assert!(deleted.err.contains("r.train.o is kept") && !deleted.err.contains("r.train.p"), "{}", deleted.err);
    assert!(!project.path(".amlrun/store/v1/r.train.p").exists());
    project.amlrun(&["cache", "gc"]).ended(0);
    project.amlrun(&["model", "download", "-n", "net", "-p", "got"]).ended(0);
    assert_eq!(project.read("got/net/w"), "w\n");
    // Half of what the step wrote is gone: its result is none any more.
    let plan = project.amlrun(&["plan", "pipeline.yml"]).ended(0);
    assert!(plan.out.ends_with("1 to run, 0 reused\n"), "{}", plan.out);
}

#[test]
fn a_run_that_goes_on_is_not_deleted() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&(node("long", "echo ready; exec sleep 1000") + "    outputs: {o: }\n")));
    let (mut child, events) = project.start_until(&["pipeline.yml"], "ready");
    let refused = project.amlrun(&["job", "delete", "-n", "r"]).ended(1);
    assert!(
        refused.err.contains("the run 'r' is still running") && refused.err.contains("job cancel"),
        "{}",
        refused.err
    );
    project.amlrun(&["cache", "gc", "--older-than", "0"]).ended(0);
    assert!(project.path(".amlrun/store/v1/r.long.o").exists(), "what it is writing is left alone");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    drop(events);
    child.wait().unwrap();
    project.amlrun(&["job", "delete", "-n", "r"]).ended(0);
    assert!(!project.path(".amlrun/store/v1/r.long.o").exists());
}

#[test]
fn what_nobody_refers_to_goes_and_is_told_before() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    let half = node("half", "echo half > ${{outputs.o}}/f; exit 1") + "    outputs: {o: }\n";
    project.write("half.yml", &pipeline(&half));
    project.amlrun(&["run", "half.yml", "--name", "half"]).ended(1);
    project.write(".amlrun/store/v1/gone.step.o/f", "of a run that was removed by hand\n");
    let (whole, left) = (project.path(".amlrun/store/v1/r.make.o"), project.path(".amlrun/store/v1/half.half.o"));
    let told = project.amlrun(&["cache", "gc", "--dry-run"]).ended(0);
    for tree in ["half.half.o", "gone.step.o"] {
        assert!(told.out.contains(&format!("output {tree}\n")), "{}", told.out);
    }
    assert!(!told.out.contains("r.make.o") && told.out.contains("would free") && left.exists(), "{}", told.out);
    let done = project.amlrun(&["cache", "gc"]).ended(0);
    assert_eq!(done.out, told.out.replace("would free", "freed"), "what was told is what was done");
    assert!(whole.join("f").exists() && !left.exists());
    assert!(project.amlrun(&["cache", "gc"]).ended(0).out.starts_with("freed 0 B in total"));
    project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(0);
    let old = project.amlrun(&["cache", "gc", "--older-than", "0", "--dry-run"]).ended(0);
    assert!(old.out.contains("run r\n") && old.out.contains("run half\n"), "{}", old.out);
}

#[test]
fn the_size_of_a_workspace_is_told() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    let du = project.amlrun(&["cache", "du"]).ended(0);
    for place in ["runs", "outputs", "models", "reuse", ".amlrun"] {
        assert!(du.out.contains(place), "{}", du.out);
    }
    let du = json(&project, &["cache", "du", "-o", "json"]);
    let outputs = du.as_array().unwrap().iter().find(|row| row["name"] == "outputs").unwrap();
    assert_eq!(outputs["files"], 1);
}

#[test]
fn an_unknown_word_in_the_project_s_file_is_told_with_its_place() {
    let project = two_steps();
    for (text, place, said) in [
        ("jobs = 2\njbos = 3\n", "amlrun.toml:2:1", "unknown field `jbos`"),
        ("[steps.make]\nretrys = 2\n", "amlrun.toml:2:1", "unknown field `retrys`"),
        ("grace = \"long\"\n", "amlrun.toml:1:9", "invalid type"),
        ("jobs = \n", "amlrun.toml:1:", ""),
    ] {
        project.write("amlrun.toml", text);
        for verb in [&["run", "pipeline.yml"] as &[&str], &["plan", "pipeline.yml"]] {
            let refused = project.amlrun(verb).ended(1);
            assert!(refused.err.contains(place) && refused.err.contains(said), "{}", refused.err);
        }
    }
    project.write("amlrun.toml", "[steps.make]\nretrys = 2\n");
    let refused = project.amlrun(&["run", "pipeline.yml"]).ended(1);
    for known in ["timeout", "retries", "slots", "policy"] {
        assert!(refused.err.contains(known), "{}", refused.err);
    }
    assert!(!project.path(".amlrun/runs").exists());
}

#[test]
fn a_python_is_there_where_the_machine_has_only_python3() {
    let project = Project::new();
    let bin = project.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("python3"), "#!/bin/sh\necho \"the python of this machine: $*\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("python3"), mode).unwrap();
    for tool in ["bash", "sh", "env", "cat"] {
        let place = ["/bin", "/usr/bin"].map(|folder| PathBuf::from(folder).join(tool));
        std::os::unix::fs::symlink(place.iter().find(|p| p.exists()).unwrap(), bin.join(tool)).unwrap();
    }
    project.write("pipeline.yml", &pipeline(&node("say", "python -V && python3 x")));
    let mut command = project.command(&["run", "pipeline.yml", "--name", "r"]);
    let ran = Ran::of({
        command.env("PATH", &bin);
        command
    })
    .ended(0);
    assert_eq!(project.log("say"), "the python of this machine: -V\nthe python of this machine: x\n");
    let note =
        format!("note: steps use the Python of this machine instead of their environments: {}/python3", bin.display());
    assert!(ran.out.contains(&note), "{}", ran.out);
}

/// A run of a failing step on a terminal, up to the question whether a shell is wanted; the other end of the terminal.
fn asked_for_a_shell(project: &Project) -> (std::process::Child, BufReader<std::fs::File>) {
    let variables = "    environment_variables: {MODE: fast}\n";
    project.write("pipeline.yml", &pipeline(&(node("bad", "echo said; exit 3") + variables)));
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = project.command(&["run", "pipeline.yml", "--name", "r"]);
    command.env("TERM", "xterm").env("HOME", project.path("")).stdin(terminal.slave.try_clone().unwrap());
    let child = command.stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave).spawn().unwrap();
    let mut master = BufReader::new(std::fs::File::from(terminal.master));
    until(&mut master, "open a shell in the environment of the step 'bad'? [y/N] ");
    (child, master)
}

/// Reads what a terminal shows up to a text.
fn until(terminal: &mut impl std::io::Read, wanted: &str) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(wanted.as_bytes()) {
        let read = terminal.read(&mut byte);
        assert!(read.is_ok_and(|count| count == 1), "never: {wanted}\n{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_shell_is_offered_after_a_failure_on_a_terminal() {
    let project = Project::new();
    let (mut child, mut terminal) = asked_for_a_shell(&project);
    let typed = b"y\necho mode $MODE $((6 * 7))\nagain\necho code $?; exit\n";
    std::io::Write::write_all(terminal.get_mut(), typed).unwrap();
    for shown in ["shell in the step 'bad' of r: 'again' runs its command", "mode fast 42", "said", "code 3"] {
        until(&mut terminal, shown);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1), "the run failed all the same");
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_is_an_answer_to_a_question() {
    let project = Project::new();
    let (mut child, _terminal) = asked_for_a_shell(&project);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(project.shown()["status"], "Failed");
}

#[test]
fn the_project_s_file_is_found_from_a_folder_below_it() {
    let project = Project::new().with("amlrun.toml", "[steps.look]\npolicy = \"skip\"\n");
    project.write("sub/job.yml", &pipeline(&node("look", "echo looked")));
    let mut command = project.command(&["plan", "job.yml"]);
    command.current_dir(project.path("sub"));
    let ran = Ran::of(command).ended(0);
    assert!(ran.out.contains("look  skip"), "{}", ran.out);
}

#[test]
fn a_setting_under_its_former_name_works_with_a_note() {
    let project = Project::new().with("amlrun.toml", "[transfer]\npatience = 7\n");
    project.write("pipeline.yml", &pipeline(&node("a", "true")));
    let ran = project.run("pipeline.yml").ended(0);
    assert_eq!(ran.err.matches("'patience' in [transfer] was renamed to 'retry_timeout'").count(), 1, "{}", ran.err);
}
