//! A pickle machine that builds values and does nothing else.
//!
//! A pickle is a program: Python's own machine imports what it names and calls what it says. This one writes down
//! instead. An import becomes a [`Node::Global`], a call a [`Node::Call`] with its arguments and the state that was
//! laid into it; whoever looks at the result decides what it means. [`Evidence`] keeps what Python would have imported
//! and done, also when the pickle breaks off in the middle, for Python would have done the first half of it.
//!
//! Whatever the bytes say, memory and time have a [`Budget`], nesting costs no stack (values live in one arena), and
//! every length is compared with what the file has before anything is allocated. Protocols 0 to 5.
//!
//! It knows no torch: what a tensor is stands in `crate::model_file::torch`.

mod machine;
mod opcode;
mod stream;
mod value;

pub use machine::read;
pub use stream::Stream;
pub use value::{Call, Id, Node, Pickle};

use std::collections::HashSet;

/// Why a pickle is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end before the pickle does.
    #[error("the pickle is cut off after {0} bytes")]
    Truncated(u64),
    /// An instruction that no protocol has.
    #[error("byte {at} of the pickle is no instruction (0x{code:02x})")]
    Unknown {
        /// The byte.
        code: u8,
        /// Where it stands.
        at: u64,
    },
    /// An instruction that does not fit what is on the stack.
    #[error("instruction {name} at byte {at} of the pickle: {reason}")]
    Broken {
        /// The name of the instruction.
        name: &'static str,
        /// Where it stands.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// The pickle asks for more than any model needs.
    #[error("the pickle asks for more {0} than any model needs")]
    TooMuch(&'static str),
    /// The file could not be read.
    #[error("{0}")]
    Read(String),
}

/// How much a pickle may cost. One budget serves all pickles of a file.
#[derive(Debug, Clone)]
pub struct Budget {
    memory: u64,
    steps: u64,
}

impl Default for Budget {
    /// About 100 MB of real memory and a fifth of a second. A tensor of a `state_dict` takes some 60 steps and 1.5 kB.
    fn default() -> Self {
        Self { memory: 56 << 20, steps: 12_000_000 }
    }
}

impl Budget {
    pub(crate) fn memory(&mut self, bytes: u64) -> Result<(), PickleError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(PickleError::TooMuch("memory"))?;
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Result<(), PickleError> {
        self.steps = self.steps.checked_sub(1).ok_or(PickleError::TooMuch("steps"))?;
        Ok(())
    }
}

/// What Python would have imported and done, had it loaded the pickles.
#[derive(Debug, Default)]
pub struct Evidence {
    imports: Vec<(String, String)>,
    known: HashSet<(String, String)>,
    tricks: Vec<&'static str>,
}

impl Evidence {
    /// Module and name of each import, in the order of their first appearance.
    pub fn imports(&self) -> &[(String, String)] {
        &self.imports
    }

    /// What no pickle of a model does, in words.
    pub fn tricks(&self) -> &[&'static str] {
        &self.tricks
    }

    pub(crate) fn import(&mut self, module: &str, name: &str) {
        let import = (module.to_owned(), name.to_owned());
        if self.known.insert(import.clone()) {
            self.imports.push(import);
        }
    }

    pub(crate) fn trick(&mut self, what: &'static str) {
        if !self.tricks.contains(&what) {
            self.tricks.push(what);
        }
    }
}
