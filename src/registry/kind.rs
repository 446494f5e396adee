//! The kinds of assets that a registry holds.

use std::fmt;

/// What sort of asset: each sort has its own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetKind {
    /// A model.
    Model,
    /// A data asset.
    Data,
}

impl AssetKind {
    /// `model` or `data`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
