//! The exact versions of an earlier run's environments, for building them again.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use pep440_rs::VersionSpecifiers;

use super::definition::Definition;
use super::requirements;

/// What an earlier run recorded of its environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The name of the run.
    pub run: String,
    /// For each environment, by its name: the version of Python, and the versions of its packages.
    pub environments: BTreeMap<String, (String, BTreeMap<String, String>)>,
}

impl Locked {
    /// The definition that gives what the run had. Where packages come from stays as it is, and so do those that have
    /// no version on an index: projects of the user, and addresses.
    ///
    /// # Errors
    /// A message, if the run has no such environment, or a conda tool built it.
    pub(in crate::environment) fn apply(&self, name: &str, definition: Definition) -> Result<Definition, String> {
        let run = &self.run;
        let Some((python, packages)) = self.environments.get(name) else {
            let known: Vec<&str> = self.environments.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("the run '{run}' has no environment '{name}' to build again (it has: {known})"));
        };
        if definition.conda.is_some() {
            return Err(format!("the environment '{name}' has packages of conda, whose versions cannot be locked"));
        }
        // An address, or a file, stands behind the version of what is not from an index.
        let is_indexed = |version: &str| !version.contains(' ');
        let pinned = packages.iter().filter(|(_, version)| is_indexed(version));
        let pinned = pinned.map(|(name, version)| format!("{name}=={version}"));
        let others = definition.requirements.iter().filter(|line| {
            let name = requirements::name(line);
            line.contains("://") || name.is_none()
        });
        Ok(Definition {
            python: VersionSpecifiers::from_str(&format!("=={python}")).ok(),
            requirements: pinned.chain(others.cloned()).collect(),
            ..definition
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_the_one_of_the_run() {
        let versions = [("click", "8.1.0"), ("own", "1.0 (file:///own)"), ("pip", "23.0")];
        let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned()));
        let environments = BTreeMap::from([("tools".to_owned(), ("3.11.4".to_owned(), BTreeMap::from(versions)))]);
        let locked = Locked { run: "r".to_owned(), environments };
        let definition = Definition {
            requirements: vec!["click>=8".to_owned(), "-e /own".to_owned(), "b@git+https://x/b".to_owned()],
            options: vec!["--no-index".to_owned()],
            ..Definition::default()
        };
        let built = locked.apply("tools", definition.clone()).unwrap();
        assert_eq!(built.requirements, ["click==8.1.0", "pip==23.0", "-e /own", "b@git+https://x/b"]);
        assert_eq!(built.options, definition.options);
        assert!(built.allows(&"3.11.4".parse().unwrap()) && !built.allows(&"3.11.5".parse().unwrap()));
        assert!(locked.apply("other", definition).unwrap_err().contains("it has: tools"));
    }
}
