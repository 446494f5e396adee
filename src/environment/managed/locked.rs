//! The exact versions of an earlier run's environments, for building them again.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use pep440_rs::VersionSpecifiers;

use super::definition::Definition;
use super::requirements;
use crate::digest::Digest;

/// What an earlier run recorded of its environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// The name of the run.
    pub run: String,
    /// The environments that it used.
    pub environments: Vec<LockedEnvironment>,
}

/// An environment as an earlier run recorded it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedEnvironment {
    /// Its name. Environments that are written in place may have the same.
    pub name: String,
    /// The short form of its digest.
    pub digest: String,
    /// The version of Python.
    pub python: String,
    /// The version of each package.
    pub packages: BTreeMap<String, String>,
}

impl Locked {
    /// The definition that gives what the run had. Where packages come from stays as it is, and so do those that have
    /// no version on an index: projects of the user, and addresses.
    ///
    /// # Errors
    /// A message, if the run has no such environment, or a conda tool built it.
    pub(in crate::environment) fn apply(
        &self,
        name: &str,
        digest: &Digest,
        definition: Definition,
    ) -> Result<Definition, String> {
        let LockedEnvironment { python, packages, .. } = self.find(name, digest)?;
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

impl Locked {
    /// The environment of the run with this content, otherwise the only one with this name.
    fn find(&self, name: &str, digest: &Digest) -> Result<&LockedEnvironment, String> {
        let run = &self.run;
        if let Some(same) = self.environments.iter().find(|found| found.digest == digest.short()) {
            return Ok(same);
        }
        let mut named = self.environments.iter().filter(|found| found.name == name);
        match (named.next(), named.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => {
                Err(format!("the run '{run}' has several environments '{name}', and each has other content by now"))
            }
            (None, _) => {
                let known: Vec<&str> = self.environments.iter().map(|found| found.name.as_str()).collect();
                let known = known.join(", ");
                Err(format!("the run '{run}' has no environment '{name}' to build again (it has: {known})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_the_one_of_the_run() {
        let versions = [("click", "8.1.0"), ("own", "1.0 (file:///own)"), ("pip", "23.0")];
        let versions = versions.map(|(name, version)| (name.to_owned(), version.to_owned()));
        let tools = LockedEnvironment {
            name: "tools".to_owned(),
            digest: "0".to_owned(),
            python: "3.11.4".to_owned(),
            packages: BTreeMap::from(versions),
        };
        let digest = Digest::of(b"now");
        let locked = Locked { run: "r".to_owned(), environments: vec![tools.clone()] };
        let definition = Definition {
            requirements: vec!["click>=8".to_owned(), "-e /own".to_owned(), "b@git+https://x/b".to_owned()],
            options: vec!["--no-index".to_owned()],
            ..Definition::default()
        };
        let built = locked.apply("tools", &digest, definition.clone()).unwrap();
        assert_eq!(built.requirements, ["click==8.1.0", "pip==23.0", "-e /own", "b@git+https://x/b"]);
        assert_eq!(built.options, definition.options);
        assert!(built.allows(&"3.11.4".parse().unwrap()) && !built.allows(&"3.11.5".parse().unwrap()));
        assert!(locked.apply("other", &digest, definition.clone()).unwrap_err().contains("it has: tools"));
        // Of two with the same name, the content decides.
        let same =
            LockedEnvironment { digest: digest.short().to_owned(), python: "3.12.0".to_owned(), ..tools.clone() };
        let two = Locked { run: "r".to_owned(), environments: vec![tools, same] };
        let built = two.apply("tools", &digest, definition.clone()).unwrap();
        assert!(built.allows(&"3.12.0".parse().unwrap()));
        assert!(two.apply("tools", &Digest::of(b"x"), definition).unwrap_err().contains("several environments"));
    }
}
