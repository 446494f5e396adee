//! Defines which variables of the shell steps inherit. Azure ML runs a step in a container, which inherits none; here
//! a step needs some to work at all. All others are removed, so that a variable that happens to be exported cannot
//! change a result. Variables for steps belong into the job file, or into `pass_variables` of `amlrun.toml`.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::reuse::Given;

/// Inherited, and not part of the cache key: the user and their folders, network access, and what a version manager
/// needs to find the interpreter, which is inspected itself; where Spark finds Java.
const NEUTRAL: [&str; 31] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSH_AUTH_SOCK",
    "VIRTUAL_ENV",
    "LIBTORCH",
    "JAVA_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// The same for prefixes of names.
const NEUTRAL_PREFIXES: [&str; 6] = ["PYENV_", "ASDF_", "MISE_", "CONDA_", "MAMBA_", "RUSTUP_"];

/// Inherited, and part of the cache key: they change what programs compute or print.
const DECISIVE: [&str; 8] = [
    "LANG",
    "LANGUAGE",
    "TZ",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
];

/// The same for prefixes of names.
const DECISIVE_PREFIXES: [&str; 7] = ["LC_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "GOTO_"];

/// Set by a run itself: never inherited, even if the project passes them on.
const OWN_PREFIXES: [&str; 3] = ["MLFLOW_", "AZUREML_", "AZURE_ML_"];

/// Whether a step inherits a variable; `passed` are those that the project passes on.
#[must_use]
pub fn is_inherited(name: &str, passed: &[String]) -> bool {
    let is_own = OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let is_neutral = NEUTRAL.contains(&name) || NEUTRAL_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !is_own && (is_neutral || decides(name) || passed.iter().any(|other| other == name))
}

fn decides(name: &str) -> bool {
    DECISIVE.contains(&name) || DECISIVE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The variables that the project passes on, with their values. A container inherits only these.
#[must_use]
pub fn passed_on(passed: &[String]) -> Vec<(String, String)> {
    let names = passed.iter().filter(|name| is_inherited(name, passed));
    names.filter_map(|name| Some((name.clone(), std::env::var(name).ok()?))).collect()
}

/// The variables of this process that steps do not inherit.
#[must_use]
pub fn kept_out(passed: &[String]) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| !is_inherited(name, passed)).collect()
}

/// The variables of this process that steps inherit and that are part of the cache key. For those that the project
/// passes on, only digests: they may be secret.
#[must_use]
pub fn decisive(passed: &[String]) -> BTreeMap<String, Given> {
    let all = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let given = all.filter_map(|(name, value)| {
        if passed.contains(&name) && is_inherited(&name, passed) {
            let digest = Digest::of(value.as_encoded_bytes());
            return Some((name, Given::Secret(digest)));
        }
        decides(&name).then(|| (name, Given::Text(value.to_string_lossy().into_owned())))
    });
    given.collect()
}

/// Which of these variables a command reads and does not set itself.
#[must_use]
pub fn named<'n>(command: &str, variables: &'n [String]) -> Vec<&'n str> {
    // Every shell sets these itself.
    const OF_SHELLS: [&str; 5] = ["PWD", "OLDPWD", "SHLVL", "HOSTNAME", "_"];
    let read = command.match_indices('$').map(|(at, _)| {
        let rest = &command[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    });
    let is_set = |name: &str| ["=", "+="].iter().any(|sign| command.contains(&format!("{name}{sign}")));
    let is_loop = |name: &str| {
        let forms = [format!("for {name} "), format!("read {name}"), format!("read -r {name}")];
        forms.iter().any(|form| command.contains(form))
    };
    let own = |name: &str| OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let mut found: Vec<&str> = Vec::new();
    for name in read.filter(|name| !name.is_empty()) {
        let known = variables.iter().find(|variable| *variable == name).map(String::as_str);
        let Some(name) = known.filter(|name| !OF_SHELLS.contains(name) && !own(name)) else { continue };
        if !found.contains(&name) && !is_set(name) && !is_loop(name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_inherits_what_is_listed_and_what_the_project_passes_on() {
        let passed = ["SEED".to_owned(), "MLFLOW_TRACKING_URI".to_owned()];
        for name in ["PATH", "HOME", "HTTPS_PROXY", "LC_ALL", "TZ", "PYENV_VERSION", "SEED", "OMP_NUM_THREADS"] {
            assert!(is_inherited(name, &passed), "{name}");
        }
        for name in
            ["PYTHONPATH", "PYTHONHASHSEED", "AWS_SECRET_ACCESS_KEY", "OTHER", "MLFLOW_TRACKING_URI", "BASH_ENV"]
        {
            assert!(!is_inherited(name, &passed), "{name}");
        }
        assert!(decides("LC_NUMERIC") && !decides("HOME"));
    }

    #[test]
    fn every_name_is_documented() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reuse.md")).unwrap();
        let names = NEUTRAL.iter().chain(&NEUTRAL_PREFIXES).chain(&DECISIVE).chain(&DECISIVE_PREFIXES);
        let missing: Vec<_> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/reuse.md does not have {missing:?}");
    }

    #[test]
    fn a_command_names_a_variable_that_it_reads_and_does_not_set() {
        let variables = ["SEED", "SEEDS", "PWD", "X", "MLFLOW_RUN_ID"].map(str::to_owned);
        assert_eq!(named("train --seed $SEED", &variables), ["SEED"]);
        assert_eq!(named("echo \"${SEEDS:-1}\" $PWD $MLFLOW_RUN_ID", &variables), ["SEEDS"]);
        assert_eq!(named("X=1; echo $X; for SEED in 1 2; do echo $SEED; done", &variables), [""; 0]);
    }
}
