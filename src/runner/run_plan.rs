//! What a plan would do now: which steps run and which are reused, given the results of earlier runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::StepSelection;
use super::tools;
use crate::config::Config;
use crate::container::Images;
use crate::data::inspection::InspectionOptions;
use crate::data::staging::RemoteData;
use crate::diagnostic::suggest;
use crate::digest::Digest;
use crate::engine::{self, CacheDecision, CachedResult, Decision, Force, InputSnapshot};
use crate::environment::container::Container;
use crate::environment::resolve::{Managed, Resolution};
use crate::environment::{Environments, variables};
use crate::error::Failed;
use crate::event::StepView;
use crate::history::record;
use crate::outcome::JobStatus;
use crate::plan::choice::named;
use crate::plan::{Plan, Step, Substitute};
use crate::reuse::{Kept, Listing, Reuse, digest_of};
use crate::store::Home;

/// A plan with a decision for each of its steps.
pub(crate) struct RunPlan {
    pub plan: Plan,
    /// The absolute path of the job file. It identifies steps across runs.
    pub job_file: PathBuf,
    pub reuse: Option<Arc<Reuse>>,
    pub snapshot: InputSnapshot,
    pub force: Force,
    pub decisions: Vec<Decision>,
    /// Which steps were selected.
    pub wanted: Vec<bool>,
    /// The remote data that the plan reads and writes.
    pub data: Arc<RemoteData>,
    /// The environments of its steps.
    pub environments: Arc<Environments>,
    /// The images of its containers.
    pub images: Arc<Images>,
    /// The variables that the project passes on, with their values.
    pub passed_on: Vec<(String, String)>,
    /// Shell variables that steps do not inherit.
    pub kept_out: Vec<String>,
    pub warnings: Vec<String>,
    /// Steps whose data is unreachable, with the reason.
    pub unreachable: Vec<(String, String)>,
}

impl RunPlan {
    /// Looks up the results of earlier runs in the workspace. Only the stat cache is written.
    pub(crate) fn new(
        plan: Plan,
        job_file: &Path,
        home: &Home,
        selection: &StepSelection,
        config: &Config,
        inspection_options: InspectionOptions<'_>,
    ) -> Result<Self, Failed> {
        let wanted = selection.steps().steps(&plan).map_err(Failed::usage)?;
        let mut force = Force::default();
        match &selection.force_rerun {
            None => {}
            Some(steps) if steps.is_empty() => force.all = true,
            Some(steps) => force.steps = named(steps, &plan).map_err(Failed::usage)?,
        }
        home.check()?;
        let mut warnings = Vec::new();
        let opened = if home.root().is_dir() { Reuse::open(&home.reuse(), home.root()).map(Some) } else { Ok(None) };
        let reuse = opened.unwrap_or_else(|why| {
            warnings.push(format!("no results are reused: {why}"));
            None
        });
        let data = Arc::new(RemoteData::new(home, config, inspection_options.jobs, &plan));
        let inspection = if inspection_options.offline {
            data.all_unknown(&plan)
        } else {
            data.inspect(&plan, &wanted, inspection_options)?
        };
        warnings.extend(inspection.warnings);
        let unreachable = inspection.unreachable;
        let mut snapshot = InputSnapshot::gather(&plan, home.root()).with(inspection.seen);
        let kept_out = variables::kept_out(&config.pass_variables);
        warnings.extend(uninherited_variables(&plan, &kept_out));
        warnings.extend(unknown_step_tables(&plan, config));
        let images = Arc::new(Images::new(config.environments().engine));
        let environments = Arc::new(super::environments::of(home, config).with_images(images.clone()));
        if reuse.is_some() {
            let near = home.root().parent().unwrap_or(home.root());
            let host = super::local_environment::host;
            let offline = inspection_options.offline;
            snapshot.host = Some(host(near, &config.pass_variables, offline, environments.clone()));
        }
        let scope = engine::scope(job_file, home.root());
        let given = replay(&plan, home, reuse.as_ref())?;
        let decisions = engine::decide(&plan, &snapshot, reuse.as_ref(), &force, &scope, &wanted, given);
        let running = plan.steps.iter().zip(&decisions).filter(|(_, decision)| decision.may_run());
        warnings.extend(
            running.flat_map(|(step, _)| step.with_templates()).flat_map(|step| windows_line_endings(step, &snapshot)),
        );
        let job_file = job_file.to_owned();
        let reuse = reuse.map(Arc::new);
        Ok(Self {
            plan,
            job_file,
            reuse,
            snapshot,
            force,
            decisions,
            wanted,
            data,
            environments,
            images,
            passed_on: variables::passed_on(&config.pass_variables),
            kept_out,
            warnings,
            unreachable,
        })
    }

