//! The inspection of a model file as text.

use std::collections::BTreeMap;

use crate::model_file::contents::{Kind, Module};
use crate::model_file::file::ModelFile;
use crate::model_file::safety::Safety;
use crate::model_file::words;

/// How many tensors are listed before the rest is only counted. `None` lists all.
pub type Most = Option<usize>;

/// The text of `amlrun model inspect`.
pub fn text(file: &ModelFile, most: Most) -> String {
    let told = file.inspection();
    let mut out = String::new();
    let mut line = |label: &str, value: &str| out.push_str(&format!("{label:<12}{value}\n"));
    line("file", &words::printable(&file.path.display().to_string(), 400));
    line("kind", kind(told.kind));
    line("saved as", &file.saved);
    if !file.loads.is_empty() {
        line("load with", &file.loads);
    }
    line("safety", &safety(file));
    line("parameters", &words::thousands(told.parameters));
    line("tensors", &format!("{}, {}{}", told.tensors.len(), crate::number::human_bytes(told.bytes), dtypes(file)));
    line("file size", &crate::number::human_bytes(file.file_bytes));
    let dangerous: Vec<_> = file.imports.iter().filter(|import| import.safety != Safety::Safe).collect();
    if !dangerous.is_empty() || !file.tricks.is_empty() {
        out.push_str("\nimports when it is loaded in Python\n");
        for import in dangerous.iter().take(40) {
            out.push_str(&format!("  {:<9}  {}  {}\n", import.safety, import.dotted(), import.power));
        }
        for trick in file.tricks.iter().take(10) {
            out.push_str(&format!("  {trick}\n"));
        }
    }
    if let Some(modules) = &file.contents.modules {
        out.push_str("\nmodules\n");
        tree(modules, 1, &mut out);
    }
    if !told.tensors.is_empty() {
        out.push_str("\ntensors\n");
        let shown = most.unwrap_or(usize::MAX);
        let rows = || told.tensors.iter().take(shown);
        let names = rows().map(|tensor| tensor.name.chars().count().min(80)).max().unwrap_or(0);
        for tensor in rows() {
            let name = words::printable(&tensor.name, 200);
            out.push_str(&format!("  {name:<names$}  {:<13}  {:?}\n", tensor.dtype, tensor.shape));
        }
        if told.tensors.len() > shown {
            out.push_str(&format!("  … and {} more; use --all to list them\n", told.tensors.len() - shown));
        }
    }
    // Sentences on saving, loading, imports and tricks are shown separately.
    let above = |note: &&String| {
        **note != file.saved
            && !note.starts_with("load it with ")
            && !file.tricks.contains(note)
            && !dangerous.iter().any(|import| **note == format!("{} {}", import.dotted(), import.power))
    };
    let notes: Vec<_> = told.notes.iter().filter(above).collect();
    if !notes.is_empty() {
        out.push_str("\nnotes\n");
        for note in notes {
            out.push_str(&format!("  {note}\n"));
        }
    }
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Module => "module: a whole model, pickled",
        Kind::StateDict => "state_dict",
        Kind::Checkpoint => "checkpoint",
        Kind::TorchScript => "torchscript",
        Kind::Safetensors => "safetensors",
        Kind::Export => "export: a program from torch.export",
        Kind::MlflowModel => "mlflow_model",
        Kind::Unknown => "unknown",
    }
}

fn safety(file: &ModelFile) -> String {
    match file.safety {
        Safety::Safe => "safe: loading it cannot run code from the file".to_owned(),
        Safety::Unknown => format!("unknown: {}", file.runs()),
        Safety::Unjudged => "cannot be judged: load it only if you trust its source".to_owned(),
        Safety::Dangerous => "DANGEROUS: do not load it in Python".to_owned(),
    }
}

/// The element types, with their share of the bytes.
fn dtypes(file: &ModelFile) -> String {
    let mut mix: BTreeMap<&str, u64> = BTreeMap::new();
    for tensor in &file.contents.tensors {
        *mix.entry(tensor.scalar_type.torch_name()).or_default() += 1;
    }
    let parts: Vec<_> = mix.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The module tree, in the form of `print(model)`.
fn tree(module: &Module, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let name =
        if module.name.is_empty() { String::new() } else { format!("({}): ", words::printable(&module.name, 80)) };
    if module.children.is_empty() {
        out.push_str(&format!("{indent}{name}{}({})\n", module.class, module.arguments));
        return;
    }
    out.push_str(&format!("{indent}{name}{}(\n", module.class));
    for child in &module.children {
        tree(child, depth + 1, out);
    }
    out.push_str(&format!("{indent})\n"));
}
