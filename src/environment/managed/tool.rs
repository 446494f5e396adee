//! The command that builds an environment: with uv where it is on `PATH`, otherwise with venv and pip; with a conda tool
//! if PyPI does not have all of its packages.

use std::path::{Path, PathBuf};

use super::definition::{Conda, Definition};
use super::error::BuildError;
use crate::again::word;
use crate::fs::program::on_path;

/// What builds environments on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    /// uv, which installs faster than pip and can download Pythons.
    pub uv: Option<PathBuf>,
    /// `micromamba`, `mamba` or `conda`.
    pub conda: Option<PathBuf>,
    /// A Python of the wanted version.
    pub python: Option<PathBuf>,
}

/// The conda tools, fastest first.
const CONDA_TOOLS: [&str; 3] = ["micromamba", "mamba", "conda"];

/// A conda tool on `PATH`.
pub(crate) fn conda_tool() -> Option<PathBuf> {
    CONDA_TOOLS.iter().find_map(|name| on_path(name, None))
}

impl Tools {
    /// Those on `PATH`, and a Python if one was found.
    pub(super) fn of_machine(python: Option<PathBuf>) -> Self {
        Self { uv: on_path("uv", None), conda: conda_tool(), python }
    }
}

/// The command that builds the environment in `folder`, for bash.
///
/// # Errors
/// [`BuildError::NoPython`] and [`BuildError::NoConda`], when there is no tool for it.
pub(super) fn command(definition: &Definition, tools: &Tools, folder: &Path) -> Result<String, BuildError> {
    let env = word(&folder.join("env"));
    let mut commands = vec![match &definition.conda {
        Some(conda) => conda_create(conda, tools, &env)?,
        None => virtual_environment(definition, tools, &env)?,
    }];
    if !definition.requirements.is_empty() {
        let requirements = word(&folder.join("requirements.txt"));
        let python = word(&folder.join("env/bin/python"));
        commands.push(match &tools.uv {
            Some(uv) => {
                format!("{} pip install --python {python} --requirements {requirements}", word(uv))
            }
            None => format!("{python} -m pip install --no-input --requirement {requirements}"),
        });
    }
    Ok(commands.join(" && "))
}

fn virtual_environment(definition: &Definition, tools: &Tools, env: &str) -> Result<String, BuildError> {
    let wanted = definition.python.as_ref().map(ToString::to_string);
    match (&tools.uv, &tools.python) {
        (Some(uv), Some(python)) => Ok(format!("{} venv --seed --python {} {env}", word(uv), word(python))),
        // uv downloads a Python where the network allows it.
        (Some(uv), None) => {
            let wanted = wanted.map(|wanted| format!("--python '{wanted}' ")).unwrap_or_default();
            Ok(format!("{} venv --seed {wanted}{env}", word(uv)))
        }
        (None, Some(python)) => Ok(format!("{} -m venv {env}", word(python))),
        (None, None) => Err(BuildError::NoPython { wanted: wanted.unwrap_or_else(|| "3".to_owned()) }),
    }
}

fn conda_create(conda: &Conda, tools: &Tools, env: &str) -> Result<String, BuildError> {
    let Some(tool) = &tools.conda else { return Err(BuildError::NoConda { packages: conda.only.join(", ") }) };
    let channels = conda.channels.iter().map(|channel| format!(" --channel {}", word(Path::new(channel))));
    // pip installs the rest of the file into the same environment.
    let packages = conda.packages.iter().map(String::as_str).filter(|package| !package.is_empty());
    let packages = packages.map(|package| format!(" {}", word(Path::new(package))));
    let parts: String = channels.chain(packages).collect();
    Ok(format!("{} create --yes --prefix {env} --override-channels{parts}", word(tool)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(uv: bool, conda: bool, python: bool) -> Tools {
        let there = |is: bool, name: &str| is.then(|| PathBuf::from(name));
        Tools { uv: there(uv, "/bin/uv"), conda: there(conda, "/bin/mamba"), python: there(python, "/py") }
    }

    fn made(definition: &Definition, tools: &Tools) -> Result<String, BuildError> {
        command(definition, tools, Path::new("/it's"))
    }

    #[test]
    fn uv_is_used_where_it_is_there_and_paths_are_one_word() {
        let definition = Definition { requirements: vec!["click".to_owned()], ..Definition::default() };
        assert_eq!(
            made(&definition, &tools(true, false, true)).unwrap(),
            r"/bin/uv venv --seed --python /py '/it'\''s/env' && /bin/uv pip install --python '/it'\''s/env/bin/python' --requirements '/it'\''s/requirements.txt'"
        );
        assert!(made(&definition, &tools(false, true, true)).unwrap().starts_with("/py -m venv"));
        let none = made(&definition, &tools(false, true, false)).unwrap_err().to_string();
        assert!(none.contains("no Python 3 was found") && none.contains("install uv"), "{none}");
    }

    #[test]
    fn a_conda_tool_creates_what_pypi_does_not_have() {
        let conda = Conda {
            channels: vec!["conda-forge".to_owned()],
            packages: vec!["r-base>=4.1".to_owned()],
            only: vec!["r-base>=4.1".to_owned()],
        };
        let definition = Definition { conda: Some(conda), ..Definition::default() };
        assert_eq!(
            made(&definition, &tools(true, true, true)).unwrap(),
            r"/bin/mamba create --yes --prefix '/it'\''s/env' --override-channels --channel conda-forge 'r-base>=4.1'"
        );
        let none = made(&definition, &tools(true, false, true)).unwrap_err().to_string();
        assert!(none.contains("r-base>=4.1") && none.contains("micromamba"), "{none}");
    }
}
