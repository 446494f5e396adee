//! Azure ML's curated environments, by name. `curated.toml` holds their Python and packages.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::LazyLock;

use pep440_rs::VersionSpecifiers;
use serde::Deserialize;

use super::definition::Definition;

/// A curated environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Curated {
    names: Vec<String>,
    python: String,
    packages: Vec<String>,
    tools: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

static ALL: LazyLock<Vec<Curated>> = LazyLock::new(|| {
    let all: BTreeMap<String, Curated> = toml::from_str(include_str!("curated.toml")).unwrap_or_default();
    all.into_values().collect()
});

/// The name of a curated environment in a reference: `azureml:AzureML-sklearn-1.5@latest`,
/// `azureml://registries/azureml/environments/sklearn-1.5/labels/latest`, or an image
/// `mcr.microsoft.com/azureml/curated/sklearn-1.5:12`. `None` if it does not name one.
#[must_use]
pub fn name(reference: &str) -> Option<&str> {
    let ends = |text: &'_ str| text.find(['@', ':', '/']).unwrap_or(text.len());
    let rest = [
        "azureml://registries/azureml/environments/",
        "azureml:AzureML-",
        "AzureML-",
        "mcr.microsoft.com/azureml/curated/",
    ];
    let rest = rest.into_iter().find_map(|start| reference.strip_prefix(start))?;
    let name = &rest[..ends(rest)];
    (!name.is_empty()).then_some(name)
}

/// The definition of a curated environment. With `tools`, also its packages for debugging and profiling. `None` if the
/// name is not known.
#[must_use]
pub fn definition(name: &str, tools: bool) -> Option<Definition> {
    let curated = ALL.iter().find(|curated| curated.names.iter().any(|known| known == name))?;
    let mut requirements = curated.packages.clone();
    if tools {
        requirements.extend(curated.tools.iter().cloned());
    }
    Some(Definition {
        python: VersionSpecifiers::from_str(&format!("=={}.*", curated.python)).ok(),
        requirements,
        variables: curated.variables.clone().into_iter().collect(),
        ..Definition::default()
    })
}

/// The names of all known curated environments.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|curated| &curated.names).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::requirements;
    use super::*;

    #[test]
    fn all_are_read_and_well_formed() {
        assert!(names().count() >= 15);
        for known in names() {
            let definition = definition(known, true).unwrap();
            assert!(definition.python.is_some(), "{known}");
            assert!(definition.requirements.iter().all(|line| requirements::name(line).is_some()), "{known}");
        }
    }

    #[test]
    fn a_curated_environment_is_named_in_three_ways() {
        for reference in [
            "azureml:AzureML-sklearn-1.5@latest",
            "azureml:AzureML-sklearn-1.5:12",
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            "azureml://registries/azureml/environments/sklearn-1.5/versions/3",
            "mcr.microsoft.com/azureml/curated/sklearn-1.5:latest",
            "mcr.microsoft.com/azureml/curated/sklearn-1.5",
        ] {
            assert_eq!(name(reference), Some("sklearn-1.5"), "{reference}");
        }
        assert_eq!(name("azureml:my-env@latest"), None);
        assert_eq!(name("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"), None);
    }

    #[test]
    fn tools_are_left_out_unless_asked_for() {
        let lines = |tools| definition("sklearn-1.5", tools).unwrap().requirements;
        assert!(lines(false).iter().all(|line| !line.starts_with("debugpy")));
        assert!(lines(true).iter().any(|line| line.starts_with("debugpy")));
        assert_eq!(definition("tensorflow-2.16-cuda12", false).unwrap().variables.len(), 1);
    }
}
