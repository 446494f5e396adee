//! Reads the members of an untrusted zip. The central directory and the local headers must agree.
//!
//! torch's members are not compressed: each is a range of the file. A compressed member is unpacked to disk, up to a
//! limit. A file that two readers could understand differently is refused: with overlapping members, bytes outside of
//! all members, duplicate names (torch ignores case), names that lead out of the archive, conflicting headers, wrong
//! sizes, or more than one end record.

use std::collections::{HashMap, HashSet};

use crate::model_file::Error;
use crate::model_file::source::Section;

/// The maximum size of the central directory: half a million members with short names.
const DIRECTORY_LIMIT: u64 = 48 << 20;
/// The maximum number of members.
const MEMBER_LIMIT: u64 = 400_000;
const END: [u8; 4] = *b"PK\x05\x06";
const END_LENGTH: u64 = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_LENGTH: u64 = 20;
const END64: [u8; 4] = *b"PK\x06\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LENGTH: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LENGTH: u64 = 30;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Flag bits of a member.
const ENCRYPTED: u16 = 1;
const LENGTHS_FOLLOW: u16 = 8;
const PATCHED: u16 = 0x20;
const STRONG: u16 = 0x40;
/// The maximum size of an unpacked member. torch compresses none.
const UNPACKED_LIMIT: u64 = 1 << 30;

/// The members of one archive.
#[derive(Debug)]
pub struct ZipDirectory {
    file: Section,
    members: HashMap<String, Member>,
    top: String,
}

#[derive(Debug)]
struct Member {
    start: u64,
    packed: u64,
    length: u64,
    method: u16,
}

/// One entry of the central directory.
struct Entry {
    name: String,
    method: u16,
    flags: u16,
    packed: u64,
    length: u64,
    header: u64,
}

impl ZipDirectory {
    /// Reads the central directory and checks every member's header.
    ///
    /// # Errors
    /// When the file is not a complete zip, or is refused.
    pub fn read(file: Section) -> Result<Self, Error> {
        let (at, length, count) = end_of_directory(&file)?;
        if length > DIRECTORY_LIMIT || count > MEMBER_LIMIT {
            return Err(file.malformed(&format!("the zip has {count} members, too many for a model")));
        }
        let directory = file
            .part(at, length)
            .ok_or_else(|| file.malformed("the directory of the zip is outside the file"))?
            .read_all(DIRECTORY_LIMIT)?;
        let mut entries = Vec::new();
        let mut rest = directory.as_slice();
        for _ in 0..count {
            entries.push(entry(&mut rest).map_err(|reason| file.malformed(&reason))?);
        }
        if !rest.is_empty() {
            return Err(file.malformed("the directory of the zip has more members than its end record"));
        }
        // torch uses the first name in the directory to determine the top folder.
        let top =
            entries.first().and_then(|entry| entry.name.split_once('/')).map_or("", |(folder, _)| folder).to_owned();
        entries.sort_by_key(|entry| entry.header);
        let mut members = HashMap::with_capacity(entries.len());
        let mut folded = HashSet::with_capacity(entries.len());
        let mut shared = true;
        let mut alike = false; // whether two names differ in capital letters alone
        let mut unpacked = 0u64; // of all compressed members together
        let mut free = 0; // where the member before has ended
        let mut follows = false; // whether its sizes may follow it
        for entry in entries {
            let name = entry.name.clone();
            let wrong = |what: &str| file.malformed(&format!("zip member '{}' {what}", printable(&name)));
            check_name(&name).map_err(|reason| wrong(&reason))?;
            if entry.header < free {
                return Err(wrong("overlaps the one before it"));
            }
            let start = data_start(&file, &entry).map_err(|reason| wrong(&reason))?;
            if !may_lie_between(entry.header - free, follows) {
                return Err(wrong("follows bytes that belong to no member"));
            }
            let end = start.checked_add(entry.packed).filter(|end| *end <= at);
            free = end.ok_or_else(|| wrong(&format!("has {} bytes that are not in the file", entry.packed)))?;
            follows = entry.flags & LENGTHS_FOLLOW != 0;
            if entry.method == STORED && entry.packed != entry.length {
                return Err(wrong("is not compressed, but has two different sizes"));
            }
            if entry.method != STORED {
                unpacked = unpacked.saturating_add(entry.length);
            }
            shared &= name.split_once('/').is_some_and(|(folder, _)| folder == top);
            if members.contains_key(&name) {
                return Err(wrong("is a duplicate"));
            }
            alike |= !folded.insert(name.to_lowercase());
            if is_torch_s(&name) && name.rsplit('/').next().is_some_and(|last| last != last.to_ascii_lowercase()) {
                return Err(wrong("has uppercase letters, which only torch ignores"));
            }
            members.insert(name, Member { start, packed: entry.packed, length: entry.length, method: entry.method });
        }
        if unpacked > 4 * UNPACKED_LIMIT {
            return Err(file.malformed("the members of the zip decompress to more than any model has"));
        }
        if !may_lie_between(at - free, follows) {
            return Err(file.malformed("bytes that belong to no member precede the directory of the zip"));
        }
        if !shared && members.keys().any(|name| is_torch_s(name)) {
            return Err(file.malformed("the members of the zip are in several folders, but torch reads only one"));
        }
        if alike && members.keys().any(|name| is_torch_s(name)) {
            let reason = "two members of the zip differ only in case, which torch ignores";
            return Err(file.malformed(reason));
        }
        // Old export archives have no top folder: their names are used unchanged.
        let top = if shared { top } else { String::new() };
        Ok(Self { file, members, top })
    }

