//! The guard: a second process that ends what a runner leaves when it is killed with SIGKILL.
//!
//! It is this very program, started once more before the first step. It holds the read end of a pipe that only the
//! runner has the write end of, and sleeps until that end is closed: the kernel does it whatever happens to the runner.
//! A step between fork and exec has the end as well (it is closed on exec), so that nothing can start unseen after
//! that. Then the guard kills the process groups that are listed in a file without a name, whoever else writes into the
//! pipe of a step or has the runner's mark in its environment, and ends. A runner that ends in order kills its guard: nothing is left to do.
//! A guard that is ended itself is replaced at once, and one that is stopped is woken.
//!
//! The list costs the runner two small writes a step and wakes nobody.

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{strays, supervise};

/// The hidden verb that makes this program a guard; the mark (`NAME=value`) follows it.
pub const VERB: &str = "__guard";

/// The runner's end of its guard.
#[derive(Debug)]
pub(super) struct Guard {
    list: File,
    /// Which places of the list are free, and how many there are.
    places: Mutex<(Vec<u64>, u64)>,
    post: Arc<Post>,
    /// Sees to it that somebody is at the post.
    relief: Mutex<Option<JoinHandle<()>>>,
}

/// The place of the guard: a process that dies there is replaced by another, with the same list.
#[derive(Debug)]
struct Post {
    mark: String,
    list: File,
    now: Mutex<OnDuty>,
}

#[derive(Debug)]
struct OnDuty {
    id: i32,
    /// Whether nobody is to follow.
    last: bool,
    // Closed last: what is dropped without a goodbye leaves the guard to do its work.
    _alive: PipeWriter,
}

/// Whoever ends one guard after the other wants none.
const RELIEFS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Post {
    fn start(mark: &str, list: &File) -> io::Result<OnDuty> {
        let (ends, alive) = io::pipe()?;
        let process = supervise::guard(mark, list.try_clone()?, ends)?;
        Ok(OnDuty { id: i32::try_from(process.id()).unwrap_or(0), last: false, _alive: alive })
    }

    /// Wakes a guard that is stopped, and replaces one that is gone, until it is the last.
    fn keep(&self) {
        let mut reliefs = 0;
        loop {
            let id = Pid::from_raw(self.lock().id);
            match waitpid(id, Some(WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(..)) => drop(kill(id, Signal::SIGCONT)),
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => {
                    let mut now = self.lock();
                    if now.last || reliefs == RELIEFS {
                        return;
                    }
                    // One that dies as it starts is not started over and over without a break.
                    std::thread::sleep(PAUSE);
                    let Ok(next) = Self::start(&self.mark, &self.list) else { return };
                    *now = next;
                    reliefs += 1;
                }
                Ok(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, OnDuty> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a process that is started: the number of the pipe that it prints into, before, and its group, after.
/// It may have started others and ended before the runner gets to write its group down.
const ENTRY: usize = 2 * size_of::<u64>();

impl Guard {
    /// Starts a guard for the processes with that mark.
    pub(super) fn start(mark: &str) -> io::Result<Self> {
        let list = nameless()?;
        let now = Mutex::new(Post::start(mark, &list)?);
        let post = Arc::new(Post { mark: mark.to_owned(), list: list.try_clone()?, now });
        let kept = post.clone();
        let relief = std::thread::Builder::new().name("guard".to_owned()).spawn(move || kept.keep())?;
        Ok(Self { list, places: Mutex::default(), post, relief: Mutex::new(Some(relief)) })
    }

    /// From now on nobody follows the guard that there is. Gives its process, which is no stray.
    pub(super) fn settle(&self) -> i32 {
        let mut now = self.post.lock();
        now.last = true;
        now.id
    }

    /// Lists a process that is about to be started, as long as the answer lives.
    pub(super) fn watch(&self, pipe: u64) -> Watched<'_> {
        let mut places = self.lock();
        let place = places.0.pop().unwrap_or_else(|| {
            places.1 += 1;
            places.1 - 1
        });
        let watched = Watched { guard: self, place, pipe };
        watched.note(pipe, 0);
        watched
    }

    /// Everything has ended in order.
    pub(super) fn dismiss(&self) {
        let _ = kill(Pid::from_raw(self.settle()), Signal::SIGKILL);
        let relief = self.relief.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = relief.map(JoinHandle::join);
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u64>, u64)> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process on the guard's list.
#[derive(Debug)]
pub(super) struct Watched<'a> {
    guard: &'a Guard,
    place: u64,
    pipe: u64,
}

impl Watched<'_> {
    /// It has been started and leads that group.
    pub(super) fn leads(&self, group: Pid) {
        self.note(self.pipe, group.as_raw());
    }

    fn note(&self, pipe: u64, group: i32) {
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&pipe.to_ne_bytes());
        entry[8..12].copy_from_slice(&group.to_ne_bytes());
        // What could not be listed is found by its mark.
        let _ = self.guard.list.write_at(&entry, self.place * ENTRY as u64);
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.note(0, 0);
        self.guard.lock().0.push(self.place);
    }
}

/// What the guard does: its list is on stdin, the pipe on stderr. Nothing that a terminal or a person sends ends it
/// before its runner.
pub fn guard(mark: &str) {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGPIPE];
    let _ = signals.into_iter().collect::<SigSet>().thread_block();
    let pipe = io::stderr();
    let mut ends = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    // Asked for nothing, poll(2) tells of the end only.
    while poll(&mut ends, PollTimeout::NONE) == Err(Errno::EINTR) {}
    let mut list = Vec::new();
    if let Ok(file) = io::stdin().as_fd().try_clone_to_owned() {
        let mut file = File::from(file);
        let _ = file.rewind().and_then(|()| file.read_to_end(&mut list));
    }
    let mut pipes = Vec::new();
    for [p0, p1, p2, p3, p4, p5, p6, p7, g0, g1, g2, g3, ..] in list.as_chunks::<ENTRY>().0 {
        let group = i32::from_ne_bytes([*g0, *g1, *g2, *g3]);
        if group > 1 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        pipes.push(u64::from_ne_bytes([*p0, *p1, *p2, *p3, *p4, *p5, *p6, *p7]));
    }
    strays::end_everywhere(mark, &pipes);
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
