//! Converts blobs between the types of the crate and those of `transfer`.

use azure_core::headers::Headers;
use azure_core::prelude::Metadata;
use azure_core::{Context, CustomHeaders};
use azure_storage_blobs::blob::Blob;

use futures_util::{StreamExt as _, stream};

use crate::store::remote::{Checksums, Chunks, RemoteFile, TransferError};
use crate::transfer::checksum::Crc;

/// The metadata key for the CRC of the whole blob. Azure stores an MD5 only for content that is sent in one request.
const CRC: &str = "amlrun_crc64";
/// The metadata key of an empty blob that tools create as a marker for a folder.
const FOLDER: &str = "hdi_isfolder";

/// The most characters of a blob's name.
const LONGEST: usize = 1024;

/// Why a blob cannot have that name. The service accepts some names that the crate cannot request: their addresses
/// would be those of other blobs.
pub(super) fn unfit(name: &str) -> Option<&'static str> {
    let bad = |c: char| matches!(c, '\\' | '\t' | '\n' | '\r');
    if name.chars().count() > LONGEST {
        Some("longer than 1,024 characters")
    } else if name.chars().any(bad) {
        Some("contains a backslash, a tab or a line break")
    } else if name.split('/').any(|part| matches!(part, "." | "..")) {
        Some("'.' and '..' are not allowed as parts of it")
    } else if name.starts_with('/') || name.ends_with('/') {
        Some("begins or ends with '/'")
    } else {
        None
    }
}

/// A blob as a file; `None` for a marker of a folder.
pub(super) fn file(blob: &Blob) -> Option<RemoteFile> {
    let metadata = |name: &str| {
        let all = blob.metadata.as_ref()?;
        all.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    if metadata(FOLDER) == Some("true") {
        return None;
    }
    let md5 = blob.properties.content_md5.as_ref().map(|md5| *md5.as_slice());
    let crc64 = metadata(CRC).and_then(|text| u64::from_str_radix(text, 16).ok());
    Some(RemoteFile {
        name: blob.name.clone(),
        size: Some(blob.properties.content_length),
        // Lists return it without the quotes that requests need.
        version: format!("\"{}\"", blob.properties.etag.as_ref().trim_matches('"')),
        checksums: Checksums { md5, crc64 },
        ranges: true,
    })
}

/// A list of blobs in a form that the crate parses correctly: it strips spaces at the ends of names unless they are
/// escaped.
pub(super) async fn with_spaces(mut chunks: Chunks) -> Result<Chunks, TransferError> {
    let mut xml = Vec::new();
    while let Some(chunk) = chunks.next().await {
        xml.extend_from_slice(&chunk?);
    }
    // The crate reports content that is not Unicode.
    let xml = match String::from_utf8(xml) {
        Ok(text) if text.contains("<Name> ") || text.contains(" </Name>") => spaced(&text).into_bytes(),
        Ok(text) => text.into_bytes(),
        Err(other) => other.into_bytes(),
    };
    Ok(Box::pin(stream::iter([Ok(xml.into())])))
}

fn spaced(xml: &str) -> String {
    let mut parts = xml.split("<Name>");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("</Name>").unwrap_or((part, ""));
        let inner = name.trim_matches(' ');
        let from = name.find(inner).unwrap_or(0);
        let escaped = |spaces: usize| "&#32;".repeat(spaces);
        let (before, after) = (escaped(from), escaped(name.len() - from - inner.len()));
        all += &format!("<Name>{before}{inner}{after}</Name>{rest}");
    }
    all
}

/// The metadata that an upload stores with a blob.
pub(super) fn metadata(checksums: Checksums) -> Metadata {
    let mut metadata = Metadata::new();
    if let Some(crc64) = checksums.crc64 {
        metadata.insert(CRC, format!("{crc64:016x}"));
    }
    metadata
}

/// Headers for which the crate has no settings. They are signed like all others.
pub(super) fn with_headers(headers: &[(&'static str, String)]) -> Context {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.insert(*name, value.clone());
    }
    let mut context = Context::new();
    context.insert(CustomHeaders::from(all));
    context
}

/// A stream that is compared with the checksum of the response. If it does not match, the stream ends with an error.
pub(super) fn checked(chunks: Chunks, wanted: Option<[u8; 8]>, address: String) -> Chunks {
    let Some(wanted) = wanted else { return chunks };
    Box::pin(stream::unfold(Some((chunks, Crc::default(), address)), move |state| async move {
        let (mut chunks, mut crc, address) = state?;
        match chunks.next().await {
            Some(Ok(bytes)) => {
                crc.update(&bytes);
                Some((Ok(bytes), Some((chunks, crc, address))))
            }
            Some(Err(trouble)) => Some((Err(trouble), None)),
            None if crc.value().to_le_bytes() == wanted => None,
            None => Some((
                Err(TransferError::transient(format!("the content of {address} does not match its checksum"))),
                None,
            )),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::checksum::crc64;

    #[test]
    fn spaces_at_the_ends_of_names_are_kept() {
        let xml = "<a/><Name> x y  </Name><b> </b><Name>z</Name>";
        assert_eq!(spaced(xml), "<a/><Name>&#32;x y&#32;&#32;</Name><b> </b><Name>z</Name>");
        assert_eq!(spaced("<Name>  </Name>"), "<Name>&#32;&#32;</Name>");
    }

    #[tokio::test]
    async fn content_that_is_not_what_was_sent_is_trouble() {
        let chunks = || -> Chunks { Box::pin(stream::iter([Ok(bytes::Bytes::from_static(b"abc"))])) };
        let good = checked(chunks(), Some(crc64(b"abc").to_le_bytes()), "x".into());
        assert_eq!(good.filter(|chunk| std::future::ready(chunk.is_err())).count().await, 0);
        let bad = checked(chunks(), Some([0; 8]), "x".into());
        assert_eq!(bad.filter(|chunk| std::future::ready(chunk.is_err())).count().await, 1);
    }
}
