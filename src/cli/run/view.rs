//! Runs a job in this process, with its views and signals.

use std::time::Duration;

use tokio::sync::watch;

use crate::cli::printer::Printer;
use crate::cli::signals::{self, StoppedBy};
use crate::error::Failed;
use crate::event::Slow;
use crate::exec::Stop;
use crate::exit_status::Exit;
use crate::outcome::JobStatus;
use crate::report;
use crate::runner::session::RunSession;
use crate::store::RunFolder;

/// How a run is shown.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum OutputFormat {
    /// Text: a live view on a terminal, plain lines elsewhere
    Text,
    /// One JSON object per line for each event
    Jsonl,
    /// For people, beside an answer on stdout
    #[value(skip)]
    Aside,
}

/// Runs the job in this process until it ends.
pub(in crate::cli) fn run(
    mut session: RunSession,
    view: OutputFormat,
    quiet: bool,
    printer: &Printer,
) -> Result<(Exit, RunFolder), Failed> {
    let folder = session.folder.clone();
    let bus = session.bus.clone();
    let (stream, paint) = (printer.stream(), printer.paint());
    match view {
        OutputFormat::Jsonl => bus.watch(Slow::Waits, move |notes| report::jsonl::draw(notes, stream, quiet)),
        OutputFormat::Aside => {
            let stream = printer.side_stream();
            bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, stream, paint, quiet));
        }
        OutputFormat::Text if printer.is_terminal() => {
            bus.watch(Slow::LeavesOut, move |notes| report::terminal::draw(notes, paint, quiet));
        }
        OutputFormat::Text => bus.watch(Slow::Waits, move |notes| report::plain::draw(notes, stream, paint, quiet)),
    }
    for event in std::mem::take(&mut session.past) {
        bus.past(event);
    }
    // One thread: most of the cost of a step would be passing work between threads. Slow operations (copying code,
    // sealing folders, databases) have their own threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        // Timers and signals are checked after this many tasks, each of which handles up to 64 KiB of output.
        .event_interval(8)
        .enable_all()
        .build()
        .map_err(|e| Failed::new(format!("cannot start the run: {e}")))?;
    let (ask, asked) = watch::channel(Stop::None);
    let stopped_by = StoppedBy::default();
    let _hearing = signals::hear(ask, bus.clone(), stopped_by.clone(), session.cancels.clone())
        .map_err(|e| Failed::new(format!("cannot listen for signals: {e}")))?;
    let status = runtime.block_on(session.run(bus.clone(), asked));
    // Views may have scrolled away, or show JSON to a program, so this is printed again at the end.
    if let Some(trouble) = bus.close() {
        printer.err(&format!("warning: {trouble}\n"));
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    let exit = match status? {
        JobStatus::Completed => Exit::Ok,
        JobStatus::Canceled => stopped_by.get().copied().unwrap_or(Exit::Interrupted),
        _ => Exit::Failed,
    };
    Ok((exit, folder))
}
