//! Models through the tracking server: from a run's artifacts to a sealed version in the registry.

use amlrun::registry::{AssetKind, AssetType, Selector};
use serde_json::json;

use crate::tracking_house::house;

#[test]
fn a_model_goes_from_artifacts_to_a_sealed_version() {
    let (folder, house) = house();
    let id = house.run();
    house.put(&format!("1/{id}/artifacts/model/model.safetensors"), b"weights");
    house.put(&format!("1/{id}/artifacts/model/code/net.txt"), b"net");
    house.tell("registered-models/create", json!({"name": "simple-torch-model"})).json();
    let again = house.tell("registered-models/create", json!({"name": "simple-torch-model"}));
    let message = again.refused(400, "RESOURCE_ALREADY_EXISTS");
    assert_eq!(message, "Registered Model (name=simple-torch-model) already exists.");

    let new = json!({"name": "simple-torch-model", "source": format!("mlflow-artifacts:/1/{id}/artifacts/model"),
        "run_id": id, "description": "A net",
        "tags": [{"key": "framework", "value": "pytorch"}, {"key": "libtorch_version", "value": "2.13.0"}]});
    let made = house.tell("model-versions/create", new.clone()).json()["model_version"].clone();
    assert_eq!((&made["version"], &made["status"], &made["run_id"]), (&json!("1"), &json!("READY"), &json!(id)));
    assert_eq!(house.tell("model-versions/create", new).json()["model_version"]["version"], "2");

    let asset = house.registry.get(AssetKind::Model, "simple-torch-model", &Selector::Version("1".into())).unwrap();
    assert_eq!(asset.asset_type, AssetType::CustomModel);
    assert_eq!((asset.framework.as_deref(), asset.framework_version.as_deref()), (Some("pytorch"), Some("2.13.0")));
    assert_eq!((asset.run.as_deref(), asset.bytes), (Some(id.as_str()), 10));
    assert!(asset.path.starts_with(folder.path().join("models")));
    assert!(asset.path.join("model.safetensors").metadata().unwrap().permissions().readonly());

    let uri = house.ask("model-versions/get-download-uri?name=simple-torch-model&version=1").json();
    let uri = uri["artifact_uri"].as_str().unwrap();
    assert_eq!(uri, "mlflow-artifacts:/models/simple-torch-model/1");
    // What the run does afterwards changes nothing, and neither can a client.
    assert_eq!(house.put(&format!("1/{id}/artifacts/model/model.safetensors"), b"changed").status, 200);
    let sealed = "models/simple-torch-model/1";
    assert_eq!(house.artifact(&format!("{sealed}/model.safetensors")).body, b"weights");
    let refused = house.put(&format!("{sealed}/model.safetensors"), b"x").refused(400, "INVALID_PARAMETER_VALUE");
    assert!(refused.contains("sealed"));
    assert_eq!(
        house.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={sealed}")).json()["files"],
        json!([{"path": "code", "is_dir": true},
            {"path": "model.safetensors", "is_dir": false, "file_size": 7}])
    );
}

