//! Inspects the remote data of a plan before a run: does it exist, did it change, and was it fetched before?

use std::time::Duration;

use super::Reporter;
use super::staging::{RemoteData, RemotePath, shape};
use crate::engine::Seen;
use crate::error::Failed;
use crate::number::human_bytes;
use crate::plan::{Located, Plan, Remote, Step, Value};
use crate::store::remote::TransferError;
use crate::transfer::Transfer;
use crate::transfer::cache::{Kept, state_of};
use crate::transfer::listing::{Found, Shape, look};

/// The retry timeout for an unreachable storage when an earlier copy can be used instead, or when nothing is going to
/// run.
const OFFLINE: Duration = Duration::from_secs(5);

/// How remote data is inspected.
#[derive(Clone, Copy, Default)]
pub(crate) struct InspectionOptions<'a> {
    /// How many requests may run at once.
    pub jobs: Option<u16>,
    /// Whether a run is resumed. Then the copy that it read before is enough.
    pub is_resumed: bool,
    /// Whether to make no requests and start no program of the project. Then all remote data counts as changed.
    pub offline: bool,
    /// Whether unreachable data is noted instead of being an error, because nothing is going to run.
    pub tolerates_unreachable: bool,
    /// Shows the progress of long operations.
    pub reporter: Option<&'a dyn Reporter>,
}

/// The inspected remote data of a plan.
#[derive(Default)]
pub(crate) struct Inspection {
    /// What was found for each address.
    pub seen: Vec<(Remote, Seen)>,
    /// Warnings about earlier copies that are used in place of unreachable data.
    pub warnings: Vec<String>,
    /// Unreachable addresses, with the steps that read them. Used only if unreachable data is no error.
    pub unreachable: Vec<(String, String)>,
}

impl Inspection {
    /// Uses an earlier copy in place of data that is unreachable.
    fn use_earlier_copy(&mut self, remote: &Remote, kept: Kept, why: &str) {
        self.warnings.push(format!("an earlier download of {} is used: {why}", remote.uri));
        self.seen.push((remote.clone(), Seen { state: GONE.to_owned(), copy: Some(kept.path) }));
    }
}

impl Inspection {
    fn add_unreachable(&mut self, step: &str, remote: &Remote, failed: &Failed) {
        self.unreachable.push((step.to_owned(), failed.to_string()));
        self.seen.push((remote.clone(), unknown()));
    }
}

/// Warn about data with more bytes than this before it is fetched.
const LARGE: u64 = 4_000_000_000;

/// A warning about a very large download: it is easy to name a whole container by accident.
fn large(step: &str, remote: &Remote, found: &Found) -> Option<String> {
    let bytes: u64 = found.files.iter().filter_map(|file| file.size).sum();
    let files = if found.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", found.files.len()) };
    let (uri, size) = (&remote.uri, human_bytes(bytes));
    let say = || format!("the step '{step}' reads {uri}: {files} ({size}) must be downloaded before it starts");
    (bytes > LARGE).then(say)
}

/// The version of data that cannot be inspected.
const GONE: &str = "gone";

/// The result for data that may or may not have changed.
fn unknown() -> Seen {
    Seen { state: format!("{:016x}", fastrand::u64(..)), copy: None }
}

/// A request about something that a step reads.
struct Request<'p> {
    remote: &'p Remote,
    /// Whether failure is an error.
    is_required: bool,
    step: &'p str,
}

impl RemoteData {
    /// Marks all remote data that the plan reads as unknown. No request is made.
    pub(crate) fn all_unknown(&self, plan: &Plan) -> Inspection {
        let mut inspection = Inspection::default();
        for remote in plan.all_steps().into_iter().flat_map(Step::values).flat_map(Value::remotes) {
            if inspection.seen.iter().all(|(other, _)| other.is_other(remote)) {
                inspection.seen.push((remote.clone(), unknown()));
            }
        }
        inspection
    }

