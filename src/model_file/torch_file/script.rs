//! Checks the code in a TorchScript archive. torch compiles it, and runs each `__setstate__` when the file is loaded.
//! Some operations that it can call write files.

use crate::model_file::torch_file::pickle_of;
use crate::model_file::unpickle::{Budget, Evidence, Node};
use crate::model_file::zip_directory::ZipDirectory;

/// The maximum size of a code member that is checked.
const CODE: u64 = 16 << 20;
/// Operations of torch that TorchScript code can call and no model needs: they read or write files.
const FILES: [&str; 4] = ["save", "from_file", "load", "_load_for_executorch"];
/// Namespaces of operations that come with torch and its usual companions.
const LIBRARIES: [&str; 12] = [
    "prim",
    "aten",
    "quantized",
    "quantized_decomposed",
    "torchvision",
    "torchaudio",
    "torchtext",
    "_caffe2",
    "prepacked",
    "sparse",
    "profiler",
    "inductor",
];

/// Checks every code member, and every pickle except `data.pkl`.
pub(super) fn read(zip: &ZipDirectory, budget: &mut Budget, evidence: &mut Evidence) {
    evidence.reservation("TorchScript contains code, which runs when it is loaded and used");
    let names: Vec<String> = zip.names().into_iter().map(str::to_owned).collect();
    for name in names {
        let member = match zip.member(&name) {
            Ok(Some(member)) if name != "data.pkl" => member,
            Ok(_) => continue,
            Err(error) => {
                evidence.doubt(error.to_string());
                continue;
            }
        };
        if name.ends_with(".pkl") {
            match pickle_of(member, budget, evidence) {
                // Code for mobile devices names its operations in a pickle.
                Ok(pickle) => {
                    let operations = pickle.nodes().iter().filter_map(|node| match node {
                        Node::Text(text) => text.strip_prefix("aten::"),
                        _ => None,
                    });
                    judge(
                        operations.filter(|name| FILES.contains(&name.split('.').next().unwrap_or(name))).count(),
                        evidence,
                    );
                }
                Err(_) => evidence.doubt(format!("the pickle {name} of the archive cannot be read")),
            }
        } else if name.starts_with("code/") && !name.ends_with(".debug_pkl") {
            match member.read_all(CODE) {
                Ok(code) => {
                    // A string may contain a comment sign, and a comment may be between two words.
                    let code = String::from_utf8_lossy(&code);
                    look(&code, evidence);
                    let lines = code.lines().map(|line| line.split('#').next().unwrap_or_default());
                    look(&lines.collect::<Vec<_>>().join("\n"), evidence);
                }
                Err(_) => evidence.doubt(format!("the code {name} of the archive cannot be read")),
            }
        }
    }
}

fn judge(operations: usize, evidence: &mut Evidence) {
    if operations > 0 {
        evidence.trick("has code that reads or writes files");
    }
}

/// Finds the operations that code calls: `torch.save(…)`, `ops.aten.from_file(…)`.
fn look(code: &str, evidence: &mut Evidence) {
    let words = words(code);
    for window in words.windows(5) {
        match window {
            ["torch", ".", operation, ..] => judge(usize::from(FILES.contains(operation)), evidence),
            ["ops", ".", library, ".", operation] => {
                judge(usize::from(FILES.contains(operation)), evidence);
                if !LIBRARIES.contains(library) {
                    evidence.doubt(format!(
                        "its code calls operations of '{}', a library outside torch",
                        crate::model_file::words::printable(library, 60)
                    ));
                }
            }
            _ => {}
        }
    }
}

/// Splits code into names and dots. Strings and comments are split like code.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length =
            if is_name(first) { rest.find(|c: char| !is_name(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, tail) = rest.split_at(length);
        if !first.is_whitespace() && first != '\\' {
            words.push(word);
        }
        rest = tail;
    }
    words.extend(["", "", "", "", ""]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(code: &str) -> Evidence {
        let mut evidence = Evidence::default();
        look(code, &mut evidence);
        evidence
    }

    #[test]
    fn operations_that_write_files_are_found_however_they_are_spelled() {
        for code in
            ["torch.save(x, \"f\")", "y = torch .from_file(\"f\", True)", "ops.aten.save(x, f)", "torch.\\\nsave(x)"]
        {
            assert!(!seen(code).tricks().is_empty(), "{code}");
        }
        for code in ["torch.relu(x)", "self.save(x)", "ops.prim.data(x)", "x = torch.linear(y, self.torch.weight)"] {
            assert!(seen(code).is_empty(), "{code}");
        }
        assert!(!seen("ops.mylib.run(x)").doubts().is_empty());
    }
}
