//! The record of one asset version, the input for a new one, and the rules for names, versions and labels.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::error::RegistryError;
use super::kind::AssetKind;
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::secret::mask_signatures;
use serde::Deserialize;

/// The `type:` of an asset in Azure ML; it also distinguishes models from data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetType {
    /// `custom_model`: any file or folder.
    CustomModel,
    /// `mlflow_model`: a folder with an `MLmodel` file.
    MlflowModel,
    /// `triton_model`: a Triton model repository.
    TritonModel,
    /// `uri_file`.
    UriFile,
    /// `uri_folder`.
    UriFolder,
    /// `mltable`: a folder with an `MLTable` file.
    Mltable,
}

impl AssetType {
    const ALL: [Self; 6] =
        [Self::CustomModel, Self::MlflowModel, Self::TritonModel, Self::UriFile, Self::UriFolder, Self::Mltable];

    /// The value in YAML and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CustomModel => "custom_model",
            Self::MlflowModel => "mlflow_model",
            Self::TritonModel => "triton_model",
            Self::UriFile => "uri_file",
            Self::UriFolder => "uri_folder",
            Self::Mltable => "mltable",
        }
    }

    /// Whether this type is a model or data.
    #[must_use]
    pub fn kind(self) -> AssetKind {
        match self {
            Self::CustomModel | Self::MlflowModel | Self::TritonModel => AssetKind::Model,
            Self::UriFile | Self::UriFolder | Self::Mltable => AssetKind::Data,
        }
    }
}

impl FromStr for AssetType {
    type Err = RegistryError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            RegistryError::Invalid(format!("'{word}' is not an asset type: use {known}"))
        })
    }
}

/// The input for a new asset version. Set what matters and take the rest from [`NewAsset::new`].
#[derive(Clone, Debug)]
pub struct NewAsset {
    /// The name; see [`check_name`].
    pub name: String,
    /// The version; the next whole number when absent.
    pub version: Option<String>,
    /// Its type, which also says whether it is a model or data.
    pub asset_type: AssetType,
    /// The path of the sealed file or folder, or the address of data that is not stored here.
    pub path: PathBuf,
    /// The digest of the content; for an address, the digest of its text.
    pub digest: Digest,
    /// Its size in bytes; 0 for an address.
    pub bytes: u64,
    /// A description for people; may be empty.
    pub description: String,
    /// Names and values that can be changed later.
    pub tags: BTreeMap<String, String>,
    /// Names and values that cannot be changed.
    pub properties: BTreeMap<String, String>,
    /// E.g. `pytorch`.
    pub framework: Option<String>,
    /// E.g. `2.13.0`.
    pub framework_version: Option<String>,
    /// The name of the run that made it.
    pub run: Option<String>,
    /// The step of that run.
    pub step: Option<String>,
    /// The origin of the content, as given at registration (MLflow's `source`).
    pub source: Option<String>,
    /// Whether to register a model that runs code when Python loads it.
    pub allow_pickle: bool,
}

impl NewAsset {
    /// An asset with the next version number, and no optional fields.
    #[must_use]
    pub fn new(name: &str, asset_type: AssetType, path: PathBuf, digest: Digest, bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            version: None,
            asset_type,
            path,
            digest,
            bytes,
            description: String::new(),
            tags: BTreeMap::new(),
            properties: BTreeMap::new(),
            framework: None,
            framework_version: None,
            run: None,
            step: None,
            source: None,
            allow_pickle: false,
        }
    }

    /// An asset whose content stays at an address. The digest is that of the address, because changes of the content
    /// are not visible here.
    ///
    /// # Errors
    /// [`RegistryError::Invalid`] for an address with a signature in it: it would be stored and shown.
    pub fn at_address(name: &str, asset_type: AssetType, address: &str) -> Result<Self, RegistryError> {
        let mut masked = address.to_owned();
        mask_signatures(&mut masked);
        if masked != address {
            return Err(RegistryError::Invalid(format!(
                "'{masked}' contains a shared access signature, which would be stored: create a datastore \
                with the SAS, or remove it"
            )));
        }
        Ok(Self::new(name, asset_type, PathBuf::from(address), Digest::of(address.as_bytes()), 0))
    }
}

