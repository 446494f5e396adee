//! Ctrl-C, TERM and HUP while a run goes on.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use crate::event::{Bus, What};
use crate::exec::Stop;

/// Where it is kept which signal stopped the run first.
pub(super) type StoppedBy = Arc<OnceLock<Exit>>;

/// Hears the signals that end a run, on a thread of its own, so that nothing that waits can keep them from being heard:
/// the first asks the steps to end and decides the exit code, the next ends them. Who started us with a signal ignored
/// (`nohup`, a shell's background job) wants it ignored.
///
/// # Errors
/// When the system gives no thread or no signals.
pub(super) fn hear(ask: watch::Sender<Stop>, bus: Arc<Bus>, stopped_by: StoppedBy) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let streams = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(heard);
            let _ = ready.send(());
            listen(streams, ask, bus, stopped_by).await;
        });
    })?;
    // From here on a signal ends the run in order, and not the process at once.
    let _ = is_ready.recv();
    Ok(())
}

async fn listen(streams: [Option<Signal>; 3], ask: watch::Sender<Stop>, bus: Arc<Bus>, stopped_by: StoppedBy) {
    let [mut interrupt, mut terminate, mut hangup] = streams;
    loop {
        let (by, exit) = tokio::select! {
            () = next(&mut interrupt) => ("Ctrl-C", Exit::Interrupted),
            () = next(&mut terminate) => ("SIGTERM", Exit::Terminated),
            () = next(&mut hangup) => ("SIGHUP", Exit::HungUp),
        };
        // Asked first and told afterwards: telling may have to wait for a view that is not read.
        bus.hurry();
        if stopped_by.set(exit).is_ok() {
            ask.send_replace(Stop::Gently);
            bus.say(What::CancelRequested { by: by.to_owned() });
        } else {
            ask.send_replace(Stop::Now);
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

/// Whether this process was started with the signal ignored: the kernel's mask has one bit for each signal, from 1.
/// Where there is no `/proc`, nothing counts as ignored.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
