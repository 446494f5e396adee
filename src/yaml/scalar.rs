//! What PyYAML's safe loader makes of a plain scalar (YAML 1.1), and how Python prints it.
//!
//! Azure ML sends a literal input as `str()` of what PyYAML read: `yes` reaches the command as `True`, `0.00001` as
//! `1e-05`, `1e-3` as the very text `1e-3` (reference, section 1.10).

use crate::number::python_float;

/// A scalar as written.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// Its text after folding and unescaping.
    pub text: String,
    /// Whether it had no quotes and is no block, so that YAML 1.1 may read it as something other than text.
    pub plain: bool,
}

/// A scalar as PyYAML types it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on` …
    Bool(bool),
    /// An integer of any size, in decimal digits.
    Int(String),
    /// A binary64 number.
    Float(f64),
    /// A date or time, as written.
    Timestamp(String),
    /// Everything else.
    Str(String),
}

impl Literal {
    /// Types a scalar. Quoted and block scalars are text.
    #[must_use]
    pub fn read(scalar: &Scalar) -> Self {
        let text = scalar.text.as_str();
        if !scalar.plain {
            return Self::Str(text.to_owned());
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Self::Bool(true),
            "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Self::Bool(false),
            _ => {}
        }
        if let Some(digits) = integer(text) {
            return Self::Int(digits);
        }
        if let Some(number) = float(text) {
            return Self::Float(number);
        }
        if is_timestamp(text) {
            return Self::Timestamp(text.to_owned());
        }
        Self::Str(text.to_owned())
    }

    /// What it is, for messages: `a number`, `a string` …
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Timestamp(_) => "a date",
            Self::Str(_) => "a string",
        }
    }

    /// Python's `str()` of the value: the text that reaches a command.
    #[must_use]
    pub fn python_str(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(digits) => digits.clone(),
            Self::Float(number) => python_float(*number),
            Self::Timestamp(text) | Self::Str(text) => text.clone(),
        }
    }
}

/// PyYAML's integers: decimal, `0x`, `0b`, octal with a leading 0, sexagesimal, `_` between digits.
fn integer(text: &str) -> Option<String> {
    let (negative, body) = sign(text);
    let first = body.bytes().next()?;
    if !first.is_ascii_digit() {
        return None;
    }
    let plain: String = body.chars().filter(|c| *c != '_').collect();
    let digits = if let Some(hex) = body.strip_prefix("0x") {
        all(hex, |b| b.is_ascii_hexdigit())?;
        in_base(&plain[2..], 16)?
    } else if let Some(binary) = body.strip_prefix("0b") {
        all(binary, |b| matches!(b, b'0' | b'1'))?;
        in_base(&plain[2..], 2)?
    } else if body.contains(':') {
        sexagesimal(body)?
    } else if plain == "0" || body == "0" {
        "0".to_owned()
    } else if first == b'0' {
        all(&body[1..], |b| (b'0'..=b'7').contains(&b))?;
        in_base(&plain, 8)?
    } else {
        all(body, |b| b.is_ascii_digit())?;
        plain
    };
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    };
    Some(if negative && digits != "0" { format!("-{digits}") } else { digits.to_owned() })
}

/// PyYAML's floats: a dot is a must, and an exponent needs its sign; `.inf`, `.nan` and sexagesimals with a fraction.
fn float(text: &str) -> Option<f64> {
    let (negative, body) = sign(text);
    let signed = |x: f64| if negative { -x } else { x };
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(signed(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let (whole, rest) = body.split_once('.')?;
    if whole.contains(':') {
        all(rest, |b| b.is_ascii_digit())?;
        let mut value = 0.0;
        for part in whole.split(':') {
            value = value * 60.0 + part.replace('_', "").parse::<f64>().ok()?;
        }
        let fraction = if rest.is_empty() { 0.0 } else { format!("0.{rest}").replace('_', "").parse::<f64>().ok()? };
        return Some(signed(value + fraction));
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !whole.is_empty() && !whole.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    if whole.is_empty() && text.len() != body.len() && exponent.is_none() && fraction.is_empty() {
        return None;
    }
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-'])?;
        if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
    }
    let clean: String = body.chars().filter(|c| *c != '_').collect();
    clean.parse::<f64>().ok().map(signed)
}

/// What Python's `int()` makes of a text: digits of any number, `_` between them, spaces around.
#[must_use]
pub fn python_int(text: &str) -> Option<String> {
    let (negative, body) = sign(text.trim());
    let bytes = body.as_bytes();
    let lone = |i: usize| bytes[i] != b'_' || i > 0 && i + 1 < bytes.len() && bytes[i - 1] != b'_';
    if bytes.is_empty() || !(0..bytes.len()).all(|i| (bytes[i].is_ascii_digit() || bytes[i] == b'_') && lone(i)) {
        return None;
    }
    let plain: String = body.chars().filter(|c| *c != '_').collect();
    let digits = plain.trim_start_matches('0');
    Some(match digits {
        "" => "0".to_owned(),
        digits if negative => format!("-{digits}"),
        digits => digits.to_owned(),
    })
}

/// What Python's `float()` makes of a text.
#[must_use]
pub fn python_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let (negative, body) = sign(text);
    let number = match body.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        digits if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            digits.replace('_', "").parse().ok()?
        }
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Every byte passes or is `_`, and there is at least one that is not `_`.
fn all(text: &str, good: impl Fn(u8) -> bool) -> Option<()> {
    (text.bytes().any(|b| b != b'_') && text.bytes().all(|b| b == b'_' || good(b))).then_some(())
}

fn sexagesimal(body: &str) -> Option<String> {
    let mut parts = body.split(':');
    let first = parts.next()?;
    if first.starts_with('0') || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return None;
    }
    let mut value: i128 = first.replace('_', "").parse().ok()?;
    for part in parts {
        let number: i128 = part.parse().ok()?;
        if part.is_empty() || part.len() > 2 || number > 59 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(number)?;
    }
    Some(value.to_string())
}

