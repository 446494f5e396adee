//! The README shows what is printed: its commands that only read are run here, all of them by `make tour-check`.

use std::path::Path;
use std::process::Command;

use crate::support::{Project, Ran};

/// The commands of console blocks, with what is printed below each.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("```console\n$ ").skip(1).filter_map(|block| block.split("\n```").next()?.split_once('\n'))
}

#[test]
fn commands_that_only_read_print_what_the_readme_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_amlrun")).parent().unwrap().display().to_string();
    let reads = |command: &str| {
        ["graph", "show", "validate", "model inspect tests/"]
            .iter()
            .any(|v| command.starts_with(&format!("amlrun {v}")))
    };
    let project = Project::new();
    let mut count = 0;
    for (command, shown) in blocks(&readme).filter(|(command, _)| reads(command)) {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(root).env("NO_COLOR", "1");
        shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()));
        shell.env("AMLRUN_HOME", project.path(".amlrun")).env("AMLRUN_CONFIG", project.config());
        let printed = Ran::of(shell).out;
        assert_eq!(printed.trim_end(), shown.trim_end(), "\n$ {command}");
        count += 1;
    }
    assert!(count >= 6, "{count} commands of the README were run");
}

#[test]
fn files_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/design"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        documents.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    let mut missing = Vec::new();
    let mut count = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        let code = text.split('`').skip(1).step_by(2);
        let is_file = |word: &&str| {
            let ours = ["src/", "tests/", "docs/", "scripts/", "docker/", "pipelines/", "benches/", "fuzz/"];
            ours.iter().any(|folder| word.starts_with(folder)) && !word.contains(['*', '<', '{', ' ', '\n'])
        };
        for file in code.filter(is_file) {
            count += 1;
            if !root.join(file).exists() {
                missing.push(format!("{}: {file}", document.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(count > 50, "only {count} files are named");
    assert!(missing.is_empty(), "these are named and do not exist:\n{}", missing.join("\n"));
}
