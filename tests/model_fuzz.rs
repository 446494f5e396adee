//! Model files with random damage: read, or refused, but never a panic.
//!
//! A little of it runs with every test. For a session: `AMLRUN_FUZZ_SECONDS=300 cargo test --release --test behaviour
//! model_fuzz -- --ignored --nocapture`, with `AMLRUN_FUZZ_SEEDS` naming a folder of files to begin with.
//! `fuzz/` has the same for cargo-fuzz, which sees what the code does with a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use amlrun::model_file::{ModelFile, compare, view};

use crate::model_forge::{Zip, legacy_right, safetensors, tensor};

/// Xorshift: the same damage on every machine from one seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Damages a file in one of the ways in which files break, or are broken.
fn damage(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    const WORDS: [&[u8]; 12] = [
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"cos\nsystem\n",
        b"(",
        b"t",
        b"R",
        b"u",
        b"b",
        b"\x93",
        b"PK\x05\x06",
    ];
    // The opcodes of every protocol: most random bytes are none, and end the pickle at once.
    const OPCODES: &[u8] = b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu}]G)\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x8f\x90\x91\x92\x93\x94\x95";
    for _ in 0..=chance.below(6) {
        let at = chance.below(bytes.len());
        match chance.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 if !bytes.is_empty() => bytes[at] = chance.next() as u8,
            2 if !bytes.is_empty() => bytes[at] = OPCODES[chance.below(OPCODES.len())],
            3 => bytes.insert(at, OPCODES[chance.below(OPCODES.len())]),
            4 => drop(bytes.splice(at..at, WORDS[chance.below(WORDS.len())].iter().copied())),
            5 => {
                let word = WORDS[chance.below(WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            6 => drop(bytes.drain(at..(at + chance.below(20)).min(bytes.len()))),
            7 => {
                let end = (at + chance.below(60)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = chance.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let start = chance.below(other.len());
                let end = (start + chance.below(80)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
        }
    }
}

/// Everything that is done with a file that opens.
fn use_it(path: &Path) -> &'static str {
    let Ok(file) = ModelFile::open(path) else { return "refused" };
    assert!(!view::text(&file, None).is_empty());
    assert!(serde_json::to_string(&file.inspection()).is_ok());
    for tensor in file.contents.tensors.iter().filter(|tensor| tensor.bytes() < 1 << 16) {
        if let Ok(bytes) = file.contents.read(tensor) {
            assert_eq!(bytes.len() as u64, tensor.bytes());
        }
    }
    if file.contents.tensors.len() < 20 && file.contents.tensors.iter().all(|tensor| tensor.bytes() < 1 << 16) {
        let _ = compare::compare(&file.contents, &file.contents, true);
    }
    "read"
}

fn seeds() -> Vec<Vec<u8>> {
    let pickle = tensor(2, 0, &[2], &[1]);
    let safe = safetensors(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8]);
    let own = b"\x80\x02c__main__\nNet\n)\x81}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_modules}ub.";
    let mut all = vec![Zip::torch(&pickle, &[&[0; 8]]).bytes(), legacy_right(), safe, pickle, own.to_vec()];
    if let Some(folder) = std::env::var_os("AMLRUN_FUZZ_SEEDS") {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let small = files.filter(|path| path.metadata().unwrap().len() < 1 << 16);
        all.extend(small.map(|path| std::fs::read(path).unwrap()));
    }
    all
}

fn fuzz(seed: u64, mut goes_on: impl FnMut(u64) -> bool) -> BTreeMap<&'static str, u64> {
    let seeds = seeds();
    let folder = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
    let path = folder.path().join("model.pt");
    let mut chance = Chance(seed);
    let (mut counts, mut rounds) = (BTreeMap::new(), 0);
    while goes_on(rounds) {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        let other = &seeds[chance.below(seeds.len())];
        damage(&mut chance, &mut bytes, other);
        std::fs::write(&path, &bytes).unwrap();
        match std::panic::catch_unwind(|| use_it(&path)) {
            Ok(end) => *counts.entry(end).or_default() += 1,
            Err(_) => {
                let kept = std::env::temp_dir().join(format!("amlrun-fuzz-{seed:x}-{rounds}"));
                std::fs::write(&kept, &bytes).unwrap();
                panic!("this file made a panic: {}", kept.display());
            }
        }
        rounds += 1;
    }
    counts
}

#[test]
fn damaged_files_are_read_or_refused() {
    let counts = fuzz(0x5eed, |rounds| rounds < 3000);
    assert!(counts["read"] > 0 && counts["refused"] > 0, "{counts:?}");
}

#[test]
#[ignore = "a session of its own: see above"]
fn session() {
    let seconds = std::env::var("AMLRUN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (start, seed) = (Instant::now(), u64::from(std::process::id()) << 20 | 1);
    let mut slowest = Duration::ZERO;
    let mut last = start;
    let counts = fuzz(seed, |_| {
        slowest = slowest.max(last.elapsed());
        last = Instant::now();
        start.elapsed().as_secs() < seconds
    });
    println!("{counts:?} in {seconds} s from seed {seed:x}, the slowest file {slowest:?}");
}
