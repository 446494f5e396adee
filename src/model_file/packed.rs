//! Decompresses files: those compressed by joblib or by hand. Detects tar archives, which torch could once read.

use crate::model_file::Error;
use crate::model_file::source::Section;

/// The maximum decompressed size.
const LIMIT: u64 = 4 << 30;
/// The size of a tar block.
const BLOCK: u64 = 512;

/// The maximum dictionary size for xz and lzma, which is that of their highest level.
const DICTIONARY: u32 = 80 << 10;

/// The content of a file compressed with a format that joblib reads. Several consecutive streams count as one. `None`
/// if it is not compressed.
///
/// # Errors
/// When it uses a compression that is not supported here, or is incomplete.
pub fn unpacked(file: &Section, beginning: &[u8]) -> Result<Option<Section>, Error> {
    let reader = file.reader();
    let whole = |reader: &mut dyn std::io::Read| Section::unpacked(file.path(), reader, LIMIT).map(Some);
    match beginning {
        [0x1f, 0x8b, ..] => whole(&mut flate2::read::MultiGzDecoder::new(reader)),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            let mut decoder = flate2::read::ZlibDecoder::new(reader);
            let section = whole(&mut decoder)?;
            if decoder.total_in() != file.length() {
                return Err(file.malformed("is compressed with zlib, but has extra data at the end"));
            }
            Ok(section)
        }
        [b'B', b'Z', b'h', ..] => whole(&mut bzip2::read::MultiBzDecoder::new(reader)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => whole(&mut lzma_rust2::XzReader::new(reader, true)),
        [0x5d, 0, 0, ..] => {
            let mut reader = Single { inner: std::io::BufReader::new(reader), taken: 0 };
            let section = match lzma_rust2::LzmaReader::new_mem_limit(&mut reader, DICTIONARY, None) {
                Ok(mut unpacking) => whole(&mut unpacking)?,
                Err(error) => return Err(file.malformed(&format!("cannot be decompressed ({error})"))),
            };
            if reader.taken != file.length() {
                return Err(file.malformed("is compressed with lzma, but has extra data at the end"));
            }
            Ok(section)
        }
        _ => match other(beginning) {
            Some(kind) => Err(file.malformed(&format!("is compressed with {kind}: decompress it first"))),
            None => Ok(None),
        },
    }
}

/// Returns one byte at a time, so that the decompressor reads no further than its stream and the end is known.
struct Single<R> {
    inner: R,
    taken: u64,
}

impl<R: std::io::Read> std::io::Read for Single<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        let read = self.inner.read(&mut buffer[..length])?;
        self.taken += read as u64;
        Ok(read)
    }
}

fn other(beginning: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 5] = [
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"Rar!", "RAR"),
        (b"ZF0x", "joblib before 0.10"),
    ];
    marks.iter().find(|(mark, _)| beginning.starts_with(mark)).map(|(_, kind)| *kind)
}

/// Whether a file is a tar, that is, its first header has a correct checksum. torch tries this before all other formats
/// except zip, and the name in the header may be any bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn is_tar(file: &Section) -> Result<bool, Error> {
    let Some(header) = file.part(0, BLOCK) else { return Ok(false) };
    let header = header.read_all(BLOCK)?;
    let Some(sum) = number(&header[148..156]) else { return Ok(false) };
    let outside = header.iter().enumerate().filter(|(at, _)| !(148..156).contains(at));
    let unsigned: i64 = 256 + outside.clone().map(|(_, &byte)| i64::from(byte)).sum::<i64>();
    let signed: i64 = 256 + outside.map(|(_, &byte)| i64::from(byte as i8)).sum::<i64>();
    Ok(sum == unsigned || sum == signed)
}

/// A number in a tar header, decoded as in Python: octal, or binary after a marker.
fn number(field: &[u8]) -> Option<i64> {
    match field {
        [0x80 | 0xff, rest @ ..] => Some(rest.iter().fold(0, |all, &byte| all << 8 | i64::from(byte))),
        _ => {
            let text = std::str::from_utf8(field.split(|&byte| byte == 0).next()?).ok()?.trim().replace('_', "");
            let digits = text.trim_start_matches("0o").trim_start_matches("0O");
            if digits.is_empty() { Some(0) } else { i64::from_str_radix(digits, 8).ok() }
        }
    }
}

/// What a file is if it is clearly no model: a Git LFS pointer, or an HTML page.
pub fn mistaken(beginning: &[u8]) -> Option<&'static str> {
    let text = beginning.trim_ascii_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if begins("version https://git-lfs") {
        Some("is a Git LFS pointer, not the file itself: run 'git lfs pull'")
    } else if begins("<!doctype html") || begins("<html") {
        Some("is an HTML page, not a model: the download returned an error or a sign-in page")
    } else if begins("<?xml") {
        Some("is an XML document, not a model: the download may have returned an error")
    } else {
        None
    }
}

/// The error for a tar.
pub fn tar(file: &Section) -> Error {
    file.malformed(&format!(
        "is a tar archive ({}), the oldest format of torch.load: unpack it first",
        crate::number::human_bytes(file.length())
    ))
}
