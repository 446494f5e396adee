//! Tests of the executor for this machine, with real processes.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::stat::Mode;
use tokio::sync::watch;

use super::process::LocalProcess;
use super::*;

struct Ran {
    ending: Ending,
    lines: Vec<String>,
    log: String,
}

fn launch(command: &str, folder: &std::path::Path) -> Launch {
    Launch {
        command: command.to_owned(),
        cwd: folder.to_owned(),
        variables: vec![("GREETING".into(), "hello".into())],
        hidden: Arc::new([]),
        mounts: Vec::new(),
        marker: ("TEST_MARK".into(), folder.display().to_string()),
        processes: vec![RankProcess::only(folder.join("std_log.txt"))],
        launcher: Launcher::Bash,
        log_limit: LOG_LIMIT,
        secrets: Arc::new([]),
        timeout: None,
        grace: Duration::from_secs(20),
    }
}

fn observer(lines: LineSink) -> Observer {
    Observer { started: Arc::new(|_| {}), lines }
}

/// Runs a command; `on_line` may ask for a stop when it sees a line.
async fn ran(command: &str, timeout: Option<Duration>, stop_at: Option<(&'static str, Stop)>) -> Ran {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("std_log.txt");
    let launch = Launch { timeout, ..launch(command, root.path()) };
    let (asking, stop) = watch::channel(Stop::None);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mine = seen.clone();
    let sink: LineSink = Arc::new(move |shown| {
        let Shown::Line(line) = shown else { return };
        if let Some((_, how)) = stop_at.filter(|(at, _)| *at == line) {
            asking.send_replace(how);
        }
        mine.lock().unwrap().push(line);
    });
    let ending = LocalProcess::new().run(launch, observer(sink), stop).await.ending;
    let lines = seen.lock().unwrap().clone();
    Ran { ending, lines, log: std::fs::read_to_string(log).unwrap_or_default() }
}

#[tokio::test]
async fn output_of_both_streams_goes_to_log_and_watcher() {
    let ran = ran("echo $GREETING; echo oops >&2; exit 3", None, None).await;
    assert_eq!(ran.ending, Ending::Exited(3));
    assert_eq!(ran.lines, ["hello", "oops"]);
    assert_eq!(ran.log, "hello\noops\n");
}

#[tokio::test]
async fn the_observer_gets_the_group_of_the_process_before_its_lines() {
    let root = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (started, lines) = (seen.clone(), seen.clone());
    let observer = Observer {
        started: Arc::new(move |Handle::ProcessGroups(groups)| started.lock().unwrap().push(format!("{groups:?}"))),
        lines: Arc::new(move |shown| {
            if let Shown::Line(line) = shown {
                lines.lock().unwrap().push(line);
            }
        }),
    };
    let (_asking, stop) = watch::channel(Stop::None);
    let _ = LocalProcess::new().run(launch("echo [$$]", root.path()), observer, stop).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_signal_is_told() {
    assert_eq!(ran("kill -9 $$", None, None).await.ending, Ending::Signaled(9));
}

#[tokio::test]
async fn time_runs_out() {
    let limit = Duration::from_millis(50);
    assert_eq!(ran("sleep 600", Some(limit), None).await.ending, Ending::TimedOut(limit));
}

#[tokio::test]
async fn a_gentle_stop_lets_the_command_clean_up() {
    let script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    let ran = ran(script, None, Some(("ready", Stop::Graceful))).await;
    assert_eq!(ran.ending, Ending::Stopped);
    // Bash may add a line about the sleep that was killed with it.
    assert_eq!(ran.lines.last().map(String::as_str), Some("cleaned"));
}

#[tokio::test]
async fn the_grace_is_for_what_a_script_started_as_well() {
    let inner = "trap 'sleep 0.1; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let script = format!("true\nbash -c {inner:?}\ntrue");
    let ran = ran(&script, None, Some(("ready", Stop::Graceful))).await;
    assert_eq!(ran.ending, Ending::Stopped);
    assert!(ran.lines.contains(&"saved".to_owned()), "{:?}", ran.lines);
}

#[tokio::test]
async fn a_stop_now_ends_even_what_ignores_term() {
    let ran = ran("trap '' TERM; echo ready; sleep 600 & wait", None, Some(("ready", Stop::Forced))).await;
    assert_eq!(ran.ending, Ending::Stopped);
}

#[tokio::test]
async fn a_background_process_does_not_outlive_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let held = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&gate).unwrap();
    let ran = ran(&format!("exec 3> {}; sleep 600 & echo started", gate.display()), None, None).await;
    assert_eq!((ran.ending, ran.lines), (Ending::Exited(0), vec!["started".to_owned()]));
    // The kernel may need a moment to finish the kill. Then nobody has the other end of the pipe any more.
    let mut ends = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ends, 60_000_u16), Ok(1), "it is still running");
}

