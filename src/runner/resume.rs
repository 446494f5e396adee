//! Resumes a run that exists (`run --resume`), and runs one step again (`step rerun`).
//!
//! The plan of the original run is used. Code is read again, because most resumes follow a fix in the code. Completed
//! steps are kept, unless their outputs were changed.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use crate::again::amlrun;
use crate::config::Config;
use crate::data::inspection::InspectionOptions;
use crate::digest::Digest;
use crate::engine::{CacheDecision, Decision, Resumed, ResumedChild, ResumedChildren};
use crate::environment::resolve::Policy;
use crate::error::Failed;
use crate::event::journal::{self, Journal};
use crate::event::{Bus, OutputInfo, RunView, StepView};
use crate::exec::signal;
use crate::history::find;
use crate::history::record;
use crate::history::record::kept_plan;
use crate::outcome::JobStatus;
use crate::plan::{Plan, StepBody};
use crate::reason::Reason;
use crate::reuse::{Listing, Reuse, digest_of};
use crate::runner::options::{RunOptions, StepSelection};
use crate::runner::project::Project;
use crate::runner::run_plan::RunPlan;
use crate::runner::session::{Limits, RunSession};
use crate::store::{Home, RunFolder, at};

/// Prepares a run to continue from where it stopped.
pub(crate) fn resume(name: &str, options: &RunOptions, project: &Project) -> Result<RunSession, Failed> {
    let open = Open::new(name, project)?;
    let mut changed = Vec::new();
    let mut resumed = Resumed::default();
    for (index, step) in open.plan.steps.iter().enumerate() {
        let Some(view) = open.view.step(&step.path) else { continue };
        resumed.attempts.insert(index, tries(view));
        // A condition decides again: what it leaves out is not in the record of its result.
        if view.status != JobStatus::Completed || matches!(step.body, StepBody::IfElse(_)) {
            resumed.open.insert(index);
        } else if view.outputs.iter().any(|output| !open.seals.hold(output)) {
            changed.push(step.path.clone());
            resumed.open.insert(index);
        } else {
            resumed.done.insert(index, open.seals.vouched(view));
        }
    }
    resumed.children = children(&open, &resumed);
    // A runner may have died after its last step ended, but before it recorded the end of the run. The end is recorded
    // now.
    if resumed.open.is_empty() && open.view.status == JobStatus::Completed {
        return Err(Failed::new(format!("the run '{name}' is complete: there is nothing to resume"))
            .hint(format!("to run a step again: {}", amlrun(&format!("step rerun {name} STEP")))));
    }
    let done = resumed.done.keys().filter_map(|&index| open.view.step(&open.plan.steps[index].path));
    let believed = done.flat_map(|step| &step.outputs).any(|output| output.fingerprint.is_empty());
    if believed {
        log::warn!("an older version of amlrun started this run: files with unchanged size are taken as unchanged");
    }
    for step in &changed {
        log::warn!("the outputs of '{step}' are missing or were changed: it runs again");
    }
    let choice = options.steps.force_rerun.clone();
    let choice = StepSelection { force_rerun: choice, ..StepSelection::default() };
    open.into_session(resumed, &choice, options)
}

/// Prepares a run to run one of its steps once more with the same inputs.
pub(crate) fn rerun(name: &str, path: &str, options: &RunOptions, project: &Project) -> Result<RunSession, Failed> {
    let open = Open::new(name, project)?;
    let index = open.step(path)?;
    let mut resumed = Resumed { open: BTreeSet::from([index]), ..Resumed::default() };
    for (other, step) in open.plan.steps.iter().enumerate() {
        let Some(view) = open.view.step(&step.path) else { continue };
        resumed.attempts.insert(other, tries(view));
        if other != index && view.status == JobStatus::Completed {
            resumed.done.insert(other, open.seals.vouched(view));
        } else if other != index {
            resumed.incomplete = true;
        }
    }
    let step = &open.plan.steps[index];
    if let Some(missing) = step.needs.iter().find(|need| !resumed.done.contains_key(need)) {
        let other = &open.plan.steps[*missing].path;
        return Err(Failed::new(format!("'{path}' depends on '{other}', which did not complete in this run"))
            .hint(format!("resume the run: {}", amlrun(&format!("run --resume {name}")))));
    }
    for &need in &step.needs {
        let other = &open.plan.steps[need].path;
        if open.view.step(other).is_some_and(|view| view.outputs.iter().any(|output| !open.seals.hold(output))) {
            return Err(Failed::new(format!(
                "'{path}' needs the outputs of '{other}', which are missing or were changed"
            ))
            .hint(format!("run the step again: {}", amlrun(&format!("step rerun {name} {other}")))));
        }
    }
    let choice = StepSelection { force_rerun: Some(vec![path.to_owned()]), ..StepSelection::default() };
    let mut session = open.into_session(resumed, &choice, options)?;
    session.run_plan.decisions[index].because = vec![Reason::sentence("it was requested with 'amlrun step rerun'")];
    Ok(session)
}

