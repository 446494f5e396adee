//! Environments as the commands print them.

use serde_json::{Value as Json, json};

use crate::cli::asset::Which;
use crate::environment::managed::curated;
use crate::environment::managed::definition::Definition;
use crate::error::Failed;
use crate::registry::copies::CopyError;
use crate::registry::{EnvironmentStore, EnvironmentVersion, Selector};
use crate::store::Home;

/// A registered version, or a curated environment with that name.
pub(super) fn found(which: &Which, home: &Home) -> Result<Json, Failed> {
    let store = EnvironmentStore::at(home.environments());
    match (store.get(&which.name, &which.selector()), curated::definition(&which.name, false)) {
        (Ok(version), _) => Ok(registered(&version, &store)),
        (Err(CopyError::Unknown { .. }), Some(definition)) if which.selector() == Selector::Latest => {
            Ok(of_definition(&which.name, &definition))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// A registered version.
pub(super) fn registered(version: &EnvironmentVersion, store: &EnvironmentStore) -> Json {
    let mut answer = serde_json::to_value(version).unwrap_or_default();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("id".to_owned(), format!("azureml:{}:{}", version.name, version.version).into());
        fields.insert("created".to_owned(), version.created.to_string().into());
        fields.insert("path".to_owned(), store.file_of(version).to_string_lossy().into());
    }
    answer
}

fn of_definition(name: &str, definition: &Definition) -> Json {
    let variables = definition.variables.iter().map(|(name, value)| (name.clone(), Json::from(value.clone())));
    json!({
        "name": name,
        "type": "curated",
        "python": definition.python.as_ref().map(ToString::to_string),
        "packages": definition.requirements,
        "environment_variables": variables.collect::<serde_json::Map<_, _>>(),
    })
}
