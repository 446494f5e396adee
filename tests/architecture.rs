//! The order of the modules: which may use which, and what may happen where.
//!
//! The layers are read from the list in `src/lib.rs`, so that the list and the code cannot drift apart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules that may use less than everything above them: (module, what it may use).
const FINER: [(&str, &[&str]); 11] = [
    ("transfer", &["outcome", "fs", "digest", "id", "clock", "secret", "diagnostic", "store"]),
    ("azure", &["again", "outcome", "fs", "digest", "id", "clock", "secret", "diagnostic", "store", "transfer"]),
    (
        "reuse",
        &["outcome", "reason", "fs", "digest", "id", "clock", "number", "relative", "diagnostic", "sqlite", "store"],
    ),
    (
        "plan",
        &[
            "again",
            "outcome",
            "fs",
            "digest",
            "id",
            "clock",
            "sweep",
            "toposort",
            "relative",
            "secret",
            "diagnostic",
            "spec",
        ],
    ),
    ("event", &["handle", "outcome", "reason", "fs", "digest", "id", "clock", "number", "relative", "diagnostic"]),
    ("exec", &["handle", "outcome", "fs", "digest", "id", "clock", "secret", "diagnostic"]),
    (
        "engine",
        &[
            "handle",
            "outcome",
            "reason",
            "fs",
            "digest",
            "id",
            "clock",
            "sweep",
            "relative",
            "secret",
            "sweep",
            "diagnostic",
            "plan",
            "event",
            "exec",
            "environment",
            "store",
            "reuse",
        ],
    ),
    (
        "environment",
        &["again", "outcome", "reason", "fs", "digest", "id", "clock", "secret", "diagnostic", "spec", "reuse", "exec"],
    ),
    ("container", &["handle", "fs", "digest", "secret", "diagnostic", "spec", "store", "exec", "environment"]),
    ("report", &["again", "outcome", "reason", "fs", "digest", "id", "clock", "number", "diagnostic", "event"]),
    ("tracking", &["outcome", "fs", "digest", "id", "clock", "relative", "diagnostic", "sqlite", "store", "registry"]),
];

/// What may be named only in some places: (text, places, why).
const ONLY_IN: [(&str, &[&str], &str); 11] = [
    ("azure_core", &["azure/"], "Azure's crates stay behind one seam"),
    ("reqwest", &["transfer/http.rs", "transfer/web.rs", "azure/transport.rs"], "one client goes to the network"),
    ("tch::", &["bin/amlrun-stage"], "the runner never links libtorch"),
    ("rusqlite", &["sqlite.rs", "registry/", "tracking/db", "reuse/db"], "SQL stays with the databases"),
    ("indicatif", &["report/terminal.rs", "report/progress.rs", "bin/amlrun-stage"], "two views draw progress"),
    ("println!", &["bin/amlrun-stage", "../build.rs"], "only cli/printer.rs prints"),
    ("eprint", &["bin/amlrun-stage"], "only cli/printer.rs prints"),
    ("io::stdout()", &["cli/printer.rs", "exec/watchdog.rs", "bin/amlrun-stage"], "only cli/printer.rs prints"),
    ("Command::new(", &["exec/"], "supervision exists once"),
    ("azure_storage_blobs", &["azure/"], "Azure's crates stay behind one seam"),
    ("azure_identity", &["azure/"], "Azure's crates stay behind one seam"),
];

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = layers();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module_of(&path) else { continue };
        let here = order.iter().position(|r| *r == module);
        let Some(here) = here else {
            wrong.push(format!("{}: the module '{module}' is not in the list of layers in src/lib.rs", path.display()));
            continue;
        };
        for used in uses(&text) {
            if used == module {
                continue;
            }
            let allowed = match FINER.iter().find(|(name, _)| *name == module) {
                Some((_, allowed)) => allowed.contains(&used.as_str()),
                None => order.iter().position(|r| *r == used).is_some_and(|there| there < here),
            };
            if !allowed {
                wrong.push(format!("{}: '{module}' may not use '{used}'", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_is_in_the_list_of_layers_and_the_list_has_no_other() {
    let lib = read("src/lib.rs");
    let mut declared: Vec<String> = lib
        .lines()
        .filter_map(|l| l.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    let mut mapped = layers();
    declared.sort();
    mapped.sort();
    assert_eq!(declared, mapped);
}

#[test]
fn things_happen_where_they_belong() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let place = path.strip_prefix("src").unwrap().display().to_string();
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for (what, places, why) in ONLY_IN {
            if names(&code, what) && !places.iter().any(|p| place.starts_with(p)) {
                wrong.push(format!("{place}: has '{what}', but {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a text has a word that begins so: `watch::` does not name `tch::`.
fn names(code: &str, what: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(what).any(|(at, _)| !code[..at].ends_with(part_of_word))
}

#[test]
fn files_stay_small_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > 500 {
            wrong.push(format!("{} has {lines} lines: 500 are the most", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with //!", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checks_can_fail() {
    assert_eq!(uses("use crate::plan::{Plan};\nlet x = crate::store::at(1);"), ["plan", "store"]);
    assert_eq!(uses("use crate::{event, exec::Stop};"), ["event", "exec"]);
    assert!(names("use tch::Tensor;", "tch::") && !names("use tokio::sync::watch::Sender;", "tch::"));
    assert_eq!(module_of(Path::new("src/plan/mod.rs")).as_deref(), Some("plan"));
    assert_eq!(module_of(Path::new("src/bin/amlrun-stage/main.rs")), None);
}

/// The modules in the order of the list of layers: a module may use those before it.
fn layers() -> Vec<String> {
    let lib = read("src/lib.rs");
    let map =
        lib.split("```layers").nth(1).and_then(|rest| rest.split("```").next()).expect("lib.rs has a list of layers");
    map.lines()
        .filter_map(|l| l.strip_prefix("//! "))
        .flat_map(|l| l.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The modules that a text names as `crate::module` or in a `crate::{…}` list.
fn uses(text: &str) -> Vec<String> {
    let mut found = BTreeMap::new();
    let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut fresh = true;
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => fresh = true,
                    c if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    _ => {}
                }
                if !word.is_empty() {
                    found.insert(std::mem::take(&mut word), ());
                    fresh = c == ',';
                }
            }
            if !word.is_empty() {
                found.insert(word, ());
            }
        } else {
            let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if word.chars().all(|c| c.is_lowercase() || c.is_numeric() || c == '_') && !word.is_empty() {
                found.insert(word, ());
            }
        }
    }
    found.into_keys().collect()
}

/// The module of a file of the library; `None` for `lib.rs`, `main.rs` and the stages.
fn module_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix("src").ok()?;
    let first = inner.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main", "bin"].contains(&name)).then(|| name.to_owned())
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push((path.clone(), read(&path)));
            }
        }
    }
    assert!(files.len() > 50, "the walk must find the sources");
    files
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
