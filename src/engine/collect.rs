//! What becomes of a successful step's outputs: checked, sealed, registered.

use std::path::Path;

use super::step::warn;
use super::{Made, Request, Surroundings, Workspace};
use crate::event::{OutputInfo, What};
use crate::outcome::Failure;
use crate::plan::PortType;
use crate::plan::{Part, Step, StepOutput};
use crate::store::{seal, tree};

/// Seals every output of a step and registers those that are to become assets.
pub(super) fn collect<E, W: Workspace>(
    index: usize,
    request: &Request,
    around: &Surroundings<E, W>,
) -> Result<Vec<OutputInfo>, Failure> {
    let step = &request.plan.steps[index];
    let broken = |message: String| Failure::Surroundings { message };
    let mut collected = Vec::new();
    for output in &step.outputs {
        let path = request.output(index, &output.name);
        if is_artifact_root(output) {
            gather(index, &path, request).map_err(broken)?;
        }
        if !path.exists() {
            if output.asset.is_some() || is_wanted(index, &output.name, request) {
                return Err(Failure::MissingOutput { output: output.name.clone() });
            }
            let message = format!("it did not write its output '{}', which nobody reads", output.name);
            warn(around, request, index, message);
            continue;
        }
        let tree = request.home.output(&request.run.name, &step.path, &output.name);
        let sealed = seal::seal(&tree).map_err(|e| broken(e.to_string()))?;
        // The record tells the address in the workspace itself, not through the link that shells may need.
        let address = match path.strip_prefix(request.home.root()) {
            Ok(inner) => request.run.path.ancestors().nth(2).unwrap_or(request.home.root()).join(inner),
            Err(_) => path.clone(),
        };
        collected.push(OutputInfo {
            name: output.name.clone(),
            kind: output.kind.to_string(),
            path: address.clone(),
            files: sealed.files.len() as u64,
            bytes: sealed.bytes,
        });
        if let Some(asset) = &output.asset {
            if sealed.files.is_empty() && output.kind != PortType::UriFolder {
                return Err(Failure::MissingOutput { output: output.name.clone() });
            }
            let job = request.step_job(index);
            let made = Made { asset, kind: output.kind, path: address, step: &step.path, job: &job };
            let id = around.workspace.register(&made).map_err(|why| {
                broken(format!("its output '{}' cannot be registered as '{}': {why}", output.name, asset.name))
            })?;
            around.bus.say(What::AssetRegistered { step: step.path.clone(), output: output.name.clone(), id });
        }
    }
    Ok(collected)
}

/// An output called `artifacts` or `default` is not a folder that the step fills: it is what every job leaves, its
/// `outputs/`, `logs/` and `user_logs/` (reference, section 3.5).
fn is_artifact_root(output: &StepOutput) -> bool {
    matches!(output.name.as_str(), "artifacts" | "default") && output.kind == PortType::UriFolder
}

fn gather(index: usize, root: &Path, request: &Request) -> Result<(), String> {
    let folder = request.run.step(&request.plan.steps[index].path);
    let wd = folder.wd();
    for (from, name) in [(wd.join("outputs"), "outputs"), (wd.join("logs"), "logs"), (folder.user_logs(), "user_logs")]
    {
        let to = root.join(name);
        if from.is_dir() && !to.exists() {
            tree::copy_tree(&from, &to).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Whether another step or the job itself reads an output.
fn is_wanted(index: usize, output: &str, request: &Request) -> bool {
    let reads = |step: &Step| {
        let values = step.inputs.iter().filter_map(|i| i.value.as_ref());
        let values = values.chain(step.environment_variables.iter().map(|(_, v)| v));
        let wanted = Part::Output { step: index, output: output.to_owned() };
        values.flat_map(|v| &v.parts).any(|part| *part == wanted)
    };
    request.plan.steps.iter().any(reads) || request.plan.outputs.iter().any(|o| o.step == index && o.output == output)
}
