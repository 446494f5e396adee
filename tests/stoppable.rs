//! Nothing hangs, nothing is lost by who ends early, and what was begun can always be ended.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::stub_blobs::Stub;
use crate::support::{Project, Ran, lives, node, pipeline, watchdog_of};

/// A command that would hang for ever where it is wrong: then it is killed, and its code is 137.
fn bounded(project: &Project, arguments: &[&str]) -> Ran {
    let amlrun = project.command(arguments);
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60"]).arg(amlrun.get_program()).args(amlrun.get_args());
    command.current_dir(project.path(""));
    for (name, value) in amlrun.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ran::of(command)
}

#[test]
fn what_a_background_process_prints_is_in_the_log() {
    let project = Project::new();
    // The first hears of the shell's end by the pipe, of which the shell has the only other end.
    let command = "mkfifo gate; (cat gate; echo A) & exec 3> gate; echo B";
    let nodes: String = (0..20).map(|number| node(&format!("s{number}"), command)).collect();
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(0);
    for number in 0..20 {
        assert_eq!(project.log(&format!("s{number}")), "B\nA\n");
    }
}

#[test]
fn a_job_in_the_background_runs_as_it_was_told() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "tr '\\0' '\\n' < /proc/$PPID/cmdline")));
    let told = ["--transfer-jobs=3", "--jobs=2", "--grace=7", "--only=say", "--force-rerun=say", "--name=r"];
    project.amlrun(&[&["job", "create", "-f", "pipeline.yml"][..], &told].concat()).ended(0);
    project.amlrun(&["job", "stream", "-n", "r"]).ended(0);
    let line = project.log("say");
    for argument in told {
        assert!(line.lines().any(|said| said == argument), "{argument} was dropped:\n{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_runner_is_stopped_can_be_cancelled() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("long", "echo $$ > pid; echo ready; exec sleep 1000")));
    let (mut child, _events) = project.start_until(&["pipeline.yml"], "ready");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGSTOP).unwrap();
    let ran = bounded(&project, &["job", "cancel", "-n", "r"]);
    if ran.code != 0 {
        child.kill().unwrap();
    }
    let ran = ran.ended(0);
    assert!(ran.err.contains("is suspended (SIGSTOP)") && ran.out == "r: Canceled\n", "{}{}", ran.err, ran.out);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!lives(project.read(".amlrun/runs/r/steps/long/wd/pid").trim()));
}

/// Whether a process has got the stop that was sent to it, and sleeps again as it did before.
#[cfg(target_os = "linux")]
fn has_been_stopped_and_sleeps(id: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let pending = u64::from_str_radix(&field("ShdPnd:"), 16).unwrap();
    pending >> (Signal::SIGSTOP as i32 - 1) & 1 == 0 && field("State:").starts_with('S')
}

#[cfg(target_os = "linux")]
#[test]
fn a_guard_that_dies_is_replaced_and_one_that_is_stopped_is_woken() {
    let project = Project::new();
    let held = project.path("held");
    mkfifo(&held, Mode::S_IRWXU).unwrap();
    // Nothing reports the state of a process, so it is looked at whenever the step prints a line.
    let ticks = format!("exec 9> {}; echo ready; for i in $(seq 3000); do echo $i; sleep 0.02; done", held.display());
    project.write("pipeline.yml", &pipeline(&node("long", &ticks)));
    // It reads the end when no process of the step holds the gate any more.
    let reader = std::thread::spawn(move || std::fs::read(held));
    let (mut child, mut events) = project.start_until(&["pipeline.yml"], "ready");
    let first = watchdog_of(&child).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    assert!(events.any(|_| watchdog_of(&child).is_some_and(|guard| guard != first)), "no other guard takes over");
    let second = watchdog_of(&child).unwrap();
    kill(second, Signal::SIGSTOP).unwrap();
    assert!(events.any(|_| has_been_stopped_and_sleeps(second)), "it is not woken");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(reader.join().unwrap().unwrap().is_empty());
}

