//! `tests/corpus/run`: pipelines of our own by topic, each run with the built `amlrun` in a fresh copy of its folder.
//!
//! A case is a folder `<topic>/<case>/` with what a person would have there: `job.yml`, components, scripts, data and
//! perhaps an `amlrun.toml`. Its `expected.yml` lists `runs`: what is edited before each, the arguments of `amlrun`, and
//! what then must be so. [`Wanted`] is the whole language. Texts are compared without newlines at their ends, and
//! `{project}` in any file of a case is the folder of the copy. Scripts need bash alone.
//! Each case is a test of its own: `cargo test --test corpus reuse/` runs those whose name has that in it. A case whose
//! program is not there counts as ignored.
// A broken step of a test is best told where it breaks.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Project, Ran};

#[allow(dead_code, reason = "shared with the other tests")]
mod support;

/// What `expected.yml` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case shows, in a sentence.
    shows: String,
    /// A program without which the case is left out.
    with: Option<String>,
    /// A program with which the case is left out.
    without: Option<String>,
    runs: Vec<Wanted>,
}

/// One command and what must be so after it. What is not said is not looked at, except for the exit code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// Done before it.
    edit: Edit,
    /// The arguments of `amlrun`, split at spaces.
    command: String,
    /// Variables of the shell; `{PATH}` in a value is the usual one.
    variables: BTreeMap<String, String>,
    /// The exit code.
    exit: i32,
    /// How the run ended.
    status: Option<String>,
    /// Every step of the run with what became of it.
    steps: Option<BTreeMap<String, String>>,
    /// What trials, iterations and items were given, by their paths: all of it, as text.
    parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// The best trial of each sweep.
    best: BTreeMap<String, String>,
    /// Pairs of steps: the first one was over before the second began.
    order: Vec<(String, String)>,
    /// What steps printed. A step of several processes has several files.
    logs: BTreeMap<String, Content>,
    /// The run's outputs: a file, or every file of a folder.
    outputs: BTreeMap<String, Content>,
    /// Files of the project; `~` for one that must not be there.
    files: BTreeMap<String, Option<String>>,
    /// Parts of stdout.
    says: Vec<String>,
    /// Parts of stderr.
    errors: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            edit: Edit::default(),
            command: "run job.yml --name r".to_owned(),
            variables: BTreeMap::new(),
            exit: 0,
            status: None,
            steps: None,
            parameters: BTreeMap::new(),
            best: BTreeMap::new(),
            order: Vec::new(),
            logs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            files: BTreeMap::new(),
            says: Vec::new(),
            errors: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Edit {
    write: BTreeMap<String, String>,
    append: BTreeMap<String, String>,
    remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Files(BTreeMap<String, String>),
}

fn main() -> ExitCode {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/run");
    let cases: Vec<PathBuf> = folders(&corpus).iter().flat_map(|topic| folders(topic)).collect();
    assert!(cases.len() >= 65, "only {} cases", cases.len());
    let trial = |folder: PathBuf| {
        let name = folder.strip_prefix(&corpus).unwrap().display().to_string();
        match read(&folder) {
            Ok(case) => {
                let lacks = case.with.as_ref().is_some_and(|program| !is_there(program));
                let has = case.without.as_ref().is_some_and(|program| is_there(program));
                Trial::test(name, move || try_case(&case, &folder)).with_ignored_flag(lacks || has)
            }
            Err(why) => Trial::test(name, move || Err(why.into())),
        }
    };
    libtest_mimic::run(&Arguments::from_args(), cases.into_iter().map(trial).collect()).exit_code()
}

