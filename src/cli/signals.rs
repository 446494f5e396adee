//! Handles Ctrl-C, TERM and HUP during and after a run.
//!
//! Once a signal handler is installed, the default action does not return for the rest of the process. So one thread
//! listens until the end, and the meaning of a signal changes: see [`Now`].

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::printer::Printer;
use crate::event::{Bus, EventKind};
use crate::exec::{Stop, signal};
use crate::exit_status::Exit;

/// The exit code of the signal that stopped the run first.
pub(super) type StoppedBy = Arc<OnceLock<Exit>>;

/// The present meaning of a signal.
enum Now {
    /// A run is active: the first signal ends its steps gracefully, the next one ends them at once.
    Run(Run),
    /// Nothing needs to end gracefully: the signal ends the process.
    Idle,
    /// A shell has the terminal: Ctrl-C is for the program in it.
    Shell,
}

#[derive(Clone)]
struct Run {
    ask: watch::Sender<Stop>,
    bus: Arc<Bus>,
    stopped_by: StoppedBy,
    cancels: Arc<Notify>,
}

static NOW: Mutex<Now> = Mutex::new(Now::Idle);
static LISTENS: Mutex<bool> = Mutex::new(false);

/// While it exists, signals are for a run or a shell. When it is dropped, they end the process.
pub(super) struct Hearing(());

impl Drop for Hearing {
    fn drop(&mut self) {
        *lock(&NOW) = Now::Idle;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens for the signals that end a run, on its own thread, so that no blocking operation can delay them. The first
/// signal asks the steps to end and determines the exit code; the next one ends them. A request to cancel a single step
/// (see [`signal::call`]) notifies `cancels`. Signals that are ignored when this process starts (`nohup`, a shell's
/// background job) stay ignored.
///
/// # Errors
/// When the system cannot create the thread or install the handlers.
pub(super) fn hear(
    ask: watch::Sender<Stop>,
    bus: Arc<Bus>,
    stopped_by: StoppedBy,
    cancels: Arc<Notify>,
) -> std::io::Result<Hearing> {
    *lock(&NOW) = Now::Run(Run { ask, bus, stopped_by, cancels });
    let hearing = Hearing(());
    let mut listens = lock(&LISTENS);
    if !*listens {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let call = SignalKind::from_raw(signal::CALL as i32);
                let streams = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), call];
                let streams = streams.map(heard);
                let _ = ready.send(());
                listen(streams).await;
            });
        })?;
        // From here on, a signal ends the run gracefully and does not end the process at once.
        let _ = is_ready.recv();
        *listens = true;
    }
    Ok(hearing)
}

/// Leaves Ctrl-C to a shell.
pub(super) fn leave_to_shell() -> Hearing {
    *lock(&NOW) = Now::Shell;
    Hearing(())
}

async fn listen(streams: [Option<Signal>; 4]) {
    let [mut interrupt, mut terminate, mut hangup, mut call] = streams;
    loop {
        let (by, exit, code) = tokio::select! {
            () = next(&mut interrupt) => ("Ctrl-C", Exit::Interrupted, 130),
            () = next(&mut terminate) => ("SIGTERM", Exit::Terminated, 143),
            () = next(&mut hangup) => ("SIGHUP", Exit::HungUp, 129),
            () = next(&mut call) => {
                if let Now::Run(run) = &*lock(&NOW) {
                    run.cancels.notify_one();
                }
                continue;
            }
        };
        let run = match &*lock(&NOW) {
            Now::Run(run) => run.clone(),
            Now::Shell if exit == Exit::Interrupted => continue,
            Now::Idle | Now::Shell => {
                let printer = Printer::new();
                if exit == Exit::Interrupted && printer.is_terminal() {
                    // The present line has a question and '^C'.
                    printer.out("\n");
                }
                std::process::exit(code)
            }
        };
        // From now on, no view is waited for. This comes before asking the steps to end, so that the end is shown last.
        run.bus.hurry();
        if run.stopped_by.set(exit).is_ok() {
            run.bus.publish(EventKind::CancelRequested { by: by.to_owned() });
            run.ask.send_replace(Stop::Graceful);
        } else {
            run.ask.send_replace(Stop::Forced);
        }
    }
}

fn heard(kind: SignalKind) -> Option<Signal> {
    if ignored(kind.as_raw_value()) { None } else { signal(kind).ok() }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether the signal was ignored when this process started: the kernel's mask has one bit for each signal, from 1.
/// Without `/proc`, no signal counts as ignored.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