#[test]
fn a_pipe_or_a_circle_in_what_a_file_names_is_not_waited_for() {
    let project = Project::new().with("context/Dockerfile", "FROM x\n").with("conda.yml", "name: x\n");
    let pipe = |name: &str| mkfifo(&project.path(name), Mode::S_IRWXU).unwrap();
    pipe("context/pipe");
    pipe("conda.pipe");
    pipe("component.pipe");
    for circle in ["context/one", "context/two"] {
        std::os::unix::fs::symlink(".", project.path(circle)).unwrap();
    }
    let job = |environment: &str| format!("type: command\ncommand: \"true\"\ncompute: x\nenvironment: {environment}\n");
    project.write("build.yml", &job("{build: {path: ./context}}"));
    project.write("pipe.yml", &job("{image: x, conda_file: ./conda.pipe}"));
    project.write("dockerfile.yml", &job("{build: {path: ./context, dockerfile_path: pipe}}"));
    project.write("component.yml", "type: pipeline\njobs:\n  a:\n    type: command\n    component: ./component.pipe\n");
    std::fs::create_dir(project.path("table")).unwrap();
    pipe("table/MLTable");
    let table = "inputs:\n  t: {type: mltable, path: ./table, mode: eval_mount}\n";
    project.write("table.yml", &format!("{}{table}", job("{image: x}")));
    for file in ["build.yml", "pipe.yml", "dockerfile.yml", "component.yml", "table.yml"] {
        for arguments in
            [&["job", "create", "--dry-run", "-f", file][..], &["validate", file], &["show", file], &["plan", file]]
        {
            assert_ne!(bounded(&project, arguments).code, 137, "{arguments:?} hangs");
        }
    }
    assert_eq!(bounded(&project, &["job", "create", "--dry-run", "-f", "build.yml"]).code, 0);
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    for (blobs, next) in
        [(3, (|_| "again".to_owned()) as fn(usize) -> String), (3, |n| n.to_string()), (0, |n| n.to_string())]
    {
        let stub = Stub::start(blobs, None);
        stub.never_ends(next);
        let root = format!("http://{}/mine", stub.address);
        let project = Project::new().with("amlrun.toml", &format!("[accounts.mine]\nendpoint = \"{root}\"\n"));
        let ran = bounded(&project, &["cp", &format!("{root}/box/d/"), "all"]).ended(1);
        assert!(ran.err.contains("does not end"), "{}", ran.err);
    }
}

#[test]
fn copies_that_were_never_registered_can_be_freed() {
    let project = Project::new().with("data/a.csv", "1\n").with("one.csv", "1\n");
    project.amlrun(&["data", "create", "-n", "kept", "-p", "data"]).ended(0);
    project.amlrun(&["data", "create", "-n", "file", "-p", "one.csv", "--type", "uri_file"]).ended(0);
    project.amlrun(&["model", "create", "-n", "net", "-p", "one.csv"]).ended(0);
    // What somebody leaves who is killed while copying, and before registering.
    let left = [
        "data/.amlrun-part-1-0/x",
        "data/calm_cat_0123456789/x",
        "models/created/calm_cat_0123456789/x",
        "runs/.amlrun-part-1-0/plan.json",
    ];
    let leave = || left.iter().for_each(|path| project.write(&format!(".amlrun/{path}"), &"x".repeat(100_000)));
    leave();
    let before = project.amlrun(&["cache", "gc", "--dry-run"]).ended(0);
    assert_eq!(before.out.lines().filter(|line| line.contains("incomplete")).count(), 4, "{}", before.out);
    // Somebody is copying: then all copies stay.
    let lock = std::fs::File::open(project.path(".amlrun/copying.lock")).unwrap();
    lock.lock_shared().unwrap();
    project.amlrun(&["cache", "gc"]).ended(0);
    assert!(project.path(".amlrun/data/calm_cat_0123456789").exists());
    drop(lock);
    project.amlrun(&["cache", "gc"]).ended(0);
    for path in left {
        assert!(!project.path(".amlrun").join(path).exists(), "{path}");
    }
    for (verb, name) in [("data", "kept"), ("data", "file"), ("model", "net")] {
        let path = project.amlrun(&[verb, "show", "-n", name, "-v", "1", "--query", "path", "-o", "tsv"]).ended(0);
        assert!(std::path::Path::new(path.out.trim()).exists(), "{name}");
    }
}

#[test]
fn copies_of_a_registry_that_was_lost_are_never_freed() {
    let project = Project::new().with("data/a.csv", "1\n");
    project.amlrun(&["data", "create", "-n", "kept", "-p", "data"]).ended(0);
    let path = ["data", "show", "-n", "kept", "-v", "1", "--query", "path", "-o", "tsv"];
    let path = std::path::PathBuf::from(project.amlrun(&path).ended(0).out.trim());
    for file in ["registry.db", "registry.db-wal", "registry.db-shm", "registry.jsonl"] {
        let _ = std::fs::remove_file(project.path(".amlrun").join(file));
    }
    project.amlrun(&["cache", "gc"]).ended(0);
    assert!(path.exists(), "there is no registry at all");
    // A new one knows nothing of it.
    project.write("b.csv", "2\n");
    project.amlrun(&["data", "create", "-n", "other", "-p", "b.csv", "--type", "uri_file"]).ended(0);
    project.amlrun(&["cache", "gc"]).ended(0);
    assert!(path.exists(), "it was made before the registry");
}

#[test]
fn a_run_that_died_before_its_first_event_gives_its_name_back() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("say", "echo hello")));
    for record in [None, Some("")] {
        let _ = std::fs::remove_dir_all(project.path(".amlrun/runs/r"));
        project.write(".amlrun/runs/r/plan.json", "{}");
        if let Some(record) = record {
            project.write(".amlrun/runs/r/events.jsonl", record);
        } else {
            let shown = project.amlrun(&["job", "show", "-n", "r"]).ended(1);
            assert!(
                shown.err.contains("never started") && shown.err.contains("you can use the same name"),
                "{}",
                shown.err
            );
        }
        project.amlrun(&["run", "pipeline.yml", "--name", "r", "--force-rerun"]).ended(0);
        assert_eq!(project.log("say"), "hello\n");
    }
    assert!(project.run("pipeline.yml").ended(1).err.contains("already exists"));
}
