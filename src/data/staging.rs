//! The remote data of a plan: inspected before a run, fetched when a step needs it, and uploaded to the destinations of
//! outputs.
//!
//! Nothing is set up for a plan without remote data. What was inspected is kept until it is fetched, so that it is not
//! requested twice.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Reporter;
use crate::again::amlrun;
use crate::config::Config;
use crate::data::copy;
use crate::data::location::{Place, Places};
use crate::data::session::TransferSession;
use crate::engine::Seen;
use crate::error::Failed;
use crate::event::Moved;
use crate::exec::{Stop, StopWatch};
use crate::number::human_bytes;
use crate::plan::{Form, Located, Plan, Remote, Signed, Step, Value};
use crate::secret::{Credential, Secret, signatures};
use crate::spec::data_uri::DataUri;
use crate::store::Home;
use crate::store::remote::{Remote as Reached, TransferError};
use crate::transfer::cache::{Cache, Kept, state_of};
use crate::transfer::listing::{Found, Shape, look};
use crate::transfer::progress::Progress;
use crate::transfer::{Limits, Transfer};

/// The retry timeout for an unreachable storage when an earlier copy can be used instead, or when nothing is going to
/// run.
const OFFLINE: Duration = Duration::from_secs(5);

/// How remote data is inspected.
#[derive(Clone, Copy, Default)]
pub(crate) struct Looking<'a> {
    /// How many requests may run at once.
    pub jobs: Option<u16>,
    /// Whether a run is resumed. Then the copy that it read before is enough.
    pub goes_on: bool,
    /// Whether to make no requests and start no program of the project. Then all remote data counts as changed.
    pub offline: bool,
    /// Whether unreachable data is noted instead of being an error, because nothing is going to run.
    pub past_trouble: bool,
    /// Shows the progress of long operations.
    pub reporter: Option<&'a dyn Reporter>,
}

/// The remote data of one plan.
pub(crate) struct RemoteData {
    places: Places,
    limits: Limits,
    cache: Arc<Cache>,
    session: OnceLock<Result<TransferSession, String>>,
    signed: Vec<Signed>,
    hidden: Vec<String>,
    seen: Mutex<HashMap<(String, Form), Found>>,
}

/// The inspected remote data of a plan.
#[derive(Default)]
pub(crate) struct Looked {
    /// What was found for each address.
    pub seen: Vec<(Remote, Seen)>,
    /// Warnings about earlier copies that are used in place of unreachable data.
    pub warnings: Vec<String>,
    /// Unreachable addresses, with the steps that read them. Used only if unreachable data is no error.
    pub unreachable: Vec<(String, String)>,
}

impl Looked {
    /// Uses an earlier copy in place of data that is unreachable.
    fn stands(&mut self, remote: &Remote, kept: Kept, why: &str) {
        self.warnings.push(format!("the copy of {} that was fetched before is used: {why}", remote.uri));
        self.seen.push((remote.clone(), Seen { state: GONE.to_owned(), copy: Some(kept.path) }));
    }
}

impl Looked {
    fn is_out_of_reach(&mut self, step: &str, remote: &Remote, failed: &Failed) {
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
    let say = || format!("the step '{step}' reads {uri}: {files} with {size} are fetched before it starts");
    (bytes > LARGE).then(say)
}

/// The version of data that cannot be inspected.
const GONE: &str = "gone";

/// The result for data that may or may not have changed.
fn unknown() -> Seen {
    Seen { state: format!("{:016x}", fastrand::u64(..)), copy: None }
}

/// A request about something that a step reads.
struct Asked<'p> {
    remote: &'p Remote,
    /// Whether failure is an error.
    must: bool,
    step: &'p str,
}

/// A remote container and the name in it.
type Way = (Arc<dyn Reached>, String);