    /// The file.
    pub fn file(&self) -> &Section {
        &self.file
    }

    /// The folder that all members share, which torch names after the file. Empty if there is none.
    pub fn top(&self) -> &str {
        &self.top
    }

    /// Names of the members below the top folder, sorted.
    pub fn names(&self) -> Vec<&str> {
        let cut = if self.top.is_empty() { 0 } else { self.top.len() + 1 };
        let mut names: Vec<&str> = self.members.keys().map(|name| &name[cut..]).collect();
        names.sort_unstable();
        names
    }

    /// Whether there is a member of that name below the top folder.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(&self.full(name))
    }

    /// The bytes of a member below the top folder, which are not read yet. `None` if there is no such member.
    ///
    /// # Errors
    /// When its compression is one that torch does not support either, or it is too large.
    pub fn member(&self, name: &str) -> Result<Option<Section>, Error> {
        let Some(member) = self.members.get(&self.full(name)) else { return Ok(None) };
        let packed = self.file.part(member.start, member.packed);
        match (member.method, packed) {
            (STORED, packed) => Ok(packed),
            (DEFLATED, Some(packed)) => {
                let reader = flate2::read::DeflateDecoder::new(packed.reader());
                let section = Section::unpacked(self.file.path(), reader, UNPACKED_LIMIT.min(member.length))?;
                if section.length() != member.length {
                    let reason = format!("zip member '{}' does not have the size in its header", printable(name));
                    return Err(self.file.malformed(&reason));
                }
                Ok(Some(section))
            }
            _ => {
                let reason = format!("zip member '{}' has a compression that torch does not support", printable(name));
                Err(self.file.malformed(&reason))
            }
        }
    }

    /// Whether no member is compressed, as in torch's archives.
    pub fn is_stored(&self) -> bool {
        self.members.values().all(|member| member.method == STORED)
    }

    fn full(&self, name: &str) -> String {
        if self.top.is_empty() { name.to_owned() } else { format!("{}/{name}", self.top) }
    }
}

/// Whether a gap of that many bytes may be between two members: none, or the sizes of the previous member.
fn may_lie_between(bytes: u64, sizes_follow: bool) -> bool {
    bytes == 0 || sizes_follow && matches!(bytes, 12 | 16 | 20 | 24)
}

/// Whether torch looks up a member of that name in the archive's top folder.
fn is_torch_s(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    ["data.pkl", "constants.pkl", "archive_format"].iter().any(|own| last.eq_ignore_ascii_case(own))
}

