//! What it costs to know that nothing has changed: `cargo bench --bench reuse -- [FOLDER]`.
//!
//! Makes 50,000 files of 4 KiB and one of 1 GiB below FOLDER (a folder for temporary files otherwise; removed at the
//! end) and times listing, reading and finding beside what the system needs for the bare work, in one process, turn by
//! turn. Prints medians. With `b3sum` on PATH that one takes part too. Times depend on the disk: /dev/shm shows ours.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use amlrun::clock::Timestamp;
use amlrun::digest::Digest;
use amlrun::reuse::{Entry, Given, Kept, Key, Listing, OutputState, Reuse, read_tree, verify_many};
use rayon::prelude::*;

const FILES: usize = 50_000;
const ROUNDS: usize = 7;

fn main() {
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from);
    let folder = tempfile::tempdir_in(chosen.unwrap_or_else(std::env::temp_dir)).unwrap();
    println!("{} threads, in {}", rayon::current_num_threads(), folder.path().display());
    many_small(folder.path());
    one_large(folder.path());
    thousand_steps(folder.path());
}

fn many_small(folder: &Path) {
    let tree = folder.join("tree");
    let mut bytes = vec![0; 4096];
    for n in 0..FILES {
        let place = tree.join(format!("part-{:03}", n / 250));
        if n.is_multiple_of(250) {
            fs::create_dir_all(&place).unwrap();
        }
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        fs::write(place.join(format!("sample-{n:05}.bin")), &bytes).unwrap();
    }
    while !Listing::of(&tree).unwrap().rested() {}
    let listing = Listing::of(&tree).unwrap();
    let files: Vec<PathBuf> = listing.files.iter().map(|file| listing.place(file).into_owned()).collect();

    let has_b3sum = b3sum(&[]);
    let mut times = Times::default();
    for round in 0..ROUNDS {
        times.of("stat walk, 1 thread", || assert_eq!(stat_walk(&tree), FILES));
        times.of("read + BLAKE3, all threads", || {
            files.par_iter().for_each(|file| assert_ne!(blake3::hash(&fs::read(file).unwrap()).as_bytes(), &[0; 32]));
        });
        if has_b3sum {
            times.of("b3sum FILES", || assert!(b3sum(&files)));
        }
        times.of("Digest::of_tree", || drop(Digest::of_tree(&tree).unwrap()));
        times.of("listing", || drop(Listing::of(&tree).unwrap()));
        let kept = folder.join(format!("reuse-{round}"));
        times.of("contents, first", || {
            let reuse = Reuse::open(&kept, folder).unwrap();
            let contents = reuse.contents("tree", &Listing::of(&tree).unwrap()).unwrap();
            assert_eq!(contents.read, FILES as u64);
        });
        times.of("contents, unchanged", || {
            let reuse = Reuse::open(&kept, folder).unwrap();
            let contents = reuse.contents("tree", &Listing::of(&tree).unwrap()).unwrap();
            assert_eq!(contents.read, 0);
        });
        let one = &files[round * 7000];
        fs::write(one, format!("edited {round}")).unwrap();
        times.of("contents, one edited", || {
            let reuse = Reuse::open(&kept, folder).unwrap();
            let contents = reuse.contents("tree", &Listing::of(&tree).unwrap()).unwrap();
            assert_eq!(contents.read, 1);
        });
        while !Listing::of(&tree).unwrap().rested() {}
    }
    println!("\n{FILES} files of 4 KiB");
    times.print();
    times.ratio("contents, first", "read + BLAKE3, all threads");
    times.ratio("contents, first", "b3sum FILES");
    times.ratio("contents, unchanged", "stat walk, 1 thread");
    fs::remove_dir_all(tree).unwrap();
}

fn one_large(folder: &Path) {
    let file = folder.join("large");
    let part: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut to = fs::File::create(&file).unwrap();
    for _ in 0..(1 << 30) / part.len() {
        std::io::Write::write_all(&mut to, &part).unwrap();
    }
    drop(to);
    let has_b3sum = b3sum(&[]);
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        if has_b3sum {
            times.of("b3sum", || assert!(b3sum(std::slice::from_ref(&file))));
        }
        times.of("BLAKE3's own map", || {
            blake3::Hasher::new().update_mmap_rayon(&file).unwrap();
        });
        times.of("Digest::of_file", || drop(Digest::of_file(&file).unwrap()));
    }
    println!("\n1 GiB");
    times.print();
    times.ratio("Digest::of_file", "b3sum");
    times.ratio("Digest::of_file", "BLAKE3's own map");
    fs::remove_file(file).unwrap();
}

