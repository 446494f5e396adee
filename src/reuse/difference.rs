//! Explains why a step has to run: the difference of two keys, in words.
//!
//! Trees whose files are known are compared file by file. Secrets are never shown.

use super::key::{Given, Key};
use super::machine::{self, Known, Machine};
use super::manifest::Manifest;
use super::stat::Special;
use crate::digest::{Digest, HashedFile, tree_order};
use crate::reason::{Reason, tree_in_words};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// How many files of one tree are named.
const NAMED: usize = 20;

/// All differences of two keys; empty exactly if they are equal.
pub fn differences(before: &Key, after: &Key, known: &dyn Known) -> Vec<Reason> {
    let mut found = Differences { found: Vec::new(), known };
    if before.command != after.command {
        let (old, new) = first_difference(&before.command, &after.command);
        found.add("command", "command", old, new);
    }
    match (&before.code, &after.code) {
        (old, new) if old == new => {}
        (Some(old), Some(new)) => found.trees("code", "code", "code", old, new),
        (old, new) => found.add("code", "code", old.as_ref().map(short), new.as_ref().map(short)),
    }
    found.given(&before.inputs, &after.inputs, &Words { literal: "parameter", tree: "input", prefix: "" });
    found.given(&before.variables, &after.variables, &Words { literal: "variable", tree: "variable", prefix: "$" });
    found.option("environment", &before.environment, &after.environment);
    found.machines(before.machine.as_ref(), after.machine.as_ref());
    found.texts("output", &before.outputs, &after.outputs);
    found.option("distribution", &before.distribution, &after.distribution);
    found.texts("setting", &before.settings, &after.settings);
    found.found
}

/// The words for differences of inputs or of variables.
struct Words {
    literal: &'static str,
    tree: &'static str,
    prefix: &'static str,
}

struct Differences<'a> {
    found: Vec<Reason>,
    known: &'a dyn Known,
}

impl Differences<'_> {
    fn add(&mut self, what: &str, name: &str, before: Option<String>, after: Option<String>) {
        self.found.push(Reason::new(what, name, before, after));
    }

    fn machines(&mut self, before: Option<&Digest>, after: Option<&Digest>) {
        if before == after {
            return;
        }
        let machine = |digest: Option<&Digest>| match digest {
            Some(digest) => self.known.machine(digest),
            None => Some(Machine::default()),
        };
        let known = machine(before).zip(machine(after));
        let differences = known.map(|(old, new)| machine::differences(&old, &new, self.known)).unwrap_or_default();
        match differences.is_empty() {
            true => {
                self.found.push(Reason::sentence("the Python, a program or a shell variable changed"));
            }
            false => self.found.extend(differences),
        }
    }

    fn option(&mut self, what: &str, before: &Option<String>, after: &Option<String>) {
        if before != after {
            self.add(what, what, before.clone(), after.clone());
        }
    }

    fn texts(&mut self, what: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
        for name in names(before, after) {
            let (old, new) = (before.get(name), after.get(name));
            if old != new {
                self.add(what, name, old.cloned(), new.cloned());
            }
        }
    }

    fn given(&mut self, before: &BTreeMap<String, Given>, after: &BTreeMap<String, Given>, words: &Words) {
        for name in names(before, after) {
            let (old, new) = (before.get(name), after.get(name));
            if old != new {
                self.one_given(name, old, new, words);
            }
        }
    }

    fn one_given(&mut self, name: &str, before: Option<&Given>, after: Option<&Given>, words: &Words) {
        let folder = format!("{}{name}", words.prefix);
        match (before, after) {
            (Some(Given::Data(old)), Some(Given::Data(new))) => self.trees(words.tree, name, &folder, old, new),
            (Some(Given::Mixed(old)), Some(Given::Mixed(new))) if differ_by_data(old, new) => {
                let pairs: BTreeSet<_> = data(old).zip(data(new)).map(|(a, b)| (a.as_str(), b.as_str())).collect();
                for (old, new) in pairs.into_iter().filter(|(old, new)| old != new) {
                    let (old, new) = (Digest::from_text(old.to_owned()), Digest::from_text(new.to_owned()));
                    self.trees(words.tree, name, &folder, &old, &new);
                }
            }
            _ => {
                let is_tree = |given: Option<&Given>| given.is_some_and(|given| matches!(given, Given::Data(_)));
                let what = if is_tree(before) || is_tree(after) { words.tree } else { words.literal };
                let (old, new) = (before.and_then(in_words), after.and_then(in_words));
                self.add(what, name, old, new);
            }
        }
    }

    /// Adds the files in which two trees differ, or only that they differ.
    fn trees(&mut self, what: &str, name: &str, folder: &str, before: &Digest, after: &Digest) {
        let files = self.known.manifest(before).zip(self.known.manifest(after));
        let files = files.map(|(old, new)| changed_files(folder, &old, &new)).unwrap_or_default();
        if files.is_empty() {
            self.add(what, name, Some(short(before)), Some(short(after)));
            return;
        }
        // One more file is named rather than counted.
        let named = if files.len() == NAMED + 1 { files.len() } else { NAMED };
        let more = files.len().saturating_sub(named);
        self.found.extend(files.into_iter().take(named));
        if more > 0 {
            let of = tree_in_words(folder);
            self.found.push(Reason::sentence(format!("{more} more files of {of} changed")));
        }
    }
}