    /// Inspects all remote data that the plan reads, and finds which of it was fetched before. Missing data is reported
    /// before anything runs. A resumed run uses the copy that it read before.
    pub(crate) fn inspect(
        &self,
        plan: &Plan,
        wanted: &[bool],
        options: InspectionOptions<'_>,
    ) -> Result<Inspection, Failed> {
        let InspectionOptions { is_resumed, tolerates_unreachable, reporter, .. } = options;
        let mut requests: Vec<Request<'_>> = Vec::new();
        // Steps that were not selected come last: they may be reused from an earlier result although their inputs no
        // longer exist.
        for is_wanted in [true, false] {
            let chosen = plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted == is_wanted);
            for step in chosen.filter(|(step, _)| step.substitute.is_none()).flat_map(|(step, _)| step.with_templates())
            {
                let fetched = step.remotes().map(|remote| (remote, is_wanted));
                let direct = step.values().flat_map(Value::remotes).map(|remote| (remote, false));
                for (remote, is_required) in fetched.chain(direct) {
                    if requests.iter().all(|known| known.remote.is_other(remote)) {
                        requests.push(Request { remote, is_required, step: &step.path });
                    }
                }
            }
        }
        let mut inspection = Inspection::default();
        // Whether an output can be uploaded is known only later, but its credentials are checked now.
        for (step, _) in plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            for place in step.outputs.iter().filter_map(|output| output.place.as_ref()) {
                if let Located::Remote(remote) = &place.root {
                    self.locate(remote)?;
                }
            }
        }
        if requests.is_empty() {
            return Ok(inspection);
        }
        let session = self.session()?;
        let mut listings = Vec::new();
        let mut open = Vec::new();
        for request in requests {
            let Request { remote, .. } = request;
            if remote.after.is_some() {
                // Another step writes this data first, so what is stored there now does not matter.
                inspection.seen.push((remote.clone(), unknown()));
                continue;
            }
            let last = self.cache.last(&remote.address, shape(remote.form));
            let mut transfer = session.transfer.clone();
            if last.is_some() || tolerates_unreachable {
                transfer.limits.retry_timeout = transfer.limits.retry_timeout.min(OFFLINE);
            }
            match self.locate(remote) {
                Ok(located) => {
                    listings.push((located, shape(remote.form), transfer));
                    open.push((request, last));
                }
                Err(failed) => match last {
                    Some(kept) => inspection.use_earlier_copy(remote, kept, &failed.to_string()),
                    None if tolerates_unreachable => inspection.add_unreachable(request.step, remote, &failed),
                    None => return Err(failed),
                },
            }
        }
        // A run has no views yet, so retries are shown by the reporter.
        let ticker = reporter.map(|reporter| reporter.transfers(session.transfer.progress.clone()));
        let answers = session.block_on(async move { Ok(list(listings).await) })?;
        drop(ticker);
        for ((Request { remote, is_required, step }, last), answer) in open.into_iter().zip(answers) {
            match (answer, last) {
                (Ok(found), _) => {
                    let state = state_of(&found);
                    let copy = self.cache.known(&remote.address, shape(remote.form), &found).map(|kept| kept.path);
                    if copy.is_none() && is_required {
                        inspection.warnings.extend(large(step, remote, &found));
                    }
                    self.seen().insert((remote.address.clone(), remote.form), found);
                    inspection.seen.push((remote.clone(), Seen { state, copy }));
                }
                (Err(TransferError::Stopped), _) => return Err(TransferError::Stopped.into()),
                (Err(why @ (TransferError::Unreachable(_) | TransferError::NoHost(_))), Some(kept)) => {
                    inspection.use_earlier_copy(remote, kept, &why.to_string());
                }
                // A resumed run, or a run that is only shown, read it when it existed.
                (Err(why @ TransferError::NotFound(_)), Some(kept)) if is_resumed => {
                    inspection.use_earlier_copy(remote, kept, &why.to_string());
                }
                // The step was not selected, or reads the data by itself and may have another way to reach it.
                (Err(_), Some(kept)) if !is_required => {
                    inspection.seen.push((remote.clone(), Seen { state: GONE.to_owned(), copy: Some(kept.path) }));
                }
                (Err(_), None) if !is_required => inspection.seen.push((remote.clone(), unknown())),
                (Err(why), last) => {
                    let failed = about(remote, step, &why, last.is_some());
                    if !tolerates_unreachable {
                        return Err(failed);
                    }
                    inspection.add_unreachable(step, remote, &failed);
                }
            }
        }
        Ok(inspection)
    }
}

/// Makes all requests at once, and returns the answers.
async fn list(listings: Vec<(RemotePath, Shape, Transfer)>) -> Vec<Result<Found, TransferError>> {
    let requests = listings
        .into_iter()
        .map(|((remote, name), shape, transfer)| async move { look(&transfer, &remote, &name, shape).await });
    futures_util::future::join_all(requests).await
}

/// An error about remote data that a step reads, reported before anything runs.
fn about(remote: &Remote, step: &str, trouble: &TransferError, is_kept: bool) -> Failed {
    match trouble {
        TransferError::NotFound(_) => {
            let mut why = trouble.to_string().replace(&format!("the container of {}", remote.address), "its container");
            if !why.contains("container") {
                "it was not found".clone_into(&mut why);
            }
            let failed = Failed::not_found(format!("the step '{step}' reads {}, but {why}", remote.uri));
            let copy = "use 'shell' or 'run --resume' to work with the earlier download";
            if is_kept { failed.hint(copy) } else { failed }
        }
        _ => Failed::new(format!("the step '{step}' reads {}: {trouble}", remote.uri)),
    }
}