    /// The environments that are built for its steps, each with the steps that it is for.
    pub(crate) fn managed(&self) -> Vec<(Managed, Vec<usize>)> {
        let mut all: Vec<(Managed, Vec<usize>)> = Vec::new();
        for (index, step) in self.plan.steps.iter().enumerate().filter(|(_, step)| step.substitute.is_none()) {
            for command in step.with_templates().into_iter().filter_map(Step::command) {
                let Ok(resolution) = self.environments.resolve(command.environment.as_ref()) else { continue };
                let Resolution::Managed(managed) = &*resolution else { continue };
                match all.iter_mut().find(|(known, _)| known.digest == managed.digest) {
                    Some((_, steps)) if steps.last() == Some(&index) => {}
                    Some((_, steps)) => steps.push(index),
                    None => all.push(((**managed).clone(), vec![index])),
                }
            }
        }
        all
    }

    /// The containers of its steps, each with the number of steps that run in it.
    pub(crate) fn containers(&self) -> Vec<(Container, usize)> {
        let mut all: Vec<(Container, usize)> = Vec::new();
        for (_, command) in self.plan.commands() {
            let Ok(resolution) = self.environments.resolve(command.environment.as_ref()) else { continue };
            let Resolution::Container(container) = &*resolution else { continue };
            match all.iter_mut().find(|(known, _)| known == &**container) {
                Some((_, count)) => *count += 1,
                None => all.push(((**container).clone(), 1)),
            }
        }
        all
    }

    /// Checks that the selected steps can run: the environment of a step that runs must have a definition that can be
    /// read, and the step must not depend on one that was left out.
    pub(crate) fn startable(&self) -> Result<(), Failed> {
        let may_run = self.plan.steps.iter().zip(&self.decisions).filter(|(_, decision)| decision.may_run());
        let may_run = may_run.filter(|(step, _)| step.substitute.is_none());
        let may_run: Vec<&Step> = may_run.flat_map(|(step, _)| step.with_templates()).collect();
        for step in &may_run {
            let environment = step.command().map(|command| &command.environment);
            if let Some(Err(why)) = environment.map(|environment| self.environments.resolve(environment.as_ref())) {
                let message = format!("the step '{}' cannot run: {why}", step.path);
                let hint =
                    "run it with what is installed here: --environment host, or define the environment in amlrun.toml";
                return Err(Failed::new(message).hint(hint));
            }
        }
        let commands = may_run.iter().filter_map(|step| Some((step.path.as_str(), step.command()?)));
        if let Some(lacking) = tools::first_lacking(commands, &self.environments) {
            let message = format!("the step '{}' cannot run: {}", lacking.step, lacking.what);
            return Err(Failed::new(message).hint(lacking.help()));
        }
        for (index, step) in self.plan.steps.iter().enumerate() {
            if !self.decisions[index].may_run() || !self.wanted[index] {
                continue;
            }
            let left_out = |need: &&usize| matches!(self.decisions[**need].cache, CacheDecision::Skipped);
            let asked = |need: &&usize| self.plan.steps[**need].substitute.is_none();
            if let Some(&missing) = step.needs.iter().filter(asked).find(left_out) {
                let other = &self.plan.steps[missing].path;
                let message = format!("the step '{}' needs '{other}', which has no result to reuse", step.path);
                return Err(
                    Failed::new(message).hint(format!("run it too with --until {}, or run all steps", step.path))
                );
            }
        }
        Ok(())
    }
}

/// Warnings about tables in `amlrun.toml` for steps that this file does not have.
fn unknown_step_tables(plan: &Plan, config: &Config) -> Vec<String> {
    let names = || plan.steps.iter().map(|step| step.path.as_str());
    let local = config.local();
    let unknown = local.steps.keys().filter(|name| *name != "*" && !names().any(|known| known == name.as_str()));
    let sentence = |name: &String| {
        let near = suggest::nearest(name, names()).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        format!("amlrun.toml has a table [steps.{name}], but this job has no step '{name}'{near}")
    };
    unknown.map(sentence).collect()
}

