//! Steps that are added while a run goes on, with an executor that follows a script, in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::outcome::SkipReason;
use crate::plan::items::{Item, Items};
use crate::plan::{Condition, DoWhile, JobOutput, ParallelFor, Part, Step, Sweep, Template, Value};
use crate::sweep::{Algorithm, Choice, Distribution, Goal, Objective, Scalar, SearchSpace};

/// What a command does, by its text.
#[derive(Clone, Copy)]
enum Fate {
    /// It ends with this code after so many seconds.
    Ends(i32, u64),
    /// It runs until it is stopped.
    Stays,
    /// A bug of ours.
    Panics,
}

/// An executor that follows a script, and counts how many commands run at the same time.
struct Scripted {
    fate: fn(&str) -> Fate,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Executor for Scripted {
    fn run(&self, launch: Launch, observer: Observer, mut stop: StopWatch) -> Running<'_> {
        let fate = (self.fate)(&launch.command);
        Box::pin(async move {
            (observer.started)(Handle::ProcessGroups(vec![7]));
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let ending = match fate {
                Fate::Panics => panic!("a bug"),
                Fate::Stays => {
                    let _ = stop.wait_for(|stop| *stop != Stop::None).await;
                    Ending::Stopped
                }
                Fate::Ends(code, seconds) => tokio::select! {
                    Ok(_) = stop.wait_for(|stop| *stop != Stop::None) => Ending::Stopped,
                    () = tokio::time::sleep(Duration::from_secs(seconds)) => Ending::Exited(code),
                },
            };
            self.running.fetch_sub(1, Ordering::SeqCst);
            Ended::from(ending)
        })
    }
}

struct Everywhere(Arc<Scripted>);

impl EnvironmentProvider for Everywhere {
    fn provide<'a>(&'a self, _: &'a str, _: &'a Command, _: StopWatch) -> Providing<'a> {
        let (executor, variables) = (self.0.clone(), Vec::new());
        let provided = StepEnvironment { executor, search_path: None, variables, name: None, keeps: None };
        Box::pin(std::future::ready(Ok(provided)))
    }
}

/// A workspace in which the trial with the number n logged `0[n]`.
struct Logged(Vec<f64>);

impl Workspace for Logged {
    fn begin_step(&self, run: &StepRun<'_>) -> Result<Vec<(String, String)>, ServiceError> {
        Nothing.begin_step(run)
    }
    fn metric_history(&self, job: &str, _: &str) -> Vec<f64> {
        let number = job.rsplit('_').next().and_then(|number| number.parse::<usize>().ok());
        number.and_then(|number| self.0.get(number)).copied().into_iter().collect()
    }
    fn metrics_logged(&self) -> Option<watch::Receiver<u64>> {
        None
    }
    fn tag(&self, _: &str, _: &[(String, String)]) {}
    fn end_step(&self, step: &str, job: &str, status: JobStatus) -> Result<Tracked, ServiceError> {
        Nothing.end_step(step, job, status)
    }
    fn fetch(&self, wanted: &[&Remote], step: &str, stop: &StopWatch) -> Result<Vec<(PathBuf, Moved)>, ServiceError> {
        Nothing.fetch(wanted, step, stop)
    }
    fn upload(&self, from: &Path, to: &Remote, step: &str, stop: &StopWatch) -> Result<Moved, ServiceError> {
        Nothing.upload(from, to, step, stop)
    }
    fn register(&self, made: &OutputAsset<'_>) -> Result<String, ServiceError> {
        Nothing.register(made)
    }
    fn registered(&self, made: &OutputAsset<'_>) -> Option<String> {
        Nothing.registered(made)
    }
}

/// A step whose command is the value of its input `x`.
fn inner(path: &str) -> Step {
    let mut step = chain(1).steps.remove(0);
    path.clone_into(&mut step.path);
    step.body = StepBody::Command(Box::new(Command { text: "${{inputs.x}}".to_owned(), ..Command::default() }));
    step.inputs.push(crate::plan::StepInput {
        name: "x".to_owned(),
        kind: PortType::String,
        mode: crate::plan::InputMode::default(),
        optional: false,
        value: Some(Value { parts: vec![Part::Input("x".to_owned())] }),
    });
    step
}

fn only(body: StepBody) -> Plan {
    let mut plan = chain(1);
    plan.steps[0].body = body;
    plan
}

