//! Collects the outputs of a successful step: checks, publishes, seals and registers them.

use std::path::Path;

use super::state::warn;
use super::{OutputAsset, Request, Services, value};
use crate::diagnostic::article::with_article;
use crate::event::{EventKind, OutputInfo};
use crate::exec::StopWatch;
use crate::outcome::Failure;
use crate::plan::{DatastorePath, Located, Part, PortType, Program, Step, StepOutput};
use crate::reuse::Listing;
use crate::store::{seal, tree};

/// The sealed outputs of a step.
pub(super) struct Collected {
    pub outputs: Vec<OutputInfo>,
    /// Why an output could not be uploaded. Then it is kept for the next attempt, and not registered.
    pub unsent: Option<Failure>,
}

/// Seals every output of a step, uploads those with a remote destination, and registers those that become assets.
/// `made` is called before anything is uploaded.
pub(super) fn collect(
    index: usize,
    attempt: u32,
    request: &Request,
    services: &Services,
    stop: &StopWatch,
    made: &dyn Fn(&[OutputInfo]),
) -> Result<Collected, Failure> {
    let step = request.step(index);
    let mut collected: Vec<(&StepOutput, OutputInfo)> = Vec::new();
    for output in &step.outputs {
        let path = request.output(index, &output.name, attempt);
        if is_artifact_root(output) {
            gather(index, &path, request).map_err(|e| not_kept(&e, &path))?;
        }
        if !path.exists() {
            if output.asset.is_some() || is_wanted(index, &output.name, request) {
                return Err(Failure::MissingOutput { output: output.name.clone() });
            }
            let message = format!("it did not write its output '{}', which no step reads", output.name);
            warn(services, request, index, message);
            continue;
        }
        if !output.kind.is_data() {
            value::read(&path, output.kind)
                .map_err(|why| Failure::other(format!("its output '{}' cannot be used: {why}", output.name)))?;
        }
        if let Some(message) = misfit(step, output, &path) {
            warn(services, request, index, message);
        }
        let info = close(index, output, &path, request)?;
        if output.asset.is_some() && info.files == 0 && output.kind != PortType::UriFolder {
            return Err(Failure::MissingOutput { output: output.name.clone() });
        }
        collected.push((output, info));
    }
    let remote = |output: &StepOutput| output.place.as_ref().is_some_and(DatastorePath::is_remote);
    if collected.iter().any(|(output, _)| remote(output)) {
        made(&collected.iter().map(|(_, info)| info.clone()).collect::<Vec<_>>());
    }
    let mut staging = collected.iter().filter(|(output, _)| remote(output));
    let sent = staging.try_for_each(|(output, info)| upload(index, output, info, request, services, stop));
    if sent.is_ok() {
        for (output, info) in &collected {
            register(index, output, info, request, services)?;
        }
    }
    Ok(Collected { outputs: collected.into_iter().map(|(_, info)| info).collect(), unsent: sent.err() })
}

/// A warning if an output does not fit its type, because the step that reads it may fail.
fn misfit(step: &Step, output: &StepOutput, path: &Path) -> Option<String> {
    let name = &output.name;
    let marker = match output.kind {
        // Spark writes a folder of parts, and reads it as if it were one file.
        PortType::UriFile if step.body.kind() == Program::Spark.kind() => return None,
        PortType::UriFile if path.is_dir() => {
            return Some(format!("its output '{name}' is a uri_file, but it wrote a folder there"));
        }
        PortType::Mltable => "MLTable",
        PortType::MlflowModel => "MLmodel",
        _ => return None,
    };
    let lacks = path.is_dir() && !path.join(marker).exists();
    lacks.then(|| {
        let kind = with_article(&output.kind.to_string());
        format!("its output '{name}' is {kind}, but has no file {marker}")
    })
}

/// Seals an output, publishes it if its destination is a local folder, and describes it. The order matters: a hard
/// link changes the stat of a file.
fn close(index: usize, output: &StepOutput, path: &Path, request: &Request) -> Result<OutputInfo, Failure> {
    seal::seal(path).map_err(|e| not_kept(&e, path))?;
    let place = output.place.as_ref().map(|place| place.named(&request.step_job(index), &output.name));
    if let Some(Located::Here(to)) = place {
        publish(path, &to).map_err(|e| not_kept(&e, &to))?;
    }
    let listing = Listing::of(path).map_err(|e| not_kept(&e, path))?;
    Ok(OutputInfo {
        name: output.name.clone(),
        kind: output.kind.to_string(),
        path: request.paths.to_real(path),
        files: listing.files.len() as u64,
        bytes: listing.bytes,
        fingerprint: listing.fingerprint().to_string(),
    })
}

