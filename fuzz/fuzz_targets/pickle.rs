//! Any bytes are a pickle or an error: `cargo +nightly fuzz run pickle`.
#![no_main]

use std::io::Write as _;

use amlrun::model_file::source::Section;
use amlrun::model_file::unpickle::{Budget, Evidence, Stream, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    let section = Section::open(file.path()).unwrap();
    let mut evidence = Evidence::default();
    let _ = read(&mut Stream::new(section), &mut Budget::default(), &mut evidence);
});
