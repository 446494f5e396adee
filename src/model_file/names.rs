//! Classifies files by their names.

/// Extensions of model files.
pub(super) const ENDINGS: [&str; 12] =
    ["pt", "pth", "pt2", "ckpt", "bin", "safetensors", "pkl", "pickle", "joblib", "model", "npy", "npz"];
/// Extensions of files that describe a model or come with it, and that no program runs when it loads a model.
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

/// Extensions of code for Python or a shell.
const CODE: [&str; 8] = ["py", "pyc", "pyw", "ipynb", "sh", "bat", "ps1", "jar"];

/// Whether a name has the extension of a descriptive file.
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