/// Decimal digits of a number of any size written in another base: schoolbook, the numbers are short.
fn in_base(digits: &str, base: u32) -> Option<String> {
    let mut decimal: Vec<u32> = vec![0];
    for digit in digits.chars() {
        let mut carry = digit.to_digit(base)?;
        for place in &mut decimal {
            let value = *place * base + carry;
            *place = value % 10;
            carry = value / 10;
        }
        while carry > 0 {
            decimal.push(carry % 10);
            carry /= 10;
        }
    }
    Some(decimal.iter().rev().filter_map(|d| char::from_digit(*d, 10)).collect())
}

/// PyYAML's timestamps: `2020-01-01` and `2020-01-01 10:00:00` with variations.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    if bytes.len() == 10 {
        return digits(0..4) && bytes[4] == b'-' && digits(5..7) && bytes[7] == b'-' && digits(8..10);
    }
    let Some((date, time)) = text.split_once(['T', 't', ' ', '\t']) else { return false };
    let mut parts = date.split('-');
    let lengths = [4..=4, 1..=2, 1..=2];
    let date_fits = lengths.iter().all(|allowed| {
        parts.next().is_some_and(|p| allowed.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    }) && parts.next().is_none();
    let time = time.trim_start();
    let clock: Vec<&str> = time
        .get(..time.find(['.', 'Z', '+', '-', ' ']).unwrap_or(time.len()))
        .map_or(vec![], |t| t.split(':').collect());
    date_fits
        && clock.len() == 3
        && clock.iter().all(|p| !p.is_empty() && p.len() <= 2 && p.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_by_the_job(text: &str) -> String {
        Literal::read(&Scalar { text: text.to_owned(), plain: true }).python_str()
    }

    /// The table of the reference, section 1.10, as the official SDK answers it.
    #[test]
    fn literals_reach_the_command_as_pyyaml_and_str_make_them() {
        for (written, seen) in [
            ("yes", "True"),
            ("On", "True"),
            ("TRUE", "True"),
            ("off", "False"),
            ("y", "y"),
            ("N", "N"),
            ("1e3", "1e3"),
            ("1e-3", "1e-3"),
            ("1.5e3", "1.5e3"),
            ("1.0e5", "1.0e5"),
            ("1.e5", "1.e5"),
            ("1.5e+3", "1500.0"),
            ("1.5E+3", "1500.0"),
            ("1.0e-05", "1e-05"),
            ("1.0e+20", "1e+20"),
            ("12345678901234567.0", "1.2345678901234568e+16"),
            (".5", "0.5"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("0.10", "0.1"),
            ("1_0.5", "10.5"),
            ("017", "15"),
            ("-017", "-15"),
            ("+5", "5"),
            ("0o17", "0o17"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("1_000", "1000"),
            ("12:30:45", "45045"),
            ("1:30", "90"),
            ("08", "08"),
            ("09", "09"),
            ("100000000000000000000", "100000000000000000000"),
            ("0.00001", "1e-05"),
            ("0.001", "0.001"),
            ("~x", "~x"),
            ("1.2.3", "1.2.3"),
            (".", "."),
            ("-", "-"),
            ("0", "0"),
        ] {
            assert_eq!(seen_by_the_job(written), seen, "for {written}");
        }
    }

    #[test]
    fn quoted_scalars_stay_text() {
        assert_eq!(Literal::read(&Scalar { text: "yes".into(), plain: false }), Literal::Str("yes".into()));
    }

    #[test]
    fn dates_are_no_strings() {
        let read = |t: &str| Literal::read(&Scalar { text: t.into(), plain: true });
        assert!(matches!(read("2020-01-01"), Literal::Timestamp(_)));
        assert!(matches!(read("2020-01-01T10:00:00Z"), Literal::Timestamp(_)));
        assert!(matches!(read("2020-01"), Literal::Str(_)));
    }

    proptest::proptest! {
        #[test]
        fn no_scalar_panics(text in "[-+0-9a-fx_:.eE]{0,12}") {
            let _ = seen_by_the_job(&text);
        }
    }
}
