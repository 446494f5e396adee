//! Cancels a run or one of its steps: asks the runner to stop, and waits until it has ended.

use std::time::{Duration, Instant};

use super::{find, record};
use crate::error::Failed;
use crate::event::RunView;
use crate::exec::signal;
use crate::outcome::JobStatus;
use crate::store::{Home, RunFolder};

/// How long a runner may take to record its process id.
const BEGINS: Duration = Duration::from_secs(10);
/// How long it may take to end, in addition to the grace period of its steps.
const ENDS: Duration = Duration::from_secs(60);
/// How often to check.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The result of canceling a job.
pub(crate) struct Canceled {
    /// The job's name.
    pub job: String,
    /// Its status now. The job may have ended by itself first.
    pub status: JobStatus,
    /// How many processes of a dead runner were ended.
    pub orphans: Option<usize>,
}

/// Cancels the run, or the step of a run, with that job name.
///
/// # Errors
/// When it was not found, is over already, or does not end.
pub(crate) fn cancel(home: &Home, name: &str) -> Result<Canceled, Failed> {
    let job = find::job(home, name)?;
    match job.step {
        None => run(&job.run),
        Some(path) => step(&job.run, &path),
    }
}

fn run(run: &RunFolder) -> Result<Canceled, Failed> {
    let view = begun(run)?;
    if view.status == JobStatus::NotResponding {
        let (name, folder) = run.marker();
        let left = signal::end_orphans(&format!("{name}={folder}"));
        return Ok(Canceled { job: run.name.to_string(), status: view.status, orphans: Some(left) });
    }
    if view.status.is_final() {
        return Err(Failed::new(format!("the run '{}' has already ended: it is {}", run.name, view.status)));
    }
    signal::terminate(view.pid).map_err(Failed::new)?;
    // The runner holds a lock on the record while it is alive.
    wait(run, &view, &|| Ok(!run.is_live()))?;
    Ok(Canceled { job: run.name.to_string(), status: record::view(run)?.status, orphans: None })
}

fn step(run: &RunFolder, path: &str) -> Result<Canceled, Failed> {
    let view = begun(run)?;
    let of = |view: &RunView| view.step(path).map_or(view.status, |step| step.status);
    let job = view.step(path).map(|step| step.job.clone()).unwrap_or_default();
    if of(&view).is_final() || view.status.is_final() {
        return Err(Failed::new(format!("the step '{path}' of '{}' has already ended: it is {}", run.name, of(&view))));
    }
    run.request_cancel(&job)?;
    signal::call(view.pid).map_err(Failed::new)?;
    wait(run, &view, &|| Ok(of(&record::view(run)?).is_final()))?;
    Ok(Canceled { job, status: of(&record::view(run)?), orphans: None })
}

/// The run, once its runner has recorded its process id.
fn begun(run: &RunFolder) -> Result<RunView, Failed> {
    let mut view = record::view(run)?;
    let since = Instant::now();
    while view.pid == 0 && run.is_live() {
        if since.elapsed() > BEGINS {
            let message = format!("the runner of '{}' has not recorded its process ID", run.name);
            return Err(Failed::new(message).hint("check whether the process is suspended, then try again"));
        }
        std::thread::sleep(POLL_INTERVAL);
        view = record::view(run)?;
    }
    Ok(view)
}

/// Waits until the job is over, as long as its steps may take to end. A suspended runner is continued.
fn wait(run: &RunFolder, view: &RunView, over: &dyn Fn() -> Result<bool, Failed>) -> Result<(), Failed> {
    let limit = ENDS + Duration::from_secs(view.grace);
    let (since, mut woken) = (Instant::now(), false);
    while !over()? {
        if signal::is_stopped(view.pid) {
            if !woken {
                log::warn!("the runner of '{}' is suspended (SIGSTOP): continuing it to end its steps", run.name);
            }
            woken = true;
            signal::wake(view.pid);
        }
        if since.elapsed() > limit {
            let message = format!("the runner of '{}' did not end within {} s", run.name, limit.as_secs());
            return Err(Failed::new(message).hint("run the same command again to kill its steps"));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
