//! Writes torch's archive format: a zip with uncompressed members under one top folder. Each member begins at a
//! multiple of 64 bytes, so that readers can map tensors into memory. The same members result in the same bytes.

use std::io::{Cursor, Seek, Write};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use crate::model_file::Error;

/// The alignment of members, as in torch.
const ALIGNMENT: u16 = 64;

/// An archive that is being written, to memory or to a file.
pub struct Archive<W: Write + Seek = Cursor<Vec<u8>>> {
    top: String,
    zip: ZipWriter<W>,
}

impl Archive {
    /// An empty archive in memory, with its members under the folder `top`. torch names that folder after the file,
    /// without its extension.
    pub fn new(top: &str) -> Self {
        Self::onto(top, Cursor::new(Vec::new()))
    }

    /// The finished bytes.
    ///
    /// # Errors
    /// When the central directory cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        Ok(self.close()?.into_inner())
    }
}

impl<W: Write + Seek> Archive<W> {
    /// An empty archive that is written to `out`.
    pub fn onto(top: &str, out: W) -> Self {
        Self { top: top.to_owned(), zip: ZipWriter::new(out) }
    }

    /// Adds one member, such as `data/0`.
    ///
    /// # Errors
    /// When the name is used already.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.add_with(name, bytes.len() as u64, |out| out.write_all(bytes))
    }

    /// Adds one member of `length` bytes that `write` writes.
    ///
    /// # Errors
    /// When the name is used already, or the bytes cannot be written.
    pub fn add_with<F>(&mut self, name: &str, length: u64, write: F) -> Result<(), Error>
    where
        F: FnOnce(&mut dyn Write) -> std::io::Result<()>,
    {
        // A fixed time, so that the same content gives the same bytes.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(length >= u64::from(u32::MAX))
            .with_alignment(ALIGNMENT);
        let name = format!("{}/{name}", self.top);
        self.zip.start_file(&*name, options).map_err(|error| Error::Archive(format!("{name}: {error}")))?;
        write(&mut self.zip).map_err(|error| Error::Archive(format!("{name}: {error}")))
    }

    /// Writes the central directory and returns the underlying writer.
    ///
    /// # Errors
    /// When the central directory cannot be written.
    pub fn close(self) -> Result<W, Error> {
        self.zip.finish().map_err(|error| Error::Archive(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new("model");
        archive.add("version", b"3\n").unwrap();
        archive.add("data/0", &[7; 100]).unwrap();
        archive.add("data/1", &[]).unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn members_are_stored_aligned_and_whole() {
        let mut zip = zip::ZipArchive::new(Cursor::new(sample())).unwrap();
        for index in 0..zip.len() {
            let member = zip.by_index(index).unwrap();
            assert_eq!(member.compression(), CompressionMethod::Stored, "member {index}");
            assert_eq!(member.data_start().unwrap() % 64, 0, "member {index}");
        }
        let mut bytes = Vec::new();
        zip.by_name("model/data/0").unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 100]);
    }

    #[test]
    fn same_members_same_bytes() {
        assert_eq!(sample(), sample());
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut archive = Archive::new("model");
        archive.add("version", b"3\n").unwrap();
        assert!(archive.add("version", b"4\n").is_err());
    }
}
