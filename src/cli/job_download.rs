//! `amlrun job download`: what a run or one of its steps left, copied to a folder and laid out as `az ml job download`
//! lays it out: `named-outputs/<name>/` and `artifacts/`.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::error::Failed;
use super::named;
use super::places::Job;
use super::printer::Printer;
use crate::diagnostic::suggest;
use crate::store::{StepFolder, tree};

/// Copy outputs and logs of a run, or of one step, to a folder
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun job download -n RUN --output-name report -p out\n  \
    amlrun job download -n RUN --output-name train.checkpoint\n  \
    amlrun job download -n RUN-train --all             one step, by its job name\n  \
    amlrun job download -n RUN --all\n\n\
    Outputs come to named-outputs/NAME/, logs and what steps wrote to ./outputs to artifacts/.")]
pub(super) struct Download {
    /// The name of the run, or the job name of a step
    #[arg(short, long)]
    name: String,

    /// An output of the run or step; of a run also a step's, as step.output
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    output_name: Option<String>,

    /// Where to
    #[arg(short = 'p', long, default_value = ".", value_name = "DIR")]
    download_path: PathBuf,

    /// All outputs, and every step's logs and outputs/ folder
    #[arg(long)]
    all: bool,
}

pub(super) fn download(download: &Download, context: &Context, printer: &Printer) -> Result<(), Failed> {
    let home = context.home();
    let job = named::job(&home, &download.name)?;
    let target = &download.download_path;
    // What every job leaves is an output of its own on Azure ML, called 'default' (reference, section 3.5).
    let left = |name: &&String| !job.outputs().iter().any(|o| o.name == **name) && *name == "default";
    if let Some(name) = download.output_name.as_ref().filter(|name| !left(name)) {
        let known = named_outputs(&job);
        let Some((_, path)) = known.iter().find(|(known, _)| known == name) else {
            let names = || known.iter().map(|(name, _)| name.as_str());
            let what = if job.step.is_some() { "job" } else { "run" };
            let failed = Failed::not_found(format!("the {what} '{}' has no output '{name}'", download.name));
            return Err(match suggest::nearest(name, names()) {
                Some(near) => failed.hint(format!("did you mean '{near}'?")),
                None if known.is_empty() => failed.hint("it has no outputs"),
                None => failed.hint(format!("its outputs are: {}", names().collect::<Vec<_>>().join(", "))),
            });
        };
        return copy(path, &target.join("named-outputs").join(name), printer);
    }
    if download.all {
        for output in job.outputs() {
            copy(&output.path, &target.join("named-outputs").join(&output.name), printer)?;
        }
    }
    let artifacts = target.join("artifacts");
    match job.step() {
        Some(step) => left_by(&job.run.step(&step.path), &artifacts, printer),
        None => job
            .view
            .steps
            .iter()
            .try_for_each(|step| left_by(&job.run.step(&step.path), &artifacts.join(&step.path), printer)),
    }
}

/// What a step left beside its outputs.
fn left_by(folder: &StepFolder, place: &Path, printer: &Printer) -> Result<(), Failed> {
    let parts = [
        (folder.user_logs(), "user_logs"),
        (folder.wd().join("outputs"), "outputs"),
        (folder.wd().join("logs"), "logs"),
    ];
    for (from, name) in parts {
        let empty = std::fs::read_dir(&from).map_or(true, |mut entries| entries.next().is_none());
        if !empty {
            copy(&from, &place.join(name), printer)?;
        }
    }
    Ok(())
}

/// The job's own outputs by name, and of a run every step's as `step.output`.
fn named_outputs(job: &Job) -> Vec<(String, PathBuf)> {
    let own = job.outputs().iter().map(|o| (o.name.clone(), o.path.clone()));
    let steps = job.view.steps.iter().filter(|_| job.step.is_none());
    let steps =
        steps.flat_map(|step| step.outputs.iter().map(|o| (format!("{}.{}", step.path, o.name), o.path.clone())));
    own.chain(steps).collect()
}

fn copy(from: &Path, to: &Path, printer: &Printer) -> Result<(), Failed> {
    let to = if from.is_file() { to.join(from.file_name().unwrap_or_default()) } else { to.to_owned() };
    if to.exists() {
        return Err(Failed::new(format!("{} is there already", to.display()))
            .hint("name another folder with --download-path, or remove it"));
    }
    tree::copy_tree(from, &to)?;
    printer.data(&format!("{}\n", to.display()));
    Ok(())
}
