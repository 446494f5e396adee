//! Writes one tensor as NumPy's `.npy`.

use std::io::Write;
use std::path::Path;

use super::{Weight, copy};
use crate::fs::atomic::Temporary;
use crate::model_file::scalar_type::ScalarType;
use crate::model_file::{Error, io_error};

/// The format requires the numbers to begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes a tensor as a `.npy` file, atomically.
///
/// # Errors
/// When NumPy does not have the element type, the tensor has no bytes, or the file cannot be written.
pub fn write_npy(path: &Path, weight: &Weight<'_>) -> Result<(), Error> {
    let Some(code) = code(weight.scalar_type()) else {
        let name = weight.scalar_type().torch_name();
        let reason = format!("has type {name}, which NumPy does not support: use --dtype, for example --dtype float32");
        return Err(Error::Tensor { name: weight.name().to_owned(), reason });
    };
    let header = header(code, weight.shape());
    let new = Temporary::beside(path);
    let mut file = new.create().map_err(io_error(path))?;
    file.write_all(&header).map_err(io_error(path))?;
    match weight.place()? {
        Some(section) => copy(&section, &mut file).map_err(io_error(path))?,
        None => file.write_all(&weight.gathered()?).map_err(io_error(path))?,
    }
    new.place().map_err(io_error(path))
}

/// The header of format version 1.0: signature, version, length of the dictionary, and the dictionary padded with
/// spaces.
fn header(code: &str, shape: &[usize]) -> Vec<u8> {
    let mut sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    if shape.len() > 1 {
        sides.truncate(sides.len() - 2);
    } else {
        sides.truncate(sides.trim_end().len());
    }
    let mut text = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({sides}), }}");
    let length = (10 + text.len() + 1).next_multiple_of(ALIGNMENT) - 10;
    text.push_str(&" ".repeat(length - text.len() - 1));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(length as u16).to_le_bytes()); // 64 dimensions are far below 64 KiB
    header.extend_from_slice(text.as_bytes());
    header
}

fn code(kind: ScalarType) -> Option<&'static str> {
    Some(match kind {
        ScalarType::Bool => "|b1",
        ScalarType::UInt8 => "|u1",
        ScalarType::Int8 => "|i1",
        ScalarType::Int16 => "<i2",
        ScalarType::UInt16 => "<u2",
        ScalarType::Int32 => "<i4",
        ScalarType::UInt32 => "<u4",
        ScalarType::Int64 => "<i8",
        ScalarType::UInt64 => "<u8",
        ScalarType::Float16 => "<f2",
        ScalarType::Float32 => "<f4",
        ScalarType::Float64 => "<f8",
        ScalarType::Complex64 => "<c8",
        ScalarType::Complex128 => "<c16",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_where_numbers_may_begin() {
        for shape in [vec![], vec![3], vec![2, 3], vec![1; 60]] {
            let header = header("<f4", &shape);
            assert_eq!(header.len() % ALIGNMENT, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
        }
        let text = |shape: &[usize]| String::from_utf8_lossy(&header("<f4", shape)[10..]).trim_end().to_owned();
        assert_eq!(text(&[]), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
        assert_eq!(text(&[3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(text(&[2, 3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    }
}