#[tokio::test]
async fn what_a_background_process_prints_after_the_shell_belongs_to_the_log() {
    // It detects the shell's end by the pipe, because the shell has the only other end.
    let script = "mkfifo gate; (cat gate; echo late) & exec 3> gate; echo early";
    for _ in 0..10 {
        let ran = ran(script, None, None).await;
        assert_eq!((ran.ending, ran.log.as_str()), (Ending::Exited(0), "early\nlate\n"));
    }
    let ran = ran("mkfifo gate; (cat gate; echo late) & exec 3> gate; exit 3", None, None).await;
    assert_eq!((ran.ending, ran.log.as_str()), (Ending::Exited(3), "late\n"));
}

#[tokio::test]
async fn a_script_longer_than_an_argument_may_be_runs_all_the_same() {
    let long = format!("# {}\necho done", "x".repeat(200_000));
    assert_eq!(ran(&long, None, None).await.lines, ["done"]);
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    assert_eq!(ran("trian --fast", None, None).await.ending, Ending::CommandNotFound("trian".into()));
    assert_eq!(ran("./train.sh", None, None).await.ending, Ending::CommandNotFound("./train.sh".into()));
    assert_eq!(ran("exit 127", None, None).await.ending, Ending::Exited(127));
}

#[tokio::test]
async fn who_stopped_itself_can_be_ended() {
    let script = "trap 'echo bye; exit 0' TERM; echo ready; kill -STOP $$; sleep 600";
    let ran = ran(script, None, Some(("ready", Stop::Graceful))).await;
    assert_eq!(ran.ending, Ending::Stopped);
    assert_eq!(ran.lines.last().map(String::as_str), Some("bye"));
}

#[tokio::test]
async fn who_closes_its_output_early_is_waited_for() {
    let ran = ran("echo on; exec > /dev/null 2>&1; sleep 0.05; exit 4", None, None).await;
    assert_eq!((ran.ending, ran.lines), (Ending::Exited(4), vec!["on".to_owned()]));
}

/// Runs a command in several processes; returns how it ended and what they printed, sorted.
async fn spread(distribution: &Distribution, nodes: u32, command: &str) -> (Ended, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    let (launcher, processes) = ranks::lay_out(Some(distribution), nodes, root.path()).unwrap();
    let launch = Launch { launcher, processes, ..launch(command, root.path()) };
    let (_asking, stop) = watch::channel(Stop::None);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mine = seen.clone();
    let sink: LineSink = Arc::new(move |shown| {
        if let Shown::Line(line) = shown {
            mine.lock().unwrap().push(line);
        }
    });
    let ended = LocalProcess::new().run(launch, observer(sink), stop).await;
    let mut lines = std::mem::take(&mut *seen.lock().unwrap());
    lines.sort();
    (ended, lines)
}

#[tokio::test]
async fn all_ranks_of_a_step_run_at_the_same_time() {
    // Rank 0 waits for rank 1 and the other way round. Whoever comes first makes the pipe.
    let meet = "mkfifo here 2>/dev/null; if [ $RANK = 0 ]; then echo hi > here; else read x < here; fi; \
                echo $RANK of $WORLD_SIZE";
    let (ended, lines) = spread(&Distribution::PyTorch { per_node: 1 }, 2, meet).await;
    assert_eq!(ended, Ending::Exited(0).into());
    assert_eq!(lines, ["[rank 0] 0 of 2", "[rank 1] 1 of 2"]);
}

