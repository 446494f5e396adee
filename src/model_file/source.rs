//! Reads ranges of a file: only requested ranges are in memory.
//!
//! Reads are positioned (`pread`), so that many readers can share one open file. If the file shrinks, a read returns an
//! error, while access to a memory map would kill the process.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model_file::{Error, io_error};

/// A range of an open file: `length` bytes from `start`. It is always inside the file's bounds at the time it was
/// opened.
#[derive(Debug, Clone)]
pub struct Section {
    file: Arc<File>,
    path: Arc<PathBuf>,
    start: u64,
    length: u64,
}

impl Section {
    /// A whole file.
    ///
    /// # Errors
    /// When it cannot be opened, or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(io_error(path))?;
        let metadata = file.metadata().map_err(io_error(path))?;
        if !metadata.is_file() {
            return Err(Error::Malformed { path: path.to_owned(), reason: "is not a regular file".to_owned() });
        }
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), start: 0, length: metadata.len() })
    }

    /// Copies the output of a reader into an unnamed temporary file, so that decompression bombs use no memory. Errors
    /// name `path`.
    ///
    /// # Errors
    /// When there are more than `limit` bytes, or reading or writing fails.
    pub fn unpacked(path: &Path, reader: impl std::io::Read, limit: u64) -> Result<Self, Error> {
        let mut file = tempfile::tempfile().map_err(io_error(&std::env::temp_dir()))?;
        let length = std::io::copy(&mut reader.take(limit + 1), &mut file).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: format!("cannot be decompressed ({error})"),
        })?;
        if length > limit {
            let reason = format!("decompresses to more than {}", crate::number::human_bytes(limit));
            return Err(Error::Malformed { path: path.to_owned(), reason });
        }
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), start: 0, length })
    }

    /// A reader that starts at the beginning.
    pub fn reader(&self) -> Reader {
        Reader { section: self.clone(), at: 0 }
    }

    /// The same bytes, under the name that they have inside the file.
    pub fn within(&self, name: &str) -> Self {
        Self { path: Arc::new(self.path.join(name)), ..self.clone() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A part of this range. `None` if it is not inside.
    pub fn part(&self, start: u64, length: u64) -> Option<Self> {
        let end = start.checked_add(length)?;
        (end <= self.length).then(|| Self {
            file: self.file.clone(),
            path: self.path.clone(),
            start: self.start + start,
            length,
        })
    }

    /// Fills `buffer` with the bytes from `at`.
    ///
    /// # Errors
    /// When the range is not inside, or reading fails.
    pub fn read_into(&self, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if self.part(at, buffer.len() as u64).is_none() {
            return Err(self.malformed("ends too early"));
        }
        self.file.read_exact_at(buffer, self.start + at).map_err(io_error(&self.path))
    }

    /// All bytes, if there are at most `limit`.
    ///
    /// # Errors
    /// When it is longer, or reading fails.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, Error> {
        if self.length > limit {
            return Err(self.malformed(&format!("a part has {} bytes, but the limit is {limit}", self.length)));
        }
        let mut bytes = vec![0; self.length as usize];
        self.read_into(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends the range to a file. Model parts have arbitrary offsets; a large buffer is then faster than
    /// `copy_file_range`, which copies in small steps if both sides have different offsets in a page.
    ///
    /// # Errors
    /// When it ends too early, or writing fails.
    pub fn copy_to(&self, out: &mut File) -> std::io::Result<()> {
        const BUFFER: u64 = 1 << 20;
        let mut buffer = vec![0; self.length.min(BUFFER) as usize];
        let mut done = 0;
        while done < self.length {
            let next = &mut buffer[..(self.length - done).min(BUFFER) as usize];
            self.file.read_exact_at(next, self.start + done)?;
            out.write_all(next)?;
            done += next.len() as u64;
        }
        Ok(())
    }

    /// An error about the file.
    pub fn malformed(&self, reason: &str) -> Error {
        Error::Malformed { path: self.path.to_path_buf(), reason: reason.to_owned() }
    }
}

/// Reads a range from start to end.
pub struct Reader {
    section: Section,
    at: u64,
}

impl std::io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = (self.section.length - self.at).min(buffer.len() as u64) as usize;
        let read = self.section.file.read_at(&mut buffer[..length], self.section.start + self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"0123456789").unwrap();
        let part = Section::open(&path).unwrap().part(2, 6).unwrap();
        assert_eq!(part.part(1, 3).unwrap().read_all(10).unwrap(), b"345");
        assert!(part.part(4, 3).is_none() && part.part(u64::MAX, 2).is_none());
        assert!(part.read_into(5, &mut [0; 2]).is_err(), "reading stops at the end of the part, not of the file");
        assert!(part.read_all(5).is_err());
        let copied = folder.path().join("copied");
        part.copy_to(&mut File::create(&copied).unwrap()).unwrap();
        assert_eq!(std::fs::read(copied).unwrap(), b"234567");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Section::open(folder.path()).unwrap_err().to_string().ends_with("is not a regular file"));
    }
}
