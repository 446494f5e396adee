//! The watchdog: a second process that ends what a runner leaves when it is killed with SIGKILL.
//!
//! It is this program, started again before the first step. It holds the read end of a pipe, and only the runner has
//! the write end. The watchdog sleeps until the write end is closed, which the kernel does however the runner ends. A
//! step between fork and exec also has the write end (it is closed on exec), so no step can start unnoticed after
//! that. Then the watchdog kills the process groups in its list, a file without a name, and all other processes that
//! print into the pipe of a step or have the runner's marker in their environment. Before and
//! after that it runs the [`cleanups`], because a container is not a process of the runner. Then it ends. A runner that ends in order kills its watchdog, because
//! nothing is left to do. A watchdog that dies is replaced at once, and one that is stopped is woken.
//!
//! The list costs the runner two small writes per step and wakes no process.

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Seek as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::cleanups::{self, Cleanup, Cleanups};
use super::{orphans, spawn};

/// The hidden command that makes this program a watchdog; the marker (`NAME=value`) follows it.
pub const VERB: &str = "__watchdog";

/// The runner's side of its watchdog.
#[derive(Debug)]
pub(super) struct Watchdog {
    list: File,
    cleanups: Arc<Cleanups>,
    /// The free entries of the list, and the number of all entries.
    entries: Mutex<(Vec<u64>, u64)>,
    keeper: Arc<Keeper>,
    /// The thread that replaces a watchdog that died.
    restarter: Mutex<Option<JoinHandle<()>>>,
}

/// Keeps one watchdog running: one that dies is replaced by another, with the same list.
#[derive(Debug)]
struct Keeper {
    marker: String,
    list: File,
    cleanups: File,
    now: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    id: i32,
    /// Whether it must not be replaced.
    last: bool,
    // Closed last: if this is dropped without [`Watchdog::stop`], the watchdog does its work.
    _alive: PipeWriter,
}

