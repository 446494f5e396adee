//! The executor of this machine: bash, as on Azure ML (reference, section 7.1).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::sync::OnceCell;

use super::guard::{Guard, Watched};
use super::memory::OutOfMemory;
use super::{Ended, Ending, Executor, Launch, LineSink, Starter, StopWatch, ranks, read_only, strays, supervise};

/// Runs commands as processes of this machine.
#[derive(Debug, Default)]
pub struct LocalProcess {
    /// Children that were there before: `server & exec amlrun run …` is the shape of many an image's entry point.
    spared: Vec<i32>,
    /// The variable that all processes of this runner have and no others, when they are to be guarded.
    runner: Option<(String, String)>,
    /// Started before the first command; nothing when it could not be.
    guard: OnceLock<Option<Guard>>,
    bash: OnceLock<PathBuf>,
    /// Whether the kernel lets this program mount; asked when it first matters.
    mounts: OnceCell<bool>,
    pub(super) memory: OutOfMemory,
}

impl LocalProcess {
    /// An executor without a guard; one is enough for a runner.
    #[must_use]
    pub fn new() -> Self {
        let spared = strays::children();
        strays::adopt();
        Self { spared, ..Self::default() }
    }

    /// An executor whose processes end with this one, even when it is killed. For programs that become a guard when
    /// their first argument is [`super::guard::VERB`].
    #[must_use]
    pub fn guarded() -> Self {
        // No two runners have one number at one time.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let value = format!("{}-{}", std::process::id(), since.as_nanos());
        Self { runner: Some(("AMLRUN_RUNNER".to_owned(), value)), ..Self::new() }
    }

    /// Ends whatever the commands left behind that could not be found by their marks: every child of this process that
    /// there still is; the guard last. To be called when no command runs any more.
    pub fn end_strays(&self) {
        let guard = self.guard.get().and_then(Option::as_ref);
        let mut spared = self.spared.clone();
        spared.extend(guard.map(Guard::settle));
        strays::end_all(&spared);
        if let Some(guard) = guard {
            guard.dismiss();
        }
    }

    /// The variable that all processes get.
    pub(super) fn runner(&self) -> Option<&(String, String)> {
        self.runner.as_ref()
    }

    /// Has the guard look after a process that prints into that pipe, as long as the answer lives.
    pub(super) fn watch(&self, pipe: &impl std::os::fd::AsFd) -> Option<Watched<'_>> {
        let guard = self.guard()?;
        Some(guard.watch(nix::sys::stat::fstat(pipe).map_or(0, |about| about.st_ino)))
    }

    /// The guard, started when it is asked for first. That there is none is no reason not to run anything.
    pub(super) fn guard(&self) -> Option<&Guard> {
        let (name, value) = self.runner.as_ref()?;
        self.guard.get_or_init(|| Guard::start(&format!("{name}={value}")).ok()).as_ref()
    }

    /// Whether there are paths to protect, and they can be. Processes of one step that each had a view of their own could not
    /// share memory, so several get none.
    async fn can_mount(&self, paths: &[PathBuf]) -> bool {
        // Only a program with the verb can be started in place of a command.
        if paths.is_empty() || self.runner.is_none() {
            return false;
        }
        *self.mounts.get_or_init(|| supervise::succeeds(Path::new(supervise::OWN), read_only::trial(paths))).await
    }

    /// Bash under its full path: to start a program by its path is cheaper than to have it looked for each time.
    fn bash(&self) -> &Path {
        self.bash.get_or_init(|| on_path("bash", std::env::var_os("PATH")).unwrap_or_else(|| PathBuf::from("bash")))
    }
}

/// The kernel takes no single argument longer than 128 KiB; longer scripts go through a file.
const LONGEST_ARGUMENT: usize = 120 * 1024;

impl Executor for LocalProcess {
    async fn run(&self, launch: Launch, lines: LineSink, stop: StopWatch) -> Ended {
        let (program, mut arguments) = match launch.starter {
            Starter::Bash => (self.bash().to_owned(), Vec::new()),
            Starter::Mpirun { ranks, .. } => match mpirun(&launch, ranks).await {
                Ok(mpirun) => mpirun,
                Err(message) => return Ending::NotStarted(message).into(),
            },
        };
        let mut command = launch.command.clone();
        if let Starter::Mpirun { per_node, .. } = launch.starter {
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
        if launch.starter == Starter::Bash && launch.processes.len() == 1 && self.can_mount(&launch.read_only).await {
            let arguments = read_only::arguments(&launch.read_only, &program, arguments);
            return supervise::run(Path::new(supervise::OWN), &arguments, launch, lines, stop, self).await;
        }
        supervise::run(&program, &arguments, launch, lines, stop, self).await
    }
}

/// `mpirun` with the arguments that start so many ranks on one machine, whoever runs it.
async fn mpirun(launch: &Launch, ranks: u32) -> Result<(PathBuf, Vec<OsString>), String> {
    let own = launch.variables.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    let path = own.or_else(|| std::env::var_os("PATH"));
    let program = on_path("mpirun", path).ok_or(
        "its distribution is mpi, and mpirun is not installed: apt install openmpi-bin, or mpich (mpirun must be on PATH)",
    )?;
    let mut arguments = vec!["-n".into(), ranks.to_string().into()];
    // Hydra, which MPICH and Intel MPI have, asks for neither leave.
    let version = supervise::version(&program).await;
    if ["Open MPI", "OpenRTE", "PRRTE"].iter().any(|name| version.contains(name)) {
        arguments.extend(["--allow-run-as-root".into(), "--oversubscribe".into()]);
    }
    Ok((program, arguments))
}

fn on_path(program: &str, path: Option<OsString>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program =
        |file: &PathBuf| file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&path?).map(|folder| folder.join(program)).find(is_program)
}
