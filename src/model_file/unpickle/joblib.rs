//! joblib's arrays: their bytes are inside the pickle, after the instruction that describes them.
//!
//! `joblib.load` reads the bytes as arrays, and so does this code; `pickle.load` reads them as instructions. Files with
//! such arrays are checked in both ways.

use super::machine::{Done, Machine, Manner};
use super::read;
use super::value::{Call, Id, Node};

/// The maximum size of an array; more bytes than any file has.
const MOST: u64 = 1 << 50;

impl Machine<'_> {
    /// Skips the array after its description, whose state was just set.
    pub(super) fn array(&mut self, description: Id) -> Done {
        if self.frame_end.is_some_and(|end| end > self.stream.position()) {
            self.evidence.doubt("an array of joblib begins in the middle of a frame");
        }
        let Some((bytes, aligned)) = self.extent(description) else {
            self.evidence.doubt("an array of joblib has an unknown description");
            return Ok(());
        };
        let Some(bytes) = bytes else {
            // An array of objects is a pickle of its own.
            let inner = read(self.stream, Manner::Plain, self.budget, self.evidence);
            return inner.map(drop);
        };
        if aligned {
            let padding = self.stream.byte()?;
            self.stream.skip(padding.into())?;
        }
        self.stream.skip(bytes)
    }

    /// The size of the array in bytes (`None` for objects), and whether padding comes first.
    fn extent(&self, description: Id) -> Option<(Option<u64>, bool)> {
        let Node::Call(call) = &self.nodes[description.0 as usize] else { return None };
        let Node::Dict(entries) = &self.nodes[call.state?.0 as usize] else { return None };
        let get = |wanted: &str| {
            let has = |id: Id| matches!(&self.nodes[id.0 as usize], Node::Text(text) if &**text == wanted);
            entries.iter().rev().find(|(key, _)| has(*key)).map(|(_, value)| &self.nodes[value.0 as usize])
        };
        let Node::Tuple(sides) = get("shape")? else { return None };
        let mut count = 1u64;
        for side in sides {
            let Node::Int(side) = &self.nodes[side.0 as usize] else { return None };
            count = count.checked_mul(u64::try_from(*side).ok()?)?;
        }
        let Node::Call(dtype) = get("dtype")? else { return None };
        let Node::Text(code) = &self.nodes[dtype.arguments.first()?.0 as usize] else { return None };
        let (letter, digits) = code.split_at_checked(1)?;
        let aligned = match get("numpy_array_alignment_bytes") {
            None | Some(Node::None) => false,
            Some(Node::Int(_)) => true,
            Some(_) => return None,
        };
        let width: u64 = digits.parse().ok()?;
        let width = match letter {
            "O" => return Some((None, aligned)),
            "U" => width.checked_mul(4)?,
            "V" if self.holds_objects(dtype) => return None,
            "b" | "i" | "u" | "f" | "c" | "S" | "V" | "M" | "m" => width,
            _ => return None,
        };
        let bytes = count.checked_mul(width).filter(|bytes| *bytes < MOST)?;
        Some((Some(bytes), aligned))
    }

    /// Whether fields of a structured element type are objects. The last number of its state has the flags.
    fn holds_objects(&self, dtype: &Call) -> bool {
        let state = dtype.state.map(|state| &self.nodes[state.0 as usize]);
        let Some(Node::Tuple(items)) = state else { return true };
        !matches!(items.last().map(|flags| &self.nodes[flags.0 as usize]), Some(Node::Int(flags)) if flags & 1 == 0)
    }

    /// Whether a value is the description of such an array.
    pub(super) fn is_array(&self, id: Id) -> bool {
        let Node::Call(call) = &self.nodes[id.0 as usize] else { return false };
        matches!(&self.nodes[call.callable.0 as usize], Node::Global(global)
            if global.0 == "joblib.numpy_pickle" && global.1 == "NumpyArrayWrapper")
    }
}
