//! `amlrun job download`: copies outputs and artifacts of a run or a step to a folder, with the layout of `az ml job
//! download`: `named-outputs/<name>/` and `artifacts/`.

use std::path::{Path, PathBuf};

use crate::cli::printer::Printer;
use crate::diagnostic::suggest;
use crate::error::Failed;
use crate::event::StepView;
use crate::history::find;
use crate::history::find::Job;
use crate::history::step_logs::{Finder, Made};
use crate::runner::project::Project;
use crate::store::tree;

/// Copy outputs and logs of a run or step to a folder
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun job download -n RUN --output-name report -p out\n  \
    amlrun job download -n RUN --output-name train.checkpoint\n  \
    amlrun job download -n RUN-train --all             one step, by its job name\n  \
    amlrun job download -n RUN --all\n\n\
    Outputs of the run are copied to named-outputs/NAME/, other outputs of steps to named-outputs/STEP.NAME/. Logs, \
    files that steps wrote to ./outputs, and MLflow artifacts are copied to artifacts/. For a reused step, these are \
    the files of the step that produced the result.")]
pub(in crate::cli) struct Download {
    /// Name of the run or the start of it, or the job name of a step (RUN-STEP)
    #[arg(short, long)]
    name: String,

    /// Output of the run or step to copy; for an output of a step of a run, STEP.OUTPUT
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    output_name: Option<String>,

    /// Folder to copy to
    #[arg(short = 'p', long, default_value = ".", value_name = "DIR")]
    download_path: PathBuf,

    /// Copy all outputs, logs, outputs/ folders and MLflow artifacts
    #[arg(long)]
    all: bool,
}

pub(super) fn download(download: &Download, project: &Project, printer: &Printer) -> Result<(), Failed> {
    let home = project.home();
    let job = find::job(&home, &download.name)?;
    let target = &download.download_path;
    // On Azure ML, a job's artifacts are an output named 'default' (reference, section 3.5).
    let left = |name: &&String| !job.outputs().iter().any(|o| o.name == **name) && *name == "default";
    if let Some(name) = download.output_name.as_ref().filter(|name| !left(name)) {
        let known = named_outputs(&job);
        let Some((_, path)) = known.iter().find(|(known, _)| known == name) else {
            let names = || known.iter().map(|(name, _)| name.as_str());
            let what = if job.step.is_some() { "job" } else { "run" };
            let failed = Failed::not_found(format!("the {what} '{}' has no output '{name}'", download.name));
            return Err(match suggest::nearest(name, names()) {
                Some(near) => failed.hint(format!("did you mean '{near}'?")),
                None if known.is_empty() => {
                    failed.hint(format!("the {what} has no outputs; use --all to copy its logs"))
                }
                None => failed.hint(format!("use one of {}", names().collect::<Vec<_>>().join(", "))),
            });
        };
        return copy(path, &file_in(&target.join("named-outputs").join(name), path), printer);
    }
    let mut brought = Brought { printer, any: false };
    if download.all {
        for (name, path) in all_outputs(&job) {
            let place = target.join("named-outputs").join(name);
            brought.copy(&path, &file_in(&place, &path))?;
        }
    }
    let artifacts = target.join("artifacts");
    let mut finder = Finder::new(home);
    match job.step() {
        Some(step) => brought.left_by(&job, step, &artifacts, &mut finder)?,
        None => {
            for step in &job.view.steps {
                brought.left_by(&job, step, &artifacts.join(&step.path), &mut finder)?;
            }
        }
    }
    if job.step.is_none() {
        // The artifacts of the job's own MLflow run. For a standalone command job, these are all logged artifacts.
        brought.merge(&job.run.artifacts(), &artifacts)?;
    }
    if !brought.any {
        let all = if download.all { "" } else { "; use --all to copy outputs as well" };
        printer.err(&format!("note: '{}' has nothing to download{all}\n", download.name));
    }
    Ok(())
}

/// The copies, and whether anything was copied.
struct Brought<'a> {
    printer: &'a Printer,
    any: bool,
}

impl Brought<'_> {
    /// Copies the files that a step left outside of its outputs. For a reused step, those of the step that made its
    /// result.
    fn left_by(&mut self, job: &Job, step: &StepView, place: &Path, finder: &mut Finder) -> Result<(), Failed> {
        let folder = match finder.folder(&job.run, &job.view, step) {
            Made::Here(folder) => folder,
            Made::Kept(logs) => return self.filled(&logs, &place.join("user_logs")),
            Made::Gone => return Ok(()),
        };
        self.filled(&folder.user_logs(), &place.join("user_logs"))?;
        self.filled(&folder.wd().join("outputs"), &place.join("outputs"))?;
        self.filled(&folder.wd().join("logs"), &place.join("logs"))?;
        self.merge(&folder.artifacts(), place)
    }

    /// Copies a folder unless it is empty.
    fn filled(&mut self, from: &Path, to: &Path) -> Result<(), Failed> {
        let is_filled = std::fs::read_dir(from).is_ok_and(|mut entries| entries.next().is_some());
        if is_filled { self.copy(from, to) } else { Ok(()) }
    }

    /// Copies the content of a folder, and keeps existing files.
    fn merge(&mut self, from: &Path, to: &Path) -> Result<(), Failed> {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(from).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for entry in entries {
            let place = to.join(entry.file_name().unwrap_or_default());
            if entry.is_dir() && place.is_dir() {
                self.merge(&entry, &place)?;
            } else {
                self.copy(&entry, &place)?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<(), Failed> {
        self.any = true;
        copy(from, to, self.printer)
    }
}

/// The job's own outputs, and for a pipeline the other outputs of its steps, as `step.output`.
fn all_outputs(job: &Job) -> Vec<(String, PathBuf)> {
    let mut all: Vec<(String, PathBuf)> = Vec::new();
    for (name, path) in named_outputs(job) {
        if !all.iter().any(|(_, known)| *known == path) {
            all.push((name, path));
        }
    }
    all
}

/// The job's own outputs by name, and for a run those of all steps, as `step.output`.
fn named_outputs(job: &Job) -> Vec<(String, PathBuf)> {
    let own = job.outputs().iter().map(|o| (o.name.clone(), o.path.clone()));
    let steps = job.view.steps.iter().filter(|_| job.step().is_none());
    let steps =
        steps.flat_map(|step| step.outputs.iter().map(|o| (format!("{}.{}", step.path, o.name), o.path.clone())));
    own.chain(steps).collect()
}

fn copy(from: &Path, to: &Path, printer: &Printer) -> Result<(), Failed> {
    if to.exists() {
        return Err(Failed::new(format!("{} already exists", to.display()))
            .hint("choose another folder with --download-path, or remove it"));
    }
    tree::copy_tree(from, to)?;
    printer.data(&format!("{}\n", to.display()));
    Ok(())
}

/// The destination of an output: a file is copied into the output's folder.
fn file_in(place: &Path, output: &Path) -> PathBuf {
    if output.is_file() { place.join(output.file_name().unwrap_or_default()) } else { place.to_owned() }
}
