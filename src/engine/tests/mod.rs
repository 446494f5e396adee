//! Tests of the seams of the engine: steps with environments, executors and a workspace that are made for the test.

mod growth;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::event::journal::{self, Journal};
use crate::event::{Bus, EventKind, Moved};
use crate::exec::{Access, Ended, Ending, Executor, Launch, Observer, Running, Stop, StopWatch};
use crate::handle::Handle;
use crate::id::RunName;
use crate::outcome::{Failure, JobStatus, StepOutcome};
use crate::plan::tests::chain;
use crate::plan::{Command, Environment, Remote, StepBody};
use crate::store::Home;

/// An executor that notes its launches and runs nothing.
#[derive(Default)]
struct Notes {
    launches: Mutex<Vec<Launch>>,
}

impl Executor for Notes {
    fn run(&self, launch: Launch, observer: Observer, _: StopWatch) -> Running<'_> {
        (observer.started)(Handle::ProcessGroups(vec![7]));
        self.launches.lock().unwrap().push(launch);
        Box::pin(async { Ended::from(Ending::Exited(0)) })
    }
}

/// One executor for each environment. There is none for others.
#[derive(Default)]
struct ByName(HashMap<String, Arc<Notes>>);

impl EnvironmentProvider for ByName {
    fn provide<'a>(&'a self, _: &'a str, command: &'a Command, _: StopWatch) -> Providing<'a> {
        let name = command.environment.as_ref().map(Environment::describe).unwrap_or_default();
        let unavailable = || ServiceError::Transient(format!("{name} cannot be pulled"));
        let provided = self.0.get(&name).ok_or_else(unavailable).map(|executor| StepEnvironment {
            executor: executor.clone(),
            search_path: Some(format!("/{name}/bin")),
            variables: Vec::new(),
            name: None,
            keeps: None,
        });
        Box::pin(std::future::ready(provided))
    }
}

/// A workspace without a registry or a tracking server.
struct Nothing;

impl Workspace for Nothing {
    fn begin_step(&self, _: &StepRun<'_>) -> Result<Vec<(String, String)>, ServiceError> {
        Ok(Vec::new())
    }
    fn metric_history(&self, _: &str, _: &str) -> Vec<f64> {
        Vec::new()
    }
    fn metrics_logged(&self) -> Option<watch::Receiver<u64>> {
        None
    }
    fn tag(&self, _: &str, _: &[(String, String)]) {}
    fn end_step(&self, _: &str, _: &str, _: JobStatus) -> Result<Tracked, ServiceError> {
        Ok(Tracked::default())
    }
    fn fetch(&self, _: &[&Remote], _: &str, _: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, ServiceError> {
        Ok(Vec::new())
    }
    fn upload(&self, _: &Path, _: &Remote, _: &str, _: &StopWatch) -> Result<Moved, ServiceError> {
        Ok(Moved::default())
    }
    fn register(&self, _: &OutputAsset<'_>) -> Result<String, ServiceError> {
        Ok(String::new())
    }
    fn registered(&self, _: &OutputAsset<'_>) -> Option<String> {
        None
    }
}

/// Runs a chain of steps with these environments, and returns the status and the events.
async fn run_with(environments: &[&str], provider: ByName, root: &TempDir) -> (JobStatus, Vec<EventKind>) {
    let mut plan = chain(environments.len());
    for (step, name) in plan.steps.iter_mut().zip(environments) {
        let environment = Some(Environment::Reference((*name).to_owned()));
        step.body = StepBody::Command(Box::new(Command { text: "true".to_owned(), environment, ..Command::default() }));
    }
    let (_asking, stop) = watch::channel(Stop::None);
    run_plan(plan, 1, Arc::new(provider), Arc::new(Nothing), root, stop).await
}

/// Runs a plan, and returns the status and the events.
async fn run_plan(
    plan: Plan,
    jobs: usize,
    environments: Arc<dyn EnvironmentProvider>,
    workspace: Arc<dyn Workspace>,
    root: &TempDir,
    stop: StopWatch,
) -> (JobStatus, Vec<EventKind>) {
    let home = Home::locate(Some(&root.path().join(".amlrun")), root.path());
    home.create().unwrap();
    let (real, record) = home.create_run(&RunName::parse("seams").unwrap()).unwrap();
    let bus = Arc::new(Bus::new(Some(Journal::of(record, home.root()))));
    let services = Services { workspace, environments, bus: bus.clone() };
    let events = real.events();
    let request = Request {
        decisions: vec![Decision::run("it is new"); plan.steps.len()],
        jobs_of_steps: plan.steps.iter().map(|step| real.name.step_job(&step.path)).collect(),
        common: common(&real, "seams"),
        plan,
        paths: RunPaths { real, visible: home.clone() },
        experiment: "seams".to_owned(),
        job_file: root.path().join("job.yml"),
        jobs,
        grace: Duration::ZERO,
        log_limit: None,
        environments: None,
        locked: None,
        secrets: Arc::new([]),
        hidden: Arc::new([]),
        warnings: Vec::new(),
        reuse: None,
        snapshot: InputSnapshot::default(),
        added: AddedSteps::default(),
        force: Force::default(),
        resumed: None,
        cancels: Arc::default(),
    };
    let status = run(request, services, stop).await;
    bus.close();
    let events = journal::read(&events, home.root()).unwrap().events;
    (status, events.into_iter().map(|event| event.what).collect())
}

#[tokio::test]
async fn each_step_runs_on_the_executor_of_its_environment() {
    let root = tempfile::tempdir().unwrap();
    let (cpu, gpu) = (Arc::new(Notes::default()), Arc::new(Notes::default()));
    let provider = ByName(HashMap::from([("cpu".to_owned(), cpu.clone()), ("gpu".to_owned(), gpu.clone())]));
    let (status, events) = run_with(&["cpu", "gpu", "cpu"], provider, &root).await;
    assert_eq!(status, JobStatus::Completed);
    let (cpu, gpu) = (cpu.launches.lock().unwrap(), gpu.launches.lock().unwrap());
    assert_eq!((cpu.len(), gpu.len()), (2, 1));
    assert!(gpu[0].variables.contains(&("PATH".to_owned(), "/gpu/bin".to_owned())));
    // The step may write to its own folder, which contains its working directory.
    let is_own = |mount: &crate::exec::Mount| mount.access == Access::Write && gpu[0].cwd.starts_with(&mount.path);
    assert!(gpu[0].mounts.iter().any(is_own));
    let handles = events.iter().filter_map(|event| match event {
        EventKind::StepStarted { handle, .. } => handle.clone(),
        _ => None,
    });
    assert_eq!(handles.collect::<Vec<_>>(), vec![Handle::ProcessGroups(vec![7]); 3]);
}

#[tokio::test]
async fn an_environment_that_is_unavailable_fails_its_step_as_transient() {
    let root = tempfile::tempdir().unwrap();
    let (status, events) = run_with(&["gpu"], ByName::default(), &root).await;
    assert_eq!(status, JobStatus::Failed);
    let failure = Failure::Unavailable { message: "gpu cannot be pulled".to_owned() };
    let failed = StepOutcome::Failed { failure };
    assert!(events.iter().any(|event| matches!(event, EventKind::StepFinished { outcome, .. } if *outcome == failed)));
}
