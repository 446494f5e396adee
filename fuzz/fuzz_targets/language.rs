//! Any text is a document or a list of mistakes: `cargo +nightly fuzz run language`. `tests/corpus` is a good beginning:
//! `cargo +nightly fuzz run language fuzz/corpus/language tests/corpus/accept/*`.
#![no_main]

use std::io::Write as _;

use amlrun::language::{Options, Target, Value, graph, load, resolved, rest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    for (target, preview) in [(Target::Azure, false), (Target::Local, true)] {
        let document = load(file.path(), &Options { target, preview, ..Options::default() });
        let Some(object) = document.value.as_ref().and_then(Value::object) else { continue };
        let _ = graph::of(object);
        let _ = resolved::document(object, &document.sources);
        if document.accepted() {
            let _ = rest::body(object);
        }
    }
});
