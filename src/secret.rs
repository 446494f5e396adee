//! Secrets: text that opens a storage account. It can be handed on and used, but not shown, kept or written by accident.
//!
//! A [`Secret`] has no `Display` and cannot be serialised; `Debug` shows a mask. [`mask_signatures`] takes the signature
//! out of an address (a shared access signature is all of a credential, in the query of a URL), so that what is left may
//! be recorded.

use std::fmt;
use std::sync::Arc;

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// A text that must not be seen. Copies share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a text as secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text itself, for whoever sends it where it belongs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What opens a storage account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The account's key, in base64.
    AccountKey(Secret),
    /// A shared access signature, without the question mark.
    Sas(Secret),
    /// Nothing is given: what is public is read as such, for anything else Entra ID is asked who this is.
    Identity,
}

/// Masks the `sig=` of every shared access signature in a text.
pub fn mask_signatures(text: &mut String) {
    let mut from = 0;
    while let Some(at) = ["?sig=", "&sig="].iter().filter_map(|mark| text[from..].find(mark)).min() {
        let at = from + at + "?sig=".len();
        let end = text[at..].find(|c: char| "&\"'<>".contains(c) || c.is_whitespace()).map_or(text.len(), |n| at + n);
        text.replace_range(at..end, MASK);
        from = at + MASK.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("abc")), MASK);
        assert_eq!(Secret::new("abc").reveal(), "abc");
    }

    #[test]
    fn signatures_of_addresses_are_masked() {
        let mut text = "a: https://a.blob.core.windows.net/c?sv=1&sig=abc%3D&se=2\nb: 'x?sig=y'".to_owned();
        mask_signatures(&mut text);
        assert_eq!(text, "a: https://a.blob.core.windows.net/c?sv=1&sig=********&se=2\nb: 'x?sig=********'");
    }
}
