//! `amlrun explain`: every code has a page, and what the pages show is what the checks say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Project;

/// Pages of checks that `validate` does not ask yet, so that their examples cannot be tried. One whose example gives its
/// code must leave the list, which a test sees to.
const PENDING: &[&str] = &["too-deep"];

/// A code, and how to make a `job.yml` that gives it.
type Made = (&'static str, fn(&Project));

/// Mistakes that a page cannot show as text.
const MADE: &[Made] = &[
    ("unreadable-file", |project| std::fs::write(project.path("job.yml"), b"command: caf\xe9\n").unwrap()),
    ("yaml-depth", |project| project.write("job.yml", &format!("a: {}{}\n", "[".repeat(220), "]".repeat(220)))),
];

/// Pages of limits that would take a hundred lines to exceed, and of what depends on the machine.
const WITHOUT_EXAMPLES: &[&str] = &["unreadable-file", "yaml-depth", "too-deep", "too-large", "missing-program"];

#[test]
fn every_code_has_a_page_and_every_page_has_a_code() {
    let (codes, pages) = (codes(), pages());
    let known: BTreeSet<&str> = pages.iter().map(|(code, _)| code.as_str()).collect();
    let without: Vec<&String> = codes.iter().filter(|code| !known.contains(code.as_str())).collect();
    assert!(without.is_empty(), "codes without a page in src/cli/explain/: {without:?}");
    let idle: Vec<&&str> = known.iter().filter(|c| !codes.contains(**c) && !PENDING.contains(c)).collect();
    assert!(idle.is_empty(), "pages of codes that no check has: {idle:?}");
}

#[test]
fn a_wrong_example_gives_its_code_and_a_right_one_no_error() {
    let mut wrong = Vec::new();
    for (code, page) in pages() {
        let (bad, good) = (section(&page, "Wrong"), section(&page, "Right"));
        if let Some((_, make)) = MADE.iter().find(|(made, _)| *made == code) {
            let project = Project::new();
            make(&project);
            let found = validated(&project, &[]);
            if !found.iter().any(|d| d["code"] == *code) {
                wrong.push(format!("{code}: the made file gives {found:?}"));
            }
        }
        if WITHOUT_EXAMPLES.contains(&code.as_str()) {
            continue;
        }
        for (name, section) in [("Wrong", &bad), ("Right", &good)] {
            assert!(section.is_some(), "{code}: no section '{name}'");
        }
        let found = example(&bad.unwrap());
        if PENDING.contains(&code.as_str()) {
            if found.iter().any(|d| d["code"] == *code) {
                wrong.push(format!("{code}: no longer pending, take it off the list"));
            }
            continue;
        }
        if !found.iter().any(|d| d["code"] == *code) {
            wrong.push(format!("{code}: the wrong example gives {:?}", briefly(&found)));
        }
        let mut found = example(&good.unwrap());
        found.retain(|d| d["code"] == *code || d["severity"] == "error" && d["code"] != "not-yet");
        if !found.is_empty() {
            wrong.push(format!("{code}: the right example gives {:?}", briefly(&found)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pages_have_one_form() {
    for (code, page) in pages() {
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(lines[0], format!("# {code}"));
        assert!(
            lines[1].is_empty() && lines[3].is_empty() && lines[2].ends_with('.'),
            "{code}: the third line is the summary"
        );
        let headings: Vec<&str> = lines.iter().copied().filter(|l| l.starts_with("## ")).collect();
        let wanted: &[&str] = if WITHOUT_EXAMPLES.contains(&code.as_str()) {
            &["## What to do"]
        } else {
            &["## Wrong", "## Right", "## What to do"]
        };
        assert_eq!(headings, wanted, "{code}");
    }
}

#[test]
fn codes_are_listed_shown_and_guessed() {
    let project = Project::new();
    let all = project.amlrun(&["explain"]).ended(0);
    assert!(all.out.lines().any(|l| l.starts_with("unknown-field ") && l.ends_with("A key that is not known here.")));
    assert_eq!(all.out.lines().count(), pages().len(), "a line for each");
    let one = project.amlrun(&["explain", "error[unknown-field]"]).ended(0);
    assert!(one.out.starts_with("unknown-field\n\nA key that is not known here.\n"), "{}", one.out);
    assert!(one.out.contains("\n  # job.yml\n  comand: python train.py\n") && !one.out.contains("```"), "{}", one.out);
    let json = project.amlrun(&["explain", "cycle", "duplicate-output", "-o", "json"]).ended(0);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json[1]["code"], "duplicate-output");
    assert!(json[0]["page"].as_str().unwrap().starts_with("# cycle\n"));
    let renamed = project.amlrun(&["explain", "error[two-writers]"]).ended(0);
    assert!(renamed.out.starts_with("duplicate-output\n\n"), "{}", renamed.out);
    assert_eq!(renamed.err, "note: 'two-writers' is now called 'duplicate-output'\n");
    let slip = project.amlrun(&["explain", "unknown-feild"]).ended(3);
    assert!(slip.err.contains("did you mean 'unknown-field'?"), "{}", slip.err);
}

/// The codes in the sources: the first text given to whatever makes a diagnostic.
fn codes() -> BTreeSet<String> {
    let makers = ["error", "warning", "note", "without_place", "stop", "refuse", "mistake", "fault"];
    let mut codes = BTreeSet::new();
    for file in below("src", "rs") {
        if file.ends_with("src/cli/explain/pages.rs") || file.starts_with(root().join("src/bin")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for maker in makers {
            for (at, _) in code.match_indices(&format!("{maker}(")) {
                let Some(rest) = code[at + maker.len() + 1..].trim_start().strip_prefix('"') else { continue };
                let word = rest.split('"').next().unwrap();
                let plain = word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                if plain || word == "cycle" {
                    codes.insert(word.to_owned());
                }
            }
        }
    }
    assert!(codes.len() > 30, "the walk must find the codes: {codes:?}");
    codes
}

fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = below("src/cli/explain", "md")
        .into_iter()
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    pages.sort();
    pages
}

fn below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                files.push(path);
            }
        }
    }
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a section: what stands after the fence's language, and the text.
fn section(page: &str, heading: &str) -> Option<Vec<(String, String)>> {
    let rest = page.split(&format!("## {heading}\n")).nth(1)?;
    let rest = rest.split("\n## ").next()?;
    let mut blocks = Vec::new();
    for part in rest.split("\n```").collect::<Vec<_>>().chunks(2).map(|pair| pair.get(1)).map_while(|b| b) {
        let (info, text) = part.split_once('\n').unwrap_or((part, ""));
        let name = info.split_once(' ').map_or(info, |(_, name)| name);
        blocks.push((name.to_owned(), format!("{text}\n")));
    }
    Some(blocks)
}

/// What validating an example finds: its files written, the first of them or the command of its console block checked.
fn example(blocks: &[(String, String)]) -> Vec<Value> {
    let project = Project::new();
    let mut flags: Vec<&str> = Vec::new();
    for (name, text) in blocks {
        if name == "console" {
            flags = text.trim().strip_prefix("$ amlrun validate job.yml ").unwrap().split(' ').collect();
        } else {
            project.write(name, text);
        }
    }
    validated(&project, &flags)
}

fn validated(project: &Project, flags: &[&str]) -> Vec<Value> {
    let ran = project.amlrun(&[&["validate", "job.yml", "-o", "json"], flags].concat());
    assert!(ran.code == 0 || ran.code == 1, "{}", ran.err);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    answer["files"][0]["diagnostics"].as_array().unwrap().clone()
}

fn briefly(found: &[Value]) -> Vec<String> {
    found.iter().map(|d| format!("{}: {}", d["code"].as_str().unwrap(), d["message"].as_str().unwrap())).collect()
}