fn read(folder: &Path) -> Result<Case, String> {
    let text = std::fs::read_to_string(folder.join("expected.yml")).map_err(|why| format!("expected.yml: {why}"))?;
    serde_yaml::from_str(&text).map_err(|why| format!("expected.yml: {why}"))
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Runs a case up to the first command that did not do what was wanted: that one in words.
fn try_case(case: &Case, folder: &Path) -> Result<(), Failed> {
    let project = Project::new();
    copy(folder, &project.path(""), &project);
    for (index, wanted) in case.runs.iter().enumerate() {
        wanted.edit.make(&project);
        let arguments: Vec<&str> = wanted.command.split_whitespace().collect();
        let mut command = project.command(&arguments);
        for (name, value) in &wanted.variables {
            let value = value.replace("{project}", &project.path("").display().to_string());
            command.env(name, value.replace("{PATH}", &std::env::var("PATH").unwrap_or_default()));
        }
        let ran = Ran::of(command);
        let mut differences = Differences { project: &project, found: Vec::new() };
        differences.look(wanted, &arguments, &ran);
        if !differences.found.is_empty() {
            let (command, shows, found) = (&wanted.command, &case.shows, differences.found.join("\n    "));
            let printed = format!("stdout:\n{}stderr:\n{}", ran.out, ran.err);
            return Err(format!("run {}, {command:?} ({shows})\n    {found}\n{printed}", index + 1).into());
        }
    }
    Ok(())
}

fn is_there(program: &str) -> bool {
    amlrun::fs::program::on_path(program, None).is_some()
}

fn copy(from: &Path, to: &Path, project: &Project) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, project);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            if text.contains("{project}/log_metric.sh") {
                project.write("log_metric.sh", include_str!("corpus/parts/log_metric.sh"));
            }
            std::fs::write(&target, in_place(&text, project)).unwrap();
            std::fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
        }
    }
}

fn drop_at(path: &Path) {
    if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
}

/// A text of a case in its copy.
fn in_place(text: &str, project: &Project) -> String {
    text.replace("{project}", project.path("").to_str().unwrap().trim_end_matches('/'))
}

impl Edit {
    /// Changes files, sealed ones as well: whoever wants to spoil an output can.
    fn make(&self, project: &Project) {
        for name in self.write.keys().chain(self.append.keys()).chain(&self.remove) {
            let path = project.path(name);
            for part in [path.parent().unwrap(), &path] {
                if let Ok(metadata) = std::fs::metadata(part) {
                    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode | 0o200);
                    std::fs::set_permissions(part, mode).unwrap();
                }
            }
        }
        for (name, text) in &self.append {
            project.write(name, &(project.read(name) + text));
        }
        self.write.iter().for_each(|(name, text)| project.write(name, &in_place(text, project)));
        self.remove.iter().for_each(|name| drop_at(&project.path(name)));
    }
}

/// What a finished command left, compared with what was wanted.
struct Differences<'a> {
    project: &'a Project,
    found: Vec<String>,
}

