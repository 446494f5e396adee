//! Reads the bytes of a pickle through a small buffer: the pickle may be in a file of many gigabytes.

use super::PickleError;
use crate::model_file::source::Section;

const WINDOW: usize = 1 << 16;

/// A position in a range of a file.
pub struct Stream {
    section: Section,
    window: Vec<u8>,
    /// The offset of the buffer in the range.
    base: u64,
    /// The next byte, as an index into the buffer.
    next: usize,
}

impl Stream {
    /// Starts at the beginning of a range.
    pub fn new(section: Section) -> Self {
        Self { section, window: Vec::new(), base: 0, next: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.base + self.next as u64
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.section.length().saturating_sub(self.position())
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        if let Some(&byte) = self.window.get(self.next) {
            self.next += 1;
            return Ok(byte);
        }
        Ok(self.take::<1>()?[0])
    }

    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        self.fill(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.window[self.next..self.next + N]);
        self.next += N;
        Ok(bytes)
    }

    /// The next `length` bytes. The caller has charged them to the budget.
    pub(super) fn bytes(&mut self, length: u64) -> Result<Vec<u8>, PickleError> {
        self.check(length)?;
        let mut bytes = vec![0; length as usize];
        if length as usize <= WINDOW {
            self.fill(length as usize)?;
            bytes.copy_from_slice(&self.window[self.next..self.next + length as usize]);
            self.next += length as usize;
        } else {
            let at = self.position();
            self.section.read_into(at, &mut bytes).map_err(|e| PickleError::Read(e.to_string()))?;
            self.skip(length)?;
        }
        Ok(bytes)
    }

    /// Skips `length` bytes without reading them.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), PickleError> {
        self.check(length)?;
        let target = self.position() + length;
        if target <= self.base + self.window.len() as u64 {
            self.next = (target - self.base) as usize;
        } else {
            self.window.clear();
            self.base = target;
            self.next = 0;
        }
        Ok(())
    }

    /// The text up to the end of the line, without the line break, of at most `most` bytes.
    pub(super) fn line(&mut self, most: usize) -> Result<Vec<u8>, PickleError> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(line),
                byte if line.len() < most => line.push(byte),
                _ => return Err(PickleError::TooMuch("bytes in one line")),
            }
        }
    }

    /// Refuses a length beyond the end of the file before memory is allocated for it.
    pub(super) fn check(&self, length: u64) -> Result<(), PickleError> {
        if length > self.left() { Err(PickleError::Truncated(self.section.length())) } else { Ok(()) }
    }

    fn fill(&mut self, wanted: usize) -> Result<(), PickleError> {
        if self.next + wanted <= self.window.len() {
            return Ok(());
        }
        self.check(wanted as u64)?;
        let at = self.position();
        let size = (WINDOW.max(wanted) as u64).min(self.section.length() - at) as usize;
        self.window.resize(size, 0);
        self.section.read_into(at, &mut self.window).map_err(|e| PickleError::Read(e.to_string()))?;
        self.base = at;
        self.next = 0;
        Ok(())
    }
}
