//! The executor for this machine: bash, as on Azure ML (reference, section 7.1).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::sync::OnceCell;

use super::supervise::Supervisor;
use super::{
    Cleanup, Ended, Ending, Executor, Launch, Launcher, Observer, Running, StopWatch, orphans, ranks, read_only, spawn,
};
use crate::fs::program::on_path;

/// Runs commands as processes of this machine.
#[derive(Debug, Default)]
pub struct LocalProcess {
    /// Children that existed before: the entry point of an image often has the form `server & exec amlrun run …`.
    spared: Vec<i32>,
    supervisor: Supervisor,
    bash: OnceLock<PathBuf>,
    /// Whether the kernel lets this program mount; checked when it first matters.
    mounts: OnceCell<bool>,
}

impl LocalProcess {
    /// An executor without a watchdog. A runner needs only one executor with a watchdog.
    #[must_use]
    pub fn new() -> Self {
        let spared = orphans::children();
        orphans::adopt();
        Self { spared, ..Self::default() }
    }

    /// An executor whose processes end with this one, even when it is killed. For programs that become a watchdog
    /// when their first argument is [`super::watchdog::VERB`].
    #[must_use]
    pub fn watched() -> Self {
        Self { supervisor: Supervisor::watched(), ..Self::new() }
    }

    /// Kills processes that commands left behind and that no marker identified: every remaining child of this
    /// process, and the watchdog last. Call this when no command runs any more.
    pub fn end_orphans(&self) {
        self.supervisor.end_orphans(&self.spared);
    }

    /// Has a command run if this process is killed, until the returned value is dropped. `None` without a watchdog.
    pub fn clean_up(&self, command: &[String]) -> Option<Cleanup> {
        self.supervisor.clean_up(command)
    }

    /// Whether there are paths to protect and mounts are possible. Processes of one step with separate views of the
    /// file system could not share memory, so a distributed step gets no mounts.
    async fn can_mount(&self, paths: &[PathBuf]) -> bool {
        // Only a program with the hidden command can be started in place of a command.
        if paths.is_empty() || !self.supervisor.is_watched() {
            return false;
        }
        *self.mounts.get_or_init(|| spawn::succeeds(Path::new(spawn::OWN), read_only::trial(paths))).await
    }

    /// The full path of bash: starting a program by its path is cheaper than searching `PATH` each time.
    fn bash(&self) -> &Path {
        self.bash.get_or_init(|| on_path("bash", None).unwrap_or_else(|| PathBuf::from("bash")))
    }
}

/// The kernel accepts no single argument longer than 128 KiB. Longer scripts are passed as a file.
const LONGEST_ARGUMENT: usize = 120 * 1024;

impl Executor for LocalProcess {
    fn run(&self, launch: Launch, observer: Observer, stop: StopWatch) -> Running<'_> {
        Box::pin(self.start(launch, observer, stop))
    }
}

impl LocalProcess {
    async fn start(&self, launch: Launch, observer: Observer, stop: StopWatch) -> Ended {
        let (program, mut arguments) = match launch.launcher {
            Launcher::Bash => (self.bash().to_owned(), Vec::new()),
            Launcher::Mpirun { ranks, .. } => match mpirun(&launch, ranks).await {
                Ok(mpirun) => mpirun,
                Err(message) => return Ending::NotStarted(message).into(),
            },
        };
        let mut command = launch.command.clone();
        if let Launcher::Mpirun { per_node, .. } = launch.launcher {
            arguments.push(self.bash().into());
            command.insert_str(0, &ranks::mpi_preamble(per_node));
        }
        if command.len() < LONGEST_ARGUMENT {
            arguments.extend(["-c".into(), command.into()]);
        } else {
            let log = launch.processes.first().map_or(launch.cwd.as_path(), |process| &process.log);
            let script = log.with_file_name("command.sh");
            if let Err(error) = crate::secret::write_file(&script, &command) {
                return Ending::NotStarted(format!("cannot write {}: {error}", script.display())).into();
            }
            arguments.push(script.into());
        }
        let read_only = launch.read_only();
        if launch.launcher == Launcher::Bash && launch.processes.len() == 1 && self.can_mount(&read_only).await {
            let arguments = read_only::arguments(&read_only, &program, arguments);
            return self.supervisor.run(Path::new(spawn::OWN), &arguments, launch, observer, stop).await;
        }
        self.supervisor.run(&program, &arguments, launch, observer, stop).await
    }
}

/// `mpirun` with the arguments that start the ranks on one machine, also for root.
async fn mpirun(launch: &Launch, ranks: u32) -> Result<(PathBuf, Vec<OsString>), String> {
    let own = launch.variables.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_ref());
    let program = on_path("mpirun", own).ok_or(
        "its distribution is mpi, and mpirun is not installed: apt install openmpi-bin, or mpich (mpirun must be on PATH)",
    )?;
    let mut arguments = vec!["-n".into(), ranks.to_string().into()];
    // Hydra, the launcher of MPICH and Intel MPI, needs neither option.
    let version = spawn::version(&program).await;
    if ["Open MPI", "OpenRTE", "PRRTE"].iter().any(|name| version.contains(name)) {
        arguments.extend(["--allow-run-as-root".into(), "--oversubscribe".into()]);
    }
    Ok((program, arguments))
}
