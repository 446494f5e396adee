//! Masks the secrets of this run in the output of steps.
//!
//! A step that gets an address with its signature may print it. The log and every view get a mask instead. If the run
//! has no secrets, nothing is searched.

use std::borrow::Cow;
use std::sync::Arc;

use crate::secret::{MASK, Secret};

/// Shorter texts would match everywhere.
const SHORTEST: usize = 8;

/// Removes secrets from a stream of bytes, wherever the reads split them.
pub(super) struct Masked {
    secrets: Arc<[Secret]>,
    /// The possible beginning of a secret.
    held: Vec<u8>,
}

impl Masked {
    pub(super) fn new(secrets: Arc<[Secret]>) -> Self {
        Self { secrets, held: Vec::new() }
    }

    /// The next bytes, with secrets masked. Bytes that may be the beginning of a secret are held back.
    pub(super) fn feed<'b>(&mut self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if self.secrets.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(bytes);
        let mut seen = Vec::with_capacity(rest.len());
        let mut at = 0;
        'bytes: while at < rest.len() {
            let there = &rest[at..];
            for secret in known(&self.secrets) {
                if there.starts_with(secret) {
                    seen.extend_from_slice(MASK.as_bytes());
                    at += secret.len();
                    continue 'bytes;
                }
                if secret.starts_with(there) {
                    self.held = there.to_vec();
                    break 'bytes;
                }
            }
            seen.push(rest[at]);
            at += 1;
        }
        Cow::Owned(seen)
    }

    /// The bytes that were held back at the end: they are not a secret.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn known(secrets: &[Secret]) -> impl Iterator<Item = &[u8]> {
    secrets.iter().map(|secret| secret.reveal().as_bytes()).filter(|secret| secret.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&str], chunks: &[&[u8]]) -> String {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let mut mask = Masked::new(secrets.into());
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend_from_slice(&mask.feed(chunk));
        }
        all.extend(mask.finish());
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn secrets_are_masked_wherever_the_reads_cut_them() {
        assert_eq!(masked(&["hunter2hunter2"], &[b"key: hunter2", b"hunter2\n"]), "key: ********\n");
        assert_eq!(masked(&["hunter2hunter2"], &[b"hunter2", b"!"]), "hunter2!");
        assert_eq!(masked(&["aaaaaaaab"], &[b"aaaaaaaaaab"]), "aa********");
        assert_eq!(masked(&["short"], &[b"short"]), "short");
        assert_eq!(masked(&[], &[b"anything"]), "anything");
    }

    proptest! {
        #[test]
        fn no_cut_lets_a_secret_through(before in "[a-c]{0,20}", after in "[a-c]{0,20}", cuts in prop::collection::vec(0usize..60, 0..5)) {
            let text = format!("{before}abcabcabd{after}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut at = 0;
            for cut in cuts {
                chunks.push(&text.as_bytes()[at..cut]);
                at = cut;
            }
            let out = masked(&["abcabcabd"], &chunks);
            prop_assert!(!out.contains("abcabcabd") && out.contains(MASK));
        }
    }
}
