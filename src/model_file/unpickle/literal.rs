//! Parses numbers and texts in pickles, including the line-based forms of protocol 0 with Python's escapes.
//!
//! Python's two unpicklers (in C and in Python) read some unusual spellings differently. Such a spelling is recorded as
//! a doubt. Only spellings that neither of them accepts end the pickle.

use super::machine::{Done, LINE, Machine};
use super::value::Node;

impl Machine<'_> {
    /// A text in UTF-8. Invalid bytes are replaced: no reader accepts them in a name.
    pub(super) fn text(&mut self, bytes: Vec<u8>) -> Done {
        let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        self.make(Node::Text(text.into()))
    }

    pub(super) fn long(&mut self, length: u64) -> Done {
        if length > 8 {
            self.stream.skip(length)?;
            return self.make(Node::Long);
        }
        let bytes = self.stream.bytes(length)?;
        let sign = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if sign { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(&bytes);
        self.make(Node::Int(i64::from_le_bytes(wide)))
    }

    pub(super) fn number_line(&mut self, code: u8) -> Done {
        let line = self.stream.line(LINE)?;
        let node = match (code, line.as_slice()) {
            (b'I', b"00") => Node::Bool(false),
            (b'I', b"01") => Node::Bool(true),
            (b'F', line) => match plain(line).and_then(|text| text.parse().ok()) {
                Some(number) => Node::Float(number),
                None => self.odd_number(line, Node::Float(f64::NAN))?,
            },
            (_, line) => {
                let digits = line.strip_suffix(b"L").filter(|_| code == b'L').unwrap_or(line);
                match plain(digits) {
                    Some(text) => text.parse().map_or(Node::Long, Node::Int),
                    None => self.odd_number(digits, Node::Long)?,
                }
            }
        };
        self.make(node)
    }

    /// A number in a spelling that some reader may accept: underscores, prefixes, spaces, digits of other alphabets.
    fn odd_number(&mut self, line: &[u8], node: Node) -> Result<Node, super::PickleError> {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"-").or(line.strip_prefix(b"+")).unwrap_or(line);
        let word = |word: &str| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
        let possible = line.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.' || *first >= 0x80);
        if !possible && !word("nan") && !word("inf") {
            return self.broken("is not a number".to_owned());
        }
        if self.name != "FLOAT" || possible {
            self.evidence.doubt("a number is written in a form that pickle readers interpret differently");
        }
        Ok(node)
    }

    /// A quoted line of protocol 0, with the escapes of Python's byte strings.
    pub(super) fn string_line(&mut self) -> Done {
        let line = self.stream.line(LINE)?;
        let inner = match (line.as_slice(), line.trim_ascii()) {
            ([first @ (b'\'' | b'"'), inner @ .., last], _) if first == last => inner,
            (_, [first @ (b'\'' | b'"'), inner @ .., last]) if first == last => {
                self.evidence.doubt("a string is quoted in a form that pickle readers interpret differently");
                inner
            }
            _ => return self.broken("the string has no quotes".to_owned()),
        };
        match unescaped(inner) {
            Some(bytes) => self.text(bytes),
            None => {
                self.evidence.doubt("a string has invalid escapes");
                self.text(inner.to_vec())
            }
        }
    }

    /// A line of protocol 0 in Latin-1, in which `\\u` and `\\U` are the only escapes.
    pub(super) fn unicode_line(&mut self) -> Done {
        let line = self.stream.line(LINE)?;
        let text = raw_unicode(&line).unwrap_or_else(|| {
            self.evidence.doubt("a string has invalid escapes");
            String::from_utf8_lossy(&line).into_owned()
        });
        self.make(Node::Text(text.into()))
    }

    /// The memo key of a value.
    pub(super) fn decimal(&mut self) -> Result<u64, super::PickleError> {
        let line = self.stream.line(LINE)?;
        if let Some(number) = plain(&line).and_then(|text| text.parse().ok()) {
            return Ok(number);
        }
        self.odd_number(&line, Node::None)?;
        let digits: String = line.iter().filter(|byte| byte.is_ascii_digit()).map(|&byte| char::from(byte)).collect();
        Ok(digits.parse().unwrap_or(u64::MAX))
    }
}

/// A number in the usual spelling: digits, a sign, a dot and an exponent, and nothing ambiguous.
fn plain(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let octal = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    (digits.starts_with(|c: char| c.is_ascii_digit()) && !octal && digits.bytes().all(known)).then_some(text)
}

/// Decodes the escapes of a byte string, such as `\\x41`, `\\101`, `\
///
/// `. `None` if one is incomplete.
fn unescaped(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&kind, tail) = rest.split_first()?;
        rest = tail;
        match kind {
            b'x' => {
                out.push(u8::from_str_radix(digits(rest.get(..2)?)?, 16).ok()?);
                rest = &rest[2..];
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let number = rest[..more].iter().fold(u32::from(kind - b'0'), |n, d| n * 8 + u32::from(d - b'0'));
                out.push(number as u8);
                rest = &rest[more..];
            }
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'\\' | b'\'' | b'"' => out.push(kind),
            other => out.extend([b'\\', other]),
        }
    }
    Some(out)
}

/// Python's `raw-unicode-escape`: a backslash before anything but `u` and `U` is literal, and so is the character after
/// it.
fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(char::from(byte));
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else {
            out.push('\\');
            break;
        };
        rest = tail;
        let width = match kind {
            b'u' => 4,
            b'U' => 8,
            other => {
                out.extend(['\\', char::from(other)]);
                continue;
            }
        };
        let code = u32::from_str_radix(digits(rest.get(..width)?)?, 16).ok()?;
        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[width..];
    }
    Some(out)
}

/// Hexadecimal digits only: Rust's parser would accept a sign too.
fn digits(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_python() {
        assert_eq!(unescaped(br"\x6fs\163\\\'\q").unwrap(), br"oss\'\q");
        assert_eq!(unescaped(br"\x6"), None);
        assert_eq!(raw_unicode(br"\u006fs\\u0073\n").unwrap(), r"os\\u0073\n");
        assert_eq!(raw_unicode(br"\u00+f"), None);
        assert_eq!(raw_unicode(b"\xe9").unwrap(), "\u{e9}");
    }

    #[test]
    fn only_plain_numbers_have_one_reading() {
        for odd in ["0x10", "1_0", " 1", "010", "", "1L", "nan"] {
            assert_eq!(plain(odd.as_bytes()), None, "{odd}");
        }
        for right in ["0", "-7", "1.5", "1e-05", "1.5E+3"] {
            assert_eq!(plain(right.as_bytes()), Some(right));
        }
    }
}
