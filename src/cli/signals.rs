//! Ctrl-C, TERM and HUP while a run goes on.

use std::sync::{Arc, OnceLock};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use crate::event::{Bus, What};
use crate::exec::Stop;

/// Hears the signals that end a run: the first asks the steps to end and decides the exit code, the next ends them.
/// Who started us with a signal ignored (`nohup`, a shell's background job) wants it ignored.
pub(super) async fn listen(ask: watch::Sender<Stop>, bus: Arc<Bus>, stopped_by: Arc<OnceLock<Exit>>) {
    let mut interrupt = heard(SignalKind::interrupt());
    let mut terminate = heard(SignalKind::terminate());
    let mut hangup = heard(SignalKind::hangup());
    loop {
        let (by, exit) = tokio::select! {
            () = next(&mut interrupt) => ("Ctrl-C", Exit::Interrupted),
            () = next(&mut terminate) => ("SIGTERM", Exit::Terminated),
            () = next(&mut hangup) => ("SIGHUP", Exit::HungUp),
        };
        if stopped_by.set(exit).is_ok() {
            bus.say(What::CancelRequested { by: by.to_owned() });
            ask.send_replace(Stop::Gently);
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
