//! The runner starts in milliseconds because it never links libtorch, whatever features it is built with.

#[cfg(target_os = "linux")]
#[test]
fn the_runner_does_not_need_libtorch() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_amlrun")).unwrap();
    let needed = needed(&binary);
    assert!(needed.iter().any(|l| l.starts_with("libc.so")), "the dynamic section was read: {needed:?}");
    let torch = |l: &&String| l.contains("torch") || l.starts_with("libc10") || l.contains("cuda");
    assert!(needed.iter().find(torch).is_none(), "{needed:?}");
}

#[cfg(all(target_os = "linux", feature = "torch"))]
#[test]
fn the_stages_do_need_it() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_amlrun-stage")).unwrap();
    assert!(needed(&binary).iter().any(|l| l.contains("torch")), "else the test above could not fail");
}

/// The DT_NEEDED entries of a 64-bit little-endian ELF file (System V ABI, chapter 5).
#[cfg(target_os = "linux")]
fn needed(elf: &[u8]) -> Vec<String> {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)) as usize
    };
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01");
    let (headers, size, count) = (number(0x28, 8), number(0x3A, 2), number(0x3C, 2));
    let section = |index: usize| headers + index * size;
    let dynamic = (0..count).map(section).find(|&at| number(at + 4, 4) == 6).expect("a dynamic section");
    let names = number(section(number(dynamic + 0x28, 4)) + 0x18, 8);
    let (start, length) = (number(dynamic + 0x18, 8), number(dynamic + 0x20, 8));
    let text = |at: usize| {
        let end = at + elf[at..].iter().position(|b| *b == 0).unwrap();
        String::from_utf8(elf[at..end].to_vec()).unwrap()
    };
    (start..start + length)
        .step_by(16)
        .filter(|&entry| number(entry, 8) == 1)
        .map(|entry| text(names + number(entry + 8, 8)))
        .collect()
}