#[tokio::test]
async fn the_first_rank_that_fails_ends_the_others_and_is_named() {
    let (ended, _) = spread(&Distribution::PyTorch { per_node: 3 }, 1, "[ $RANK = 1 ] && exit 7; sleep 600").await;
    assert_eq!((ended.ending, ended.process.as_deref()), (Ending::Exited(7), Some("rank 1")));
}

#[tokio::test]
async fn parameter_servers_end_with_their_workers() {
    let command = "case $TF_CONFIG in *'\"type\":\"ps\"'*) exec sleep 600;; esac; echo trained";
    let distribution = Distribution::TensorFlow { workers: Some(2), parameter_servers: 1 };
    let (ended, lines) = spread(&distribution, 1, command).await;
    assert_eq!(ended.ending, Ending::Exited(0));
    assert_eq!(lines, ["[worker 0] trained", "[worker 1] trained"]);
}

#[tokio::test]
async fn without_mpirun_it_is_said_what_to_install() {
    let root = tempfile::tempdir().unwrap();
    let (launcher, processes) = ranks::lay_out(Some(&Distribution::Mpi { per_node: 2 }), 1, root.path()).unwrap();
    let mut launch = Launch { launcher, processes, ..launch("true", root.path()) };
    launch.variables.push(("PATH".into(), root.path().display().to_string()));
    let (_asking, stop) = watch::channel(Stop::None);
    let ended = LocalProcess::new().run(launch, observer(Arc::new(|_| {})), stop).await;
    assert!(matches!(&ended.ending, Ending::NotStarted(why) if why.contains("openmpi-bin")), "{ended:?}");
}

#[tokio::test]
async fn a_log_that_reaches_its_limit_does_not_hold_up_the_step() {
    let root = tempfile::tempdir().unwrap();
    let launch = Launch { log_limit: 1000, ..launch("yes | head -c 2000000; echo the end", root.path()) };
    let (_asking, stop) = watch::channel(Stop::None);
    let ended = LocalProcess::new().run(launch, observer(Arc::new(|_| {})), stop).await;
    assert_eq!(ended.ending, Ending::Exited(0));
    assert!(ended.warnings[0].contains("reached 1000 bytes"), "{ended:?}");
    let log = std::fs::read_to_string(root.path().join("std_log.txt")).unwrap();
    assert!(log.len() < 300_000 && log.ends_with("the end\n"));
}

#[tokio::test]
async fn mpirun_starts_the_ranks_and_each_knows_which_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    // What a step sees of Open MPI: four ranks, one after the other.
    let stand_in = "#!/bin/bash\n[ $1 = --version ] && { echo 'mpirun (Open MPI) 4.1.4'; exit; }\n\
                    echo \"$1 $2 $3 $4\"; shift 4\n\
                    for r in 0 1 2 3; do OMPI_COMM_WORLD_RANK=$r \"$@\" || exit; done\n";
    let mpirun = root.path().join("mpirun");
    std::fs::write(&mpirun, stand_in).unwrap();
    std::fs::set_permissions(&mpirun, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (launcher, processes) = ranks::lay_out(Some(&Distribution::Mpi { per_node: 2 }), 2, root.path()).unwrap();
    let command = "echo $AZUREML_PROCESS_NAME on $NODE_RANK";
    let mut launch = Launch { launcher, processes, ..launch(command, root.path()) };
    launch.variables.push(("PATH".into(), format!("{}:/usr/bin:/bin", root.path().display())));
    let (_asking, stop) = watch::channel(Stop::None);
    let ended = LocalProcess::new().run(launch, observer(Arc::new(|_| {})), stop).await;
    assert_eq!(ended, Ending::Exited(0).into());
    let log = std::fs::read_to_string(root.path().join("std_log.txt")).unwrap();
    let said = "-n 4 --allow-run-as-root --oversubscribe\nrank_0 on 0\nrank_1 on 0\nrank_2 on 1\nrank_3 on 1\n";
    assert_eq!(log, said);
}