fn thousand_steps(folder: &Path) {
    let reuse = Reuse::open(&folder.join("steps"), folder).unwrap();
    let mut entries: Vec<Entry> = (0..1000).map(|n| step(folder, n)).collect();
    let hashes: Vec<Digest> = entries.iter().map(|entry| entry.key.hash()).collect();
    let mut times = Times::default();
    for round in 0..ROUNDS {
        times.of("open", || drop(Reuse::open(&folder.join("steps"), folder).unwrap()));
        entries.iter_mut().for_each(|entry| entry.run = format!("run-{round}"));
        times.of("hash", || assert!(entries.iter().all(|entry| entry.key.hash().as_str().len() == 64)));
        times.of("keep", || reuse.keep(&entries).unwrap());
        times.of("find", || assert!(hashes.iter().all(|hash| reuse.find(hash).unwrap().is_some())));
        times.of("find_many", || assert_eq!(reuse.find_many(&hashes).unwrap().len(), 1000));
        let kept: Vec<&Kept> = entries.iter().flat_map(|entry| &entry.outputs).collect();
        times.of("verify_many", || assert!(verify_many(&kept).iter().all(|verdict| *verdict == OutputState::Same)));
    }
    println!("\n1000 steps with an output of one file each");
    times.print();
}

fn step(folder: &Path, n: usize) -> Entry {
    let path = folder.join("store").join(format!("quick_fox_0123456789.step_{n}.out"));
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), n.to_string()).unwrap();
    let listing = Listing::of(&path).unwrap();
    let digest = read_tree(&listing).unwrap().0;
    let key = Key {
        command: format!("echo {n} > ${{{{outputs.out}}}}/file"),
        inputs: BTreeMap::from([("data".to_owned(), Given::Data(Digest::of(&n.to_le_bytes())))]),
        outputs: BTreeMap::from([("out".to_owned(), "uri_folder".to_owned())]),
        ..Key::default()
    };
    let (files, bytes) = (listing.files.len() as u64, listing.bytes);
    let fingerprint = listing.fingerprint();
    let kept = Kept { name: "out".to_owned(), kind: "uri_folder".to_owned(), path, fingerprint, digest, files, bytes };
    Entry {
        key,
        scope: "pipeline.yml".to_owned(),
        step: format!("step_{n}"),
        run: "quick_fox_0123456789".to_owned(),
        job: format!("quick_fox_0123456789-step_{n}"),
        outputs: vec![kept],
        finished: Timestamp(0),
        duration_ms: 5,
        metrics: Vec::new(),
        offered: true,
    }
}

fn stat_walk(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            count += stat_walk(&entry.path());
        } else {
            entry.metadata().unwrap();
            count += 1;
        }
    }
    count
}

/// Runs `b3sum` over the files; whether there is one.
fn b3sum(files: &[PathBuf]) -> bool {
    let run = |files: &[PathBuf]| {
        let (input, output) = (Stdio::null(), Stdio::null());
        Command::new("b3sum").args(files).stdin(input).stdout(output).status().is_ok_and(|status| status.success())
    };
    // As many names as a command line takes; without a name it reads its input, which is empty.
    if files.is_empty() { run(files) } else { files.chunks(20_000).all(run) }
}

#[derive(Default)]
struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    fn of(&mut self, name: &'static str, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        let took = began.elapsed().as_secs_f64() * 1e3;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(took),
            None => self.0.push((name, vec![took])),
        }
    }

    fn median(&self, name: &str) -> Option<f64> {
        let mut times = self.0.iter().find(|(known, _)| *known == name)?.1.clone();
        times.sort_by(f64::total_cmp);
        Some(times[times.len() / 2])
    }

    fn print(&self) {
        for (name, times) in &self.0 {
            let least = times.iter().copied().fold(f64::INFINITY, f64::min);
            println!("  {name:<28} {:9.2} ms   (least {least:.2})", self.median(name).unwrap());
        }
    }

    fn ratio(&self, ours: &str, theirs: &str) {
        if let (Some(one), Some(other)) = (self.median(ours), self.median(theirs)) {
            println!("  {ours} / {theirs}: {:.2}", one / other);
        }
    }
}
