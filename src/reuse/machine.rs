//! The machine's part of a key: what a step found on the machine beside its files. A key contains only its digest.
//! The description is stored once for all results that share it, so that a difference can be explained program by
//! program and package by package.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::key::Given;
use super::manifest::Manifest;
use crate::digest::Digest;
use crate::reason::Reason;

/// Looks up the content behind a digest, so that a difference can be explained in detail.
pub trait Known {
    /// The files of a tree.
    fn manifest(&self, digest: &Digest) -> Option<Manifest>;
    /// The description of a machine.
    fn machine(&self, digest: &Digest) -> Option<Machine>;
    /// The description of a Python.
    fn python(&self, digest: &Digest) -> Option<Python>;
}

/// The interpreters, programs and inherited variables that a step has.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Machine {
    /// The digest of each [`Python`], by the name under which commands find it.
    pub pythons: BTreeMap<String, Digest>,
    /// The digests of the programs that the command names, by name.
    pub programs: BTreeMap<String, Digest>,
    /// The variables that steps inherit and that are part of the key.
    pub variables: BTreeMap<String, Given>,
    /// The id of its container image. A container has nothing else of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A Python and its installed packages.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(default)]
pub struct Python {
    /// The path at which the program is found.
    pub program: String,
    /// Its version, and what distinguishes this program from another of the same version.
    pub version: String,
    /// The version of each installed distribution, by its name.
    pub packages: BTreeMap<String, String>,
    /// A fingerprint that changes whenever an installed file does.
    pub files: String,
}

impl Machine {
    /// The digest of all of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

impl Python {
    /// The digest of all of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// The differences between two machines.
pub(super) fn differences(before: &Machine, after: &Machine, known: &dyn Known) -> Vec<Reason> {
    if before.image != after.image {
        return vec![images(before.image.as_deref(), after.image.as_deref())];
    }
    let mut found: Vec<Reason> = Vec::new();
    let names: BTreeSet<&String> = before.pythons.keys().chain(after.pythons.keys()).collect();
    for name in names {
        let (old, new) = (before.pythons.get(name), after.pythons.get(name));
        if old == new {
            continue;
        }
        let python = |digest: Option<&Digest>| digest.and_then(|digest| known.python(digest));
        for because in pythons(name, python(old).as_ref(), python(new).as_ref()) {
            // `python` and `python3` are usually the same.
            if !found.contains(&because) {
                found.push(because);
            }
        }
    }
    let names: BTreeSet<&String> = before.programs.keys().chain(after.programs.keys()).collect();
    for name in names {
        let (old, new) = (before.programs.get(name), after.programs.get(name));
        if old != new {
            let short = |digest: &Digest| digest.short().to_owned();
            found.push(Reason::new("program", name, old.map(short), new.map(short)));
        }
    }
    let names: BTreeSet<&String> = before.variables.keys().chain(after.variables.keys()).collect();
    for name in names {
        let (old, new) = (before.variables.get(name), after.variables.get(name));
        if old != new {
            let text = |given: &Given| match given {
                Given::Text(text) => text.clone(),
                _ => "(not shown)".to_owned(),
            };
            found.push(Reason::new("shell variable", name, old.map(text), new.map(text)));
        }
    }
    found
}

/// Two images differ, or only one of the two ran in a container.
fn images(before: Option<&str>, after: Option<&str>) -> Reason {
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    match (before, after) {
        (Some(old), Some(new)) => Reason::new("container", "image", Some(short(old)), Some(short(new))),
        (None, _) => Reason::sentence("it runs in a container, and its last result was made without one"),
        (_, None) => Reason::sentence("it runs without a container, and its last result was made in one"),
    }
}

fn pythons(name: &str, before: Option<&Python>, after: Option<&Python>) -> Vec<Reason> {
    let version = |python: &Python| format!("{} ({})", python.program, python.version.split(' ').next().unwrap_or(""));
    let (Some(old), Some(new)) = (before, after) else {
        let differs = before.is_some() || after.is_some();
        let because = || Reason::new("program", name, before.map(version), after.map(version));
        return differs.then(because).into_iter().collect();
    };
    let mut found = Vec::new();
    if (&old.program, &old.version) != (&new.program, &new.version) {
        let (old, new) = (version(old), version(new));
        found.push(match old == new {
            true => Reason::sentence(format!("the Python {old} was reinstalled")),
            false => Reason::new("program", "python", Some(old), Some(new)),
        });
    }
    let names: BTreeSet<&String> = old.packages.keys().chain(new.packages.keys()).collect();
    for name in names {
        let (old, new) = (old.packages.get(name), new.packages.get(name));
        if old != new {
            found.push(Reason::new("package", name, old.cloned(), new.cloned()));
        }
    }
    if found.is_empty() && old.files != new.files {
        found.push(Reason::sentence(format!("an installed file of {} changed", new.program)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(program: &str, version: &str, packages: &[(&str, &str)], files: &str) -> Python {
        let packages = packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        Python { program: program.into(), version: version.into(), packages, files: files.into() }
    }

    struct Two<'a>(&'a [Python]);

    impl Known for Two<'_> {
        fn manifest(&self, _: &Digest) -> Option<Manifest> {
            None
        }

        fn machine(&self, _: &Digest) -> Option<Machine> {
            None
        }

        fn python(&self, digest: &Digest) -> Option<Python> {
            self.0.iter().find(|python| python.digest() == *digest).cloned()
        }
    }

    #[test]
    fn a_package_that_changed_is_named_with_both_versions_and_once() {
        let of = |python: &Python| Machine {
            pythons: ["python", "python3"].map(|name| (name.to_owned(), python.digest())).into(),
            ..Machine::default()
        };
        let said = |before: &Python, after: &Python| {
            let known = [before.clone(), after.clone()];
            let found = differences(&of(before), &of(after), &Two(&known));
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let old = python("/usr/bin/python3", "3.11.2 x", &[("click", "8.1.0"), ("six", "1")], "a");
        let new = python("/usr/bin/python3", "3.11.2 x", &[("click", "8.1.7"), ("six", "1")], "b");
        assert_eq!(said(&old, &new), ["the package click changed from 8.1.0 to 8.1.7"]);
        let edited = python("/usr/bin/python3", "3.11.2 x", &[("click", "8.1.0"), ("six", "1")], "c");
        assert_eq!(said(&old, &edited), ["an installed file of /usr/bin/python3 changed"]);
        let other = python("/venv/bin/python3", "3.12.0 x", &[], "d");
        assert_eq!(
            said(&old, &other)[0],
            "the program python changed from /usr/bin/python3 (3.11.2) to /venv/bin/python3 (3.12.0)"
        );
        assert_eq!(said(&old, &old), [""; 0]);
    }

    #[test]
    fn programs_and_variables_are_named() {
        let machine = |tool: &str, zone: &str| Machine {
            programs: [("tool".to_owned(), Digest::of(tool.as_bytes()))].into(),
            variables: [("TZ".to_owned(), Given::Text(zone.to_owned()))].into(),
            ..Machine::default()
        };
        let found = differences(&machine("1", "UTC"), &machine("2", "CET"), &Two(&[]));
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["the program tool changed", "the shell variable TZ changed from UTC to CET"]);
    }
}
