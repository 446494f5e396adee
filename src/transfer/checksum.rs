//! Checksums of transferred content, and the ids of blocks.
//!
//! Blocks have a CRC-64/NVME, which Azure Storage calls CRC64: it is computed at memory speed, and the CRCs of blocks
//! can be combined to the CRC of the whole file. Files that others uploaded have an MD5.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm::Crc64Nvme, Digest, checksum_combine};
use md5::{Digest as _, Md5};

use crate::store::remote::Checksums;

/// The CRC of bytes that arrive in order.
pub struct Crc(Digest);

impl Default for Crc {
    fn default() -> Self {
        Self(Digest::new(Crc64Nvme))
    }
}

impl Crc {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC of all bytes.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

/// The CRC of some bytes.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Nvme, bytes)
}

/// The CRC of content that consists of parts: combines the CRC of each part with its length in bytes.
#[must_use]
pub fn joined(parts: impl IntoIterator<Item = (u64, u64)>) -> u64 {
    parts.into_iter().fold(crc64(b""), |all, (crc, length)| checksum_combine(Crc64Nvme, all, crc, length))
}

/// The MD5 of some bytes.
#[must_use]
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// Checksums of a local file: only the kinds that `wanted` has.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path, wanted: Checksums) -> std::io::Result<Checksums> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut hash = wanted.md5.map(|_| Md5::new());
    let mut crc = wanted.crc64.map(|_| Crc::default());
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if let Some(hash) = &mut hash {
            hash.update(&buffer[..read]);
        }
        if let Some(crc) = &mut crc {
            crc.update(&buffer[..read]);
        }
    }
    Ok(Checksums { md5: hash.map(|hash| hash.finalize().into()), crc64: crc.map(|crc| crc.value()) })
}

/// The id of a block: its number, length and CRC, so that an existing block with this id has this content. Azure
/// requires base64 of at most 64 bytes, and the same length for all blocks of a file.
#[must_use]
pub fn block_id(number: u64, length: u64, crc: u64) -> String {
    STANDARD.encode(format!("{number:08x}-{length:08x}-{crc:016x}"))
}

/// A CRC in Azure's format: base64 of its eight bytes, the lowest first.
#[must_use]
pub fn crc64_text(crc: u64) -> String {
    STANDARD.encode(crc.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_crc_of_parts_joins_to_that_of_the_whole(bytes: Vec<u8>, cut in 0usize..1000) {
            let cut = cut.min(bytes.len());
            let parts = [&bytes[..cut], &bytes[cut..]];
            prop_assert_eq!(joined(parts.map(|p| (crc64(p), p.len() as u64))), crc64(&bytes));
        }
    }

    #[test]
    fn the_crc_is_that_of_azure() {
        // The check value of CRC-64/NVME.
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn ids_have_one_length() {
        assert_eq!(block_id(0, 1, 0).len(), block_id(49_999, 8 << 20, u64::MAX).len());
        assert!(block_id(49_999, u64::MAX >> 8, u64::MAX).len() <= 88);
    }
}