/// Added, removed and changed files.
fn changed_files(folder: &str, before: &Manifest, after: &Manifest) -> Vec<Reason> {
    let file = |path: &str, old: Option<Digest>, new: Option<Digest>| {
        Reason::new("file", &format!("{folder}/{path}"), old.as_ref().map(short), new.as_ref().map(short))
    };
    if let ([old], [new]) = (before.files.as_slice(), after.files.as_slice())
        && before.is_file
        && after.is_file
    {
        return vec![file(&new.path, Some(old.digest()), Some(new.digest()))];
    }
    let mut found = changed_specials(folder, before, after);
    let (mut old, mut new) = (before.files.iter().peekable(), after.files.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => tree_order(&old.path, &new.path),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        if let (Some(old), Some(new)) = (gone, come)
            && old.hash == new.hash
        {
            if old.execute != new.execute {
                found.push(Reason::new("mode", &format!("{folder}/{}", new.path), mode(old), mode(new)));
            }
        } else if let Some(any) = gone.or(come) {
            found.push(file(&any.path, gone.map(HashedFile::digest), come.map(HashedFile::digest)));
        }
    }
}

/// Empty folders and links that were added, removed or changed.
fn changed_specials(folder: &str, before: &Manifest, after: &Manifest) -> Vec<Reason> {
    let by_path = |manifest: &Manifest| -> BTreeMap<String, String> {
        let text = |special: &Special| special.target.clone().unwrap_or_default();
        manifest.specials.iter().map(|special| (special.path.clone(), text(special))).collect()
    };
    let (old, new) = (by_path(before), by_path(after));
    let changed = names(&old, &new).into_iter().filter(|path| old.get(*path) != new.get(*path));
    let one = |path: &String| {
        let is_link = [old.get(path), new.get(path)].into_iter().flatten().any(|target| !target.is_empty());
        let what = if is_link { "link" } else { "folder" };
        Reason::new(what, &format!("{folder}/{path}"), old.get(path).cloned(), new.get(path).cloned())
    };
    changed.map(one).collect()
}

fn mode(file: &HashedFile) -> Option<String> {
    Some(if file.execute == 0 { "not executable" } else { "executable" }.to_owned())
}

/// Whether two joined texts have the same pieces, except for the content of data.
fn differ_by_data(before: &[Given], after: &[Given]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(old, new)| match (old, new) {
            (Given::Data(_), Given::Data(_)) => true,
            (Given::Mixed(old), Given::Mixed(new)) => differ_by_data(old, new),
            (old, new) => old == new,
        })
}

fn data(pieces: &[Given]) -> impl Iterator<Item = &Digest> {
    let mut found = Vec::new();
    let mut left: Vec<&Given> = pieces.iter().rev().collect();
    while let Some(given) = left.pop() {
        match given {
            Given::Data(digest) => found.push(digest),
            Given::Mixed(pieces) => left.extend(pieces.iter().rev()),
            Given::Text(_) | Given::Secret(_) | Given::Absent => {}
        }
    }
    found.into_iter()
}

fn in_words(given: &Given) -> Option<String> {
    match given {
        Given::Text(text) => Some(text.clone()),
        Given::Secret(_) => Some("(not shown)".to_owned()),
        Given::Data(digest) => Some(short(digest)),
        Given::Mixed(pieces) => Some(pieces.iter().filter_map(in_words).collect()),
        Given::Absent => None,
    }
}

fn names<'a, T>(before: &'a BTreeMap<String, T>, after: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    before.keys().chain(after.keys()).collect()
}

fn short(digest: &Digest) -> String {
    digest.short().to_owned()
}

/// The first line in which two texts differ, from each; `None` for a text without such a line.
fn first_difference(before: &str, after: &str) -> (Option<String>, Option<String>) {
    let (mut old, mut new) = (before.lines(), after.lines());
    loop {
        let (old, new) = (old.next(), new.next());
        if old != new {
            return (old.map(str::to_owned), new.map(str::to_owned));
        }
        if old.is_none() {
            // They differ in their line endings.
            return (Some(before.to_owned()), Some(after.to_owned()));
        }
    }
}
