//! Describes how a model file was saved, and which Python statement loads it. All of it is valid for torch 2.13.

use std::path::Path;

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::safety::{self, Import, Safety};
use crate::model_file::unpickle::Evidence;
use crate::model_file::words;

/// How it was saved, and what Python needs to load it.
pub(super) fn saved(contents: &Contents, imports: &[Import], evidence: &Evidence) -> String {
    match contents.kind {
        Kind::Module | Kind::Checkpoint | Kind::StateDict
            if imports.iter().any(|import| import.safety == Safety::Dangerous) =>
        {
            "by torch.save, with content that no model needs: do not load it".to_owned()
        }
        Kind::Module => {
            let mut classes: Vec<String> =
                imports.iter().filter(|import| import.safety != Safety::Safe).map(Import::dotted).collect();
            classes.truncate(6);
            let need = if classes.is_empty() {
                "torch alone".to_owned()
            } else {
                format!("{} importable under exactly this name", classes.join(", "))
            };
            format!("the whole model, by torch.save(model): loading it needs weights_only=False and {need}")
        }
        Kind::StateDict => {
            "a state_dict, by torch.save(model.state_dict()): loading it needs the class of the model, created \
            with the same sizes"
                .to_owned()
        }
        Kind::Checkpoint => match strict(imports, evidence) {
            None => "a checkpoint dictionary, by torch.save({…}): torch.load(weights_only=True) can load it".to_owned(),
            Some(what) => {
                format!("a checkpoint, by torch.save({{…}}): torch.load(weights_only=True) refuses {what}")
            }
        },
        Kind::TorchScript => "TorchScript, by torch.jit.save: torch.jit.load needs nothing else".to_owned(),
        Kind::Safetensors => {
            "safetensors: weights only, without a pickle; loading them needs the class of the model".to_owned()
        }
        Kind::Export => "an exported program, by torch.export.save: torch.export.load needs nothing else".to_owned(),
        Kind::MlflowModel => "an MLflow model: load the folder with mlflow.pyfunc.load_model".to_owned(),
        Kind::Unknown => "not a format that torch writes".to_owned(),
    }
}

/// The first thing that `torch.load(weights_only=True)` refuses. `None` if it accepts the file.
fn strict(imports: &[Import], evidence: &Evidence) -> Option<String> {
    let refused = imports.iter().find(|import| !safety::is_weights_only(&import.module, &import.name));
    refused.map(Import::dotted).or_else(|| evidence.strict().map(|what| words::printable(what, 120)))
}

/// The Python statement that loads it. Empty if it should not be loaded, or no statement is known.
pub(super) fn loads(path: &Path, contents: &Contents, imports: &[Import], evidence: &Evidence) -> String {
    if safety::overall(evidence, imports) >= Safety::Unjudged {
        return String::new();
    }
    let name = words::printable(&path.file_name().unwrap_or_default().to_string_lossy(), 200).replace('"', "\\\"");
    // Storages are loaded to their original device, which fails if this machine does not have it.
    let device = if contents.places.iter().all(|place| place == "cpu") { "" } else { ", map_location=\"cpu\"" };
    match contents.kind {
        Kind::Module | Kind::Checkpoint | Kind::StateDict => {
            let only = if strict(imports, evidence).is_none() { "True" } else { "False" };
            format!("torch.load(\"{name}\"{device}, weights_only={only})")
        }
        Kind::TorchScript => format!("torch.jit.load(\"{name}\", map_location=\"cpu\")"),
        Kind::Safetensors if name.ends_with(".safetensors") => format!("safetensors.torch.load_file(\"{name}\")"),
        Kind::Export => format!("torch.export.load(\"{name}\")"),
        _ => String::new(),
    }
}

/// Remarks about a torch file's names and devices, one sentence each.
pub(super) fn notes(contents: &Contents) -> Vec<String> {
    let mut notes = Vec::new();
    let away: Vec<String> =
        contents.places.iter().filter(|place| *place != "cpu").map(|place| words::printable(place, 40)).collect();
    if !away.is_empty() {
        notes.push(format!(
            "saved on {}: on a machine without this device, torch.load needs map_location=\"cpu\"",
            away.join(", ")
        ));
    }
    let told = [
        ("module.", "as nn.DataParallel and DistributedDataParallel save them"),
        ("_orig_mod.", "as torch.compile saves them"),
        ("model.", "as Lightning modules and other wrappers save them"),
    ];
    for (prefix, whose) in told {
        let states = contents.tensors.iter().map(|tensor| tensor.name.as_str());
        // In a checkpoint, the names follow the key of the dictionary that holds them.
        let begins =
            |name: &str| name.starts_with(prefix) || after_key(name).is_some_and(|rest| rest.starts_with(prefix));
        let (all, with) = states.fold((0, 0), |(all, with), name| (all + 1, with + usize::from(begins(name))));
        if with > 0 && (with == all || contents.kind == Kind::Checkpoint && prefix != "model.") {
            notes.push(format!("names begin with '{prefix}', {whose}: 'model convert --strip-prefix' removes it"));
        }
    }
    notes
}

/// A name without the key of the dictionary that holds it, such as `state_dict.`.
fn after_key(name: &str) -> Option<&str> {
    ["state_dict.", "model_state_dict.", "model.", "ema."].iter().find_map(|key| name.strip_prefix(key))
}