/// Warnings about steps that use a shell variable which they do not inherit.
fn uninherited_variables(plan: &Plan, kept_out: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (path, command) in plan.commands() {
        let is_set = |name: &str| command.environment_variables.iter().any(|(set, _)| set == name);
        for name in variables::named(&command.text, kept_out).into_iter().filter(|name| !is_set(name)) {
            warnings.push(format!(
                "the step '{}' uses ${name}, which is set in this shell but not passed to steps: set it in \
                environment_variables, or add it to pass_variables in amlrun.toml",
                path
            ));
        }
    }
    warnings
}

/// Checks that there is an earlier run for each step with `policy = "replay"`.
pub(crate) fn replayable(plan: &Plan, home: &Home) -> Result<(), Failed> {
    if !plan.steps.iter().any(|step| matches!(step.substitute, Some(Substitute::Replay { .. }))) {
        return Ok(());
    }
    let reuse = if home.root().is_dir() { Reuse::open(&home.reuse(), home.root()).ok() } else { None };
    replay(plan, home, reuse.as_ref()).map(drop)
}

/// Warnings about scripts of a step that a shell cannot read.
fn windows_line_endings(step: &Step, snapshot: &InputSnapshot) -> Vec<String> {
    let told = |script: &str| {
        format!(
            "the step '{}' runs {script}, which has Windows line endings (CRLF) that a shell cannot run: convert it \
            (dos2unix {script}), and add '*.sh text eol=lf' to .gitattributes",
            step.path
        )
    };
    engine::windows_scripts(step, snapshot).into_iter().map(told).collect()
}

/// Steps that take their outputs from an earlier run because the project says so (`policy = "replay"`).
fn replay(plan: &Plan, home: &Home, reuse: Option<&Reuse>) -> Result<HashMap<usize, CachedResult>, Failed> {
    let mut given = HashMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(Substitute::Replay { run }) = &step.substitute else { continue };
        let found = match run {
            Some(run) => {
                let folder = home.find_run(run)?;
                let view = record::view(&folder)?;
                completed(view.step(&step.path))
                    .then(|| (run.clone(), view))
                    .and_then(|(run, view)| Some((run, view.step(&step.path)?.clone())))
            }
            None => {
                let mut views: Vec<_> = home.runs()?.iter().filter_map(|run| record::view(run).ok()).collect();
                views.sort_by_key(|view| std::cmp::Reverse(view.started));
                let with = views.into_iter().find(|view| completed(view.step(&step.path)));
                with.and_then(|view| Some((view.run.clone(), view.step(&step.path)?.clone())))
            }
        };
        let Some((run, found)) = found else {
            let message =
                format!("the step '{}' cannot be replayed: no run has a completed step with that name", step.path);
            return Err(Failed::new(message).hint("set run = \"…\" in amlrun.toml, or use policy = \"stub\""));
        };
        let mut outputs = Vec::new();
        for output in &found.outputs {
            let listing = Listing::of(&output.path);
            let digest = listing.as_ref().ok().and_then(|listing| digest_of(listing).ok());
            let (Ok(listing), Some(digest)) = (listing, digest) else {
                let message =
                    format!("the output '{}' of '{}' in the run '{run}' no longer exists", output.name, step.path);
                return Err(Failed::new(message));
            };
            let touched = !output.fingerprint.is_empty() && output.fingerprint != listing.fingerprint().to_string();
            if touched && !same_bytes(reuse, &output.path, &digest) {
                let message = format!(
                    "the output '{}' of '{}' in the run '{run}' was changed after it was written",
                    output.name, step.path
                );
                return Err(Failed::new(message).hint("set another run in amlrun.toml, or run the step again"));
            }
            outputs.push(Kept {
                name: output.name.clone(),
                kind: output.kind.clone(),
                path: output.path.clone(),
                fingerprint: listing.fingerprint(),
                digest,
                files: output.files,
                bytes: output.bytes,
            });
        }
        let cached = CachedResult { run, job: found.job.clone(), outputs, metrics: found.metrics.clone() };
        given.insert(index, cached);
    }
    Ok(given)
}

/// Whether an output with a changed stat is known to have the content that its step wrote.
fn same_bytes(reuse: Option<&Reuse>, path: &Path, digest: &Digest) -> bool {
    let entries = reuse.and_then(|reuse| reuse.entries().ok()).unwrap_or_default();
    entries.iter().flat_map(|entry| &entry.outputs).any(|kept| kept.path == path && kept.digest == *digest)
}

fn completed(step: Option<&StepView>) -> bool {
    step.is_some_and(|step| step.status == JobStatus::Completed)
}
