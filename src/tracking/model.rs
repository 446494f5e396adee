//! MLflow's records in their wire format: snake_case names, ids as strings, absent fields left out.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Serialize, Serializer};

use super::error::{Result, TrackingError};
use crate::clock::Timestamp;
use crate::registry::{Asset, AssetContainer};
use std::path::PathBuf;

/// The tag that mirrors a run's name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";
/// The tag for the parent run.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// It is running.
    Running,
    /// It is queued.
    Scheduled,
    /// It succeeded.
    Finished,
    /// It failed.
    Failed,
    /// It was stopped from outside.
    Killed,
}

impl RunStatus {
    const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// The value on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The status for a value on the wire, if it is valid.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// Whether active or deleted records are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewType {
    /// Not deleted.
    ActiveOnly,
    /// Deleted.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    /// Parses the value on the wire; absent means active only.
    ///
    /// # Errors
    /// Another value.
    pub fn parse(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("ACTIVE_ONLY") => Ok(Self::ActiveOnly),
            Some("DELETED_ONLY") => Ok(Self::DeletedOnly),
            Some("ALL") => Ok(Self::All),
            Some(other) => {
                let why = "must be one of ACTIVE_ONLY, DELETED_ONLY, ALL";
                Err(TrackingError::invalid_value(other, "view_type", why))
            }
        }
    }

    /// Whether the view contains records in this lifecycle stage.
    #[must_use]
    pub fn admits(self, lifecycle_stage: &str) -> bool {
        match self {
            Self::ActiveOnly => lifecycle_stage == "active",
            Self::DeletedOnly => lifecycle_stage == "deleted",
            Self::All => true,
        }
    }
}

/// A tag of anything, or a parameter of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
}

impl Tag {
    /// A tag.
    #[must_use]
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }
}

/// A parameter has the form of a tag, and never changes.
pub type Param = Tag;

/// One value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its value; `NaN` is a string on the wire.
    #[serde(serialize_with = "number")]
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The step, e.g. the epoch.
    pub step: i64,
}

fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() { serializer.serialize_str("NaN") } else { serializer.serialize_f64(*value) }
}

/// The description of a run, without what it logged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunInfo {
    /// Its id: 32 hexadecimal digits, or a job's name.
    pub run_id: String,
    /// The same, under its old name.
    pub run_uuid: String,
    /// Its display name.
    pub run_name: String,
    /// The experiment that it belongs to.
    pub experiment_id: String,
    /// The user.
    pub user_id: String,
    /// Its status.
    pub status: RunStatus,
    /// When it began, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<i64>,
    /// When it ended, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// The URI for its artifacts.
    pub artifact_uri: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: String,
}

/// What a run logged: the latest value of each metric, parameters, tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunData {
    /// The latest value of each metric.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

impl RunData {
    /// The value of a tag.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }
}

/// An object without fields; clients expect it in place of data sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Nothing {}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its description.
    pub info: RunInfo,
    /// What it logged.
    pub data: RunData,
    /// The data sets that it read: none are stored yet.
    pub inputs: Nothing,
}

/// An experiment: a group of runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Experiment {
    /// A whole number, as text.
    pub experiment_id: String,
    /// Unique among experiments.
    pub name: String,
    /// The prefix of the artifact URIs of its runs.
    pub artifact_location: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: String,
    /// In milliseconds.
    pub last_update_time: i64,
    /// In milliseconds.
    pub creation_time: i64,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A file or folder among artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// Relative to the listed folder or to the run's root, depending on the route.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// In bytes, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

/// A version of a registered model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelVersion {
    name: String,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    current_stage: String,
    description: String,
    source: String,
    run_id: String,
    status: &'static str,
    run_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

impl From<&Asset> for ModelVersion {
    fn from(asset: &Asset) -> Self {
        Self {
            name: asset.name.clone(),
            version: asset.version.clone(),
            creation_timestamp: asset.created.0,
            last_updated_timestamp: asset.updated.0,
            current_stage: asset.stage.clone(),
            description: asset.description.clone(),
            source: asset.source.clone().unwrap_or_else(|| asset.path.to_string_lossy().into_owned()),
            run_id: asset.run.clone().unwrap_or_default(),
            // A version is sealed before it is registered, so it is always ready. Otherwise clients would poll for
            // minutes.
            status: "READY",
            run_link: String::new(),
            tags: asset.tags.iter().map(|(key, value)| Tag::new(key, value)).collect(),
            aliases: asset.labels.clone(),
        }
    }
}