/// The run and the index of one of its steps, for reading only.
pub(crate) fn look(
    name: &str,
    path: &str,
    options: &RunOptions,
    project: &Project,
) -> Result<(RunSession, usize), Failed> {
    let open = Open::new(name, project)?;
    let index = open.step(path)?;
    let mut resumed = Resumed::default();
    for (other, step) in open.plan.steps.iter().enumerate() {
        let Some(view) = open.view.step(&step.path) else { continue };
        resumed.attempts.insert(other, tries(view).max(1));
        if view.status == JobStatus::Completed {
            resumed.done.insert(other, open.seals.vouched(view));
        }
    }
    let step = &open.plan.steps[index];
    let missing = |need: &&usize| !resumed.done.contains_key(need) && !step.optional_needs.contains(need);
    if let Some(missing) = step.needs.iter().find(missing) {
        let other = &open.plan.steps[*missing].path;
        return Err(Failed::new(format!("'{path}' depends on '{other}', which did not complete in this run")));
    }
    Ok((open.into_session(resumed, &StepSelection::default(), options)?, index))
}

/// What is left of the steps that were added by steps which are to run.
fn children(open: &Open<'_>, resumed: &Resumed) -> ResumedChildren {
    let parent_runs = |parent: &str| open.plan.step(parent).is_none_or(|index| resumed.open.contains(&index));
    let added = open.view.steps.iter().filter(|step| step.parent.as_deref().is_some_and(parent_runs));
    let child = |view: &StepView| {
        // A condition decides again.
        let is_done = view.status == JobStatus::Completed
            && view.kind != "if_else"
            && view.outputs.iter().all(|output| open.seals.hold(output));
        let child = ResumedChild {
            done: is_done.then(|| open.seals.vouched(view)),
            metrics: view.metrics.clone(),
            attempts: tries(view),
            ended_early: view.stopped.is_some() && view.status.is_final(),
            parameters: view.parameters.clone(),
            reused_from: view.reused_from.clone(),
        };
        (view.path.clone(), child)
    };
    added.map(child).collect()
}

fn never_began(name: &str) -> Failed {
    Failed::new(format!("the run '{name}' never started: run its job file again"))
}

/// How many attempts of a step this run made. A step that was never started has no folder that a new attempt must
/// avoid.
fn tries(view: &StepView) -> u32 {
    if view.begun { view.attempt } else { 0 }
}

/// Checks whether outputs are still what their steps wrote.
struct Seals {
    home: Home,
    /// Known digests of outputs, by path. Loaded only when the stat of an output is not enough.
    digests: OnceCell<HashMap<PathBuf, Digest>>,
}

impl Seals {
    fn new(home: Home) -> Self {
        Self { home, digests: OnceCell::new() }
    }

    /// Whether an output is as its step left it. If its stat changed, as in a copied workspace, the content is read.
    /// Runs of older versions recorded no fingerprint: then only the size is compared.
    fn hold(&self, output: &OutputInfo) -> bool {
        Listing::of(&output.path).is_ok_and(|listing| match output.fingerprint.as_str() {
            "" => (listing.files.len() as u64, listing.bytes) == (output.files, output.bytes),
            sealed => listing.fingerprint().to_string() == sealed || self.has_same_bytes(output, &listing),
        })
    }

    fn has_same_bytes(&self, output: &OutputInfo, listing: &Listing) -> bool {
        let digests = self.digests.get_or_init(|| {
            let reuse = Reuse::open_existing(&self.home.reuse(), self.home.root()).ok().flatten();
            let entries = reuse.and_then(|reuse| reuse.entries().ok()).unwrap_or_default();
            entries.into_iter().flat_map(|entry| entry.outputs).map(|kept| (kept.path, kept.digest)).collect()
        });
        let known = digests.get(&output.path);
        known.is_some_and(|known| digest_of(listing).is_ok_and(|digest| digest == *known))
    }

    /// The outputs of a completed step. A valid output whose fingerprint is missing or outdated gets its current one.
    fn vouched(&self, step: &StepView) -> Vec<OutputInfo> {
        let mut outputs = step.outputs.clone();
        for output in &mut outputs {
            if let Ok(listing) = Listing::of(&output.path) {
                let now = listing.fingerprint().to_string();
                if now != output.fingerprint && self.hold(output) {
                    output.fingerprint = now;
                }
            }
        }
        outputs
    }
}

/// An existing run that this process has taken over.
pub(crate) struct Open<'a> {
    pub folder: RunFolder,
    pub plan: Plan,
    pub view: RunView,
    config: Config,
    journal: Journal,
    events: Vec<crate::event::Event>,
    seals: Seals,
    project: &'a Project,
}

