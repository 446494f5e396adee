//! Stopping a run: Ctrl-C, TERM, and what a step may not leave behind.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::support::kill_watchdog_of;
use crate::support::{Project, Ran, lives, node, pipeline};

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
    // Nothing here needs a grace time: who waits for it after all processes have ended waits for ever.
    let (code, events) = stopped(&project, &["pipeline.yml", "--grace", "100000"], Signal::SIGTERM);
    assert_eq!(code, 143);
    // That somebody asked may be told after the end.
    let end = events.iter().find(|event| event["event"] == "run_finished").unwrap();
    assert_eq!(end["status"], "Canceled");
    let shown = project.shown();
    assert_eq!(shown["status"], "Canceled");
    assert_eq!(shown["jobs"]["after"]["error"], "the run was canceled before the step started");
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
fn these_tests_do_not_hang_in_the_background_of_a_shell() {
    // As a shell starts `cargo test &`. Where the signal is not heard nobody would end the step.
    let mut shell = Command::new("timeout");
    shell.args([
        "-s",
        "KILL",
        "60",
        "sh",
        "-c",
        "trap '' INT QUIT HUP; exec \"$0\" --exact cancel::ctrl_c_lets_a_step_clean_up",
    ]);
    let ran = Ran::of({
        shell.arg(std::env::current_exe().unwrap());
        shell
    });
    assert!(ran.code == 0 && ran.out.contains("1 passed"), "{}{}", ran.out, ran.err);
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

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_runner_and_guard_were_killed_does_not_respond() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("long", "echo $$ > pid; echo ready; exec sleep 1000")));
    let (mut child, _events) = project.start_until(&["pipeline.yml"], "ready");
    assert_eq!(project.shown()["status"], "Running");
    kill_watchdog_of(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(project.shown()["status"], "NotResponding");
    let pid = project.read(".amlrun/runs/r/steps/long/wd/pid");
    let canceled = project.amlrun(&["job", "cancel", "-n", "r"]).ended(0);
    assert!(canceled.out.contains("ended 1 orphaned process"), "{}", canceled.out);
    assert!(!lives(pid.trim()));
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_dead_runner_left_is_told_from_a_run_of_the_same_name_elsewhere() {
    let (here, elsewhere) = (Project::new(), Project::new());
    let mut runners = Vec::new();
    for project in [&here, &elsewhere] {
        project.write("pipeline.yml", &pipeline(&node("long", "echo $$ > pid; echo ready; exec sleep 1000")));
        runners.push(project.start_until(&["pipeline.yml"], "ready"));
    }
    for (runner, _) in &mut runners {
        kill_watchdog_of(runner);
        runner.kill().unwrap();
        runner.wait().unwrap();
    }
    let pid = |project: &Project| project.read(".amlrun/runs/r/steps/long/wd/pid").trim().to_owned();
    assert!(here.amlrun(&["job", "cancel", "-n", "r"]).ended(0).out.contains("ended 1 orphaned process"));
    assert!(!lives(&pid(&here)) && lives(&pid(&elsewhere)));
    assert!(elsewhere.amlrun(&["job", "cancel", "-n", "r"]).ended(0).out.contains("ended 1 orphaned process"));
    assert!(!lives(&pid(&elsewhere)));
}

#[test]
fn a_reader_that_does_not_read_cannot_keep_a_run_from_ending() {
    let project = Project::new();
    nix::unistd::mkfifo(&project.path("gate"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    // One step says that all is under way by another road than the output, which no step reads.
    let nodes =
        node("flood", "yes") + &node("tell", &format!("echo on > {}; exec sleep 1000", project.path("gate").display()));
    project.write("pipeline.yml", &pipeline(&nodes));
    let mut runner = project.command(&["run", "pipeline.yml", "--name", "r", "--jobs", "2", "--grace", "1"]);
    let mut child = runner.stdout(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(project.read("gate"), "on\n");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(project.shown()["status"], "Canceled");
}

#[test]
fn what_was_there_before_the_run_is_spared() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    let amlrun = project.command(&[]).get_program().to_string_lossy().into_owned();
    let script = format!("sleep 1000 > /dev/null 2>&1 & echo $! > server; exec {amlrun} run pipeline.yml -q");
    let status = Command::new("bash").args(["-c", &script]).current_dir(project.path(".")).status().unwrap();
    assert!(status.success());
    let server = project.read("server");
    assert!(lives(server.trim()), "it was there before the run and is none of its business");
    kill(Pid::from_raw(server.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
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
