//! Reads files for their digests on all cores.
//!
//! Files are read, not mapped. If another process truncates a mapped file, this process is killed by SIGBUS; and
//! mapping a small file costs more than reading it. A large file is hashed as the tree of parts that BLAKE3 defines.
//! The parts are read into aligned buffers, because an unaligned buffer can make `read` five times slower.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io::{self, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::fs::at;

/// How much one thread reads at once: small enough that the bytes are still in its cache when they are hashed.
const PART: usize = 256 << 10;

/// How many parts each thread reads before all threads proceed together, so that the disk sees mostly sequential reads.
const PARTS_AHEAD: u64 = 64;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The digest of a file, and how many bytes were hashed: `size`, or the present size if the file has changed. Also
/// returns the file's metadata, taken after it was read.
pub(super) fn hash(path: &Path, size: u64) -> io::Result<(blake3::Hash, u64, Metadata)> {
    let mut file = File::open(path).map_err(|e| at(path, &e))?;
    let hashed =
        if size < PART as u64 { small(&file, size) } else { large(&file, size).map(|hash| Some((hash, size))) };
    let hashed = match hashed {
        Ok(Some(hashed)) => Ok(hashed),
        Ok(None) => to_the_end(&mut file),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => to_the_end(&mut file),
        Err(error) => Err(error),
    };
    let (hash, size) = hashed.map_err(|e| at(path, &e))?;
    Ok((hash, size, file.metadata().map_err(|e| at(path, &e))?))
}

/// Reads the file at once. `None` if it does not have the expected size.
fn small(file: &File, size: u64) -> io::Result<Option<(blake3::Hash, u64)>> {
    with_buffer(|buffer| {
        // One byte more than expected shows that a file has grown, without a second call.
        let wanted = size as usize + 1;
        let mut got = 0;
        while got < wanted {
            match file.read_at(&mut buffer[got..wanted], got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            if got == size as usize {
                break;
            }
        }
        Ok((got == size as usize).then(|| (blake3::hash(&buffer[..got]), size)))
    })
}

fn large(file: &File, size: u64) -> io::Result<blake3::Hash> {
    if size <= PART as u64 {
        return with_buffer(|buffer| {
            file.read_exact_at(&mut buffer[..size as usize], 0)?;
            Ok(blake3::hash(&buffer[..size as usize]))
        });
    }
    let (left, right) = halves(file, 0, size)?;
    Ok(merge_subtrees_root(&left, &right, Mode::Hash))
}

fn subtree(file: &File, offset: u64, len: u64) -> io::Result<ChainingValue> {
    if len > PART as u64 {
        let (left, right) = halves(file, offset, len)?;
        return Ok(merge_subtrees_non_root(&left, &right, Mode::Hash));
    }
    with_buffer(|buffer| {
        let part = &mut buffer[..len as usize];
        file.read_exact_at(part, offset)?;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset).update(part);
        Ok(hasher.finalize_non_root())
    })
}

fn halves(file: &File, offset: u64, len: u64) -> io::Result<(ChainingValue, ChainingValue)> {
    let left = left_subtree_len(len);
    let first = || subtree(file, offset, left);
    let second = || subtree(file, offset + left, len - left);
    let together = PART as u64 * PARTS_AHEAD * rayon::current_num_threads() as u64;
    let (first, second) = if len > together { (first(), second()) } else { rayon::join(first, second) };
    Ok((first?, second?))
}

/// Hashes the present content of a file that changed while it was read.
fn to_the_end(file: &mut File) -> io::Result<(blake3::Hash, u64)> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((hasher.finalize(), hasher.count()))
}

/// This thread's buffer of [`PART`] bytes, on a cache line.
fn with_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    const LINE: usize = 64;
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(PART + LINE, 0);
        let start = buffer.as_ptr().align_offset(LINE).min(LINE);
        read(&mut buffer[start..start + PART])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gives_blake3s_own_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for size in [0, 1, 1024, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 77, 9 * PART - 1, 40 << 20] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let (hash, read, _) = hash(&path, size as u64).unwrap();
            assert_eq!((hash, read), (blake3::hash(&bytes), size as u64), "{size}");
        }
    }

    #[test]
    fn a_file_that_was_cut_or_grew_gives_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for size in [10, 3 * PART] {
            std::fs::write(&path, vec![7; size]).unwrap();
            let all = (blake3::hash(&vec![7; size]), size as u64);
            let read = |expected: u64| hash(&path, expected).map(|(hash, size, _)| (hash, size)).unwrap();
            assert_eq!(read(size as u64 + 1), all, "cut");
            assert_eq!(read(5), all, "grown");
        }
    }
}
