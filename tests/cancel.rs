//! Stopping a run: Ctrl-C, TERM, and what a step may not leave behind.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Project, lives, node, pipeline};

/// Stops a running pipeline with a signal and gives its exit code and the last events.
fn stopped(project: &Project, arguments: &[&str], signal: Signal) -> (i32, Vec<Value>) {
    let (mut child, events) = project.start_until(arguments, "ready");
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    let events: Vec<Value> = events.collect();
    (child.wait().unwrap().code().unwrap(), events)
}

#[test]
fn term_ends_the_steps_and_says_so() {
    let project = Project::new();
    let long = "echo $$ > pid; sleep 1000 & echo $! >> pid; echo ready; wait";
    let nodes = node("long", long)
        + "    outputs: {o: }\n"
        + &node("after", "true")
        + "    inputs: {i: \"${{parent.jobs.long.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    let (code, events) = stopped(&project, &["pipeline.yml"], Signal::SIGTERM);
    assert_eq!(code, 143);
    assert_eq!(events.last().unwrap()["status"], "Canceled");
    let shown = project.shown();
    assert_eq!(shown["status"], "Canceled");
    assert_eq!(shown["jobs"]["after"]["error"], "the run was canceled before its turn came");
    for id in project.read(".amlrun/runs/r/steps/long/wd/pid").lines() {
        assert!(!lives(id), "process {id} is still there");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_does_not_outlive_its_step() {
    let project = Project::new();
    let daemon = "mkfifo up; setsid bash -c 'echo $$ > pid; echo > up; exec sleep 1000' > /dev/null 2>&1 & read x < up; echo ready";
    project.write("pipeline.yml", &pipeline(&node("daemon", daemon)));
    project.run("pipeline.yml").ended(0);
    assert!(!lives(project.read(".amlrun/runs/r/steps/daemon/wd/pid").trim()), "it left its group, but not its run");
}

#[test]
fn ctrl_c_lets_a_step_clean_up() {
    let project = Project::new();
    let tidy = "trap 'echo tidied; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    project.write("pipeline.yml", &pipeline(&node("tidy", tidy)));
    let (code, _) = stopped(&project, &["pipeline.yml"], Signal::SIGINT);
    assert_eq!(code, 130);
    assert!(project.log("tidy").ends_with("tidied\n"), "{}", project.log("tidy"));
    assert_eq!(project.shown()["jobs"]["tidy"]["status"], "Canceled");
}

#[cfg(target_os = "linux")]
#[test]
fn nohup_protects_a_run_from_the_terminal_closing() {
    let project = Project::new();
    nix::unistd::mkfifo(&project.path("gate"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let wait = format!("echo ready; read x < {}; echo on", project.path("gate").display());
    project.write("pipeline.yml", &pipeline(&node("wait", &wait)));
    let runner = project.command(&[]).get_program().to_owned();
    let mut child = Command::new("nohup")
        .arg(runner)
        .args(["run", "pipeline.yml", "--name", "r", "--output", "jsonl"])
        .current_dir(project.path("."))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.by_ref().any(|l| l.contains("\"ready\"")));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    std::fs::write(project.path("gate"), "go\n").unwrap();
    assert!(lines.last().unwrap().contains("\"Completed\""));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_step_that_ignores_term_is_killed() {
    let project = Project::new();
    let stubborn = "trap '' TERM; echo $$ > pid; echo ready; while :; do sleep 0.02; done";
    project.write("pipeline.yml", &pipeline(&node("stubborn", stubborn)));
    let (code, _) = stopped(&project, &["pipeline.yml", "--grace", "0"], Signal::SIGTERM);
    assert_eq!(code, 143);
    assert!(!lives(project.read(".amlrun/runs/r/steps/stubborn/wd/pid").trim()));
}

#[test]
fn a_run_whose_runner_was_killed_does_not_respond() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("long", "echo $$ > pid; echo ready; exec sleep 1000")));
    let (mut child, _events) = project.start_until(&["pipeline.yml"], "ready");
    assert_eq!(project.shown()["status"], "Running");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(project.shown()["status"], "NotResponding");
    let pid = project.read(".amlrun/runs/r/steps/long/wd/pid");
    let _ = Command::new("kill").args(["-9", pid.trim()]).status();
}

#[test]
fn job_cancel_stops_a_run_of_another_process() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("long", "echo ready; sleep 1000")));
    let (mut child, events) = project.start_until(&["pipeline.yml"], "ready");
    let canceled = project.amlrun(&["job", "cancel", "-n", "r"]).ended(0);
    assert_eq!(canceled.out, "r: Canceled\n");
    drop(events);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    project.amlrun(&["job", "cancel", "-n", "r"]).ended(1);
}
