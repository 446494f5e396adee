//! The workspace as the engine sees it: the tracking store and its server, and the registry.
//!
//! Each part is opened when the first step needs it: a run that runs no steps opens nothing. A recording failure never
//! breaks a run: steps run without a tracking store or server too, and the record says what was missing.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::clock::ticker::Ticker;
use crate::data::staging::RemoteData;
use crate::digest::Digest;
use crate::engine::{OutputAsset, ServiceError, StepRun, Tracked, Workspace};
use crate::event::{Bus, EventKind, Moved, Moving};
use crate::exec::StopWatch;
use crate::outcome::JobStatus;
use crate::plan::{Plan, Remote};
use crate::registry::{AssetKind, AssetType, NewAsset, Registry};
use crate::runner::run_plan::RunPlan;
use crate::store::remote::TransferError;
use crate::store::{Home, RunFolder, tree};
use crate::tracking::{NewRun, RunStatus, Server, Tracking};
use crate::transfer::progress::Progress;

/// How often views receive the progress of transfers.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// The registry and the tracking store of one run.
pub(crate) struct LocalWorkspace {
    home: Home,
    registry: OnceLock<Result<Arc<Registry>, String>>,
    tracking: OnceLock<Option<Recorder>>,
    runtime: Handle,
    bus: Arc<Bus>,
    job: Job,
    data: Arc<RemoteData>,
}

/// The description of the job for the tracking store.
struct Job {
    name: String,
    display_name: String,
    tags: Vec<(String, String)>,
    experiment: String,
    artifacts: PathBuf,
    /// Whether an earlier runner started it.
    resumed: bool,
}

/// A working tracking store with its server.
struct Recorder {
    store: Arc<Tracking>,
    server: tokio::sync::Mutex<Option<Server>>,
    url: String,
    token: String,
    experiment: String,
    experiment_name: String,
    /// For each running step, the number of requests when it started.
    begun: Mutex<HashMap<String, u64>>,
}

impl LocalWorkspace {
    /// The workspace of a run. `runtime` is where its server will run.
    pub(crate) fn new(
        home: &Home,
        experiment: &str,
        run: &RunFolder,
        run_plan: &RunPlan,
        bus: Arc<Bus>,
        runtime: Handle,
        resumed: bool,
    ) -> Self {
        let plan: &Plan = &run_plan.plan;
        let name = run.name.to_string();
        let job = Job {
            display_name: plan.display_name.clone().unwrap_or_else(|| name.clone()),
            name,
            tags: plan.tags.clone(),
            experiment: experiment.to_owned(),
            artifacts: run.artifacts(),
            resumed,
        };
        let (registry, tracking) = (OnceLock::new(), OnceLock::new());
        Self { home: home.clone(), registry, tracking, runtime, bus, job, data: run_plan.data.clone() }
    }

    fn registry(&self) -> Result<Arc<Registry>, String> {
        let open = || crate::history::registry::open(&self.home.registry_db()).map(Arc::new).map_err(|e| e.to_string());
        self.registry.get_or_init(open).clone()
    }

    /// The tracking store with its server. The first call also creates the job's own MLflow run.
    fn tracking(&self) -> Option<&Recorder> {
        let start = || {
            let started = self.registry().and_then(|registry| Recorder::start(self, registry));
            started.map_err(|why| {
                let message = format!("this run is not tracked: {why}");
                self.bus.publish(EventKind::Warning { step: None, message });
            })
        };
        self.tracking.get_or_init(|| start().ok()).as_ref()
    }

    /// Ends the job's own MLflow run and the server.
    pub(crate) async fn close(&self, status: JobStatus) {
        let Some(Some(recorder)) = self.tracking.get() else { return self.end_earlier(status) };
        // The runner decides the final status. A failure to write it affects nothing else.
        let _ = recorder.store.end_run(&self.job.name, run_status(status), Timestamp::now());
        if let Some(server) = recorder.server.lock().await.take() {
            server.stop().await;
        }
    }
}

impl LocalWorkspace {
    /// A resumed run may have nothing left to run, but its earlier MLflow run may still be marked as running.
    fn end_earlier(&self, status: JobStatus) {
        if !self.job.resumed || !self.home.tracking_db().exists() {
            return;
        }
        if let Ok(registry) = self.registry()
            && let Ok(store) =
                Tracking::open(&self.home.tracking_db(), registry, self.home.models(), self.home.artifacts())
        {
            let _ = store.end_run(&self.job.name, run_status(status), Timestamp::now());
        }
    }
}