impl RemoteData {
    pub(crate) fn new(home: &Home, config: &Config, jobs: Option<u16>, plan: &Plan) -> Self {
        Self {
            places: Places::new(home.clone(), config),
            limits: config.limits(jobs),
            cache: Arc::new(Cache::at(home.downloads())),
            session: OnceLock::new(),
            signed: plan.signed.clone(),
            hidden: config.secret_variables(),
            seen: Mutex::default(),
        }
    }

    /// Marks all remote data that the plan reads as unknown. No request is made.
    pub(crate) fn unseen(&self, plan: &Plan) -> Looked {
        let mut looked = Looked::default();
        for remote in plan.steps.iter().flat_map(Step::values).flat_map(Value::remotes) {
            if looked.seen.iter().all(|(other, _)| other.is_other(remote)) {
                looked.seen.push((remote.clone(), unknown()));
            }
        }
        looked
    }

    /// Inspects all remote data that the plan reads, and finds which of it was fetched before. Missing data is reported
    /// before anything runs. A resumed run uses the copy that it read before.
    pub(crate) fn look(&self, plan: &Plan, wanted: &[bool], looking: Looking<'_>) -> Result<Looked, Failed> {
        let Looking { goes_on, past_trouble, reporter, .. } = looking;
        let mut asked: Vec<Asked<'_>> = Vec::new();
        // Steps that were not selected come last: they may be reused from an earlier result although their inputs no
        // longer exist.
        for is_wanted in [true, false] {
            for (step, _) in plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted == is_wanted) {
                let fetched = step.remotes().map(|remote| (remote, is_wanted));
                let direct = step.values().flat_map(Value::remotes).map(|remote| (remote, false));
                for (remote, must) in fetched.chain(direct).filter(|_| step.substitute.is_none()) {
                    if asked.iter().all(|a| a.remote.is_other(remote)) {
                        asked.push(Asked { remote, must, step: &step.path });
                    }
                }
            }
        }
        let mut looked = Looked::default();
        // Whether an output can be uploaded is known only later, but its credentials are checked now.
        for (step, _) in plan.steps.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            for place in step.outputs.iter().filter_map(|output| output.place.as_ref()) {
                if let Located::Remote(remote) = &place.root {
                    self.way(remote)?;
                }
            }
        }
        if asked.is_empty() {
            return Ok(looked);
        }
        let session = self.session()?;
        let mut questions = Vec::new();
        let mut open = Vec::new();
        for question in asked {
            let Asked { remote, .. } = question;
            if remote.after.is_some() {
                // Another step writes this data first, so what is stored there now does not matter.
                looked.seen.push((remote.clone(), unknown()));
                continue;
            }
            let last = self.cache.last(&remote.address, shape(remote.form));
            let mut transfer = session.transfer.clone();
            if last.is_some() || past_trouble {
                transfer.limits.retry_timeout = transfer.limits.retry_timeout.min(OFFLINE);
            }
            match self.way(remote) {
                Ok(way) => {
                    questions.push((way, shape(remote.form), transfer));
                    open.push((question, last));
                }
                Err(failed) => match last {
                    Some(kept) => looked.stands(remote, kept, &failed.to_string()),
                    None if past_trouble => looked.is_out_of_reach(question.step, remote, &failed),
                    None => return Err(failed),
                },
            }
        }
        // A run has no views yet, so retries are shown by the reporter.
        let telling = reporter.map(|reporter| reporter.transfers(session.transfer.progress.clone()));
        let answers = session.block_on(async move { Ok(ask(questions).await) })?;
        drop(telling);
        for ((Asked { remote, must, step }, last), answer) in open.into_iter().zip(answers) {
            match (answer, last) {
                (Ok(found), _) => {
                    let state = state_of(&found);
                    let copy = self.cache.known(&remote.address, shape(remote.form), &found).map(|kept| kept.path);
                    if copy.is_none() && must {
                        looked.warnings.extend(large(step, remote, &found));
                    }
                    self.seen().insert((remote.address.clone(), remote.form), found);
                    looked.seen.push((remote.clone(), Seen { state, copy }));
                }
                (Err(TransferError::Stopped), _) => return Err(TransferError::Stopped.into()),
                (Err(why @ (TransferError::Unreachable(_) | TransferError::NoHost(_))), Some(kept)) => {
                    looked.stands(remote, kept, &why.to_string());
                }
                // A resumed run, or a run that is only shown, read it when it existed.
                (Err(why @ TransferError::NotFound(_)), Some(kept)) if goes_on => {
                    looked.stands(remote, kept, &why.to_string());
                }
                // The step was not selected, or reads the data by itself and may have another way to reach it.
                (Err(_), Some(kept)) if !must => {
                    looked.seen.push((remote.clone(), Seen { state: GONE.to_owned(), copy: Some(kept.path) }));
                }
                (Err(_), None) if !must => looked.seen.push((remote.clone(), unknown())),
                (Err(why), last) => {
                    let failed = about(remote, step, &why, last.is_some());
                    if !past_trouble {
                        return Err(failed);
                    }
                    looked.is_out_of_reach(step, remote, &failed);
                }
            }
        }
        Ok(looked)
    }

    /// Fetches what a step reads.
    pub(crate) fn fetch(
        &self,
        wanted: &[&Remote],
        progress: &Arc<Progress>,
        stop: &StopWatch,
    ) -> Result<Vec<(PathBuf, Moved)>, TransferError> {
        let session = self.session().map_err(|failed| TransferError::Permanent(failed.to_string()))?;
        let mut tasks = Vec::new();
        for remote in wanted {
            let (reached, name) = self.way(remote).map_err(|failed| TransferError::Permanent(failed.to_string()))?;
            let seen = self.seen().remove(&(remote.address.clone(), remote.form)).filter(|_| remote.after.is_none());
            let (cache, address, shape) = (self.cache.clone(), remote.address.clone(), shape(remote.form));
            let transfer = session.transfer.counted_within(progress);
            tasks.push(async move {
                let began = Instant::now();
                let found = match seen {
                    Some(found) => found,
                    None => look(&transfer, &reached, &name, shape).await?,
                };
                let kept = cache.fetch(&transfer, &reached, &address, shape, found).await?;
                Ok((kept.path, moved(kept.files, kept.bytes, &transfer, began)))
            });
        }
        session.block_on(until(stop.clone(), async move { futures_util::future::try_join_all(tasks).await }))
    }

    /// Uploads a sealed output to its destination.
    pub(crate) fn upload(
        &self,
        from: &Path,
        to: &Remote,
        progress: &Arc<Progress>,
        stop: &StopWatch,
    ) -> Result<Moved, TransferError> {
        let session = self.session().map_err(|failed| TransferError::Permanent(failed.to_string()))?;
        let (reached, name) = self.way(to).map_err(|failed| TransferError::Permanent(failed.to_string()))?;
        let transfer = session.transfer.counted_within(progress);
        let from = from.to_owned();
        let began = Instant::now();
        session.block_on(until(stop.clone(), async move {
            copy::upload(&transfer, &reached, &from, &name).await?;
            let figures = transfer.progress.figures();
            Ok(moved(figures.files, figures.bytes, &transfer, began))
        }))
    }

    /// The credentials of the storage that the plan uses, so that they can be masked in output.
    pub(crate) fn secrets(&self, plan: &Plan) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for signed in &self.signed {
            for value in signatures(signed.whole.reveal()) {
                secrets.push(Secret::new(value));
                secrets.push(Secret::new(percent_encoding::percent_decode_str(value).decode_utf8_lossy()));
            }
        }
        let outputs = plan.steps.iter().flat_map(|step| &step.outputs).filter_map(|output| output.place.as_ref());
        let outputs = outputs.filter_map(|place| match &place.root {
            Located::Remote(remote) => Some(remote),
            Located::Here(_) => None,
        });
        let inputs = plan.steps.iter().flat_map(Step::values).flat_map(Value::remotes);
        let used: HashSet<&str> = inputs.chain(outputs).map(|remote| remote.uri.as_str()).collect();
        for uri in used {
            let place = DataUri::parse(uri).and_then(Result::ok).and_then(|uri| self.places.resolve(&uri).ok());
            match place {
                Some(Place::Blob { credential: Credential::AccountKey(key), .. }) => secrets.push(key),
                Some(Place::Blob { credential: Credential::Sas(sas), .. }) => {
                    secrets.extend(signatures(&format!("?{}", sas.reveal())).into_iter().map(Secret::new));
                    secrets.push(sas);
                }
                _ => {}
            }
        }
        secrets
    }

    /// Environment variables that hold storage secrets. Steps get them only if the project passes them explicitly.
    pub(crate) fn hidden_variables(&self) -> Vec<String> {
        self.hidden.clone()
    }

    /// The remote container of an address, and the name in it.
    fn way(&self, remote: &Remote) -> Result<Way, Failed> {
        let signed = self.signed.iter().filter(|_| remote.signed).find_map(|signed| signed.of(&remote.uri));
        if remote.signed && signed.is_none() {
            return Err(Failed::new(format!("the signature of {} was not kept", remote.uri)).hint(format!(
                "run the job file again, or make a datastore of it: {}",
                amlrun("datastore create -f FILE")
            )));
        }
        let text = signed.as_ref().map_or(remote.uri.as_str(), Secret::reveal);
        let Some(Ok(uri)) = DataUri::parse(text) else {
            return Err(Failed::new(format!("{} leads nowhere", remote.uri)));
        };
        let place = self.places.resolve(&uri).map_err(Failed::new)?;
        self.session()?.reach(&place)?.ok_or_else(|| Failed::new(format!("{} is on this machine now", remote.uri)))
    }

    fn session(&self) -> Result<&TransferSession, Failed> {
        let made =
            self.session.get_or_init(|| TransferSession::new(self.limits.clone()).map_err(|failed| failed.to_string()));
        made.as_ref().map_err(|why| Failed::new(why.clone()))
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(String, Form), Found>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes all requests at once, and returns the answers.
async fn ask(questions: Vec<(Way, Shape, Transfer)>) -> Vec<Result<Found, TransferError>> {
    let asked = questions
        .into_iter()
        .map(|((remote, name), shape, transfer)| async move { look(&transfer, &remote, &name, shape).await });
    futures_util::future::join_all(asked).await
}

/// Runs the work until it completes or the run is to stop.
async fn until<T>(
    mut stop: StopWatch,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop != Stop::None) => Err(TransferError::Stopped),
        done = work => done,
    }
}

fn moved(files: u64, bytes: u64, transfer: &Transfer, began: Instant) -> Moved {
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let figures = transfer.progress.figures();
    Moved { files, bytes, moved_files: figures.moved_files, moved_bytes: figures.moved_bytes, millis }
}

fn shape(form: Form) -> Shape {
    match form {
        Form::File => Shape::File,
        Form::Folder => Shape::Folder,
        Form::Any => Shape::Any,
    }
}

/// An error about remote data that a step reads, reported before anything runs.
fn about(remote: &Remote, step: &str, trouble: &TransferError, is_kept: bool) -> Failed {
    match trouble {
        TransferError::NotFound(_) => {
            let mut why = trouble.to_string().replace(&remote.address, "it");
            if !why.contains("container") {
                "there is nothing".clone_into(&mut why);
            }
            let failed = Failed::not_found(format!("the step '{step}' reads {}, and {why}", remote.uri));
            let copy = "what was fetched of it before is still here: 'shell' and 'run --resume' use it";
            if is_kept { failed.hint(copy) } else { failed }
        }
        _ => Failed::new(format!("the step '{step}' reads {}: {trouble}", remote.uri)),
    }
}