/// A sweep over a grid of the numbers 0, 1 … as `x`.
fn sweep(trials: usize, concurrent: usize, timeout: Option<u64>) -> Plan {
    let mut trial = inner("s0");
    trial.inputs[0].value = Some(Value { parts: vec![Part::Input("search_space.x".to_owned())] });
    let values = (0..trials).map(|number| Choice::Value(Scalar::Int(i64::try_from(number).unwrap())));
    only(StepBody::Sweep(Box::new(Sweep {
        trial: Template { steps: vec![trial], outputs: Vec::new() },
        space: SearchSpace(vec![("x".to_owned(), Distribution::Choice { values: values.collect() })]),
        algorithm: Algorithm::Grid,
        objective: Objective { goal: Goal::Minimize, primary_metric: "loss".to_owned() },
        early_termination: None,
        max_total_trials: trials,
        max_concurrent_trials: concurrent,
        timeout: timeout.map(Duration::from_secs),
    })))
}

/// A loop over items with these values of `x`.
fn each(values: &[&str]) -> Plan {
    let item = |(number, value): (usize, &&str)| Item {
        name: number.to_string(),
        inputs: vec![("x".to_owned(), Value::text(*value))],
    };
    only(StepBody::ParallelFor(Box::new(ParallelFor {
        body: Template { steps: vec![inner("s0")], outputs: Vec::new() },
        items: Items::Known(values.iter().enumerate().map(item).collect()),
        max_concurrency: None,
    })))
}

