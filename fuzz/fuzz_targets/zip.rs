//! Any bytes are an archive whose members lie inside it, or an error: `cargo +nightly fuzz run zip`.
#![no_main]

use std::io::Write as _;

use amlrun::model_file::source::Section;
use amlrun::model_file::zip_directory::ZipDirectory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(zip) = ZipDirectory::read(Section::open(file.path()).unwrap()) {
        for name in zip.names() {
            if let Ok(Some(member)) = zip.member(name) {
                assert!(member.read_all(bytes.len() as u64).is_ok());
            }
        }
    }
});