impl Differences<'_> {
    fn look(&mut self, wanted: &Wanted, arguments: &[&str], ran: &Ran) {
        self.same("exit code", &wanted.exit, &ran.code);
        for (stream, parts, text) in [("stdout", &wanted.says, &ran.out), ("stderr", &wanted.errors, &ran.err)] {
            for part in parts {
                let part = in_place(part, self.project);
                if !text.contains(&part) {
                    self.found.push(format!("{stream} has no {part:?}"));
                }
            }
        }
        let after =
            |flag: &str| arguments.iter().position(|a| *a == flag).and_then(|at| arguments.get(at + 1).copied());
        let run = after("--name").or_else(|| after("--resume")).unwrap_or("r");
        let events = self.events(run);
        if let Some(status) = &wanted.status {
            let ended = events.iter().rev().find(|event| event["event"] == "run_finished");
            self.same("status", status, &ended.map(|e| word(&e["status"])).unwrap_or_default());
        }
        if let Some(steps) = &wanted.steps {
            self.same("steps", steps, &became(&events));
        }
        for (step, parameters) in &wanted.parameters {
            self.same(&format!("parameters of {step}"), &Some(parameters), &given(&events, step).as_ref());
        }
        for (sweep, best) in &wanted.best {
            let scored = |event: &&Value| event["event"] == "step_scored" && event["best"] == true;
            let is_of = |event: &&Value| sweep == "main" || word(&event["step"]).starts_with(&format!("{sweep}."));
            let last = events.iter().filter(scored).rfind(is_of);
            self.same(&format!("best trial of {sweep}"), best, &last.map(|e| word(&e["step"])).unwrap_or_default());
        }
        for (first, second) in &wanted.order {
            let at = |step: &str, words: &[&str]| {
                events.iter().position(|e| e["step"] == step && words.iter().any(|word| e["event"] == *word))
            };
            let over = at(first, &["step_finished", "step_reused"]);
            // A step is laid out before there is a place for it; what samples stand for never starts.
            let begun = at(second, &["step_started"]).or_else(|| at(second, &["step_preparing"]));
            if !matches!((over, begun), (Some(over), Some(begun)) if over < begun) {
                self.found.push(format!("'{first}' was not over before '{second}' began"));
            }
        }
        for (step, content) in &wanted.logs {
            let folder = format!(".amlrun/runs/{run}/steps/{step}/user_logs");
            let place = match content {
                Content::Text(_) => self.project.path(&format!("{folder}/std_log.txt")),
                Content::Files(_) => self.project.path(&folder),
            };
            self.content(&format!("log of {step}"), content, &place);
        }
        let ended = events.iter().rev().find(|event| event["event"] == "run_finished");
        for (name, content) in &wanted.outputs {
            let mut outputs = ended.iter().flat_map(|e| e["outputs"].as_array().into_iter().flatten());
            match outputs.find(|output| output["name"] == name.as_str()) {
                // Paths of a record are relative to the workspace.
                Some(output) => {
                    let place = self.project.path(".amlrun").join(word(&output["path"]));
                    self.content(&format!("output {name}"), content, &place);
                }
                None => self.found.push(format!("the run has no output '{name}'")),
            }
        }
        for (name, text) in &wanted.files {
            let path = self.project.path(name);
            match text {
                Some(text) => self.content(name, &Content::Text(text.clone()), &path),
                None if path.exists() => self.found.push(format!("{name} is there")),
                None => {}
            }
        }
    }

    fn events(&self, run: &str) -> Vec<Value> {
        let journal = self.project.path(&format!(".amlrun/runs/{run}/events.jsonl"));
        let text = std::fs::read_to_string(journal).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn content(&mut self, what: &str, content: &Content, place: &Path) {
        match content {
            Content::Text(text) => {
                let text = in_place(text, self.project).trim_end_matches('\n').to_owned();
                let read = std::fs::read_to_string(place);
                let read = read.map_or_else(|e| format!("({e})"), |read| read.trim_end_matches('\n').to_owned());
                self.same(what, &text, &read);
            }
            Content::Files(files) => {
                let mut there = Vec::new();
                names(place, "", &mut there);
                self.same(what, &files.keys().cloned().collect::<Vec<_>>(), &there);
                for (name, text) in files {
                    self.content(&format!("{what}, {name}"), &Content::Text(text.clone()), &place.join(name));
                }
            }
        }
    }

    fn same<T: PartialEq + Debug>(&mut self, what: &str, wanted: &T, is: &T) {
        if wanted != is {
            self.found.push(format!("{what}: wanted {wanted:?}\n      but it is {is:?}"));
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What an added step was given, as text.
fn given(events: &[Value], step: &str) -> Option<BTreeMap<String, String>> {
    let added = events.iter().filter(|event| event["event"] == "steps_added");
    let info = added.flat_map(|e| e["steps"].as_array().into_iter().flatten()).find(|info| info["path"] == step)?;
    let pairs = info["parameters"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(pairs.map(|pair| (word(&pair[0]), text(&pair[1]))).collect())
}

/// What became of each step: the last that the record says of it.
fn became(events: &[Value]) -> BTreeMap<String, String> {
    let mut steps = BTreeMap::new();
    for event in events {
        let started = event["steps"].as_array().filter(|_| event["event"] == "run_started");
        for step in started.into_iter().flatten() {
            steps.insert(word(&step["path"]), "NotStarted".to_owned());
        }
        let status = match event["event"].as_str() {
            Some("step_reused") => "Reused",
            Some("step_finished") => match event["outcome"].as_str() {
                Some("completed") => "Completed",
                Some("failed") => "Failed",
                Some("skipped") => "Skipped",
                _ => "Canceled",
            },
            _ => continue,
        };
        // A step that is reused is said to be, and then perhaps to be over.
        let known = steps.entry(word(&event["step"])).or_default();
        if !(known == "Reused" && status == "Completed") {
            *known = status.to_owned();
        }
    }
    steps
}

/// The files below a folder, sorted.
fn names(folder: &Path, prefix: &str, all: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            names(&entry.path(), &format!("{name}/"), all);
        } else {
            all.push(name);
        }
    }
    all.sort();
}
