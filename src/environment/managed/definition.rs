//! What a Python environment contains: the normal form of conda files, pip requirements and curated environments.

use std::path::PathBuf;

use pep440_rs::{Version, VersionSpecifiers};

use crate::digest::Digest;

/// The content of an environment. Two definitions with the same digest give the same environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Definition {
    /// The name that its file gives it, for people.
    pub name: Option<String>,
    /// The versions of Python that it allows; `None` if it does not say.
    pub python: Option<VersionSpecifiers>,
    /// Requirements for pip, each as one line of a requirements file (PEP 508 and pip's own forms).
    pub requirements: Vec<String>,
    /// Options for pip, such as `--extra-index-url URL`, one a line.
    pub options: Vec<String>,
    /// Files and folders of the user whose content counts: wheels, projects with or without `-e`, folders of wheels,
    /// constraints.
    pub local: Vec<PathBuf>,
    /// The requirements files that were read for it.
    pub files: Vec<PathBuf>,
    /// Variables that its image sets and scripts rely on.
    pub variables: Vec<(String, String)>,
    /// What a conda tool installs, if PyPI does not have all packages. Then `requirements` has only those of pip.
    pub conda: Option<Conda>,
    /// What a user should know about how it was read.
    pub notes: Vec<String>,
}

/// The part of an environment that a conda tool installs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conda {
    /// Where it finds packages, in order.
    pub channels: Vec<String>,
    /// All packages, as conda writes them, Python included.
    pub packages: Vec<String>,
    /// Those of them that PyPI does not have.
    pub only: Vec<String>,
}

impl Definition {
    /// The digest of the content: its name and notes do not count.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let python = self.python.as_ref().map(ToString::to_string).unwrap_or_default();
        let local = self.local.iter().map(|path| path.display().to_string());
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        let conda = self.conda.as_ref();
        let of_conda = |part: fn(&Conda) -> &Vec<String>| conda.map(part).cloned().unwrap_or_default();
        let parts: [Vec<String>; 7] = [
            vec![python],
            self.requirements.clone(),
            self.options.clone(),
            local.collect(),
            variables.collect(),
            of_conda(|conda| &conda.packages),
            of_conda(|conda| &conda.channels),
        ];
        // Every part has its length before it, so that no two definitions have the same text.
        let text: String = parts.iter().map(|part| format!("{}\n{}\n", part.len(), part.join("\n"))).collect();
        Digest::of(text.as_bytes())
    }

    /// Whether a version of Python fits.
    #[must_use]
    pub fn allows(&self, python: &Version) -> bool {
        self.python.as_ref().is_none_or(|allowed| allowed.contains(python))
    }
}