/// Runs a plan by a script, and returns the status, the events, and how many commands ran at the same time.
async fn scripted(
    plan: Plan,
    jobs: usize,
    logged: &[f64],
    fate: fn(&str) -> Fate,
) -> (JobStatus, Vec<EventKind>, usize) {
    let root = tempfile::tempdir().unwrap();
    let executor = Arc::new(Scripted { fate, running: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let (_asking, stop) = watch::channel(Stop::None);
    let (environments, workspace) = (Arc::new(Everywhere(executor.clone())), Arc::new(Logged(logged.to_vec())));
    let (status, events) = run_plan(plan, jobs, environments, workspace, &root, stop).await;
    (status, events, executor.most.load(Ordering::SeqCst))
}

fn outcomes(events: &[EventKind]) -> HashMap<&str, &StepOutcome> {
    let ends = events.iter().filter_map(|event| match event {
        EventKind::StepFinished { step, outcome, .. } => Some((step.as_str(), outcome)),
        _ => None,
    });
    ends.collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_keeps_to_its_limits_and_finds_the_best_trial() {
    let logged = [5.0, 3.0, f64::NAN, 1.0, 4.0, 2.0];
    let (status, events, most) = scripted(sweep(6, 2, None), 4, &logged, |_| Fate::Ends(0, 10)).await;
    assert_eq!((status, most), (JobStatus::Completed, 2));
    let best = events.iter().rev().find_map(|event| match event {
        EventKind::StepScored { step, score, best: true } => Some((step.as_str(), *score)),
        _ => None,
    });
    assert_eq!(best, Some(("s0.trial_3", 1.0)));
    let outcomes = outcomes(&events);
    assert_eq!(outcomes.len(), 7);
    assert!(outcomes.values().all(|outcome| **outcome == StepOutcome::Completed));
    let last = events.iter().rev().find_map(|event| match event {
        EventKind::StepFinished { step, .. } => Some(step.as_str()),
        _ => None,
    });
    assert_eq!(last, Some("s0"), "a sweep ends after its trials");
}

#[tokio::test(start_paused = true)]
async fn trials_wait_for_the_slots_of_the_run() {
    let (status, _, most) = scripted(sweep(5, 5, None), 3, &[1.0; 5], |_| Fate::Ends(0, 10)).await;
    assert_eq!((status, most), (JobStatus::Completed, 3));
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_sweep_ends_its_trials_and_keeps_what_completed() {
    let fate = |command: &str| if command == "0" { Fate::Ends(0, 50) } else { Fate::Stays };
    let begin = tokio::time::Instant::now();
    let (status, events, _) = scripted(sweep(4, 2, Some(100)), 2, &[1.0], fate).await;
    assert_eq!((status, begin.elapsed().as_secs()), (JobStatus::Completed, 100));
    let stopped: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            EventKind::StepStopped { step, .. } => Some(step.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(stopped, ["s0.trial_1", "s0.trial_2"], "no trial starts after that");
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_is_the_sweeps_own_affair() {
    let fate = |command: &str| Fate::Ends(i32::from(command != "1"), 1);
    let (status, events, _) = scripted(sweep(3, 1, None), 1, &[9.0, 9.0, 9.0], fate).await;
    assert_eq!(status, JobStatus::Completed);
    assert!(matches!(outcomes(&events)["s0.trial_0"], StepOutcome::Failed { .. }));
    let (status, events, _) = scripted(sweep(2, 1, None), 1, &[], |_| Fate::Ends(3, 1)).await;
    assert_eq!(status, JobStatus::Failed);
    let failure = Failure::other("none of its 2 trials completed (s0.trial_0: exit code 3)");
    assert_eq!(*outcomes(&events)["s0"], StepOutcome::Failed { failure });
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_everything_that_a_step_added() {
    let root = tempfile::tempdir().unwrap();
    let executor =
        Arc::new(Scripted { fate: |_| Fate::Stays, running: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let (asking, stop) = watch::channel(Stop::None);
    let (environments, workspace) = (Arc::new(Everywhere(executor)), Arc::new(Logged(Vec::new())));
    let ask = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        asking.send_replace(Stop::Graceful);
    };
    let ((status, events), ()) =
        tokio::join!(run_plan(sweep(9, 9, None), 2, environments, workspace, &root, stop), ask);
    assert_eq!(status, JobStatus::Canceled);
    let outcomes = outcomes(&events);
    assert_eq!(*outcomes["s0"], StepOutcome::Canceled);
    let is_over = |outcome: &&&StepOutcome| {
        matches!(outcome, StepOutcome::Canceled | StepOutcome::Skipped { reason: SkipReason::RunCanceled })
    };
    assert_eq!(outcomes.values().filter(is_over).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_one_of_many_steps_ends_the_run_in_order() {
    let fate = |command: &str| if command == "bug" { Fate::Panics } else { Fate::Ends(0, 5) };
    let (status, events, _) = scripted(each(&["a", "bug", "b", "c"]), 2, &[], fate).await;
    assert_eq!(status, JobStatus::Failed);
    assert!(
        events.iter().any(|event| matches!(event, EventKind::Warning { message, .. } if message.contains("internal")))
    );
    assert!(matches!(outcomes(&events)["s0"], StepOutcome::Failed { .. } | StepOutcome::Canceled));
}

#[tokio::test(start_paused = true)]
async fn a_loop_without_an_end_ends_at_its_limit() {
    let body = Template {
        steps: vec![inner("s0")],
        outputs: vec![JobOutput { name: "o".to_owned(), step: 0, output: "o".to_owned() }],
    };
    let mut plan =
        only(StepBody::DoWhile(Box::new(DoWhile { body, condition: None, mapping: Vec::new(), max_iterations: 7 })));
    plan.steps[0].inputs.push(inner("s0").inputs.remove(0));
    plan.steps[0].inputs[0].value = Some(Value::text("again"));
    let begin = tokio::time::Instant::now();
    let (status, events, most) = scripted(plan, 4, &[], |_| Fate::Ends(0, 10)).await;
    assert_eq!((status, most, begin.elapsed().as_secs()), (JobStatus::Completed, 1, 70));
    assert_eq!(outcomes(&events).len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_condition_leaves_out_one_branch_and_what_needs_it() {
    let mut plan = chain(4);
    for step in &mut plan.steps {
        step.needs.clear();
    }
    let condition = Condition { value: Value::text("False"), if_true: vec![1], if_false: vec![2] };
    plan.steps[0].body = StepBody::IfElse(Box::new(condition));
    (plan.steps[1].needs, plan.steps[2].needs, plan.steps[3].needs) = (vec![0], vec![0], vec![1]);
    let (status, events, _) = scripted(plan, 1, &[], |_| Fate::Ends(0, 1)).await;
    assert_eq!(status, JobStatus::Completed);
    let outcomes = outcomes(&events);
    let reason = SkipReason::BranchNotTaken { step: "s0".to_owned() };
    assert_eq!(*outcomes["s1"], StepOutcome::Skipped { reason });
    assert_eq!(*outcomes["s2"], StepOutcome::Completed);
    assert!(matches!(outcomes["s3"], StepOutcome::Skipped { reason: SkipReason::DependencyFailed { .. } }));
}
