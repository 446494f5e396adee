//! NumPy's `.npy` and `.npz` files. Arrays of numbers are harmless; an array of objects is a pickle after a header.

use crate::model_file::contents::{Contents, Kind};
use crate::model_file::source::Section;
use crate::model_file::torch_file;
use crate::model_file::unpickle::{Budget, Evidence};
use crate::model_file::{Error, words};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The maximum length of a header; NumPy's own limit is a sixth of it.
const HEADER: u64 = 1 << 16;

/// Whether a file begins with the signature of `numpy.save`.
pub fn is_npy(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// Inspects an array for what `numpy.load(allow_pickle=True)` would do with it.
///
/// # Errors
/// [`Error::NoModel`] for numbers, and when it is incomplete.
pub fn read(file: &Section, budget: &mut Budget, evidence: &mut Evidence) -> Result<Contents, Error> {
    let cut = || file.malformed("the header of the numpy array is incomplete");
    let start = file.part(0, 12).ok_or_else(cut)?.read_all(12)?;
    let (at, length) = match start[6] {
        1 => (10, u64::from(u16::from_le_bytes([start[8], start[9]]))),
        _ => (12, u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]]))),
    };
    let header = file.part(at, length).ok_or_else(cut)?.read_all(HEADER)?;
    let header = String::from_utf8_lossy(&header);
    if !holds_objects(&header) {
        let reason = format!("is a numpy array ({}), not a model", words::printable(header.trim(), 120));
        return Err(Error::NoModel { path: file.path().to_owned(), reason, mistaken: false });
    }
    let body = file.part(at + length, file.length() - at - length).ok_or_else(cut)?;
    let mut contents = torch_file::read_pickle(&body, budget, evidence)?;
    contents.kind = Kind::Unknown;
    contents.notes.push("an array of objects: numpy.load(allow_pickle=True) runs the pickle in it".to_owned());
    Ok(contents)
}

/// Whether the element type in the header may contain objects. The header is a Python literal, and escapes or a
/// duplicate key could hide one. Only a header exactly as NumPy writes it for numbers counts as one of numbers.
fn holds_objects(header: &str) -> bool {
    let numbers = |header: &str| {
        let rest = header.trim().strip_prefix("{'descr': '")?;
        let (descr, rest) = rest.split_once("', 'fortran_order': ")?;
        let rest = rest.strip_prefix("True").or(rest.strip_prefix("False"))?.strip_prefix(", 'shape': (")?;
        let (shape, end) = rest.split_once(')')?;
        let sides = shape.chars().all(|c| c.is_ascii_digit() || c == ',' || c == ' ');
        (is_number(descr) && sides && matches!(end.trim(), ", }" | "}" | ",}")).then_some(())
    };
    numbers(header).is_none()
}

/// An element type such as `<f8` or `<M8[ns]`.
fn is_number(descr: &str) -> bool {
    let mut chars = descr.chars();
    matches!(chars.next(), Some('<' | '>' | '|' | '='))
        && matches!(chars.next(), Some('b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'U' | 'V' | 'M' | 'm'))
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '[' || c == ']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_are_no_objects() {
        let header = |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3, 4), }}   \n");
        for numbers in ["'<f8'", "'|u1'", "'<M8[ns]'"] {
            assert!(!holds_objects(&header(numbers)), "{numbers}");
        }
        for objects in ["'|O'", "[('a', '|O')]", "'<f8', 'd\\x65scr': '|O'", "'<f8' 'x'", "\"<f8\"", "'\\x7cO'"] {
            assert!(holds_objects(&header(objects)), "{objects}");
        }
        assert!(
            holds_objects("")
                && holds_objects("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'descr': '|O'}")
        );
    }
}
