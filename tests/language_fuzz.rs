//! Random edits of the corpus: the reader, and all that is made of what it reads, never panics and always ends.
//!
//! `AMLRUN_FUZZ_SECONDS=600 cargo test --release language_fuzz -- --nocapture` goes on for that long and tells the
//! slowest case. A case that fails tells its seed; `AMLRUN_FUZZ_SEED` starts with that one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use amlrun::diagnostic::{json, render};
use amlrun::language::{self, Options, Target, graph, resolved, rest};

/// Cases of the short run.
const CASES: u64 = 250;

/// What readers stumble over: other types, open brackets, aliases, tags, odd references and expressions, control bytes.
const SCRAPS: &[&str] = &[
    "null",
    "[]",
    "{}",
    "\"\"",
    "~",
    "-",
    ":",
    "? ",
    "- ",
    "yes",
    "017",
    "1e400",
    "-.inf",
    "2024-01-01",
    "12:30:45",
    "99999999999999999999999999999999999999999999",
    "&a [*a]",
    "&a {b: 1}",
    "*a",
    "<<: *a",
    "!!str 1",
    "!!binary x",
    "|",
    ">-",
    "|9",
    "'",
    "\"",
    "\t",
    "\u{feff}",
    "é日",
    "\r",
    "\u{85}",
    "\0",
    "#",
    "---",
    "...",
    "%YAML 1.1",
    "[[[[",
    "{{{{",
    "${{",
    "}}",
    "${{ }}",
    "${{parent.jobs..outputs.}}",
    "${{parent.jobs.train.outputs.model}}",
    "${{parent.inputs.x}}",
    "${{parent.outputs.x}}",
    "${{parent.jobs.train}}",
    "azureml:",
    "azureml:x@",
    "azureml:x:1",
    "azureml://datastores/",
    "azureml://registries/r/components/c/versions/1",
    "file:",
    "file:../../parts/train.yml",
    "../../parts/train.yml",
    ".",
    "/",
    "../../../../../../..",
    "case.yml",
    "type: pipeline",
    "type: sweep",
    "type: if_else",
    "component: case.yml",
    "jobs:",
    "inputs:",
    "path: /",
    "code: /dev/null",
    "conda_file: /dev/zero",
];

/// SplitMix64: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which may be 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// The corpus in a folder where it may be changed, and its files.
struct Corpus {
    folder: tempfile::TempDir,
    files: Vec<(PathBuf, String)>,
}

