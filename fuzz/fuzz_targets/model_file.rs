//! Any bytes are a model or an error, and what is told of a model can be printed: `cargo +nightly fuzz run model_file`.
#![no_main]

use std::io::Write as _;

use amlrun::model_file::{ModelFile, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(model) = ModelFile::open(file.path()) {
        let _ = view::text(&model, None);
        for tensor in model.contents.tensors.iter().filter(|tensor| tensor.bytes() < 1 << 20) {
            let _ = model.contents.read(tensor);
        }
    }
});