/// If watchdogs are killed again and again, somebody does not want one.
const MOST_RESTARTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Keeper {
    fn start(marker: &str, list: &File, cleanups: &File) -> io::Result<Current> {
        let (ends, alive) = io::pipe()?;
        let process = spawn::beside([VERB, marker], list.try_clone()?, cleanups.try_clone()?, ends)?;
        Ok(Current { id: i32::try_from(process.id()).unwrap_or(0), last: false, _alive: alive })
    }

    /// Wakes a watchdog that is stopped and replaces one that died, until it is the last.
    fn keep(&self) {
        let mut restarts = 0;
        loop {
            let id = Pid::from_raw(self.lock().id);
            match waitpid(id, Some(WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(..)) => drop(kill(id, Signal::SIGCONT)),
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => {
                    let mut now = self.lock();
                    if now.last || restarts == MOST_RESTARTS {
                        return;
                    }
                    // Pause, so that a watchdog that dies at its start is not restarted in a tight loop.
                    std::thread::sleep(PAUSE);
                    let Ok(next) = Self::start(&self.marker, &self.list, &self.cleanups) else { return };
                    *now = next;
                    restarts += 1;
                }
                Ok(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of an entry: the number of the pipe that a process prints into, written before it starts, and its group,
/// written after. The process may have started others and ended before the runner writes down its group.
const ENTRY: usize = 2 * size_of::<u64>();

impl Watchdog {
    /// Starts a watchdog for the processes with that marker.
    pub(super) fn start(marker: &str) -> io::Result<Self> {
        let (list, cleanups) = (nameless()?, nameless()?);
        let now = Mutex::new(Keeper::start(marker, &list, &cleanups)?);
        let keeper =
            Keeper { marker: marker.to_owned(), list: list.try_clone()?, cleanups: cleanups.try_clone()?, now };
        let keeper = Arc::new(keeper);
        let kept = keeper.clone();
        let restarter = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || kept.keep())?;
        let restarter = Mutex::new(Some(restarter));
        Ok(Self { list, cleanups: Cleanups::new(cleanups), entries: Mutex::default(), keeper, restarter })
    }

    /// Lists a command that is to be run if the runner is killed, until the returned value is dropped.
    pub(super) fn clean_up(&self, command: &[String]) -> Cleanup {
        self.cleanups.add(command)
    }

    /// Stops replacing the current watchdog. Returns its process id, so that it is not killed as an orphan.
    pub(super) fn stop_replacing(&self) -> i32 {
        let mut now = self.keeper.lock();
        now.last = true;
        now.id
    }

    /// Lists a process that is about to be started, until the returned value is dropped.
    pub(super) fn watch(&self, pipe: u64) -> Watched<'_> {
        let mut entries = self.lock();
        let entry_number = entries.0.pop().unwrap_or_else(|| {
            entries.1 += 1;
            entries.1 - 1
        });
        let watched = Watched { watchdog: self, entry_number, pipe };
        watched.note(pipe, 0);
        watched
    }

    /// Kills the watchdog, after everything has ended in order.
    pub(super) fn stop(&self) {
        let _ = kill(Pid::from_raw(self.stop_replacing()), Signal::SIGKILL);
        let restarter = self.restarter.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = restarter.map(JoinHandle::join);
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u64>, u64)> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process on the watchdog's list.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    watchdog: &'a Watchdog,
    entry_number: u64,
    pipe: u64,
}

impl Watched<'_> {
    /// Adds the group of the process, which has been started and leads it.
    pub(super) fn leads(&self, group: Pid) {
        self.note(self.pipe, group.as_raw());
    }

    fn note(&self, pipe: u64, group: i32) {
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&pipe.to_ne_bytes());
        entry[8..12].copy_from_slice(&group.to_ne_bytes());
        // A process that could not be listed is found by its marker.
        let _ = self.watchdog.list.write_at(&entry, self.entry_number * ENTRY as u64);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.note(0, 0);
        self.watchdog.lock().0.push(self.entry_number);
    }
}

/// The work of the watchdog: its list is on stdin, the cleanups are on stdout, the pipe is on stderr. No signal of a
/// terminal or user ends it before its runner, except SIGKILL.
pub fn watch_over(marker: &str) {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGPIPE];
    let _ = signals.into_iter().collect::<SigSet>().thread_block();
    let pipe = io::stderr();
    let mut ends = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    // Without requested events, poll(2) reports only the end.
    while poll(&mut ends, PollTimeout::NONE) == Err(Errno::EINTR) {}
    let list = content(io::stdin().as_fd());
    let cleanups = cleanups::commands(&content(io::stdout().as_fd()));
    // First of all, because some end processes in order that a killed group would leave.
    cleanups::run(&cleanups);
    let mut pipes = Vec::new();
    for [p0, p1, p2, p3, p4, p5, p6, p7, g0, g1, g2, g3, ..] in list.as_chunks::<ENTRY>().0 {
        let group = i32::from_ne_bytes([*g0, *g1, *g2, *g3]);
        if group > 1 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        pipes.push(u64::from_ne_bytes([*p0, *p1, *p2, *p3, *p4, *p5, *p6, *p7]));
    }
    orphans::end_everywhere(marker, &pipes);
    if !cleanups.is_empty() {
        // A process of the runner, or a daemon that it asked, may have been about to make what they remove.
        std::thread::sleep(SECOND_LOOK);
        cleanups::run(&cleanups);
    }
}

/// How long after the processes of the runner are gone the cleanups run again.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The whole content of a file that another process writes.
fn content(file: BorrowedFd<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    if let Ok(file) = file.try_clone_to_owned() {
        let mut file = File::from(file);
        let _ = file.rewind().and_then(|()| file.read_to_end(&mut content));
    }
    content
}

/// A file in memory that has no name.
#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    let file = nix::sys::memfd::memfd_create("amlrun-groups", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(file))
}

/// A file that loses its name at once.
#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("amlrun-groups-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}
