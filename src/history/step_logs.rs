//! Finds what a step printed. The log is in the folder of its run; for a reused step, in the run that made its result.
//! If that run was deleted, the log was kept with the result.

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
    /// The job name of the step that made the result, if it was another step.
    pub made_by: Option<String>,
    /// The log of each process, in order.
    pub files: Vec<ProcessLog>,
}

/// What one process printed.
pub(crate) struct ProcessLog {
    /// Which of several processes it was.
    pub process: Option<String>,
    /// The file. A process that printed nothing has no file.
    pub path: PathBuf,
}

/// Where the files of a step are.
pub(crate) enum Made {
    /// In the folder of a step.
    Here(StepFolder),
    /// The run was deleted, and its logs were kept in this folder.
    Kept(PathBuf),
    /// They do not exist any more.
    Gone,
}

/// Finds logs, and reads each record only once.
pub(crate) struct Finder {
    home: Home,
    records: HashMap<String, Option<Rc<RunView>>>,
}

impl Finder {
    pub(crate) fn new(home: Home) -> Self {
        Self { home, records: HashMap::new() }
    }

    /// The logs of a step of a run.
    pub(crate) fn of(&mut self, view: &RunView, step: &StepView) -> Result<StepLogs, Failed> {
        let Some(job) = step.reused_from.clone().filter(|_| step.substitute.as_deref() != Some("stub")) else {
            return own(step);
        };
        let made_by = Some(job.clone());
        let run = step.reused_run.clone().unwrap_or_default();
        if let Some((maker, made)) = self.maker(&run, &job, view.ended.unwrap_or_else(Timestamp::now))
            // The step that passed on the result may have been reused itself.
            && let Ok(logs) = self.of(&maker, &made)
        {
            return Ok(StepLogs { made_by: logs.made_by.or(made_by), files: logs.files });
        }
        let kept = self.home.kept_log(&job);
        if !kept.is_dir() {
            let gone = format!("the step '{}' was reused from {job}, whose log no longer exists", step.path);
            return Err(Failed::not_found(gone).hint("run the step again with --force-rerun to get a log"));
        }
        let kept = logs_in(&kept);
        let several = kept.len() > 1;
        let process = |index: usize| several.then(|| format!("process {index}"));
        let files = kept.into_iter().enumerate().map(|(index, path)| ProcessLog { process: process(index), path });
        Ok(StepLogs { made_by, files: files.collect() })
    }

    /// The folder of the step that made a step's result: its own, unless it was reused.
    pub(crate) fn folder(&mut self, run: &RunFolder, view: &RunView, step: &StepView) -> Made {
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

    /// The run and the step that made a result before `then`. A run that started later is another run with the same
    /// name.
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
        let why = match (&step.outcome, step.substitute.as_deref()) {
            (Some(StepOutcome::Skipped { reason }), _) => format!("the step '{name}' did not run: {reason}"),
            (_, Some("stub")) => {
                let stubbed = crate::report::summary::stubbed(step);
                format!("the step '{name}' did not run: {stubbed} (policy \"stub\" in amlrun.toml)")
            }
            _ => format!("the step '{name}' never started, so it has no log"),
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