impl LocalWorkspace {
    /// Reports the progress of a step's data to the views until the returned ticker is dropped.
    fn report_progress(&self, step: &str, what: &'static str, progress: &Arc<Progress>) -> Ticker {
        let (bus, progress, step, began) = (self.bus.clone(), progress.clone(), step.to_owned(), Instant::now());
        Ticker::every(REPORT_INTERVAL, move || {
            let now = progress.figures();
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let done = now.moved_bytes + now.skipped_bytes;
            let waiting = progress.trouble();
            bus.moving(&Moving { step: step.clone(), what, done, bytes: now.bytes, millis, waiting });
        })
    }
}

impl Recorder {
    fn start(workspace: &LocalWorkspace, registry: Arc<Registry>) -> Result<Self, String> {
        let LocalWorkspace { home, job, runtime, .. } = workspace;
        let opened = Tracking::open(&home.tracking_db(), registry, home.models(), home.artifacts());
        let store = Arc::new(opened.map_err(|e| e.to_string())?);
        let experiment = store.experiment(&job.experiment).map_err(|e| e.to_string())?;
        let token =
            crate::secret::random_token().map_err(|e| format!("no random numbers for the server's token: {e}"))?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let _inside = runtime.enter();
        let server = Server::start(store.clone(), &token, loopback).map_err(|e| e.to_string())?;
        let url = server.url();
        let server = tokio::sync::Mutex::new(Some(server));
        let recorder = Self {
            store,
            server,
            url,
            token,
            experiment,
            experiment_name: job.experiment.clone(),
            begun: Mutex::default(),
        };
        recorder.begin(&job.name, &job.display_name, None, &job.tags, job.artifacts.clone())?;
        Ok(recorder)
    }

    fn begin(
        &self,
        id: &str,
        name: &str,
        parent: Option<&str>,
        tags: &[(String, String)],
        artifacts: PathBuf,
    ) -> Result<(), String> {
        let new = NewRun {
            run_id: id.to_owned(),
            run_name: name.to_owned(),
            experiment_id: self.experiment.clone(),
            parent: parent.map(str::to_owned),
            tags: tags.to_vec(),
            artifact_dir: Some(artifacts),
            start_time: Timestamp::now(),
        };
        self.store.begin_run(new).map_err(|e| e.to_string())
    }
}

