//! The workspace as the engine sees it: runs in the tracking store, the server that steps talk to, the registry.
//!
//! Recording trouble never breaks a run: without a tracking store or server the steps run all the same, and the record
//! says what was missing.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::engine::{Made, Tracked, Workspace};
use crate::outcome::JobStatus;
use crate::plan::Plan;
use crate::registry::{AssetKind, AssetType, NewAsset, Registry};
use crate::store::{Home, tree};
use crate::tracking::{NewRun, RunStatus, Server, Tracking};

/// Registry and tracking of one run.
pub(super) struct LocalWorkspace {
    registry: Arc<Registry>,
    tracking: Option<Recorder>,
    job: String,
    kind: &'static str,
}

/// What a run with a working tracking store has.
struct Recorder {
    store: Arc<Tracking>,
    server: tokio::sync::Mutex<Option<Server>>,
    url: String,
    token: String,
    experiment: String,
    experiment_name: String,
}

impl LocalWorkspace {
    /// Opens the tracking store, starts its server on loopback and makes the job's own MLflow run. What of it did not
    /// work comes back as a warning.
    pub async fn open(
        home: &Home,
        registry: Arc<Registry>,
        experiment: &str,
        job: &str,
        artifacts: PathBuf,
        plan: &Plan,
    ) -> (Self, Option<String>) {
        let started = Recorder::start(home, registry.clone(), experiment).await;
        let recorded = started.and_then(|recorder| {
            recorder.begin(job, plan.display_name.as_deref().unwrap_or(job), None, &plan.tags, artifacts)?;
            Ok(recorder)
        });
        let (tracking, warning) = match recorded {
            Ok(recorder) => (Some(recorder), None),
            Err(why) => (None, Some(format!("this run is not tracked: {why}"))),
        };
        (Self { registry, tracking, job: job.to_owned(), kind: plan.kind }, warning)
    }

    /// Ends the job's own MLflow run and the server.
    pub async fn close(&self, status: JobStatus) {
        let Some(recorder) = &self.tracking else { return };
        // The runner has the last word; that it could not be written changes nothing that anybody waits for.
        let _ = recorder.store.end_run(&self.job, run_status(status), Timestamp::now());
        if let Some(server) = recorder.server.lock().await.take() {
            server.stop().await;
        }
    }
}

impl Recorder {
    async fn start(home: &Home, registry: Arc<Registry>, experiment_name: &str) -> Result<Self, String> {
        let opened = Tracking::open(&home.tracking_db(), registry, home.models(), home.artifacts());
        let store = Arc::new(opened.map_err(|e| e.to_string())?);
        let experiment = store.experiment(experiment_name).map_err(|e| e.to_string())?;
        let token = token().map_err(|e| format!("no random numbers for the server's token: {e}"))?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(store.clone(), &token, loopback).await.map_err(|e| e.to_string())?;
        let url = server.url();
        let server = tokio::sync::Mutex::new(Some(server));
        Ok(Self { store, server, url, token, experiment, experiment_name: experiment_name.to_owned() })
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
        self.store.create_run(&new).map(drop).map_err(|e| e.to_string())
    }
}

impl Workspace for LocalWorkspace {
    fn begin_step(&self, step: &str, job: &str, artifacts: PathBuf) -> Result<Vec<(String, String)>, String> {
        let Some(recorder) = &self.tracking else { return Ok(Vec::new()) };
        // The one step of a standalone command job is the job: its run was made when the run began.
        if self.kind == "pipeline" {
            recorder.begin(job, step, Some(&self.job), &[], artifacts)?;
        }
        let pairs = [
            ("MLFLOW_TRACKING_URI", recorder.url.as_str()),
            ("MLFLOW_TRACKING_TOKEN", recorder.token.as_str()),
            ("MLFLOW_RUN_ID", job),
            ("MLFLOW_EXPERIMENT_ID", recorder.experiment.as_str()),
            ("MLFLOW_EXPERIMENT_NAME", recorder.experiment_name.as_str()),
            ("AZUREML_EXPERIMENT_ID", recorder.experiment.as_str()),
            // Nothing leaves this machine, and a server that is gone must not hold up a script for minutes.
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
        ];
        Ok(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn end_step(&self, _: &str, job: &str, status: JobStatus) -> Result<Tracked, String> {
        let Some(recorder) = &self.tracking else { return Ok(Tracked::default()) };
        let store = &recorder.store;
        if self.kind == "pipeline" {
            store.end_run(job, run_status(status), Timestamp::now()).map_err(|e| e.to_string())?;
        }
        let run = store.run(job).map_err(|e| e.to_string())?;
        let metrics = run.data.metrics.iter().map(|m| (m.key.clone(), m.value)).collect();
        let models = self.registry.list(AssetKind::Model, None).map_err(|e| e.to_string())?;
        // What the step registered over HTTP has a source; what the engine registers for it has none.
        let own = models.iter().filter(|m| m.run.as_deref() == Some(job) && m.source.is_some());
        Ok(Tracked { metrics, models: own.map(|m| format!("{}:{}", m.name, m.version)).collect() })
    }

    fn register(&self, made: &Made<'_>) -> Result<String, String> {
        let kind: AssetType =
            made.kind.to_string().parse().map_err(|e: crate::registry::RegistryError| e.to_string())?;
        let digest = Digest::of_tree(&made.path).map_err(|e| e.to_string())?;
        let size = tree::size_of(&made.path).map_err(|e| e.to_string())?;
        let mut new = NewAsset::new(&made.asset.name, kind, made.path.clone(), digest, size.bytes);
        new.version.clone_from(&made.asset.version);
        new.run = Some(made.job.to_owned());
        new.step = Some(made.step.to_owned());
        let asset = self.registry.register(new).map_err(|e| e.to_string())?;
        Ok(format!("{}:{}", asset.name, asset.version))
    }
}

fn run_status(status: JobStatus) -> RunStatus {
    match status {
        JobStatus::Completed => RunStatus::Finished,
        JobStatus::Canceled => RunStatus::Killed,
        _ => RunStatus::Failed,
    }
}

/// 32 random bytes as text: whoever has it may write to this run's tracking server.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