/// Whether a file that does not begin like a zip ends like one: `torch.jit.load` reads only the end.
///
/// # Errors
/// When the file cannot be read.
pub fn has_end(file: &Section) -> Result<bool, Error> {
    let length = file.length().min(END_LENGTH + 0xffff);
    let Some(tail) = file.part(file.length() - length, length) else { return Ok(false) };
    let tail = tail.read_all(length)?;
    let ends = tail.windows(END_LENGTH as usize).filter(|record| record.starts_with(&END));
    for record in ends {
        let mut entry = [0; 4];
        let start = u32_at(record, 16);
        if start == u32::MAX || file.read_into(start.into(), &mut entry).is_ok() && (entry == ENTRY || entry == END) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The offset of the central directory, its length, and its number of entries.
fn end_of_directory(file: &Section) -> Result<(u64, u64, u64), Error> {
    // The comment after the end record has at most 64 KiB, so the record is in this part of the file.
    let tail_length = file.length().min(END_LENGTH + 0xffff);
    let tail_start = file.length() - tail_length;
    let tail = match file.part(tail_start, tail_length) {
        Some(tail) => tail.read_all(tail_length)?,
        None => Vec::new(),
    };
    let fits = |at: usize| {
        tail.get(at..at + END_LENGTH as usize).is_some_and(|record| {
            record.starts_with(&END) && at + END_LENGTH as usize + usize::from(u16_at(record, 20)) == tail.len()
        })
    };
    // Readers use the last end record that they find, so it must be the one at the end of the file.
    let Some(found) = tail.windows(END.len()).rposition(|window| window == END) else {
        return Err(file.malformed("the zip has no end record: the file is cut off"));
    };
    if !fits(found) {
        return Err(file.malformed("the zip does not end at its end record: the file is cut off, or has extra data"));
    }
    let record = &tail[found..];
    let at = tail_start + found as u64;
    let (disk, count, length, start) = (u16_at(record, 4), u16_at(record, 10), u32_at(record, 12), u32_at(record, 16));
    if u16_at(record, 8) != count {
        return Err(file.malformed("the zip has two different member counts"));
    }
    let mut locator = [0; LOCATOR_LENGTH as usize];
    if let Some(place) = at.checked_sub(LOCATOR_LENGTH) {
        file.read_into(place, &mut locator)?;
    }
    let (start, length, count, end) = if locator.starts_with(&LOCATOR) {
        let at64 = u64_at(&locator, 8);
        let mut wide = [0; 56];
        file.read_into(at64, &mut wide)?;
        if !wide.starts_with(&END64) {
            return Err(file.malformed("the ZIP64 end record is not at its position"));
        }
        let numbers = (u64_at(&wide, 48), u64_at(&wide, 40), u64_at(&wide, 32), at64);
        let agree = |narrow: u32, most: u32, wide: u64| narrow == most || u64::from(narrow) == wide;
        if !agree(start, u32::MAX, numbers.0)
            || !agree(length, u32::MAX, numbers.1)
            || !agree(count.into(), u16::MAX.into(), numbers.2)
            || u64_at(&wide, 24) != numbers.2
        {
            return Err(file.malformed("the two end records of the zip do not match"));
        }
        numbers
    } else {
        (u64::from(start), u64::from(length), u64::from(count), at)
    };
    if disk != 0 && disk != u16::MAX {
        return Err(file.malformed("the zip is one part of a multi-part archive"));
    }
    if start.checked_add(length) != Some(end) {
        return Err(file.malformed("the directory of the zip is not at the position in its end record"));
    }
    Ok((start, length, count))
}

/// Parses one entry and advances `rest`.
fn entry(rest: &mut &[u8]) -> Result<Entry, String> {
    let cut = || "the directory of the zip is cut off".to_owned();
    let fixed = rest.get(..ENTRY_LENGTH).filter(|fixed| fixed.starts_with(&ENTRY)).ok_or_else(cut)?;
    let (flags, method) = (u16_at(fixed, 8), u16_at(fixed, 10));
    let sizes = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at))); // name, extra, comment
    let all = ENTRY_LENGTH + sizes.iter().sum::<usize>();
    let whole = rest.get(..all).ok_or_else(cut)?;
    let name = std::str::from_utf8(&whole[ENTRY_LENGTH..ENTRY_LENGTH + sizes[0]])
        .map_err(|_| "the name of a zip member is not valid UTF-8".to_owned())?
        .to_owned();
    if flags & (ENCRYPTED | PATCHED | STRONG) != 0 {
        return Err(format!("zip member '{}' is encrypted or is a patch", printable(&name)));
    }
    let extra = &whole[ENTRY_LENGTH + sizes[0]..ENTRY_LENGTH + sizes[0] + sizes[1]];
    let mut wide = wide_field(extra);
    // If all bits of a field are set, its value is in the zip64 extra field, in this order.
    let mut number = |at: usize| match u32_at(fixed, at) {
        u32::MAX => match wide.get(..8) {
            Some(eight) => {
                let number = u64_at(eight, 0);
                wide = &wide[8..];
                Ok(number)
            }
            None => Err(format!("zip member '{}' has no ZIP64 sizes", printable(&name))),
        },
        small => Ok(u64::from(small)),
    };
    let length = number(24)?;
    let packed = number(20)?;
    let header = number(42)?;
    *rest = &rest[all..];
    Ok(Entry { name, method, flags, packed, length, header })
}