impl Recorder {
    fn begun(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace for LocalWorkspace {
    fn begin_step(&self, run: &StepRun<'_>) -> Result<Vec<(String, String)>, ServiceError> {
        let StepRun { step, job, parent, artifacts, parameters } = run;
        let Some(recorder) = self.tracking() else { return Ok(Vec::new()) };
        recorder.begun().insert(job.to_owned(), recorder.store.requests());
        // A standalone job is its only step: its MLflow run was created when the run started.
        if *job != self.job.name {
            let parent = parent.as_ref().unwrap_or(&self.job.name);
            let begun = recorder.begin(job, step, Some(parent), &hyperparameters(parameters), artifacts.clone());
            begun.map_err(ServiceError::Permanent)?;
        }
        let pairs = [
            ("MLFLOW_TRACKING_URI", recorder.url.as_str()),
            ("MLFLOW_TRACKING_TOKEN", recorder.token.as_str()),
            ("MLFLOW_RUN_ID", job),
            ("MLFLOW_EXPERIMENT_ID", recorder.experiment.as_str()),
            ("MLFLOW_EXPERIMENT_NAME", recorder.experiment_name.as_str()),
            ("AZUREML_EXPERIMENT_ID", recorder.experiment.as_str()),
            // No telemetry leaves this machine, and a missing server must not block a script for minutes.
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
        ];
        Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn end_step(&self, _: &str, job: &str, status: JobStatus) -> Result<Tracked, ServiceError> {
        let Some(Some(recorder)) = self.tracking.get() else { return Ok(Tracked::default()) };
        let store = &recorder.store;
        if job != self.job.name {
            store.finish_run(job, run_status(status), Timestamp::now()).map_err(ServiceError::permanent)?;
        }
        // Most steps log nothing, so nothing needs to be looked up.
        if recorder.begun().remove(job) == Some(store.requests()) {
            return Ok(Tracked::default());
        }
        let run = store.run(job).map_err(ServiceError::permanent)?;
        let metrics = run.data.metrics.iter().map(|m| (m.key.clone(), m.value)).collect();
        let registry = self.registry().map_err(ServiceError::Permanent)?;
        let models = registry.list(AssetKind::Model, None).map_err(ServiceError::permanent)?;
        // Models that the step registered over HTTP have a source; those that the engine registers have none.
        let own = models.iter().filter(|m| m.run.as_deref() == Some(job) && m.source.is_some());
        Ok(Tracked { metrics, models: own.map(|m| format!("{}:{}", m.name, m.version)).collect() })
    }

    fn metric_history(&self, job: &str, metric: &str) -> Vec<f64> {
        let Some(recorder) = self.tracking() else { return Vec::new() };
        let history = recorder.store.history(job, metric).unwrap_or_default();
        history.into_iter().map(|metric| metric.value).collect()
    }

    fn metrics_logged(&self) -> Option<watch::Receiver<u64>> {
        self.tracking().map(|recorder| recorder.store.logged())
    }

    fn tag(&self, job: &str, tags: &[(String, String)]) {
        if let Some(recorder) = self.tracking() {
            let _ = recorder.store.tag(job, tags);
        }
    }

    fn fetch(&self, wanted: &[&Remote], step: &str, stop: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, ServiceError> {
        let progress = Arc::default();
        let _ticker = self.report_progress(step, "fetch", &progress);
        self.data.fetch(wanted, &progress, stop).map_err(transfer_failed)
    }

    fn upload(&self, from: &Path, to: &Remote, step: &str, stop: &StopWatch) -> Result<Moved, ServiceError> {
        let progress = Arc::default();
        let _ticker = self.report_progress(step, "upload", &progress);
        self.data.upload(from, to, &progress, stop).map_err(transfer_failed)
    }

    fn registered(&self, made: &OutputAsset<'_>) -> Option<String> {
        let kind = if made.kind.is_model() { AssetKind::Model } else { AssetKind::Data };
        let versions = self.registry().ok()?.list(kind, Some(&made.asset.name)).ok()?;
        let same = |version: &String| made.asset.version.as_ref().is_none_or(|wanted| wanted == version);
        let there = versions.into_iter().find(|asset| asset.path == made.path && same(&asset.version))?;
        Some(format!("{}:{}", there.name, there.version))
    }

    fn register(&self, made: &OutputAsset<'_>) -> Result<String, ServiceError> {
        let kind: AssetType =
            made.kind.to_string().parse().map_err(|e: crate::registry::RegistryError| ServiceError::permanent(e))?;
        let digest = Digest::of_tree(&made.path).map_err(ServiceError::permanent)?;
        let size = tree::size_of(&made.path).map_err(ServiceError::permanent)?;
        let mut new = NewAsset::new(&made.asset.name, kind, made.path.clone(), digest, size.bytes);
        new.version.clone_from(&made.asset.version);
        new.run = Some(made.job.to_owned());
        new.step = Some(made.step.to_owned());
        let registry = self.registry().map_err(ServiceError::Permanent)?;
        let asset = registry.register(new).map_err(ServiceError::permanent)?;
        Ok(format!("{}:{}", asset.name, asset.version))
    }
}

/// The tag with the parameters of a trial, as Azure ML has it.
fn hyperparameters(parameters: &[(String, serde_json::Value)]) -> Vec<(String, String)> {
    if parameters.is_empty() {
        return Vec::new();
    }
    let all: serde_json::Map<_, _> = parameters.iter().cloned().collect();
    vec![("hyperparameters".to_owned(), serde_json::Value::Object(all).to_string())]
}

/// The error of a transfer, in the form of the engine.
fn transfer_failed(error: TransferError) -> ServiceError {
    match error {
        TransferError::Transient { .. } | TransferError::Unreachable(_) | TransferError::NoHost(_) => {
            ServiceError::Transient(error.to_string())
        }
        _ => ServiceError::permanent(error),
    }
}

fn run_status(status: JobStatus) -> RunStatus {
    match status {
        JobStatus::Completed => RunStatus::Finished,
        JobStatus::Canceled => RunStatus::Killed,
        _ => RunStatus::Failed,
    }
}