/// The address, if the path is one: `https://…`, `wasbs://…`, `azureml://datastores/…`.
pub(super) fn address(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| !text.starts_with('/') && text.contains("://"))
}

/// One registered version. Its JSON has the field names of `az ml model show` and `az ml data show`.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    /// Unique among assets of its kind, with `version`.
    pub name: String,
    /// `1`, `2`, … unless the author chose another.
    pub version: String,
    /// Its type.
    pub asset_type: AssetType,
    /// The path of the sealed file or folder, or the address of data that is not stored here: [`Asset::uri`].
    pub path: PathBuf,
    /// The digest of the content; for an address, the digest of its text.
    pub digest: Digest,
    /// Its size in bytes; 0 for an address.
    pub bytes: u64,
    /// A description for people; may be empty.
    pub description: String,
    /// Names and values that can be changed.
    pub tags: BTreeMap<String, String>,
    /// Names and values that cannot be changed.
    pub properties: BTreeMap<String, String>,
    /// E.g. `pytorch`.
    pub framework: Option<String>,
    /// E.g. `2.13.0`.
    pub framework_version: Option<String>,
    /// The run that made it.
    pub run: Option<String>,
    /// The step of that run.
    pub step: Option<String>,
    /// The origin of the content, as given at registration.
    pub source: Option<String>,
    /// The summary of its files, if it is a model in a known format.
    pub summary: Option<ModelSummary>,
    /// `None`, `Staging`, `Production` or `Archived`.
    pub stage: String,
    /// Labels (MLflow: aliases) that point at this version, in alphabetical order.
    pub labels: Vec<String>,
    /// Whether it is hidden from lists. It still exists.
    pub archived: bool,
    /// When it was registered.
    pub created: Timestamp,
    /// When its description, tags, stage or labels last changed.
    pub updated: Timestamp,
}

impl Asset {
    /// `azureml:name:version`, as YAML refers to it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("azureml:{}:{}", self.name, self.version)
    }

    /// Model or data.
    #[must_use]
    pub fn kind(&self) -> AssetKind {
        self.asset_type.kind()
    }

    /// The address of the content, if it is not stored in the workspace.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        address(&self.path)
    }
}

#[derive(Serialize)]
struct CreationContext {
    created_at: String,
    last_modified_at: String,
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Asset", 19)?;
        record.serialize_field("id", &self.id())?;
        record.serialize_field("name", &self.name)?;
        record.serialize_field("version", &self.version)?;
        record.serialize_field("type", self.asset_type.as_str())?;
        record.serialize_field("path", &self.path.to_string_lossy())?;
        record.serialize_field("description", &self.description)?;
        record.serialize_field("tags", &self.tags)?;
        record.serialize_field("properties", &self.properties)?;
        record.serialize_field("stage", &self.stage)?;
        record.serialize_field("labels", &self.labels)?;
        record.serialize_field("job_name", &self.run)?;
        record.serialize_field("step", &self.step)?;
        record.serialize_field("framework", &self.framework)?;
        record.serialize_field("framework_version", &self.framework_version)?;
        record.serialize_field("digest", &self.digest)?;
        record.serialize_field("bytes", &self.bytes)?;
        record.serialize_field("archived", &self.archived)?;
        record.serialize_field("summary", &self.summary)?;
        let context =
            CreationContext { created_at: self.created.to_string(), last_modified_at: self.updated.to_string() };
        record.serialize_field("creation_context", &context)?;
        record.end()
    }
}

/// Which version of a name to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Exactly this one.
    Version(String),
    /// The last registered version that is not archived.
    Latest,
    /// The version with this label (MLflow: alias).
    Label(String),
}

