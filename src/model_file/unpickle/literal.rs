//! Numbers and texts as pickles spell them, the line-based forms of protocol 0 among them.

use super::machine::{Done, LINE, Machine};
use super::value::Node;

impl Machine<'_> {
    /// Texts of Python 2 may be no UTF-8: what is not is replaced, for nobody computes with it.
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
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        let node = match (code, text) {
            (b'I', "00") => Node::Bool(false),
            (b'I', "01") => Node::Bool(true),
            (b'F', text) => match text.parse() {
                Ok(number) => Node::Float(number),
                Err(_) => return self.broken("is no number".to_owned()),
            },
            (_, text) => {
                let digits = text.trim_end_matches('L');
                match digits.parse() {
                    Ok(number) => Node::Int(number),
                    Err(_) if digits.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => Node::Long,
                    Err(_) => return self.broken("is no number".to_owned()),
                }
            }
        };
        self.make(node)
    }

    /// A quoted line of protocol 0. Escapes are left as they are: names of parameters have none.
    pub(super) fn string_line(&mut self) -> Done {
        let line = self.stream.line(LINE)?;
        let inner = match line.as_slice() {
            [first @ (b'\'' | b'"'), inner @ .., last] if first == last => inner.to_vec(),
            _ => return self.broken("the text has no quotes".to_owned()),
        };
        self.text(inner)
    }
}