impl<'a> Open<'a> {
    /// Takes a run over. No other runner may have it. Processes that a dead runner left behind are ended first.
    pub(crate) fn new(name: &str, project: &'a Project) -> Result<Self, Failed> {
        let folder = find::run(&project.home(), name)?;
        let name = folder.name.as_str();
        let path = folder.events();
        let journal = Journal::resume(&path, folder.workspace()).map_err(|error| match error.kind() {
            // The folder is made before the record: the runner died, or the disk was full, before it could write the
            // record.
            std::io::ErrorKind::NotFound => never_began(name),
            std::io::ErrorKind::WouldBlock => {
                Failed::new(format!("the run '{name}' is still running in another process"))
                    .hint(format!("cancel it first: {}", amlrun(&format!("job cancel -n {name}"))))
            }
            _ => at("open", &path)(error).into(),
        })?;
        folder.forget_cancels()?;
        let (mark, place) = folder.marker();
        let _ = signal::end_orphans(&format!("{mark}={place}"));
        let record = journal::read(&path, folder.workspace()).map_err(at("read", &path))?;
        let events = record::mended(&folder, record);
        let view = RunView::of(&events);
        if view.started.is_none() {
            return Err(never_began(name));
        }
        let config = Config::near(view.job_file.parent().unwrap_or(&view.job_file))?;
        let mut plan = kept_plan(&folder)?;
        if plan.is_signed() {
            // Signatures are not stored. They are read again from the file.
            let (_, again) = project.plan(&view.job_file, &[], &config);
            plan.signed = again.map(|plan| plan.signed).unwrap_or_default();
        }
        let seals = Seals::new(project.home());
        Ok(Self { folder, plan, view, config, journal, events, seals, project })
    }

    /// The index of a step.
    pub(crate) fn step(&self, path: &str) -> Result<usize, Failed> {
        self.plan.step(path).ok_or_else(|| match self.view.step(path).and_then(|step| step.parent.as_ref()) {
            Some(parent) => Failed::new(format!("'{path}' is a part of the step '{parent}' and runs only with it"))
                .hint(format!("run '{parent}' again: {}", amlrun(&format!("step rerun {} {parent}", self.view.run)))),
            None => record::no_step(&self.view, path),
        })
    }

    fn into_session(
        self,
        resumed: Resumed,
        choice: &StepSelection,
        options: &RunOptions,
    ) -> Result<RunSession, Failed> {
        let home = self.project.home();
        let inspection = InspectionOptions {
            jobs: options.transfer_jobs,
            is_resumed: true,
            reporter: Some(self.project.reporter()),
            ..InspectionOptions::default()
        };
        // The same as when the run began, unless the user chooses now.
        let policy = options.environment.unwrap_or(Policy::named(self.view.environments.as_deref()));
        let locked = options.locked.as_deref().or(self.view.locked.as_deref());
        // The other run may have been deleted since. What this one built already is in its own record.
        let own = locked.filter(|run| home.find_run(run).is_err()).map(|_| self.view.run.as_str());
        let config = super::environments::chosen(self.config.clone(), Some(policy), own.or(locked), &home)?;
        let mut run_plan = RunPlan::new(self.plan, &self.view.job_file, &home, choice, &config, inspection)?;
        for (index, decision) in run_plan.decisions.iter_mut().enumerate() {
            let open = resumed.open.contains(&index);
            let done = |need: &usize| resumed.done.contains_key(need);
            if !open {
                *decision = Decision { cache: CacheDecision::Skipped, because: Vec::new() };
            } else if run_plan.plan.steps[index].needs.iter().any(done)
                && !matches!(decision.cache, CacheDecision::Hit(_))
            {
                // Its inputs exist but were not inspected. The decision is made when the step is ready.
                decision.cache = CacheDecision::Pending;
            }
        }
        for &index in &resumed.open {
            if run_plan.force.all || run_plan.force.steps.contains(&index) {
                run_plan.decisions[index].cache = CacheDecision::Miss;
            }
        }
        let next = self.events.last().map_or(0, |event| event.seq + 1);
        let job = |step: &crate::plan::Step| {
            let known = self.view.step(&step.path).map(|view| view.job.clone());
            known.unwrap_or_else(|| self.folder.name.step_job(&step.path))
        };
        let jobs_of_steps = run_plan.plan.steps.iter().map(job).collect();
        Ok(RunSession {
            jobs_of_steps,
            run_plan,
            home,
            folder: self.folder,
            experiment: self.view.experiment.clone(),
            limits: Limits::of(options, &self.config),
            bus: Arc::new(Bus::new(Some(self.journal)).from(next)),
            resumed: Some(resumed),
            past: self.events,
            cancels: Arc::default(),
        })
    }
}
