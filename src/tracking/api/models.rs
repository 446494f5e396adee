//! The routes `registered-models/…`: names of models. Their versions are in `versions`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::records::{keep, sort};
use crate::registry::{Asset, AssetContainer, AssetKind, RegistryError, Selector};
use crate::tracking::args::Args;
use crate::tracking::compare::Found;
use crate::tracking::filter::{self, Field};
use crate::tracking::model::{ModelVersion, RegisteredModel, Span, Tag};
use crate::tracking::route::{Router, amend, ask, remove, tell};
use crate::tracking::{Result, Tracking, TrackingError};

pub(super) const MODEL: AssetKind = AssetKind::Model;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/registered-models/create", tell(create))
        .route("/registered-models/get", ask(get))
        .route("/registered-models/update", amend(update))
        .route("/registered-models/search", ask(search))
        .route("/registered-models/get-latest-versions", tell(latest_versions).merge(ask(latest_versions)))
        .route("/registered-models/set-tag", tell(set_tag))
        .route("/registered-models/delete-tag", remove(delete_tag))
        .route("/registered-models/alias", ask(get_alias).merge(tell(set_alias)).merge(remove(delete_alias)))
}

fn create(tracking: &Tracking, args: &Args) -> Result<Value> {
    let name = args.text("name")?;
    let tags = pairs_to_map(args.pairs("tags")?);
    let description = args.maybe_text("description")?.unwrap_or_default();
    let made = tracking.registry.create_container(MODEL, name, description, &tags).map_err(in_mlflow_s_words)?;
    Ok(json!({"registered_model": RegisteredModel::new(&made, &[])}))
}

fn get(tracking: &Tracking, args: &Args) -> Result<Value> {
    let container = container(tracking, args.text("name")?)?;
    Ok(json!({"registered_model": record(tracking, &container)?}))
}

fn update(tracking: &Tracking, args: &Args) -> Result<Value> {
    let name = args.text("name")?;
    let description = args.maybe_text("description")?.unwrap_or_default();
    let changed = tracking.registry.describe_container(MODEL, name, description).map_err(in_mlflow_s_words)?;
    Ok(json!({"registered_model": record(tracking, &changed)?}))
}

fn search(tracking: &Tracking, args: &Args) -> Result<Value> {
    let span = Span::read(args.maybe_text("page_token")?, args.max_results(100, 1000)?)?;
    let filter = filter::parse(args.maybe_text("filter")?.unwrap_or_default())?;
    let mut found = keep(tracking.registry.containers(MODEL)?, &filter, find)?;
    sort(&mut found, &args.texts("order_by")?, find)?;
    let page = span.cut(found);
    let mut answer = json!({});
    if !page.items.is_empty() {
        let records = page.items.iter().map(|container| record(tracking, container)).collect::<Result<Vec<_>>>()?;
        answer["registered_models"] = json!(records);
    }
    if let Some(token) = page.next {
        answer["next_page_token"] = token.into();
    }
    Ok(answer)
}

fn find(container: &AssetContainer, field: &Field) -> Result<Option<Found>> {
    // Times are far below 2^53, where every whole number is exact.
    #[allow(clippy::cast_precision_loss)]
    let time = |time: i64| Ok(Some(Found::Number(time as f64)));
    match field {
        Field::Tag(key) => Ok(tag(&container.tags, key)),
        Field::Attribute(name) => match name.as_str() {
            "name" => Ok(Some(Found::Text(container.name.clone()))),
            "creation_timestamp" => time(container.created.0),
            "last_updated_timestamp" | "timestamp" => time(container.updated.0),
            _ => field.unknown(&["name"]),
        },
        _ => field.unknown(&["name"]),
    }
}

/// The value of a tag. MLflow's clients add `tag.mlflow.prompt.is_prompt != 'true'` to every search for models, and
/// expect models without the tag, too.
pub(super) fn tag(tags: &BTreeMap<String, String>, key: &str) -> Option<Found> {
    let default = (key == "mlflow.prompt.is_prompt").then_some("false");
    tags.get(key).map(String::as_str).or(default).map(|value| Found::Text(value.to_owned()))
}