/// An alias and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Alias {
    alias: String,
    version: String,
}

/// A registered model: a name with its versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegisteredModel {
    name: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<ModelVersion>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<Alias>,
}

impl RegisteredModel {
    /// The record of a name, with the newest version of each stage.
    #[must_use]
    pub fn new(container: &AssetContainer, latest: &[&Asset]) -> Self {
        let alias = |(alias, version): (&String, &String)| Alias { alias: alias.clone(), version: version.clone() };
        Self {
            name: container.name.clone(),
            creation_timestamp: container.created.0,
            last_updated_timestamp: container.updated.0,
            description: container.description.clone(),
            latest_versions: latest.iter().map(|asset| ModelVersion::from(*asset)).collect(),
            tags: container.tags.iter().map(|(key, value)| Tag::new(key, value)).collect(),
            aliases: container.labels.iter().map(alias).collect(),
        }
    }
}

/// One page of a longer result.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

/// Where a page begins, and its maximum length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The number of items before it.
    pub offset: usize,
    /// The most items on it.
    pub limit: usize,
}

impl Span {
    /// Parses a page token: base64 of `{"offset": N}`.
    ///
    /// # Errors
    /// A token that is not from this server.
    pub fn read(token: Option<&str>, limit: usize) -> Result<Self> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(Self { offset: 0, limit }) };
        let offset = || -> Option<u64> {
            let bytes = BASE64.decode(token).ok()?;
            serde_json::from_slice::<serde_json::Value>(&bytes).ok()?.get("offset")?.as_u64()
        };
        let offset = offset().and_then(|offset| usize::try_from(offset).ok());
        let bad = || TrackingError::Invalid("Invalid page token, could not base64-decode or parse it".to_owned());
        Ok(Self { offset: offset.ok_or_else(bad)?, limit })
    }

    /// The page, from at most one item more than fits on it.
    #[must_use]
    pub fn page<T>(self, mut items: Vec<T>) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let offset = self.offset + self.limit;
        Page { items, next: more.then(|| BASE64.encode(format!("{{\"offset\": {offset}}}"))) }
    }

    /// The page, from all items.
    #[must_use]
    pub fn cut<T>(self, items: Vec<T>) -> Page<T> {
        self.page(items.into_iter().skip(self.offset).take(self.limit + 1).collect())
    }
}

/// `text` truncated to `limit` characters, as MLflow does with long values.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(text[..end].to_owned()),
        None => Cow::Borrowed(text),
    }
}

/// A run that the runner creates for a job or a step.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id: a job name such as `brave_fox_1a2b3c` or `brave_fox_1a2b3c-train`.
    pub run_id: String,
    /// Its display name.
    pub run_name: String,
    /// From [`Tracking::experiment`](crate::tracking::Tracking::experiment).
    pub experiment_id: String,
    /// The run id of the pipeline, if this is a step.
    pub parent: Option<String>,
    /// More tags; `mlflow.runName` and `mlflow.parentRunId` are added.
    pub tags: Vec<(String, String)>,
    /// The folder of its artifacts; `None` for one below the `artifacts` folder.
    pub artifact_dir: Option<PathBuf>,
    /// When it began.
    pub start_time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_number_is_a_string_and_numbers_are_numbers() {
        let metric = |value| {
            let metric = Metric { key: "m".into(), value, timestamp: 1, step: 0 };
            serde_json::to_value(metric).unwrap()["value"].clone()
        };
        assert_eq!(metric(f64::NAN), "NaN");
        assert_eq!(metric(0.5), 0.5);
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (mut token, mut seen) = (None, Vec::new());
        loop {
            let page = Span::read(token.as_deref(), 3).unwrap().cut((0..7).collect::<Vec<_>>());
            seen.push(page.items);
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        Span::read(Some("garbage!"), 3).unwrap_err();
    }
}