/// Why an output cannot be kept. A full disk is reported as such, wherever it is in the chain of causes.
fn not_kept(error: &(dyn std::error::Error + 'static), path: &Path) -> Failure {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::StorageFull) {
            return Failure::DiskFull { path: path.display().to_string() };
        }
        cause = this.source();
    }
    Failure::other(error.to_string())
}

/// Registers an output that becomes an asset, unless this output is already registered.
pub(super) fn register(
    index: usize,
    output: &StepOutput,
    info: &OutputInfo,
    request: &Request,
    services: &Services,
) -> Result<(), Failure> {
    let Some(asset) = &output.asset else { return Ok(()) };
    let step = request.step(index);
    let job = request.step_job(index);
    let made = OutputAsset { asset, kind: output.kind, path: info.path.clone(), step: &step.path, job: &job };
    if services.workspace.registered(&made).is_some() {
        return Ok(());
    }
    let id = services.workspace.register(&made).map_err(|error| {
        error.reworded(|why| format!("its output '{}' cannot be registered as '{}': {why}", output.name, asset.name))
    })?;
    services.bus.publish(EventKind::AssetRegistered { step: step.path.clone(), output: output.name.clone(), id });
    Ok(())
}

/// Copies a sealed output to its destination: a datastore's folder or a container.
pub(super) fn upload(
    index: usize,
    output: &StepOutput,
    info: &OutputInfo,
    request: &Request,
    services: &Services,
    stop: &StopWatch,
) -> Result<(), Failure> {
    let Some(place) = &output.place else { return Ok(()) };
    let path = request.paths.to_visible(&info.path);
    let remote = match place.named(&request.step_job(index), &output.name) {
        Located::Here(to) => return publish(&path, &to).map_err(|e| not_kept(&e, &to)),
        Located::Remote(remote) => remote,
    };
    let step = &request.step(index).path;
    let moved = services.workspace.upload(&path, &remote, step, stop).map_err(|error| {
        let kept = info.path.display();
        error.reworded(|why| format!("its output '{}' cannot be uploaded: {why}; it is kept at {kept}", output.name))
    })?;
    let output = output.name.clone();
    services.bus.publish(EventKind::OutputUploaded { step: step.clone(), output, uri: remote.uri, moved });
    Ok(())
}

/// Puts the files of an output into a folder of a datastore, beside existing files. They become hard links to the
/// sealed files where the file system supports that. A later run replaces the link and does not change the sealed
/// file.
fn publish(from: &Path, to: &Path) -> Result<(), tree::TreeError> {
    if from.is_file() { tree::replace_file(from, to) } else { tree::merge_tree(from, to) }
}

/// Whether an output is called `artifacts` or `default`. The step does not fill such a folder: it contains what every
/// job leaves, `outputs/`, `logs/` and `user_logs/` (reference, section 3.5).
fn is_artifact_root(output: &StepOutput) -> bool {
    matches!(output.name.as_str(), "artifacts" | "default") && output.kind == PortType::UriFolder
}

fn gather(index: usize, root: &Path, request: &Request) -> Result<(), tree::TreeError> {
    let folder = request.paths.real.step(&request.step(index).path);
    let wd = folder.wd();
    for (from, name) in [(wd.join("outputs"), "outputs"), (wd.join("logs"), "logs"), (folder.user_logs(), "user_logs")]
    {
        let to = root.join(name);
        if from.is_dir() && !to.exists() {
            tree::copy_tree(&from, &to)?;
        }
    }
    Ok(())
}

/// Whether another step or the job itself reads an output.
pub(super) fn is_wanted(index: usize, output: &str, request: &Request) -> bool {
    let wanted = Part::Output { step: index, output: output.to_owned() };
    let reads = |step: &Step| step.needs.contains(&index) && step.values().flat_map(|v| &v.parts).any(|p| *p == wanted);
    request.plan.outputs.iter().any(|o| o.step == index && o.output == output)
        || request.is_taken(index, output)
        || request.steps().any(|(_, step)| reads(step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let trouble = |kind| tree::TreeError::Io { path: "/x/y".into(), source: Error::from(kind) };
        let full = not_kept(&trouble(ErrorKind::StorageFull), Path::new("/x"));
        assert_eq!(full, Failure::DiskFull { path: "/x".into() });
        let other = not_kept(&trouble(ErrorKind::PermissionDenied), Path::new("/x"));
        assert!(matches!(other, Failure::Other { message } if message.contains("/x/y")));
    }
}
