//! Where what a step printed is: in its run's folder; of a reused step, with the run that made its result. When that run
//! was deleted its log was kept with the result.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::record;
use crate::clock::Timestamp;
use crate::error::Failed;
use crate::event::{RunView, StepView};
use crate::id::RunName;
use crate::outcome::StepOutcome;
use crate::store::kept_log::logs_in;
use crate::store::{Home, RunFolder, StepFolder};

/// What a step printed.
pub(crate) struct StepLogs {
    /// The job name of the step that made the result, when that is another.
    pub made_by: Option<String>,
    /// The log of each process, in their order.
    pub files: Vec<ProcessLog>,
}

/// What one process printed.
pub(crate) struct ProcessLog {
    /// Which of several it was.
    pub process: Option<String>,
    /// The file; one that printed nothing has none.
    pub path: PathBuf,
}

/// Where what a step left is.
pub(crate) enum Made {
    /// In the folder of a step.
    Here(StepFolder),
    /// Its run was deleted, and its logs were kept there.
    Kept(PathBuf),
    /// Nowhere.
    Gone,
}

/// Finds logs, and reads each record that it needs once.
pub(crate) struct Finder {
    home: Home,
    records: HashMap<String, Option<Rc<RunView>>>,
}

impl Finder {
    pub fn new(home: Home) -> Self {
        Self { home, records: HashMap::new() }
    }

    /// The logs of a step of a run.
    pub fn of(&mut self, view: &RunView, step: &StepView) -> Result<StepLogs, Failed> {
        let Some(job) = step.reused_from.clone().filter(|_| step.stand_in.as_deref() != Some("stub")) else {
            return own(step);
        };
        let made_by = Some(job.clone());
        let run = step.reused_run.clone().unwrap_or_default();
        if let Some((maker, made)) = self.maker(&run, &job, view.ended.unwrap_or_else(Timestamp::now))
            // A result may have been handed on by a step that was reused itself.
            && let Ok(logs) = self.of(&maker, &made)
        {
            return Ok(StepLogs { made_by: logs.made_by.or(made_by), files: logs.files });
        }
        let kept = self.home.kept_log(&job);
        if !kept.is_dir() {
            let gone = format!("the step '{}' was reused from {job}, of whose log nothing is left", step.path);
            return Err(Failed::not_found(gone).hint("its run was deleted by an earlier amlrun, or by hand"));
        }
        let kept = logs_in(&kept);
        let several = kept.len() > 1;
        let process = |index: usize| several.then(|| format!("process {index}"));
        let files = kept.into_iter().enumerate().map(|(index, path)| ProcessLog { process: process(index), path });
        Ok(StepLogs { made_by, files: files.collect() })
    }

    /// The folder of the step that made a step's result: its own, unless it was reused.
    pub fn folder(&mut self, run: &RunFolder, view: &RunView, step: &StepView) -> Made {
        let Some(job) = step.reused_from.clone() else { return Made::Here(run.step(&step.path)) };
        let name = step.reused_run.clone().unwrap_or_default();
        if let Some((maker, made)) = self.maker(&name, &job, view.ended.unwrap_or_else(Timestamp::now))
            && let Ok(name) = RunName::parse(&name)
        {
            let folder = self.home.run(&name);
            return self.folder(&folder, &maker, &made);
        }
        let kept = self.home.kept_log(&job);
        if kept.is_dir() { Made::Kept(kept) } else { Made::Gone }
    }

    /// The run and the step that made a result before `then`. A run that began later only has the name of a deleted one.
    fn maker(&mut self, run: &str, job: &str, then: Timestamp) -> Option<(Rc<RunView>, StepView)> {
        let home = &self.home;
        let read = || {
            let folder: RunFolder = home.run(&RunName::parse(run).ok()?);
            folder.path.is_dir().then(|| record::view(&folder).ok().map(Rc::new)).flatten()
        };
        let view = self.records.entry(run.to_owned()).or_insert_with(read).as_ref()?;
        let made = view.steps.iter().find(|step| step.job == job)?;
        (view.started? <= then).then(|| (view.clone(), made.clone()))
    }
}

/// The logs of a step that ran.
fn own(step: &StepView) -> Result<StepLogs, Failed> {
    let name = &step.path;
    let Some(log) = &step.log else {
        let why = match (&step.outcome, step.stand_in.as_deref()) {
            (Some(StepOutcome::Skipped { reason }), _) => format!("the step '{name}' did not run: {reason}"),
            (_, Some("stub")) => {
                format!("the step '{name}' did not run: samples stood in for it (policy \"stub\" in amlrun.toml)")
            }
            _ => format!("the step '{name}' never started: it has no log"),
        };
        return Err(Failed::not_found(why));
    };
    let files = match step.logs.is_empty() {
        true => vec![ProcessLog { process: None, path: log.clone() }],
        false => {
            step.logs.iter().map(|l| ProcessLog { process: Some(l.process.clone()), path: l.log.clone() }).collect()
        }
    };
    Ok(StepLogs { made_by: None, files })
}
