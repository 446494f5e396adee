//! References to registered assets: `azureml:name:version`, `azureml:name@label` (reference, section 1.6).

use std::fmt;

/// Which version of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// That one.
    Exact(String),
    /// The one that has this label; `latest` is the newest.
    Label(String),
    /// Not said; only components and environments may leave it out.
    Unsaid,
}

/// A reference to an asset of the workspace by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRef {
    /// The asset's name.
    pub name: String,
    /// Which version of it.
    pub version: Version,
}

/// What the text after `azureml:` can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An asset of this workspace.
    Workspace(AssetRef),
    /// A URI of the service (`azureml://registries/…`, `azureml://datastores/…`).
    Uri(String),
    /// A full ARM id.
    Arm(String),
}

impl Reference {
    /// Reads a reference with its `azureml:` prefix; `None` when the text has no such prefix.
    /// Name and version are split at the first `:`, so versions may contain one.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the reference.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let rest = text.strip_prefix("azureml:")?;
        Some(if rest.starts_with("//") {
            Ok(Self::Uri(text.to_owned()))
        } else if rest.starts_with('/') {
            Ok(Self::Arm(rest.to_owned()))
        } else if rest.contains('/') {
            Err(format!("'{rest}' is not a valid ARM ID: it must start with '/'"))
        } else {
            AssetRef::parse(rest).map(Self::Workspace)
        })
    }
}

impl AssetRef {
    /// Reads `name:version`, `name@label` or `name`.
    ///
    /// # Errors
    /// A sentence, when a part is empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, version) = if let Some((name, version)) = text.split_once(':') {
            (name, Version::Exact(version.to_owned()))
        } else if let Some((name, label)) = text.split_once('@') {
            (name, Version::Label(label.to_owned()))
        } else {
            (text, Version::Unsaid)
        };
        let empty = matches!(&version, Version::Exact(v) | Version::Label(v) if v.is_empty());
        if name.is_empty() || empty {
            return Err(format!("'{text}' is not an asset reference: use name:version or name@label"));
        }
        Ok(Self { name: name.to_owned(), version })
    }
}

impl fmt::Display for AssetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Exact(version) => write!(f, "{}:{version}", self.name),
            Version::Label(label) => write!(f, "{}@{label}", self.name),
            Version::Unsaid => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_the_sdk_reads_them() {
        let workspace = |name: &str, version| Some(Ok(Reference::Workspace(AssetRef { name: name.into(), version })));
        assert_eq!(Reference::parse("azureml:m:3"), workspace("m", Version::Exact("3".into())));
        assert_eq!(Reference::parse("azureml:m:3:b"), workspace("m", Version::Exact("3:b".into())));
        assert_eq!(Reference::parse("azureml:m@latest"), workspace("m", Version::Label("latest".into())));
        assert!(matches!(Reference::parse("azureml://datastores/d/paths/p"), Some(Ok(Reference::Uri(_)))));
        assert!(matches!(Reference::parse("azureml:a/b"), Some(Err(_))));
        assert_eq!(Reference::parse("./x.yml"), None);
    }
}
