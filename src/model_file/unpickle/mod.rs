//! A pickle machine that builds values and executes nothing.
//!
//! A pickle is a program: Python imports what it names and calls what it says. This machine records that instead. An
//! import becomes a [`Node::Global`]. A call becomes a [`Node::Call`] with its arguments and the state that was set in
//! its result; the caller interprets it. [`Evidence`] records what Python would have imported and done, even if the
//! pickle is truncated, because Python would have run its first part. If two readers could understand an instruction
//! differently, the machine records a doubt and reads on, because what follows still counts.
//!
//! A [`Budget`] limits memory and time for any input. Nesting uses no stack, because values are in one arena. Every
//! length is checked against the size of the file before memory is allocated. Protocols 0 to 5 are supported.
//!
//! This module must not know torch: `crate::model_file::torch_file` interprets tensors.

mod evidence;
mod joblib;
mod literal;
mod machine;
mod objects;
mod opcode;
mod stream;
mod value;

pub use evidence::{Evidence, Uses};
pub use machine::{Manner, read};
pub use stream::Stream;
pub use value::{Call, Id, Node, Pickle};

/// Why a pickle could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end before the pickle does.
    #[error("the pickle is cut off after {0} bytes")]
    Truncated(u64),
    /// An invalid instruction.
    #[error("byte {at} of the pickle is not a valid instruction (0x{code:02x})")]
    Unknown {
        /// The byte.
        code: u8,
        /// Its position.
        at: u64,
    },
    /// An instruction that does not match the content of the stack.
    #[error("instruction {name} at byte {at} of the pickle: {reason}")]
    Broken {
        /// The name of the instruction.
        name: &'static str,
        /// Its position.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// The pickle exceeds a limit that no model needs to exceed.
    #[error("the pickle has more {0} than any model needs")]
    TooMuch(&'static str),
    /// The file could not be read.
    #[error("{0}")]
    Read(String),
}

impl PickleError {
    /// Whether every reader of pickles stops here, so that nothing after this position is ever executed.
    pub fn ends_every_reader(&self) -> bool {
        matches!(self, Self::Truncated(_) | Self::Unknown { .. } | Self::Broken { .. })
    }
}

/// The limits of memory and time. One budget is used for all pickles of a file.
#[derive(Debug, Clone)]
pub struct Budget {
    memory: u64,
    steps: u64,
}

impl Default for Budget {
    /// About 100 MB of memory and a fifth of a second. A tensor in a `state_dict` needs about 60 steps and 1.5 kB.
    fn default() -> Self {
        Self { memory: 56 << 20, steps: 12_000_000 }
    }
}

impl Budget {
    /// A budget for a file of that size: a large one may hold a vocabulary of millions of words.
    pub fn of(length: u64) -> Self {
        let (own, more) = (Self::default(), length.saturating_sub(14 << 20).min(80 << 20));
        Self { memory: own.memory + 24 * more, steps: own.steps + 4 * more }
    }

    pub(crate) fn memory(&mut self, bytes: u64) -> Result<(), PickleError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(PickleError::TooMuch("memory"))?;
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Result<(), PickleError> {
        self.steps = self.steps.checked_sub(1).ok_or(PickleError::TooMuch("steps"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::source::Section;

    fn run(bytes: &[u8]) -> (Result<Pickle, PickleError>, Evidence) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, bytes).unwrap();
        let mut evidence = Evidence::default();
        let mut stream = Stream::new(Section::open(&path).unwrap());
        (read(&mut stream, Manner::Torch, &mut Budget::default(), &mut evidence), evidence)
    }

    #[test]
    fn numbers_of_every_form() {
        let cases: [(&[u8], Node); 10] = [
            (b"I42\n.", Node::Int(42)),
            (b"I01\n.", Node::Bool(true)),
            (b"L-7L\n.", Node::Int(-7)),
            (b"F1.5\n.", Node::Float(1.5)),
            (b"J\xff\xff\xff\xff.", Node::Int(-1)),
            (b"M\x00\x01.", Node::Int(256)),
            (b"\x8a\x01\xff.", Node::Int(-1)),
            (b"\x8a\x00.", Node::Int(0)),
            (b"\x8a\x09\0\0\0\0\0\0\0\0\x01.", Node::Long),
            (b"G\x3f\xf8\0\0\0\0\0\0.", Node::Float(1.5)),
        ];
        for (bytes, wanted) in cases {
            let pickle = run(bytes).0.unwrap();
            assert_eq!(*pickle.node(pickle.root()), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn an_ordered_dict_of_python_2_has_its_pairs_in_the_call() {
        let pickle = run(b"ccollections\nOrderedDict\n((l(lp1\nS'a'\naI1\naatR.").0.unwrap();
        let entries = pickle.entries(pickle.root()).unwrap();
        assert_eq!(pickle.get(&entries, "a").and_then(|id| pickle.int(id)), Some(1));
    }

    #[test]
    fn a_call_is_written_down_and_its_import_is_known() {
        let (pickle, evidence) = run(b"cos\nsystem\n(S'ls'\ntR.");
        let pickle = pickle.unwrap();
        let call = pickle.call(pickle.root()).unwrap();
        assert!(pickle.is_global(call.callable, "os", "system"));
        assert_eq!(pickle.text(call.arguments[0]), Some("ls"));
        assert_eq!(evidence.imports(), [("os".to_owned(), "system".to_owned())]);
    }

    #[test]
    fn a_text_longer_than_the_window_is_read() {
        let bytes = [b"X".as_slice(), &200_000u32.to_le_bytes(), &[b'x'; 200_000], b"K\x07\x86."].concat();
        let pickle = run(&bytes).0.unwrap();
        let items = pickle.items(pickle.root()).unwrap();
        assert_eq!((pickle.text(items[0]).unwrap().len(), pickle.int(items[1])), (200_000, Some(7)));
    }

    #[test]
    fn what_is_kept_under_any_key_is_found() {
        let pickle = run(b"K\x01q\x000K\x02r\xff\xff\xff\xff0K\x03\x940h\x00j\xff\xff\xff\xff\x86.").0.unwrap();
        let items = pickle.items(pickle.root()).unwrap();
        assert_eq!((pickle.int(items[0]), pickle.int(items[1])), (Some(1), Some(2)));
    }

    #[test]
    fn names_are_decoded_as_python_decodes_them() {
        for bytes in [
            b"V\\u006fs\nV\\u0073ystem\n\x93.".as_slice(),
            b"S'\\x6fs'\nS'\\163ystem'\n\x93.",
            b"V\\U0000006fs\nS\"sys\\\ntem\"\n\x93.",
        ] {
            let names = run(bytes).1;
            let first = names.imports().first().cloned();
            if bytes.contains(&b'"') {
                assert_eq!(first, None, "a line ends before a continued text does");
            } else {
                assert_eq!(first, Some(("os".to_owned(), "system".to_owned())), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_python_reads_loosely_is_a_doubt_and_not_an_end() {
        for bytes in [
            b"I0x10\n0cos\nsystem\n.".as_slice(),
            b"K\x01p1_0\n0cos\nsystem\n.",
            b"L1_0L\n0cos\nsystem\n.",
            b"]Nb0cos\nsystem\n.",
            b"]K\x01aK\x00K\x02s0cos\nsystem\n.",
            b"cbuiltins\nset\ncbuiltins\ntuple\n)RR0cos\nsystem\n.",
        ] {
            let (pickle, evidence) = run(bytes);
            assert!(pickle.is_ok() && !evidence.doubts().is_empty(), "{bytes:?}");
            assert!(evidence.imports().contains(&("os".to_owned(), "system".to_owned())), "{bytes:?}");
        }
    }

    #[test]
    fn how_an_import_is_used_is_noted() {
        let (_, evidence) = run(b"cm\nA\n)\x81}bcm\nf\n(S'a b'\ntR\x86.");
        assert!(evidence.uses(0).within(Uses::MADE.and(Uses::STATE)) && !evidence.uses(0).within(Uses::MADE));
        assert!(evidence.uses(1).has(Uses::CALLED) && evidence.uses(1).has(Uses::TEXT));
    }

    #[test]
    fn half_a_pickle_has_evidence() {
        let (pickle, evidence) = run(b"cos\nsystem\n(S'ls'\n");
        assert!(matches!(pickle, Err(PickleError::Truncated(_))));
        assert_eq!(evidence.imports().len(), 1);
    }
}
