//! Forges model files, byte by byte, right and wrong ones.

#![allow(clippy::unwrap_used)] // only tests call this

use std::io::Write as _;

/// A zip as torch writes it, with every number open to forgery.
#[derive(Clone, Default)]
pub struct Zip {
    pub members: Vec<Member>,
    /// Changes the end record: (offset in it, bytes).
    pub end: Vec<(usize, Vec<u8>)>,
}

/// One member, with what its headers claim.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    pub bytes: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    /// The length that both headers claim.
    pub claimed: Option<u32>,
    /// The length that it unpacks to, when that is another one.
    pub unpacked: Option<u32>,
    /// The name in the local header.
    pub local_name: Option<String>,
    /// Where the directory says that the member begins.
    pub offset: Option<u32>,
}

impl Member {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let name = name.to_owned();
        let bytes = bytes.to_vec();
        Self { name, bytes, method: 0, flags: 0, claimed: None, unpacked: None, local_name: None, offset: None }
    }

    pub fn deflated(name: &str, bytes: &[u8]) -> Self {
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(bytes).unwrap();
        let unpacked = Some(bytes.len() as u32);
        Self { method: 8, unpacked, ..Self::new(name, &packed.finish().unwrap()) }
    }
}

impl Zip {
    /// A torch archive around a pickle, with these storages.
    pub fn torch(pickle: &[u8], storages: &[&[u8]]) -> Self {
        let mut zip = Self::default().with("m/data.pkl", pickle).with("m/byteorder", b"little");
        for (key, storage) in storages.iter().enumerate() {
            zip = zip.with(&format!("m/data/{key}"), storage);
        }
        zip.with("m/version", b"3\n")
    }

    pub fn with(self, name: &str, bytes: &[u8]) -> Self {
        self.and(Member::new(name, bytes))
    }

    pub fn and(mut self, member: Member) -> Self {
        self.members.push(member);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for member in &self.members {
            let offset = member.offset.unwrap_or(out.len() as u32);
            let length = member.claimed.unwrap_or(member.bytes.len() as u32);
            let local = member.local_name.as_ref().unwrap_or(&member.name);
            out.extend_from_slice(b"PK\x03\x04");
            for number in [20, member.flags, member.method, 0, 0] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            let unpacked = member.unpacked.unwrap_or(length);
            for number in [0, length, unpacked] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&(local.len() as u16).to_le_bytes());
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(local.as_bytes());
            out.extend_from_slice(&member.bytes);

            directory.extend_from_slice(b"PK\x01\x02");
            for number in [20, 20, member.flags, member.method, 0, 0] {
                directory.extend_from_slice(&number.to_le_bytes());
            }
            for number in [0, length, unpacked] {
                directory.extend_from_slice(&number.to_le_bytes());
            }
            directory.extend_from_slice(&(member.name.len() as u16).to_le_bytes());
            directory.extend_from_slice(&[0; 12]);
            directory.extend_from_slice(&offset.to_le_bytes());
            directory.extend_from_slice(member.name.as_bytes());
        }
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        let count = self.members.len() as u16;
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&count.to_le_bytes());
        end.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        end.extend_from_slice(&(out.len() as u32).to_le_bytes());
        end.extend_from_slice(&[0, 0]);
        for (at, bytes) in &self.end {
            end[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        [out, directory, end].concat()
    }
}

/// `{'w': tensor}` over storage `0` of `count` floats, with shape and strides as they are given.
pub fn tensor(count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let mut out = b"\x80\x02}".to_vec();
    out.extend(text("w"));
    out.extend(tensor_value("0", count, offset, shape, strides, b"ccollections\nOrderedDict\n)R"));
    out.extend(b"s.");
    out
}

/// A call of `_rebuild_tensor_v2`, with any value for its hooks.
pub fn tensor_value(key: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64], hooks: &[u8]) -> Vec<u8> {
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend(text("storage"));
    out.extend(b"ctorch\nFloatStorage\n");
    out.extend(text(key));
    out.extend(text("cpu"));
    out.extend(long(count));
    out.extend(b"tQ");
    out.extend(long(offset));
    for sizes in [shape, strides] {
        out.push(b'(');
        sizes.iter().for_each(|&size| out.extend(long(size)));
        out.push(b't');
    }
    out.push(0x89);
    out.extend(hooks);
    out.extend(b"tR");
    out
}

pub fn text(text: &str) -> Vec<u8> {
    let mut out = vec![b'X'];
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

pub fn long(number: i64) -> Vec<u8> {
    let mut out = vec![0x8a, 8];
    out.extend(number.to_le_bytes());
    out
}

/// A file of the format before torch 1.6: the five pickles, then the storages.
pub fn legacy(system: &[u8], object: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    [magic.as_slice(), b"\x80\x02M\xe9\x03.", system, object, keys, storages].concat()
}

/// What `legacy` takes when everything is right: one storage of two floats.
pub fn legacy_right() -> Vec<u8> {
    let keys = [b"\x80\x02]".as_slice(), &text("0"), b"a."].concat();
    let storage = [2i64.to_le_bytes().as_slice(), &[0; 8]].concat();
    legacy(b"\x80\x02}.", &tensor(2, 0, &[2], &[1]), &keys, &storage)
}

pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), data].concat()
}

/// A pickle that calls something with these values, each written as a pickle pushes it.
pub fn calls(module: &str, name: &str, arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = [b"\x80\x04".as_slice(), &text(module), &text(name), b"\x93("].concat();
    arguments.iter().for_each(|argument| out.extend_from_slice(argument));
    out.extend(b"tR.");
    out
}

/// A tar with these files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
