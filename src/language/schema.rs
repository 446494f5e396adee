//! The kind of a document by its `$schema`. Documents name it under that key, or in a comment for an editor.

use super::kind::{DATASTORES, Kind};
use crate::diagnostic::suggest;
use crate::yaml::Node;

/// Documents that `az ml` takes and that amlrun does not read, by the end of their schema's name.
const OTHERS: [(&str, &str); 26] = [
    ("endpoint", "endpoint"),
    ("deployment", "deployment"),
    ("deploymenttemplate", "deployment template"),
    ("compute", "compute"),
    ("computeinstance", "compute"),
    ("schedule", "schedule"),
    ("workspace", "workspace"),
    ("hub", "workspace"),
    ("project", "workspace"),
    ("connection", "connection"),
    ("registry", "registry"),
    ("featureset", "feature set"),
    ("featuresetspecification", "feature set"),
    ("featurestore", "feature store"),
    ("featurestoreentity", "feature store entity"),
    ("dataimport", "data import"),
    ("dataindex", "index"),
    ("index", "index"),
    ("mltable", "data table"),
    ("modelversionpackage", "model package"),
    ("modelpackage", "model package"),
    ("prompty", "prompt"),
    ("prompt", "prompt"),
    ("latest/flow", "prompt flow"),
    ("latest/run", "prompt flow run"),
    ("marketplacesubscription", "subscription"),
];

const ASSETS: [(&str, Kind); 5] = [
    ("data", Kind::Data),
    ("dataset", Kind::Data),
    ("model", Kind::Model),
    ("environment", Kind::Environment),
    ("datastore", Kind::Datastore),
];

/// The address of a document's schema: the value of `$schema`, misspelt or not, or that of an editor's comment.
pub(super) fn address<'a>(root: &'a Node, text: &'a str) -> Option<&'a str> {
    let entries = root.as_mapping().unwrap_or_default();
    let is_schema = |key: &str| key == "$schema" || suggest::nearest(key, ["$schema"]).is_some();
    let written = entries.iter().find_map(|entry| {
        let address = entry.value.as_str()?;
        let is_meant = is_schema(&entry.key) && address.contains("://") || address.contains(".schema.json");
        (is_meant && !address.contains('\n')).then_some(address)
    });
    written.or_else(|| modeline(text))
}

/// The schema that an editor's comment names: `# yaml-language-server: $schema=…`.
#[must_use]
pub fn modeline(text: &str) -> Option<&str> {
    text.lines()
        .map_while(|line| {
            line.trim_start_matches('\u{feff}').strip_prefix('#').or(line.trim().is_empty().then_some(""))
        })
        .find_map(|comment| comment.trim_start().strip_prefix("yaml-language-server:")?.trim().strip_prefix("$schema="))
}

/// The kind that the schema at an address describes: `…/commandJob.schema.json`,
/// `http://azureml/sdk-2-0/Schedule.json`. `None` for an unknown schema.
#[must_use]
pub fn kind(address: &str) -> Option<Kind> {
    let address = address.trim().to_lowercase();
    let address = address.strip_suffix(".json")?;
    let address = address.strip_suffix(".schema").unwrap_or(address);
    let name = address.rsplit('/').next().unwrap_or_default();
    if name.ends_with("job") {
        return Some(Kind::Job);
    }
    if name.ends_with("component") {
        return Some(Kind::Component);
    }
    // The schema of a datastore has the name of its class.
    if name == "hdfsdatastore" || DATASTORES.iter().any(|(_, class)| class.eq_ignore_ascii_case(name)) {
        return Some(Kind::Datastore);
    }
    let asset = ASSETS.iter().find(|(asset, _)| *asset == name).map(|(_, kind)| *kind);
    asset.or_else(|| OTHERS.iter().find(|(end, _)| address.ends_with(end)).map(|(_, word)| Kind::Other(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_every_generation_tell_the_kind() {
        let new = |name: &str| kind(&format!("https://azuremlschemas.azureedge.net/latest/{name}.schema.json"));
        let old = |name: &str| kind(&format!("http://azureml/sdk-2-0/{name}.json"));
        assert_eq!(new("commandJob"), Some(Kind::Job));
        assert_eq!(old("PipelineJob"), Some(Kind::Job));
        assert_eq!(new("pipelineComponent"), Some(Kind::Component));
        assert_eq!(old("CommandComponent"), Some(Kind::Component));
        assert_eq!(new("azureBlob"), Some(Kind::Datastore));
        assert_eq!(new("managedOnlineDeployment"), Some(Kind::Other("deployment")));
        assert_eq!(new("pipelineComponentBatchDeployment"), Some(Kind::Other("deployment")));
        assert_eq!(new("amlCompute"), Some(Kind::Other("compute")));
        assert_eq!(old("Schedule"), Some(Kind::Other("schedule")));
        assert_eq!(old("FeaturestoreEntity"), Some(Kind::Other("feature store entity")));
        assert_eq!(new("promptflow"), None);
        assert_eq!(kind("azureml:commandJob"), None);
    }
}
