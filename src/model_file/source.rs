//! A file read by ranges: nothing of it is in memory but what was asked for.
//!
//! Reads are positioned (`pread`), so that many readers share one open file, and a file that shrinks meanwhile gives
//! an error where a memory map would kill the process.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model_file::{Error, io_error};

/// A part of an open file: from `start`, `length` bytes long. Always inside the file as it was when it was opened.
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
    /// When it cannot be opened or is no regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(io_error(path))?;
        let metadata = file.metadata().map_err(io_error(path))?;
        if !metadata.is_file() {
            return Err(Error::Malformed { path: path.to_owned(), reason: "is no regular file".to_owned() });
        }
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), start: 0, length: metadata.len() })
    }

    /// What a reader gives, unpacked into a nameless file on disk: bombs cost no memory. Messages name `path`.
    ///
    /// # Errors
    /// When there is more than `limit`, or it cannot be read or written.
    pub fn unpacked(path: &Path, reader: impl std::io::Read, limit: u64) -> Result<Self, Error> {
        let mut file = tempfile::tempfile().map_err(io_error(&std::env::temp_dir()))?;
        let length = std::io::copy(&mut reader.take(limit + 1), &mut file).map_err(|error| Error::Malformed {
            path: path.to_owned(),
            reason: format!("cannot be unpacked ({error})"),
        })?;
        if length > limit {
            let reason = format!("unpacks to more than {}", crate::model_file::words::size(limit));
            return Err(Error::Malformed { path: path.to_owned(), reason });
        }
        Ok(Self { file: Arc::new(file), path: Arc::new(path.to_owned()), start: 0, length })
    }

    /// A reader from the beginning.
    pub fn reader(&self) -> Reader {
        Reader { section: self.clone(), at: 0 }
    }

    /// The same bytes under the name that they have inside of the file.
    pub fn within(&self, name: &str) -> Self {
        Self { path: Arc::new(self.path.join(name)), ..self.clone() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A part of this part; `None` when it does not lie inside.
    pub fn part(&self, start: u64, length: u64) -> Option<Self> {
        let end = start.checked_add(length)?;
        (end <= self.length).then(|| Self {
            file: self.file.clone(),
            path: self.path.clone(),
            start: self.start + start,
            length,
        })
    }

    /// Fills `buffer` from `at` on.
    ///
    /// # Errors
    /// When the range is not inside or the system refuses.
    pub fn read_into(&self, at: u64, buffer: &mut [u8]) -> Result<(), Error> {
        if self.part(at, buffer.len() as u64).is_none() {
            return Err(self.malformed("ends too early"));
        }
        self.file.read_exact_at(buffer, self.start + at).map_err(io_error(&self.path))
    }

    /// All of it, when it has `limit` bytes at most.
    ///
    /// # Errors
    /// When it is longer or the system refuses.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, Error> {
        if self.length > limit {
            return Err(self.malformed(&format!("a part has {} bytes, {limit} are the most here", self.length)));
        }
        let mut bytes = vec![0; self.length as usize];
        self.read_into(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies it to the end of what was written to a file. Parts of a model begin anywhere, and there a large buffer is
    /// faster than `copy_file_range`, which goes in small steps once the two sides are not at the same place of a page.
    ///
    /// # Errors
    /// When it ends too early or the system refuses.
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

/// Reads a part from its beginning to its end.
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
        assert!(Section::open(folder.path()).unwrap_err().to_string().ends_with("is no regular file"));
    }
}
