//! The routes `model-versions/…`: versions of registered models. A new version gets a sealed copy of the content of
//! its source.
//!
//! The source is checked as in MLflow: it must be among the artifacts of the run that it names, so that nobody can
//! register (and then download) any file of this machine.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::models::{MODEL, in_mlflow_s_words, pairs_to_map, tag, version_error};
use super::records::{keep, sort};
use crate::registry::{Asset, NewAsset, Selector};
use crate::tracking::args::Args;
use crate::tracking::compare::Found;
use crate::tracking::filter::{self, Field};
use crate::tracking::model::{ModelVersion, PARENT_TAG, Span};
use crate::tracking::place::{SCHEME, check, sealed_uri};
use crate::tracking::route::{Router, amend, ask, remove, tell};
use crate::tracking::seal::{Sealed, seal};
use crate::tracking::{Result, Tracking, TrackingError};

pub(super) fn routes() -> Router {
    Router::new()
        .route("/model-versions/create", tell(create))
        .route("/model-versions/get", ask(get))
        .route("/model-versions/search", ask(search))
        .route("/model-versions/update", amend(update))
        .route("/model-versions/set-tag", tell(set_tag))
        .route("/model-versions/delete-tag", remove(delete_tag))
        .route("/model-versions/transition-stage", tell(transition))
        .route("/model-versions/get-download-uri", ask(download_uri))
}

fn create(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, source) = (args.text("name")?, args.text("source")?);
    tracking.registry.container(MODEL, name).map_err(in_mlflow_s_words)?;
    let run_id = args.maybe_text("run_id")?.filter(|id| !id.is_empty());
    let origin = origin(tracking, source, run_id)?;
    let tags = pairs_to_map(args.pairs("tags")?);
    let (run, step) = match &origin.run_id {
        Some(run_id) => {
            let run = tracking.db.run(run_id)?;
            let step = run.data.tag(PARENT_TAG).map(|_| run.info.run_name.clone());
            (Some(run.info.run_id), step)
        }
        None => (None, None),
    };
    let Sealed { path, digest, bytes, asset_type } = seal(&tracking.models, &origin.path, origin.link)?;
    let word = |key: &str| tags.get(key).cloned();
    let asset = tracking.registry.register(NewAsset {
        description: args.maybe_text("description")?.unwrap_or_default().to_owned(),
        framework: word("framework"),
        framework_version: word("framework_version").or_else(|| word("libtorch_version")),
        run,
        step,
        source: Some(source.to_owned()),
        tags,
        ..NewAsset::new(name, asset_type, path, digest, bytes)
    })?;
    Ok(json!({"model_version": ModelVersion::from(&asset)}))
}

/// The location of a new version's content.
struct Origin {
    path: PathBuf,
    run_id: Option<String>,
    /// Whether a hard link to the content is as good as a copy.
    link: bool,
}

fn origin(tracking: &Tracking, source: &str, run_id: Option<&str>) -> Result<Origin> {
    let refused = |why: &str| TrackingError::Invalid(format!("Invalid model version source: '{source}'. {why}"));
    let of_run = |run_id: &str, path: &str| {
        let place = tracking.run_place(run_id, path)?;
        let link = place.may_be_linked();
        Ok(Origin { path: place.existing()?, run_id: Some(run_id.to_owned()), link })
    };
    if let Some(path) = source.strip_prefix(SCHEME) {
        let path = path.trim_start_matches('/');
        check(path)?;
        // Without a run id, the URI says which run it is.
        let owner = run_id.or_else(|| path.split('/').nth(1)).unwrap_or_default();
        let uri = tracking.db.artifact_place(owner)?.1;
        let root = uri.strip_prefix(SCHEME).unwrap_or(&uri);
        let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let why = format!("It must be below the artifact URI of run '{owner}', which is '{uri}'.");
        return of_run(owner, below.ok_or_else(|| refused(&why))?.trim_start_matches('/'));
    }
    if let Some(rest) = source.strip_prefix("runs:/") {
        let (owner, path) = rest.split_once('/').unwrap_or((rest, ""));
        if run_id != Some(owner) {
            return Err(refused("A runs:/ source needs the same run as run_id."));
        }
        return of_run(owner, path);
    }
    if let Some(rest) = source.strip_prefix("models:/") {
        let Some((name, version)) = rest.split_once('/') else {
            return Err(refused("This server does not support logged models; register from a run's artifacts."));
        };
        let asset = version_of(tracking, name, version)?;
        return Ok(Origin { path: asset.path, run_id: run_id.map(str::to_owned).or(asset.run), link: true });
    }
    let local = source.strip_prefix("file://").or_else(|| source.strip_prefix("file:")).unwrap_or(source);
    if source.contains("://") && !source.starts_with("file:") {
        return Err(refused("Log the model to a run of this server and register it from there."));
    }
    let Some(run_id) = run_id else {
        return Err(refused("To use a local path as a model version source, set the run_id that it belongs to."));
    };
    // Checked after links are followed, so that neither `..` nor a link can lead outside.
    let decoded_dots = local.to_ascii_lowercase().contains("%2e");
    let root = tracking.run_place(run_id, "")?;
    let path = Path::new(local).canonicalize().map_err(TrackingError::io(Path::new(local)));
    match (root.existing(), path) {
        (Ok(folder), Ok(path)) if path.starts_with(&folder) && !local.contains("..") && !decoded_dots => {
            Ok(Origin { path, run_id: Some(run_id.to_owned()), link: root.may_be_linked() })
        }
        _ => Err(refused(&format!("A local source must be in the artifact folder of run '{run_id}'."))),
    }
}

