//! The remote data of a plan: fetched when a step needs it, and uploaded to the destinations of outputs.
//!
//! Nothing is set up for a plan without remote data. What [`inspection`](super::inspection) found is kept until it is
//! fetched, so that it is not requested twice.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::again::amlrun;
use crate::config::Config;
use crate::data::copy;
use crate::data::location::Places;
use crate::data::session::TransferSession;
use crate::error::Failed;
use crate::event::Moved;
use crate::exec::{Stop, StopWatch};
use crate::plan::{Form, Plan, Remote, Signed};
use crate::secret::Secret;
use crate::spec::data_uri::DataUri;
use crate::store::Home;
use crate::store::remote::{Remote as Reached, TransferError};
use crate::transfer::cache::Cache;
use crate::transfer::listing::{Found, Shape, look};
use crate::transfer::progress::Progress;
use crate::transfer::{Limits, Transfer};

/// The remote data of one plan.
pub(crate) struct RemoteData {
    pub(super) places: Places,
    limits: Limits,
    pub(super) cache: Arc<Cache>,
    session: OnceLock<Result<TransferSession, String>>,
    pub(super) signed: Vec<Signed>,
    pub(super) hidden: Vec<String>,
    seen: Mutex<HashMap<(String, Form), Found>>,
}

/// A remote container and the name in it.
pub(super) type RemotePath = (Arc<dyn Reached>, String);

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
            let (reached, name) = self.locate(remote).map_err(|failed| TransferError::Permanent(failed.to_string()))?;
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
        let (reached, name) = self.locate(to).map_err(|failed| TransferError::Permanent(failed.to_string()))?;
        let transfer = session.transfer.counted_within(progress);
        let from = from.to_owned();
        let began = Instant::now();
        session.block_on(until(stop.clone(), async move {
            copy::upload(&transfer, &reached, &from, &name).await?;
            let figures = transfer.progress.figures();
            Ok(moved(figures.files, figures.bytes, &transfer, began))
        }))
    }

    /// The remote container of an address, and the name in it.
    pub(super) fn locate(&self, remote: &Remote) -> Result<RemotePath, Failed> {
        let signed = self.signed.iter().filter(|_| remote.signed).find_map(|signed| signed.of(&remote.uri));
        if remote.signed && signed.is_none() {
            return Err(Failed::new(format!("the SAS of {} was not stored", remote.uri)).hint(format!(
                "run the job file again, or create a datastore for it: {}",
                amlrun("datastore create -f FILE")
            )));
        }
        let text = signed.as_ref().map_or(remote.uri.as_str(), Secret::reveal);
        let Some(Ok(uri)) = DataUri::parse(text) else {
            return Err(Failed::new(format!("{} cannot be resolved", remote.uri)));
        };
        let place = self.places.resolve(&uri).map_err(Failed::new)?;
        self.session()?.reach(&place)?.ok_or_else(|| Failed::new(format!("{} is now a local path", remote.uri)))
    }

    pub(super) fn session(&self) -> Result<&TransferSession, Failed> {
        let made =
            self.session.get_or_init(|| TransferSession::new(self.limits.clone()).map_err(|failed| failed.to_string()));
        made.as_ref().map_err(|why| Failed::new(why.clone()))
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, HashMap<(String, Form), Found>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

pub(super) fn shape(form: Form) -> Shape {
    match form {
        Form::File => Shape::File,
        Form::Folder => Shape::Folder,
        Form::Any => Shape::Any,
    }
}
