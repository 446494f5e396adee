//! What the name of a file says it is.

/// Endings of files that are meant as models.
pub(super) const ENDINGS: [&str; 12] =
    ["pt", "pth", "pt2", "ckpt", "bin", "safetensors", "pkl", "pickle", "joblib", "model", "npy", "npz"];
/// Endings of files that describe a model or go with it, and that no loader of models runs.
pub(super) const DATA: [&str; 33] = [
    "json",
    "jsonl",
    "txt",
    "md",
    "rst",
    "yaml",
    "yml",
    "toml",
    "ini",
    "cfg",
    "csv",
    "tsv",
    "html",
    "xml",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "pdf",
    "log",
    "tex",
    "bib",
    "lock",
    "license",
    "gitattributes",
    "gitignore",
    "amlignore",
    "vocab",
    "merges",
    "parquet",
    "arrow",
];

const NATIVE: [&str; 7] = ["so", "dll", "dylib", "pyd", "exe", "o", "ptx"];

/// Endings of code that Python or a shell runs when it is told to.
const CODE: [&str; 8] = ["py", "pyc", "pyw", "ipynb", "sh", "bat", "ps1", "jar"];

/// Whether a name has one of the endings of files that only describe.
pub(super) fn is_data(name: &str) -> bool {
    has_ending(name, &DATA) || !name.rsplit('/').next().unwrap_or(name).contains('.')
}

/// Whether a name is that of native code.
pub(super) fn is_native(name: &str) -> bool {
    has_ending(name, &NATIVE)
}

/// Whether a name is that of code for Python or a shell.
pub(super) fn is_code(name: &str) -> bool {
    has_ending(name, &CODE)
}

pub(super) fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    ending.is_some_and(|ending| endings.iter().any(|one| ending.eq_ignore_ascii_case(one)))
}