#[test]
fn a_model_source_must_lie_among_its_run_s_artifacts() {
    let (folder, house) = house();
    let (id, other) = (house.run(), house.run());
    for run in [&id, &other] {
        house.put(&format!("1/{run}/artifacts/m/w"), b"w");
    }
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    house.tell("registered-models/create", json!({"name": "m"})).json();
    let local = folder.path().join(format!("artifacts/1/{id}/artifacts/m"));
    let (local, secret) = (local.to_str().unwrap(), folder.path().join("secret"));
    let create = |source: &str, run: &str| {
        house.tell("model-versions/create", json!({"name": "m", "source": source, "run_id": run}))
    };
    for (source, run) in [
        (secret.to_str().unwrap(), id.as_str()),
        (secret.to_str().unwrap(), ""),
        (&format!("file://{}", secret.display()), &id),
        (local, ""),
        (local, &other),
        (&format!("{local}/../../../../../../secret"), &id),
        (&format!("mlflow-artifacts:/1/{other}/artifacts/m"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/../../{other}/artifacts/m"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/%2e%2e/%2e%2e/secret"), &id),
        (&format!("runs:/{other}/m"), &id),
        (&format!("runs:/{id}/m"), ""),
        ("s3://bucket/m", &id),
        ("models:/m-123", ""),
    ] {
        create(source, run).refused(400, "INVALID_PARAMETER_VALUE");
    }
    create(&format!("mlflow-artifacts:/1/{id}/artifacts/nothing"), &id).refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert!(house.registry.list(AssetKind::Model, None).unwrap().is_empty());

    for (source, run) in [
        (local, id.as_str()),
        (&format!("file://{local}"), &id),
        (&format!("runs:/{id}/m/w"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/m"), ""),
        ("models:/m/1", ""),
    ] {
        create(source, run).json();
    }
    let uri = house.ask("model-versions/get-download-uri?name=m&version=3").json();
    assert_eq!(uri["artifact_uri"], "mlflow-artifacts:/models/m/3/w", "a model of one file is that file");
    assert_eq!(house.artifact("models/m/3/w").body, b"w");
    assert_eq!(house.registry.list(AssetKind::Model, None).unwrap().len(), 5);
}

#[test]
fn registered_models_have_aliases_stages_tags_and_are_searched() {
    let (_folder, house) = house();
    let id = house.run();
    house.put(&format!("1/{id}/artifacts/m/MLmodel"), b"flavors: {}");
    let none = house.ask("registered-models/get?name=none").refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(none, "Registered Model with name=none not found");
    house.tell("registered-models/create", json!({"name": "a/b"})).refused(400, "INVALID_PARAMETER_VALUE");
    house.tell("registered-models/create", json!({"name": "net", "tags": [{"key": "team", "value": "x"}]})).json();
    for _ in 0..2 {
        let source = format!("runs:/{id}/m");
        house.tell("model-versions/create", json!({"name": "net", "source": source, "run_id": id})).json();
    }
    let newest = house.registry.get(AssetKind::Model, "net", &Selector::Latest).unwrap();
    assert_eq!(newest.asset_type, AssetType::MlflowModel);

    house.tell("registered-models/alias", json!({"name": "net", "alias": "champion", "version": "1"})).json();
    let champion = house.ask("registered-models/alias?name=net&alias=champion").json();
    assert_eq!(champion["model_version"]["version"], "1");
    let unknown = house.ask("registered-models/alias?name=net&alias=zz").refused(400, "INVALID_PARAMETER_VALUE");
    assert_eq!(unknown, "Registered model alias zz not found.");
    let reserved = json!({"name": "net", "alias": "latest", "version": "1"});
    house.tell("registered-models/alias", reserved).refused(400, "INVALID_PARAMETER_VALUE");
    let absent = json!({"name": "net", "alias": "x", "version": "77"});
    let message = house.tell("registered-models/alias", absent).refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(message, "Model Version (name=net, version=77) not found");

    let stage = json!({"name": "net", "version": "1", "stage": "production", "archive_existing_versions": false});
    let moved = house.tell("model-versions/transition-stage", stage).json();
    assert_eq!(moved["model_version"]["current_stage"], "Production");
    let latest = house.tell("registered-models/get-latest-versions", json!({"name": "net"})).json();
    let versions: Vec<_> = latest["model_versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(versions, ["2", "1"], "the newest of each stage");

    let tag = json!({"name": "net", "version": "2", "key": "quality", "value": "good"});
    house.tell("model-versions/set-tag", tag).json();
    let describe = json!({"name": "net", "version": "2", "description": "better"});
    assert_eq!(
        house.call("PATCH", "model-versions/update", &describe).json()["model_version"]["description"],
        "better"
    );
    let search = |filter: &str| house.ask(&format!("model-versions/search?filter={filter}")).json();
    assert_eq!(search("name%3D'net'%20AND%20tags.quality%3D'good'")["model_versions"].as_array().unwrap().len(), 1);
    assert_eq!(search(&format!("run_id%20IN%20('{id}')"))["model_versions"].as_array().unwrap().len(), 2);

    // What every client adds to every search; a model without the tag is no prompt.
    let filter = "name%20ILIKE%20'NE%25'%20AND%20tag.%60mlflow.prompt.is_prompt%60%20!%3D%20'true'";
    let models = house.ask(&format!("registered-models/search?filter={filter}&max_results=100")).json();
    assert_eq!(models["registered_models"][0]["aliases"], json!([{"alias": "champion", "version": "1"}]));
    house.call("DELETE", "registered-models/alias", &json!({"name": "net", "alias": "champion"})).json();
    house.ask("registered-models/alias?name=net&alias=champion").refused(400, "INVALID_PARAMETER_VALUE");
}