/// The zip64 extra field (tag 1), or an empty slice.
fn wide_field(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (tag, size) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(body) = extra.get(4..4 + size) else { return &[] };
        if tag == 1 {
            return body;
        }
        extra = &extra[4 + size..];
    }
    &[]
}

/// The offset of a member's data, after its local header, which must have the same name.
fn data_start(file: &Section, entry: &Entry) -> Result<u64, String> {
    let outside = |_| "has no header in the file".to_owned();
    let mut header = vec![0; LOCAL_LENGTH as usize + entry.name.len()];
    file.read_into(entry.header, &mut header).map_err(outside)?;
    if !header.starts_with(&LOCAL) {
        return Err("has no header at the position in the directory".to_owned());
    }
    let (name, extra) = (u16_at(&header, 26), u16_at(&header, 28));
    if usize::from(name) != entry.name.len() || header[LOCAL_LENGTH as usize..] != *entry.name.as_bytes() {
        return Err("has a different name in its header".to_owned());
    }
    if u16_at(&header, 8) != entry.method || u16_at(&header, 6) != entry.flags {
        return Err("has a different compression in its header".to_owned());
    }
    // With bit 3, the sizes follow the data; otherwise the header must agree (or refer to the zip64 field).
    let lengths_follow = entry.flags & LENGTHS_FOLLOW != 0;
    let packed = u32_at(&header, 18);
    if !lengths_follow && packed != u32::MAX && u64::from(packed) != entry.packed {
        return Err("has a different size in its header".to_owned());
    }
    Ok(entry.header + LOCAL_LENGTH + u64::from(name) + u64::from(extra))
}

/// Refuses names that would lead out of the target folder when unpacked.
fn check_name(name: &str) -> Result<(), String> {
    let escapes = name.starts_with('/')
        || name.contains(['\\', '\0'])
        || name.split('/').any(|part| part == ".." || part == ".")
        || name.get(1..2) == Some(":");
    if escapes { Err("points outside the archive".to_owned()) } else { Ok(()) }
}

/// An untrusted name, shortened and without control characters.
fn printable(name: &str) -> String {
    crate::model_file::words::printable(name, 120)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::archive::Archive;

    #[test]
    fn what_our_own_writer_writes_is_read_with_wide_sizes_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.pth");
        let mut archive = Archive::onto("m", std::fs::File::create(&path).unwrap());
        archive.add("data.pkl", b"N.").unwrap();
        // A member that could have become larger than 4 GB has zip64 fields, even if it is small.
        archive.add_with("data/0", 1 << 33, |out| out.write_all(b"bytes")).unwrap();
        archive.close().unwrap();
        let zip = ZipDirectory::read(Section::open(&path).unwrap()).unwrap();
        assert_eq!((zip.top(), zip.names()), ("m", vec!["data.pkl", "data/0"]));
        let member = zip.member("data/0").unwrap().unwrap();
        assert_eq!(member.read_all(9).unwrap(), b"bytes");
        assert!(zip.member("data/1").unwrap().is_none());
    }

    #[test]
    fn wide_fields_are_found_among_others() {
        let extra = [b"\x02\0\x01\0x".as_slice(), b"\x01\0\x08\0", &7u64.to_le_bytes()].concat();
        assert_eq!(u64_at(wide_field(&extra), 0), 7);
        assert!(wide_field(b"\x01\0\xff\xffx").is_empty(), "a field that is cut off is none");
    }
}