fn version_of(tracking: &Tracking, name: &str, version: &str) -> Result<Asset> {
    let selector = Selector::Version(version.to_owned());
    tracking.registry.get(MODEL, name, &selector).map_err(|error| version_error(error, version))
}

fn get(tracking: &Tracking, args: &Args) -> Result<Value> {
    let asset = version_of(tracking, args.text("name")?, args.text("version")?)?;
    Ok(json!({"model_version": ModelVersion::from(&asset)}))
}

fn download_uri(tracking: &Tracking, args: &Args) -> Result<Value> {
    Ok(json!({"artifact_uri": sealed_uri(&version_of(tracking, args.text("name")?, args.text("version")?)?)}))
}

fn update(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, version) = (args.text("name")?, args.text("version")?);
    let description = args.maybe_text("description")?.unwrap_or_default();
    let changed = tracking.registry.describe(MODEL, name, version, description);
    Ok(json!({"model_version": ModelVersion::from(&changed.map_err(|error| version_error(error, version))?)}))
}

fn set_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, version, tag) = (args.text("name")?, args.text("version")?, args.pair()?);
    let tagged = tracking.registry.tag(MODEL, name, version, &tag.key, Some(&tag.value));
    tagged.map_err(|error| version_error(error, version))?;
    Ok(json!({}))
}

fn delete_tag(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, version, key) = (args.text("name")?, args.text("version")?, args.text("key")?);
    tracking.registry.tag(MODEL, name, version, key, None).map_err(|error| version_error(error, version))?;
    Ok(json!({}))
}

fn transition(tracking: &Tracking, args: &Args) -> Result<Value> {
    let (name, version, stage) = (args.text("name")?, args.text("version")?, args.text("stage")?);
    let archive_others = args.flag("archive_existing_versions")?;
    let changed = tracking.registry.set_stage(MODEL, name, version, stage, archive_others);
    Ok(json!({"model_version": ModelVersion::from(&changed.map_err(|error| version_error(error, version))?)}))
}

fn search(tracking: &Tracking, args: &Args) -> Result<Value> {
    let span = Span::read(args.maybe_text("page_token")?, args.max_results(10_000, 200_000)?)?;
    let filter = filter::parse(args.maybe_text("filter")?.unwrap_or_default())?;
    let mut found = keep(tracking.registry.list(MODEL, None)?, &filter, find)?;
    found.retain(|asset| !asset.archived);
    // MLflow's default order; equal versions keep the registration order (newest first).
    found.sort_by(|a, b| b.updated.cmp(&a.updated).then_with(|| a.name.cmp(&b.name)));
    sort(&mut found, &args.texts("order_by")?, find)?;
    let page = span.cut(found);
    let mut answer = json!({});
    if !page.items.is_empty() {
        answer["model_versions"] = page.items.iter().map(|asset| json!(ModelVersion::from(asset))).collect();
    }
    if let Some(token) = page.next {
        answer["next_page_token"] = token.into();
    }
    Ok(answer)
}

fn find(asset: &Asset, field: &Field) -> Result<Option<Found>> {
    const KNOWN: [&str; 4] = ["name", "run_id", "source_path", "version_number"];
    // Times are far below 2^53, where every whole number is exact.
    #[allow(clippy::cast_precision_loss)]
    let time = |time: i64| Ok(Some(Found::Number(time as f64)));
    match field {
        Field::Tag(key) => Ok(tag(&asset.tags, key)),
        Field::Attribute(name) => match name.as_str() {
            "name" => Ok(Some(Found::Text(asset.name.clone()))),
            "run_id" => Ok(asset.run.clone().map(Found::Text)),
            "source_path" => Ok(asset.source.clone().map(Found::Text)),
            "version_number" => Ok(asset.version.parse().ok().map(Found::Number)),
            "creation_timestamp" => time(asset.created.0),
            "last_updated_timestamp" => time(asset.updated.0),
            _ => field.unknown(&KNOWN),
        },
        _ => field.unknown(&KNOWN),
    }
}