fn latest_versions(tracking: &Tracking, args: &Args) -> Result<Value> {
    let name = args.text("name")?;
    container(tracking, name)?;
    let stages = args.texts("stages")?;
    let stages = stages.into_iter().map(crate::registry::versions::parse_stage).collect::<Result<Vec<_>, _>>()?;
    let assets = tracking.registry.list(MODEL, Some(name))?;
    let latest = latest_per_stage(&assets);
    let wanted = latest.into_iter().filter(|asset| stages.is_empty() || stages.contains(&asset.stage.as_str()));
    let versions: Vec<_> = wanted.map(ModelVersion::from).collect();
    Ok(if versions.is_empty() { json!({}) } else { json!({"model_versions": versions}) })
}

fn set_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, tag) = (args.text("name")?, args.pair()?);
    tracking.registry.tag_container(MODEL, name, &tag.key, Some(&tag.value)).map_err(in_mlflow_s_words)?;
    Ok(json!({}))
}

fn delete_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, key) = (args.text("name")?, args.text("key")?);
    tracking.registry.tag_container(MODEL, name, key, None).map_err(in_mlflow_s_words)?;
    Ok(json!({}))
}

fn get_alias(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, alias) = (args.text("name")?, args.text("alias")?);
    let found = tracking.registry.get(MODEL, name, &Selector::Label(alias.to_owned()));
    let asset = found.map_err(|error| match error {
        // MLflow uses 400 here, not 404.
        RegistryError::NoSuchVersion { .. } => {
            TrackingError::Invalid(format!("Registered model alias {alias} not found."))
        }
        other => in_mlflow_s_words(other),
    })?;
    Ok(json!({"model_version": ModelVersion::from(&asset)}))
}

fn set_alias(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, alias, version) = (args.text("name")?, args.text("alias")?, args.text("version")?);
    tracking.registry.set_label(MODEL, name, alias, version).map_err(|error| version_error(error, version))?;
    Ok(json!({}))
}

fn delete_alias(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, alias) = (args.text("name")?, args.text("alias")?);
    tracking.registry.remove_label(MODEL, name, alias).map_err(in_mlflow_s_words)?;
    Ok(json!({}))
}

fn container(tracking: &Tracking, name: &str) -> Result<AssetContainer> {
    tracking.registry.container(MODEL, name).map_err(in_mlflow_s_words)
}

fn record(tracking: &Tracking, container: &AssetContainer) -> Result<RegisteredModel> {
    let assets = tracking.registry.list(MODEL, Some(&container.name))?;
    Ok(RegisteredModel::new(container, &latest_per_stage(&assets)))
}

/// The newest version of each stage, from versions sorted newest first; archived ones do not count.
fn latest_per_stage(assets: &[Asset]) -> Vec<&Asset> {
    let mut latest: Vec<&Asset> = Vec::new();
    for asset in assets.iter().filter(|asset| !asset.archived) {
        if !latest.iter().any(|known| known.stage == asset.stage) {
            latest.push(asset);
        }
    }
    latest
}

pub(super) fn pairs_to_map(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// The registry's error with the message that MLflow's clients look for.
pub(super) fn in_mlflow_s_words(error: RegistryError) -> TrackingError {
    match error {
        RegistryError::NoSuchName { name, .. } => {
            TrackingError::Missing(format!("Registered Model with name={name} not found"))
        }
        RegistryError::Exists { id, .. } => {
            TrackingError::Exists(format!("Registered Model (name={id}) already exists."))
        }
        other => other.into(),
    }
}

/// The same, if a version was requested.
pub(super) fn version_error(error: RegistryError, version: &str) -> TrackingError {
    match error {
        RegistryError::NoSuchVersion { name, .. } => {
            TrackingError::Missing(format!("Model Version (name={name}, version={version}) not found"))
        }
        other => in_mlflow_s_words(other),
    }
}