impl Corpus {
    fn copied() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        let mut folders = vec![source.clone()];
        while let Some(from) = folders.pop() {
            std::fs::create_dir_all(folder.path().join(from.strip_prefix(&source).unwrap())).unwrap();
            for entry in std::fs::read_dir(&from).unwrap() {
                let path = entry.unwrap().path();
                let copy = folder.path().join(path.strip_prefix(&source).unwrap());
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                std::fs::copy(&path, &copy).unwrap();
                if path.extension().is_some_and(|e| e == "yml") {
                    files.push((copy, std::fs::read_to_string(path).unwrap()));
                }
            }
        }
        files.sort();
        Self { folder, files }
    }

    /// One case: a file and perhaps a part that it names are changed, read, and put back.
    fn run(&self, seed: u64) {
        let mut dice = Dice(seed);
        let (path, text) = dice.one(&self.files);
        let case = path.with_file_name("case.yml");
        std::fs::write(&case, self.edited(text, &mut dice)).unwrap();
        let part = self.folder.path().join("parts/train.yml");
        let kept = std::fs::read(&part).unwrap();
        if dice.below(4) == 0 {
            let text = String::from_utf8(kept.clone()).unwrap();
            std::fs::write(&part, self.edited(&text, &mut dice)).unwrap();
        }
        let target = *dice.one(&[Target::Azure, Target::Local]);
        let set = if dice.below(8) == 0 { vec!["jobs.train.inputs.x=1".parse().unwrap()] } else { Vec::new() };
        read(&case, &Options { target, set, preview: dice.below(2) == 0, kind: None, components: None });
        std::fs::write(&part, kept).unwrap();
        std::fs::remove_file(&case).unwrap();
    }

    fn edited(&self, text: &str, dice: &mut Dice) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for _ in 0..=dice.below(4) {
            let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
            if lines.is_empty() {
                break;
            }
            let here = lines[a].clone();
            let indent = here.len() - here.trim_start().len();
            match dice.below(12) {
                0 => drop(lines.remove(a)),
                1 => lines.insert(b, here),
                2 => lines.swap(a, b),
                3 => lines[a] = format!("{}{here}", " ".repeat(dice.below(5))),
                4 => lines[a] = here.trim_start().to_owned(),
                5 => {
                    let key = here.split(':').next().unwrap_or("").to_owned();
                    lines[a] = format!("{key}: {}", dice.one(SCRAPS));
                }
                6 => lines.insert(a, format!("{}{}", " ".repeat(indent), dice.one(SCRAPS))),
                7 => {
                    let at: Vec<usize> = here.char_indices().map(|(i, _)| i).chain([here.len()]).collect();
                    let scrap: &str = dice.one::<&str>(SCRAPS);
                    let at = *dice.one(&at);
                    lines[a].insert_str(at, scrap);
                }
                8 => lines[a] = here.chars().enumerate().filter(|(n, _)| n % 7 != b % 7).map(|(_, c)| c).collect(),
                9 => {
                    let other: Vec<&str> = dice.one(&self.files).1.lines().collect();
                    let from = dice.below(other.len());
                    let some = other.iter().skip(from).take(1 + dice.below(6));
                    let some: Vec<String> = some.map(|l| (*l).to_owned()).collect();
                    lines.splice(a..a, some);
                }
                10 => {
                    let deep = 1 + dice.below(400);
                    let (open, close) = *dice.one(&[("[", "]"), ("{a: ", "}"), ("- ", "")]);
                    lines[a] = format!("{}deep: {}x{}", " ".repeat(indent), open.repeat(deep), close.repeat(deep));
                }
                _ => {
                    lines.insert(0, "l0: &l0 [x, x, x, x, x, x, x, x]".to_owned());
                    for level in 1..8 {
                        let all = vec![format!("*l{}", level - 1); 8].join(", ");
                        lines.insert(level, format!("l{level}: &l{level} [{all}]"));
                    }
                    let width = lines.len();
                    lines[8 + dice.below(width - 8)] =
                        format!("{}tags: {{a: *l{}}}", " ".repeat(indent), dice.below(8));
                }
            }
        }
        lines.join("\n")
    }
}

/// Everything that is made of a file.
fn read(path: &Path, options: &Options) {
    let document = language::load(path, options);
    let _ = (document.describe(), document.job_type(), document.accepted());
    let _ = render::render(&document.diagnostics, &document.sources, false);
    let _ = json::to_json(&document.diagnostics, &document.sources);
    let Some(object) = document.value.as_ref().and_then(language::Value::object) else { return };
    let _ = serde_json::to_string(&graph::of(object)).unwrap();
    let _ = resolved::document(object, &document.sources);
    if document.accepted() {
        let _ = rest::body(object);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn edited_files_are_accepted_or_refused() {
    let corpus = Corpus::copied();
    assert!(corpus.files.len() > 100, "the corpus is there");
    let first = number("AMLRUN_FUZZ_SEED").unwrap_or(1);
    let seconds = number("AMLRUN_FUZZ_SECONDS");
    let begun = Instant::now();
    let mut slowest = (Duration::ZERO, first);
    let mut seed = first;
    let goes_on = |seed: u64| match seconds {
        Some(seconds) => begun.elapsed().as_secs() < seconds,
        None => seed < first + CASES,
    };
    while goes_on(seed) {
        let started = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| corpus.run(seed)));
        assert!(ran.is_ok(), "the case of seed {seed} panics: AMLRUN_FUZZ_SEED={seed}");
        slowest = slowest.max((started.elapsed(), seed));
        seed += 1;
    }
    println!("{} cases; the slowest took {:?}: seed {}", seed - first, slowest.0, slowest.1);
}
