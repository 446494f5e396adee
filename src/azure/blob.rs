//! Blobs as the crate shows them, and as `transfer` wants them.

use azure_core::headers::Headers;
use azure_core::prelude::Metadata;
use azure_core::{Context, CustomHeaders};
use azure_storage_blobs::blob::Blob;

use crate::store::remote::{Proof, RemoteFile};
use crate::transfer::checksum::crc64_text;

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

/// Asks Azure to compare what arrives with its CRC. The crate has no setting for it, so it goes in as a header, which is
/// signed like all others.
pub(super) fn with_crc(crc64: u64) -> Context {
    let mut headers = Headers::new();
    headers.insert("x-ms-content-crc64", crc64_text(crc64));
    let mut context = Context::new();
    context.insert(CustomHeaders::from(headers));
    context
}
