//! `tests/corpus`: small files by topic, with what the official SDK says of each; `make conformance` asks it again.
//!
//! A case is `{accept,refuse}/<topic>/<case>.yml`; deeper folders and `parts/` hold what cases refer to. A refused file
//! opens with where its first mistake is: `# refused: <code> at line N: <words>`, without the code where none is settled
//! yet (`tests/conformance/codes.py` writes them). What the SDK takes and the service or a run does not lies in `later`,
//! and opens with `# later: <code> at line N: <words>` (an error here, a warning for Azure) or with `# warned: …` (a
//! warning in both). A second line `# help: <words>` is part of what is advised. Topics whose name starts with `preview` need Azure ML's variable for preview features.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Project, Ran};

struct Refusal {
    code: Option<String>,
    line: u64,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The cases under `accept` or `refuse`.
fn cases(verdict: &str) -> Vec<PathBuf> {
    let topics = names(&corpus().join(verdict));
    topics.iter().flat_map(|topic| names(topic)).filter(|p| p.extension().is_some_and(|e| e == "yml")).collect()
}

fn is_preview(case: &Path) -> bool {
    let topic = case.parent().and_then(Path::file_name).unwrap();
    topic.to_string_lossy().starts_with("preview")
}

/// What the first line of a refused file says.
fn refusal(text: &str) -> Option<Refusal> {
    let first = text.lines().next()?;
    let said = ["# refused: ", "# later: ", "# warned: "].iter().find_map(|how| first.strip_prefix(how))?;
    let (code, rest) = said.split_once("line ")?;
    let line = rest.split_once(": ")?.0.parse().ok()?;
    Some(Refusal { code: code.strip_suffix(" at ").map(str::to_owned), line })
}

/// What the second line says is advised.
fn help(text: &str) -> Option<&str> {
    text.lines().nth(1)?.strip_prefix("# help: ")
}

/// What `amlrun validate` says of each file, all in one call.
fn verdicts(cases: &[PathBuf], target: &str, preview: bool) -> BTreeMap<PathBuf, Value> {
    let project = Project::new();
    let mut command = project.command(&["validate", "--target", target, "-o", "json"]);
    command.args(cases).env_remove("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED");
    if preview {
        command.env("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED", "true");
    }
    let ran = Ran::of(command);
    let printed: Value = serde_json::from_str(&ran.out).unwrap();
    let files = printed["files"].as_array().unwrap();
    files.iter().map(|file| (PathBuf::from(file["path"].as_str().unwrap()), file.clone())).collect()
}

#[test]
fn every_refused_file_says_where_its_mistake_is() {
    for case in cases("refuse").into_iter().chain(cases("later")) {
        let text = std::fs::read_to_string(&case).unwrap();
        let line = refusal(&text).map(|refusal| refusal.line);
        let lines = u64::try_from(text.lines().count()).unwrap();
        assert!(line.is_some_and(|line| 2 <= line && line <= lines), "{}", case.display());
    }
}

#[test]
fn the_corpus_is_accepted_and_refused_as_the_sdk_does() {
    let (accepted, refused) = (cases("accept"), cases("refuse"));
    let all: Vec<_> = accepted.iter().chain(&refused).cloned().collect();
    let (preview, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(|case| is_preview(case));
    let mut said = verdicts(&plain, "azure", false);
    said.extend(verdicts(&preview, "azure", true));

    let mut wrong = Vec::new();
    for case in accepted {
        let verdict = &said[&case];
        if verdict["accepted"] != true {
            wrong.push(format!("{}: refused: {}", case.display(), verdict["diagnostics"]));
        }
    }
    for case in refused {
        let verdict = &said[&case];
        let text = std::fs::read_to_string(&case).unwrap();
        let wanted = refusal(&text).unwrap();
        let errors = verdict["diagnostics"].as_array().unwrap();
        let Some(first) = errors.iter().find(|one| one["severity"] == "error") else {
            wrong.push(format!("{}: accepted", case.display()));
            continue;
        };
        let help = help(&text);
        let right_help = help.is_none_or(|help| first["help"].as_str().is_some_and(|said| said.contains(help)));
        let right_code = wanted.code.as_ref().is_none_or(|code| first["code"] == code.as_str());
        let right_place = first["line"] == wanted.line && first["file"] == case.to_string_lossy().as_ref();
        if verdict["accepted"] != false || !right_code || !right_place || !right_help {
            let place = format!("{} at line {} of {}", first["code"], first["line"], first["file"]);
            wrong.push(format!("{}: {place}, wanted line {}: {}", case.display(), wanted.line, first["message"]));
        }
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_azure_refuses_later_is_told_before() {
    let all = cases("later");
    let (azure, here) = (verdicts(&all, "azure", false), verdicts(&all, "local", false));
    let mut wrong = Vec::new();
    for case in all {
        let text = std::fs::read_to_string(&case).unwrap();
        let wanted = refusal(&text).unwrap();
        let help = help(&text);
        let is_warning = text.starts_with("# warned: ");
        let is_wanted = |one: &Value| {
            one["code"] == wanted.code.as_deref().unwrap_or_default()
                && one["line"] == wanted.line
                && help.is_none_or(|help| one["help"].as_str().is_some_and(|said| said.contains(help)))
        };
        for (target, verdict, severity) in
            [("azure", &azure[&case], "warning"), ("local", &here[&case], if is_warning { "warning" } else { "error" })]
        {
            let said = verdict["diagnostics"].as_array().unwrap();
            if !said.iter().any(|one| is_wanted(one) && one["severity"] == severity) {
                wrong.push(format!("{} for {target}: {}", case.display(), verdict["diagnostics"]));
            }
        }
        if azure[&case]["accepted"] != true {
            wrong.push(format!("{}: refused for azure", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{} cases\n{}", wrong.len(), wrong.join("\n"));
}