impl Selector {
    /// Parses the text after the name: `3` is a version, `@latest` the newest, `@champion` a label.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some("latest") => Self::Latest,
            Some(label) => Self::Label(label.to_owned()),
            None => Self::Version(text.to_owned()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version}"),
            Self::Latest => f.write_str("versions yet"),
            Self::Label(label) => write!(f, "label '{label}'"),
        }
    }
}

/// Checks the name of an asset. This is Azure ML's rule, which is stricter than MLflow's (no `/`, no `:`): what you
/// can register here you can register there.
///
/// # Errors
/// [`RegistryError::Invalid`] with the rule.
pub fn check_name(name: &str) -> Result<(), RegistryError> {
    check("name", name)
}

/// Checks a version; it may have the same characters as a name.
///
/// # Errors
/// [`RegistryError::Invalid`] with the rule.
pub fn check_version(version: &str) -> Result<(), RegistryError> {
    check("version", version)
}

fn check(what: &str, text: &str) -> Result<(), RegistryError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = text.len() <= 255 && text.chars().all(legal) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if good {
        return Ok(());
    }
    let rule = "1 to 255 letters, digits, '-', '_' or '.', beginning with a letter or digit";
    Err(RegistryError::Invalid(format!("'{text}' is not a valid {what} of an asset: use {rule}")))
}

/// Checks a label by MLflow's rule for aliases. `latest` and `v1`, `v2`, … are reserved.
///
/// # Errors
/// [`RegistryError::Invalid`] with the rule.
pub fn check_label(label: &str) -> Result<(), RegistryError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if label.is_empty() || label.len() > 255 || !label.chars().all(legal) {
        let rule = "1 to 255 letters, digits, '-' or '_'";
        return Err(RegistryError::Invalid(format!("'{label}' is not a valid alias: use {rule}")));
    }
    let numbered = |label: &str| {
        let digits = label.strip_prefix(['v', 'V']);
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
    };
    if label.eq_ignore_ascii_case("latest") || numbered(label) {
        return Err(RegistryError::Invalid(format!("'{label}' is a reserved alias: use another")));
    }
    Ok(())
}

/// The summary of a model's files, as `amlrun model inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The format: `state_dict`, `torchscript`, `safetensors` …
    pub kind: String,
    /// `safe`, `unknown`, `cannot_be_judged` or `dangerous`.
    pub safety: String,
    /// What loading it runs, or why that is not known; empty if it is safe.
    #[serde(default)]
    pub runs: String,
    /// What Python would import to load it.
    pub imports: Vec<String>,
    /// The number of elements in its parameters.
    pub parameters: u64,
    /// The number of its tensors.
    pub tensors: u64,
    /// Their element types, each once.
    pub dtypes: Vec<String>,
    /// Which file was inspected, how it was saved, and other remarks.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_azure_ml() {
        for good in ["simple-torch-model", "a", "Model_1.2", &"x".repeat(255)] {
            check_name(good).unwrap();
        }
        for bad in ["", ".", "..", "-a", "a/b", "a:b", "a b", "ä", &"x".repeat(256)] {
            check_name(bad).unwrap_err();
        }
    }

    #[test]
    fn labels_follow_mlflow() {
        for good in ["champion", "v1b", "v", "blue-green_2"] {
            check_label(good).unwrap();
        }
        for bad in ["", "latest", "v12", "V1", "a.b", "a b"] {
            check_label(bad).unwrap_err();
        }
    }

    #[test]
    fn selectors_read_what_follows_the_name() {
        assert_eq!(Selector::parse("3"), Selector::Version("3".into()));
        assert_eq!(Selector::parse("@latest"), Selector::Latest);
        assert_eq!(Selector::parse("@champion"), Selector::Label("champion".into()));
    }

    #[test]
    fn types_round_trip_and_unknown_ones_list_the_known() {
        for kind in AssetType::ALL {
            assert_eq!(kind.as_str().parse::<AssetType>().unwrap(), kind);
        }
        assert!("onnx".parse::<AssetType>().unwrap_err().to_string().contains("triton_model"));
    }
}
