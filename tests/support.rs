//! A folder of its own with YAML in it, and the real `amlrun` run there as a user would.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Once, mpsc};
use std::time::Duration;

use notify::Watcher as _;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// A project folder; its workspace is `.amlrun` in it.
pub struct Project {
    _folder: tempfile::TempDir,
    root: PathBuf,
}

/// What a finished `amlrun` left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Project {
    pub fn new() -> Self {
        Self::named("project")
    }

    /// A project in a folder with that name.
    pub fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join(name);
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("amlrun.toml"), "").unwrap();
        Self { _folder: folder, root }
    }

    pub fn with(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The file of credentials: beside the project, and gone with it.
    pub fn credentials(&self) -> PathBuf {
        self.root.with_file_name("credentials").join("credentials.json")
    }

    /// The person's own configuration, beside the project and gone with it.
    pub fn config(&self) -> PathBuf {
        self.root.with_file_name("config").join("config.toml")
    }

    /// The command, ready to be changed before it runs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        hear_signals();
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        let proxy = |name: &str| name.to_ascii_lowercase().ends_with("_proxy");
        let ours = |name: &str| name.starts_with("AMLRUN_") || name.starts_with("AZURE_") || proxy(name);
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1").env("LC_ALL", "C.UTF-8").env("AMLRUN_CREDENTIALS", self.credentials());
        // What is remembered of interpreters: for all tests, and not in the user's own cache.
        command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        // Files name environments that only a package index could provide.
        command.env("AMLRUN_ENVIRONMENT", "host");
        // Tests that are asked something have an answer.
        command.env_remove("CI");
        // The person's own files, beside the project and gone with it.
        command.env("AMLRUN_CONFIG", self.config()).env("XDG_STATE_HOME", self.root.with_file_name("state"));
        command
    }

    pub fn amlrun(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// `amlrun run` on a file under the name `r`.
    pub fn run(&self, file: &str) -> Ran {
        self.amlrun(&["run", file, "--name", "r"])
    }

    /// `amlrun job show` of the run `r`, as JSON.
    pub fn shown(&self) -> Value {
        let shown = self.amlrun(&["job", "show", "-n", "r"]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        serde_json::from_str(&shown.out).unwrap()
    }

    /// The log of a step of the run `r`.
    pub fn log(&self, step: &str) -> String {
        self.read(&format!(".amlrun/runs/r/steps/{step}/user_logs/std_log.txt"))
    }

    /// Starts a run under the name `r` and reads its JSON lines up to the one that a step printed.
    pub fn start_until(&self, arguments: &[&str], printed: &str) -> (Child, impl Iterator<Item = Value> + use<>) {
        let mut all = vec!["run", "--name", "r", "--output", "jsonl"];
        all.extend(arguments);
        self.start_with(self.command(&all), printed)
    }

    /// Starts a run that prints JSON lines, and reads them up to the one that a step printed.
    pub fn start_with(&self, mut command: Command, printed: &str) -> (Child, impl Iterator<Item = Value> + use<>) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        assert!(events.by_ref().any(|e| e["text"] == printed), "the step never printed '{printed}'");
        (child, events)
    }
}

impl Ran {
    pub fn of(mut command: impl std::borrow::BorrowMut<Command>) -> Self {
        let command = command.borrow_mut();
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Fails the test with everything that was printed unless the exit code is that one.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Has every started `amlrun` hear the signals that tests send. A job in a shell's background, and what `nohup` starts,
/// ignores some of them, its children do so as well, and `amlrun` respects that. Children of a process that catches a
/// signal start with its default.
fn hear_signals() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        for kind in [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()] {
            if ignored >> (kind.as_raw_value() - 1) & 1 == 1 {
                drop(signal(kind).unwrap());
            }
        }
    });
}

/// A pipeline from the lines of its `jobs:`, indented by two.
pub fn pipeline(jobs: &str) -> String {
    format!("type: pipeline\njobs:\n{jobs}")
}

/// An inline node that runs a command of one line.
pub fn node(name: &str, command: &str) -> String {
    format!("  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: {command:?}\n")
}

/// Waits until something is so that depends on the files in a folder: looks again at each change below it.
pub fn until_changed(folder: &Path, what: &str, is_so: impl Fn() -> bool) {
    let (changed, changes) = mpsc::channel();
    let tell = move |event: notify::Result<notify::Event>| {
        // Reading is no change. Otherwise a look would cause the next one.
        if !event.unwrap().kind.is_access() {
            let _ = changed.send(());
        }
    };
    let mut watcher = notify::recommended_watcher(tell).unwrap();
    loop {
        // Watched before the look, so that no change after it is missed. A folder may be gone meanwhile.
        for folder in walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_dir()) {
            let _ = watcher.watch(folder.path(), notify::RecursiveMode::NonRecursive);
        }
        if is_so() {
            return;
        }
        changes.recv_timeout(PATIENCE).expect(what);
        changes.try_iter().for_each(drop);
    }
}

/// How long a test waits for what it is sure of.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a process is there and is no zombie.
pub fn lives(id: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// The guard of a runner.
#[cfg(target_os = "linux")]
pub fn watchdog_of(runner: &Child) -> Option<nix::unistd::Pid> {
    let mark = format!("AMLRUN_RUNNER={}-", runner.id());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let guard = ids.find(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("__watchdog") && line.contains(&mark)
    });
    guard.map(nix::unistd::Pid::from_raw)
}

/// Stops a runner and kills its guard, so that what the runner leaves stays when it is killed next.
#[cfg(target_os = "linux")]
pub fn kill_watchdog_of(runner: &Child) {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(runner.id().cast_signed()), Signal::SIGSTOP).unwrap();
    kill(watchdog_of(runner).expect("the runner has a guard"), Signal::SIGKILL).unwrap();
}

/// Notes that the running test cannot check something on this machine. `make test` lists these notes at its end.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let list = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");
    let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
    writeln!(list, "{test}: {why}").unwrap();
}

/// A file system of 4 MB in the folder `disk` of a project, gone with the value.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nothing can be mounted.
    pub fn mount(project: &Project) -> Option<Self> {
        let place = project.path("disk");
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "amlrun-test"]).arg(&place).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(place));
        }
        skipped("no file system can be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
