//! What goes wrong around a run, and what a person then sees.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::support::{Project, Ran, SmallDisk, lives, node, pipeline, skipped};

/// A named pipe in the project, and its path.
fn gate(project: &Project, name: &str) -> String {
    let path = project.path(name);
    mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn each_way_to_fail_has_its_sentence() {
    let cases = [
        ("exit", "exit 3", "exit code 3"),
        ("typo", "trian --fast", "the command 'trian' was not found"),
        ("script", "./train.sh", "the command './train.sh' was not found"),
        ("crash", "kill -SEGV $$", "SIGSEGV"),
        ("killed", "kill -9 $$", "SIGKILL"),
        ("inner", "bash -c 'kill -TERM $$'; exit $?", "ended by SIGTERM"),
        ("denied", "/dev/null", "not executable"),
    ];
    let project = Project::new();
    let nodes: String = cases.iter().map(|(name, command, _)| node(name, command)).collect();
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(1);
    let shown = project.shown();
    for (name, _, sentence) in cases {
        let error = shown["jobs"][name]["error"].as_str().unwrap_or_default();
        assert!(error.contains(sentence), "{name}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_killing_for_memory_is_told_from_any_other_kill() {
    let Some(group) = small_memory() else {
        skipped("no memory cgroup can be made here");
        return;
    };
    let project = Project::new();
    let hog = format!("echo $$ > {}/cgroup.procs; head -c 100M /dev/zero | tail > /dev/null", group.display());
    project.write("pipeline.yml", &pipeline(&node("hog", &hog)));
    let ran = project.run("pipeline.yml");
    std::fs::remove_dir(&group).unwrap();
    ran.ended(1);
    let error = project.shown()["jobs"]["hog"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("the kernel reports that the system ran out of memory"), "{error}");
}

/// A cgroup with 20 MiB, of either version.
fn small_memory() -> Option<std::path::PathBuf> {
    let name = format!("amlrun-test-{}", std::process::id());
    let limits = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
    limits.into_iter().find_map(|(root, limit)| {
        let group = Path::new(root).join(&name);
        std::fs::create_dir(&group).ok()?;
        if std::fs::write(group.join(limit), "20971520").is_err() {
            let _ = std::fs::remove_dir(&group);
            return None;
        }
        let _ = std::fs::write(group.join("memory.swap.max"), "0");
        Some(group)
    })
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_left_of_a_run_whose_runner_is_killed() {
    let project = Project::new();
    let held = gate(&project, "held");
    // One in the step's group, one that left it, and one in it that hides its environment: all hold the gate open.
    let steps = "exec 9> GATE; sleep 1000 & env -i sleep 1000 & setsid sleep 1000 & echo ready; exec sleep 1000";
    project.write("pipeline.yml", &pipeline(&node("long", &steps.replace("GATE", &held))));
    let reader = {
        let held = held.clone();
        std::thread::spawn(move || std::fs::File::open(held).unwrap().read_to_end(&mut Vec::new()))
    };
    let (mut child, events) = project.start_until(&["pipeline.yml"], "ready");
    child.kill().unwrap();
    child.wait().unwrap();
    // Its end comes when nobody has it open any more; so does that of the runner's output.
    assert_eq!(reader.join().unwrap().unwrap(), 0);
    assert_eq!(events.filter(|event| event["event"] == "run_finished").count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_whose_parent_is_killed_with_the_step_is_ended_too() {
    let project = Project::new();
    let up = gate(&project, "up");
    let command = format!(
        "bash -c \"setsid bash -c 'echo \\$\\$ > pid; echo > {up}; exec sleep 1000' & wait\" > /dev/null 2>&1 & read x < {up}"
    );
    project.write("pipeline.yml", &pipeline(&node("daemon", &command)));
    project.run("pipeline.yml").ended(0);
    assert!(!lives(project.read(".amlrun/runs/r/steps/daemon/wd/pid").trim()));
}

#[cfg(target_os = "linux")]
#[test]
fn whatever_a_step_prints_the_memory_stays_small() {
    let project = Project::new();
    let flood = "head -c 400M /dev/zero | tr '\\0' x; head -c 2M /dev/urandom; head -c 2M /dev/zero; \
                 echo; echo the end; grep VmHWM /proc/$PPID/status > peak";
    project.write("pipeline.yml", &pipeline(&node("flood", flood)));
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "r", "-q"]).ended(0);
    let peak = project.read(".amlrun/runs/r/steps/flood/wd/peak");
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 100_000, "{peak} kB");
    let log = project.path(".amlrun/runs/r/steps/flood/user_logs/std_log.txt");
    assert!(log.metadata().unwrap().len() < 300 << 20, "the log is bounded as well");
    let mut end = String::new();
    let mut log = std::fs::File::open(log).unwrap();
    std::io::Seek::seek(&mut log, std::io::SeekFrom::End(-8)).unwrap();
    log.read_to_string(&mut end).unwrap();
    assert_eq!(end, "the end\n", "{}", ran.err);
    let events = project.read(".amlrun/runs/r/events.jsonl");
    assert!(events.contains("its log has reached 256 MiB"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_step_goes_on_when_its_log_finds_no_room() {
    let project = Project::new();
    let Some(_disk) = SmallDisk::mount(&project) else { return };
    // The disk is full until the runner has read what was said.
    let heard = gate(&project, "heard");
    let command = format!("cat /dev/zero > filler 2> /dev/null; echo said; read x < {heard}; rm filler; echo on");
    project.write("pipeline.yml", &pipeline(&node("fill", &command)));
    let (mut child, events) = project.start_until(&["--home", "disk/ws", "pipeline.yml"], "said");
    std::fs::write(&heard, "go\n").unwrap();
    assert!(events.into_iter().any(|event| event["text"] == "on"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let record = project.read("disk/ws/runs/r/events.jsonl");
    assert_eq!(record.matches("its log can no longer be written: the disk is full").count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_that_cannot_be_written_is_told_at_the_end_and_stops_nothing() {
    let project = Project::new();
    let Some(_disk) = SmallDisk::mount(&project) else { return };
    // The second step is under way when the disk is full; the record of the third needs more than what is left.
    let (full, seen) = (gate(&project, "full"), gate(&project, "seen"));
    let other = project.path("disk/filler").display().to_string();
    let nodes = node("fill", &format!("cat /dev/zero > {other} 2> /dev/null; echo > {full}; read x < {seen}"))
        + &node("work", &format!("read x < {full}; echo worked > {}; echo > {seen}", project.path("made").display()))
        + &node("late", &format!(": {}", "x".repeat(10_000)));
    project.write("pipeline.yml", &pipeline(&nodes));
    let ran = project.amlrun(&["--home", "disk/ws", "run", "pipeline.yml", "--name", "r", "--jobs", "2"]);
    let ran = ran.ended(0);
    assert_eq!(project.read("made"), "worked\n");
    assert!(ran.out.contains("warning: the record of this run cannot be written"), "{}", ran.out);
    assert!(ran.err.contains("warning: the record of this run cannot be written"), "{}", ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
fn a_reader_that_is_satisfied_early_does_not_end_the_run() {
    let project = Project::new();
    let go = gate(&project, "go");
    project.write("pipeline.yml", &pipeline(&node("talk", &format!("echo ready; read x < {go}; seq 100000"))));
    for view in ["text", "jsonl"] {
        let mut command = project.command(&["run", "pipeline.yml", "--name", view, "--output", view, "--force-rerun"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        drop(lines);
        std::fs::write(&go, "go\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let log = project.read(&format!(".amlrun/runs/{view}/steps/talk/user_logs/std_log.txt"));
        assert!(log.ends_with("100000\n"));
    }
}

/// A run of a step that floods a terminal which no step reads; the other end of it.
fn on_a_terminal(project: &Project) -> (std::process::Child, OwnedFd) {
    let started = gate(project, "started");
    project.write("pipeline.yml", &pipeline(&node("flood", &format!("echo > {started}; yes"))));
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = project.command(&["run", "pipeline.yml", "--name", "r", "--grace", "1"]);
    command.env("TERM", "xterm").stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
    let child = command.spawn().unwrap();
    std::fs::read(&started).unwrap();
    (child, terminal.master)
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_takes_nothing_cannot_hold_up_the_end() {
    let project = Project::new();
    let (mut child, _master) = on_a_terminal(&project);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert_eq!(project.shown()["status"], "Canceled");
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_is_gone_ends_the_run_in_order() {
    let project = Project::new();
    let (mut child, master) = on_a_terminal(&project);
    drop(master);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGHUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert_eq!(project.shown()["status"], "Canceled");
}

#[test]
fn two_runners_share_a_workspace() {
    let project = Project::new();
    let (there, back) = (gate(&project, "there"), gate(&project, "back"));
    project.write("one.yml", &pipeline(&node("one", &format!("echo > {there}; read x < {back}"))));
    project.write("two.yml", &pipeline(&node("two", &format!("read x < {there}; echo > {back}"))));
    let start = |file: &str, name: &str| project.command(&["run", file, "--name", name, "-q"]).spawn().unwrap();
    let mut runners = [start("one.yml", "one"), start("two.yml", "two")];
    for runner in &mut runners {
        assert_eq!(runner.wait().unwrap().code(), Some(0));
    }
    let list = project.amlrun(&["job", "list"]).ended(0);
    assert_eq!(list.out.matches("Completed").count(), 2, "{}", list.out);
}

#[test]
fn a_clock_that_went_backwards_gives_no_negative_times() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    project.run("pipeline.yml").ended(0);
    let record = project.path(".amlrun/runs/r/events.jsonl");
    let lines = std::fs::read_to_string(&record).unwrap();
    let mut time = 2_000_000_000_000_i64;
    let back = lines.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        time -= 60_000;
        event["time"] = time.into();
        format!("{event}\n")
    });
    let back: String = back.collect();
    std::fs::write(&record, back).unwrap();
    let shown = project.shown().to_string();
    assert!(shown.contains("Completed") && !shown.contains("\":-"), "{shown}");
    let table: Ran = project.amlrun(&["job", "list", "-o", "table"]).ended(0);
    assert!(table.out.contains("Completed"), "{}", table.out);
}

#[test]
fn a_workspace_that_cannot_be_written_is_said_before_anything_runs() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    let ran = project.amlrun(&["--home", "/proc/amlrun", "run", "pipeline.yml"]).ended(1);
    assert!(ran.err.starts_with("error: ") && ran.err.contains("/proc/amlrun"), "{}", ran.err);
}
