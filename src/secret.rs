//! Secrets: text that grants access to a storage account. It can be passed on and used, but not shown or stored by
//! accident.
//!
//! A [`Secret`] has no `Display` and cannot be serialised; `Debug` shows a mask. [`mask_signatures`] removes the
//! signature from a URL, so that the rest can be recorded: the shared access signature in the query is a complete
//! credential.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::fs::atomic::{self, Durability};

/// What is shown in place of a secret.
pub const MASK: &str = "********";

/// A text that must not be shown. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Marks a text as secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The text itself, for sending it to its destination.
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

/// A random token of 32 bytes, as text.
///
/// # Errors
/// When the system provides no random bytes.
pub fn random_token() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Writes a file that may hold secrets: only its owner can read it, in any folder.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    atomic::write_private(path, text, Durability::Unsynced)
}

/// The credentials of a storage account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The account's key, in base64.
    AccountKey(Secret),
    /// A shared access signature, without the question mark.
    Sas(Secret),
    /// No secret is given: public blobs are read anonymously, and everything else uses a token of Entra ID.
    Identity,
}

/// URL parameters that grant access: Azure's shared access signatures, and presigned URLs of other services.
const OPENING: [&str; 7] =
    ["sig", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature", "token", "access_token"];

/// Masks the signature of every signed address in a text.
pub fn mask_signatures(text: &mut String) {
    for place in places(text).into_iter().rev() {
        text.replace_range(place, MASK);
    }
}

/// The signatures of the addresses in a text.
#[must_use]
pub fn signatures(text: &str) -> Vec<&str> {
    places(text).into_iter().map(|place| &text[place]).collect()
}

fn places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(mark) = text[from..].find(['?', '&']).map(|at| from + at + 1) {
        from = mark;
        let Some(length) = text[mark..].find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_') else { break };
        let (name, at) = (&text[mark..mark + length], mark + length + 1);
        if !text[mark + length..].starts_with('=') || !OPENING.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let end = text[at..].find(|c: char| "&\"'<>#".contains(c) || c.is_whitespace()).map_or(text.len(), |n| at + n);
        places.push(at..end);
        from = end;
    }
    places
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
        let mut other =
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=abc&x=1 what? & sig=1 a?tokens=2".to_owned();
        mask_signatures(&mut other);
        assert_eq!(
            other,
            "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature=********&x=1 what? & sig=1 a?tokens=2"
        );
    }
}
