//! Decodes the numbers in a tensor's bytes, and converts them between floating-point types.

use crate::model_file::scalar_type::ScalarType;

/// The numbers of real and complex types as `f64`, a complex number as two. `None` for other types.
pub fn decode(bytes: &[u8], kind: ScalarType) -> Option<Vec<f64>> {
    use ScalarType as S;
    Some(match kind {
        S::Bool | S::UInt8 => bytes.iter().map(|&byte| byte.into()).collect(),
        S::Int8 => bytes.iter().map(|&byte| i8::from_le_bytes([byte]).into()).collect(),
        S::Int16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        S::UInt16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        S::Int32 => each(bytes, |b| i32::from_le_bytes(b).into()),
        S::UInt32 => each(bytes, |b| u32::from_le_bytes(b).into()),
        S::Int64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        S::UInt64 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        S::Float16 | S::Complex32 => each(bytes, |b| half_to_f32(u16::from_le_bytes(b)).into()),
        S::BFloat16 => each(bytes, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into()),
        S::Float32 | S::Complex64 => each(bytes, |b| f32::from_le_bytes(b).into()),
        S::Float64 | S::Complex128 => each(bytes, f64::from_le_bytes),
        S::Float8E4M3FN => bytes.iter().map(|&byte| small(byte, 3, 7, |rest| rest == 0x7f)).collect(),
        S::Float8E5M2 => bytes.iter().map(|&byte| half_to_f32(u16::from(byte) << 8).into()).collect(),
        _ => return None,
    })
}

/// Converts floating-point numbers to another floating-point type, rounded to nearest, ties to even, as in torch (which
/// converts `float64` to the 16-bit types via `float32`).
pub fn convert(bytes: &[u8], from: ScalarType, to: ScalarType) -> Option<Vec<u8>> {
    if from == to {
        return Some(bytes.to_vec());
    }
    if !from.is_float() || !to.is_float() {
        return None;
    }
    let numbers = decode(bytes, from)?;
    Some(match to {
        ScalarType::Float64 => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        ScalarType::Float32 => numbers.iter().flat_map(|&number| (number as f32).to_le_bytes()).collect(),
        ScalarType::Float16 => numbers.iter().flat_map(|&number| f32_to_half(number as f32).to_le_bytes()).collect(),
        ScalarType::BFloat16 => numbers.iter().flat_map(|&number| f32_to_bfloat(number as f32).to_le_bytes()).collect(),
        _ => return None,
    })
}

fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| number(chunk)).collect()
}

/// An 8-bit float without infinities, given its mantissa bits, its bias, and which bit patterns are NaN.
fn small(byte: u8, mantissa: u32, bias: i32, is_nan: impl Fn(u8) -> bool) -> f64 {
    let rest = byte & 0x7f;
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    if is_nan(rest) {
        return f64::NAN;
    }
    let exponent = i32::from(rest >> mantissa);
    let fraction = f64::from(rest & ((1 << mantissa) - 1)) / f64::from(1 << mantissa);
    let value =
        if exponent == 0 { fraction * 2f64.powi(1 - bias) } else { (1.0 + fraction) * 2f64.powi(exponent - bias) };
    sign * value
}

fn half_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    match (exponent, fraction) {
        (0, fraction) => {
            let value = fraction as f32 * 2f32.powi(-24);
            f32::from_bits(value.to_bits() | sign)
        }
        (0x1f, fraction) => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        (exponent, fraction) => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

fn f32_to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    let rounded = match magnitude {
        0x7f80_0001.. => 0x7e00, // not a number
        0x477f_f000.. => 0x7c00, // 65520 and more become infinite
        // A normal half: keep ten bits of the fraction, round the rest.
        0x3880_0000.. => round(magnitude, 13) - (112 << 10),
        // A subnormal half is a multiple of 2^-24.
        _ => (f32::from_bits(magnitude) * 2f32.powi(24)).round_ties_even() as u32,
    };
    sign | rounded as u16
}

fn f32_to_bfloat(value: f32) -> u16 {
    if value.is_nan() {
        return 0x7fc0;
    }
    round(value.to_bits(), 16) as u16
}

/// Drops the lowest bits, rounding to nearest, ties to even.
fn round(bits: u32, drop: u32) -> u32 {
    let half = (1 << (drop - 1)) - 1 + (bits >> drop & 1);
    ((u64::from(bits) + u64::from(half)) >> drop) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_halves() {
        let pairs =
            [(0.0, 0), (1.0, 0x3c00), (-2.0, 0xc000), (65504.0, 0x7bff), (65520.0, 0x7c00), (6e-8, 1), (1e-9, 0)];
        for (value, half) in pairs {
            assert_eq!(f32_to_half(value), half, "{value}");
        }
        assert!(half_to_f32(0x7e00).is_nan());
        assert_eq!(f32_to_bfloat(1.0), 0x3f80);
        assert_eq!(small(0x38, 3, 7, |rest| rest == 0x7f), 1.0);
        assert_eq!(small(0x7e, 3, 7, |rest| rest == 0x7f), 448.0);
    }

    #[test]
    fn every_half_comes_back() {
        for half in 0..=u16::MAX {
            let value = half_to_f32(half);
            assert!(value.is_nan() || f32_to_half(value) == half, "{half:#x}");
        }
    }

    proptest! {
        #[test]
        fn rounding_finds_the_nearest_half(value in -70_000f32..70_000.0) {
            let half = f32_to_half(value);
            let error = (f64::from(half_to_f32(half)) - f64::from(value)).abs();
            for other in [half.wrapping_sub(1), half.wrapping_add(1)] {
                let other = half_to_f32(other);
                if other.is_finite() && half_to_f32(half).is_finite() {
                    prop_assert!(error <= (f64::from(other) - f64::from(value)).abs());
                }
            }
        }
    }
}
