//! Blobs as the crate shows them, and as `transfer` wants them.

use azure_core::headers::Headers;
use azure_core::prelude::Metadata;
use azure_core::{Context, CustomHeaders};
use azure_storage_blobs::blob::Blob;

use futures_util::{StreamExt as _, stream};

use crate::store::remote::{Chunks, Proof, RemoteFile, Trouble};
use crate::transfer::checksum::Crc;

/// Where an upload leaves the CRC of the whole blob. Azure keeps an MD5 only of what is sent in one request.
const CRC: &str = "amlrun_crc64";
/// What tools that know folders leave in their place: an empty blob with this metadata.
const FOLDER: &str = "hdi_isfolder";

/// A blob as a file; `None` for one that stands for a folder.
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
        // Lists give it without the quotes that requests want.
        version: format!("\"{}\"", blob.properties.etag.as_ref().trim_matches('"')),
        proof: Proof { md5, crc64 },
        ranges: true,
    })
}

/// What an upload leaves with a blob.
pub(super) fn metadata(proof: Proof) -> Metadata {
    let mut metadata = Metadata::new();
    if let Some(crc64) = proof.crc64 {
        metadata.insert(CRC, format!("{crc64:016x}"));
    }
    metadata
}

/// Headers for which the crate has no settings; they are signed like all others.
pub(super) fn with_headers(headers: &[(&'static str, String)]) -> Context {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.insert(*name, value.clone());
    }
    let mut context = Context::new();
    context.insert(CustomHeaders::from(all));
    context
}

/// What comes, compared with the checksum that the service gives with it: one that does not match is trouble at the end.
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
            None => Some((Err(Trouble::passing(format!("{address} arrived with another content"))), None)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::checksum::crc64;

    #[tokio::test]
    async fn content_that_is_not_what_was_sent_is_trouble() {
        let chunks = || -> Chunks { Box::pin(stream::iter([Ok(bytes::Bytes::from_static(b"abc"))])) };
        let good = checked(chunks(), Some(crc64(b"abc").to_le_bytes()), "x".into());
        assert_eq!(good.filter(|chunk| std::future::ready(chunk.is_err())).count().await, 0);
        let bad = checked(chunks(), Some([0; 8]), "x".into());
        assert_eq!(bad.filter(|chunk| std::future::ready(chunk.is_err())).count().await, 1);
    }
}
