//! Tests of the registry through its public functions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;
use crate::digest::Digest;

fn model(name: &str) -> NewAsset {
    NewAsset::new(name, AssetType::CustomModel, PathBuf::from("/store/abc"), Digest::of(b"weights"), 7)
}

fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&folder.path().join("registry.db")).unwrap();
    (folder, registry)
}

#[test]
fn numbers_count_up_and_an_author_s_own_version_stands() {
    let (_folder, registry) = registry();
    assert_eq!(registry.register(model("m")).unwrap().version, "1");
    assert_eq!(registry.register(model("m")).unwrap().version, "2");
    let own = |version: &str| NewAsset { version: Some(version.into()), ..model("m") };
    assert_eq!(registry.register(own("7")).unwrap().version, "7");
    assert_eq!(registry.register(own("2026-11-23")).unwrap().version, "2026-11-23");
    assert_eq!(registry.register(model("m")).unwrap().version, "8");
    let error = registry.register(own("7")).unwrap_err();
    assert!(matches!(&error, RegistryError::Exists { id, .. } if id == "m:7"), "{error}");
    assert_eq!(registry.register(model("other")).unwrap().version, "1");
}

#[test]
fn everything_said_comes_back_after_a_restart() {
    let (folder, registry) = registry();
    let new = NewAsset {
        description: "A net".into(),
        tags: BTreeMap::from([("stage".into(), "dev".into())]),
        properties: BTreeMap::from([("flavor".into(), "libtorch".into())]),
        framework: Some("pytorch".into()),
        framework_version: Some("2.13.0".into()),
        run: Some("brave_fox_1a2b3c".into()),
        step: Some("register".into()),
        source: Some("mlflow-artifacts:/1/r/artifacts/model".into()),
        ..model("m")
    };
    let made = registry.register(new).unwrap();
    drop(registry);
    let again = Registry::open(&folder.path().join("registry.db")).unwrap();
    assert_eq!(again.get(AssetKind::Model, "m", &Selector::Latest).unwrap(), made);
    assert_eq!(again.list(AssetKind::Model, Some("m")).unwrap(), [made]);
}

#[test]
fn models_and_data_have_names_of_their_own() {
    let (_folder, registry) = registry();
    registry.register(model("same")).unwrap();
    let data = NewAsset { asset_type: AssetType::UriFolder, ..model("same") };
    assert_eq!(registry.register(data).unwrap().version, "1");
    assert_eq!(registry.list(AssetKind::Data, None).unwrap().len(), 1);
}

#[test]
fn latest_is_the_newest_that_is_not_archived() {
    let (_folder, registry) = registry();
    for _ in 0..3 {
        registry.register(model("m")).unwrap();
    }
    registry.archive(AssetKind::Model, "m", "3", true).unwrap();
    assert_eq!(registry.get(AssetKind::Model, "m", &Selector::Latest).unwrap().version, "2");
    assert_eq!(registry.list(AssetKind::Model, None).unwrap().len(), 3);
}

#[test]
fn labels_move_and_show_on_the_version() {
    let (_folder, registry) = registry();
    registry.register(model("m")).unwrap();
    registry.register(model("m")).unwrap();
    for label in ["champion", "blue"] {
        registry.set_label(AssetKind::Model, "m", label, "1").unwrap();
    }
    registry.set_label(AssetKind::Model, "m", "champion", "2").unwrap();
    let champion = registry.get(AssetKind::Model, "m", &Selector::parse("@champion")).unwrap();
    assert_eq!((champion.version.as_str(), champion.labels.as_slice()), ("2", &["champion".to_owned()][..]));
    registry.remove_label(AssetKind::Model, "m", "champion").unwrap();
    let error = registry.get(AssetKind::Model, "m", &Selector::parse("@champion")).unwrap_err().to_string();
    assert_eq!(error, "the model asset 'm' has no label 'champion'; use one of blue");
}

#[test]
fn what_is_not_found_says_what_there_is() {
    let (_folder, registry) = registry();
    registry.register(model("simple-torch-model")).unwrap();
    let say = |name: &str, selector: &str| {
        registry.get(AssetKind::Model, name, &Selector::parse(selector)).unwrap_err().to_string()
    };
    assert_eq!(
        say("simple_torch_model", "1"),
        "the model asset 'simple_torch_model' was not found; did you mean 'simple-torch-model'?"
    );
    assert_eq!(say("cat", "1"), "the model asset 'cat' was not found");
    assert_eq!(say("simple-torch-model", "2"), "the model asset 'simple-torch-model' has no version 2; use one of 1");
}

#[test]
fn stages_move_and_can_archive_the_ones_before() {
    let (_folder, registry) = registry();
    registry.register(model("m")).unwrap();
    registry.register(model("m")).unwrap();
    registry.set_stage(AssetKind::Model, "m", "1", "production", false).unwrap();
    registry.set_stage(AssetKind::Model, "m", "2", "Production", true).unwrap();
    let stages: Vec<_> = registry.list(AssetKind::Model, None).unwrap().into_iter().map(|a| a.stage).collect();
    assert_eq!(stages, ["Production", "Archived"]);
    registry.set_stage(AssetKind::Model, "m", "2", "Gone", true).unwrap_err();
}

#[test]
fn it_serialises_with_the_names_of_azure_ml() {
    let (_folder, registry) = registry();
    let asset = registry.register(NewAsset { run: Some("brave_fox_1".into()), ..model("m") }).unwrap();
    let json = serde_json::to_value(&asset).unwrap();
    assert_eq!(json["id"], "azureml:m:1");
    assert_eq!(json["type"], "custom_model");
    assert_eq!(json["job_name"], "brave_fox_1");
    assert_eq!(json["creation_context"]["created_at"], asset.created.to_string());
}

/// Eight connections, like eight processes, take ten numbers each: no number twice, none left out.
#[test]
fn versions_are_race_free() {
    let (folder, _registry) = registry();
    let path = folder.path().join("registry.db");
    let versions: Vec<u32> = std::thread::scope(|scope| {
        let register = || {
            let registry = Registry::open(&path).unwrap();
            (0..10).map(|_| registry.register(model("m")).unwrap().version.parse().unwrap()).collect::<Vec<u32>>()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(register)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(BTreeSet::from_iter(versions), (1..=80).collect());
}
