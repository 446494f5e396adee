//! What Python's own libraries print: `json.dumps`, PyYAML's `dump`. Names of anonymous assets are digests of that text.

use serde_json::Value as Json;

use crate::yaml::{Literal, Scalar};

/// `json.dumps(value, sort_keys=True)`.
pub(super) fn json_dumps(value: &Json, text: &mut String) {
    json(value, true, text);
}

/// `json.dumps(value)`.
pub(super) fn json_text(value: &Json, text: &mut String) {
    json(value, false, text);
}

fn json(value: &Json, sort_keys: bool, text: &mut String) {
    match value {
        Json::Null => text.push_str("null"),
        Json::Bool(it) => text.push_str(if *it { "true" } else { "false" }),
        Json::Number(number) => text.push_str(&number_text(number)),
        Json::String(it) => quoted(it, text),
        Json::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push_str(", ");
                }
                json(item, sort_keys, text);
            }
            text.push(']');
        }
        Json::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            if sort_keys {
                keys.sort();
            }
            text.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    text.push_str(", ");
                }
                quoted(key, text);
                text.push_str(": ");
                json(&fields[key], sort_keys, text);
            }
            text.push('}');
        }
    }
}

fn number_text(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(it), ..) => it.to_string(),
        (_, Some(it), _) => it.to_string(),
        (.., Some(it)) => Literal::Float(it).python_str(),
        _ => number.to_string(),
    }
}

/// A JSON string with everything beyond ASCII escaped.
fn quoted(it: &str, text: &mut String) {
    text.push('"');
    for c in it.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text.push('"');
}

/// PyYAML's `dump` in block style; keys are sorted when asked for.
pub(super) fn yaml_dump(value: &Json, sort_keys: bool) -> String {
    let mut writer = Writer { text: String::new(), column: 0, sort_keys };
    writer.node(value, None, false);
    if !writer.text.ends_with('\n') {
        writer.text.push('\n');
    }
    writer.text
}

const WIDTH: usize = 80;

struct Writer {
    text: String,
    column: usize,
    sort_keys: bool,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.push_str(&" ".repeat(indent));
        self.column = indent;
    }

    /// Writes a node; `indent` is that of the collection around it.
    fn node(&mut self, value: &Json, indent: Option<usize>, in_mapping: bool) {
        match value {
            Json::Object(fields) if !fields.is_empty() => {
                let inner = indent.map_or(0, |i| i + 2);
                let mut keys: Vec<&String> = fields.keys().collect();
                if self.sort_keys {
                    keys.sort();
                }
                for (i, key) in keys.into_iter().enumerate() {
                    if i > 0 || in_mapping {
                        self.line(inner);
                    }
                    self.scalar(key, inner, true);
                    self.put(":");
                    self.node(&fields[key], Some(inner), true);
                }
            }
            Json::Array(items) if !items.is_empty() => {
                // A list in a mapping is not indented.
                let inner = if in_mapping { indent.unwrap_or(0) } else { indent.map_or(0, |i| i + 2) };
                for (i, item) in items.iter().enumerate() {
                    if i > 0 || in_mapping {
                        self.line(inner);
                    }
                    self.put("-");
                    let block = matches!(item, Json::Object(f) if !f.is_empty())
                        || matches!(item, Json::Array(a) if !a.is_empty());
                    if block {
                        self.put(" ");
                        self.node(item, Some(inner), false);
                    } else {
                        self.node(item, Some(inner), true);
                    }
                }
            }
            other => {
                let start = indent.is_none();
                let text = match other {
                    Json::Object(_) => "{}".to_owned(),
                    Json::Array(_) => "[]".to_owned(),
                    Json::Null => "null".to_owned(),
                    Json::Bool(it) => it.to_string(),
                    Json::Number(number) => yaml_number(number),
                    Json::String(text) => {
                        if !start {
                            self.put(" ");
                        }
                        return self.scalar(text, indent.map_or(0, |i| i + 2), false);
                    }
                };
                if !start {
                    self.put(" ");
                }
                self.put(&text);
            }
        }
    }

    /// A text in the plainest style that PyYAML allows for it.
    fn scalar(&mut self, text: &str, indent: usize, key: bool) {
        match style(text, key) {
            Style::Plain => self.folded(text, indent, !key),
            Style::Single => {
                self.put("'");
                self.single(text, indent, !key);
                self.put("'");
            }
            Style::Double => {
                let mut escaped = String::new();
                double(text, &mut escaped);
                self.put(&escaped);
            }
        }
    }

    fn folded(&mut self, text: &str, indent: usize, split: bool) {
        for (i, word) in text.split(' ').enumerate() {
            if i > 0 {
                // Only a lone space may become a line break.
                let lone = !word.is_empty() && !self.text.ends_with(' ');
                if split && lone && self.column > WIDTH {
                    self.line(indent);
                } else {
                    self.put(" ");
                }
            }
            self.put(word);
        }
    }

    fn single(&mut self, text: &str, indent: usize, split: bool) {
        let mut lines = text.split('\n').peekable();
        let mut first = true;
        while let Some(line) = lines.next() {
            if !first {
                // A line break in the text is an empty line in single quotes; a run of them adds one.
                self.text.push('\n');
                if !line.is_empty() || lines.peek().is_none() {
                    self.line(indent);
                }
            }
            first = false;
            self.folded(&line.replace('\'', "''"), indent, split);
        }
    }
}

fn yaml_number(number: &serde_json::Number) -> String {
    let text = number_text(number);
    if !text.contains('.') && text.contains('e') { text.replacen('e', ".0e", 1) } else { text }
}

enum Style {
    Plain,
    Single,
    Double,
}

/// PyYAML's choice of a style (its `analyze_scalar` and `choose_scalar_style`).
fn style(text: &str, key: bool) -> Style {
    let chars: Vec<char> = text.chars().collect();
    let special = chars.iter().any(|c| !matches!(c, '\n' | ' '..='~'));
    if special {
        return Style::Double;
    }
    let space_break = text.contains(" \n");
    if space_break || key && text.contains('\n') {
        return Style::Double;
    }
    let reads_as_text = matches!(Literal::read(&Scalar { text: text.to_owned(), plain: true }), Literal::Str(_));
    if !text.is_empty() && reads_as_text && text != "=" && text != "<<" && plain_allowed(text, &chars) {
        return Style::Plain;
    }
    Style::Single
}

fn plain_allowed(text: &str, chars: &[char]) -> bool {
    if text.contains('\n') || text.starts_with(' ') || text.ends_with(' ') {
        return false;
    }
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    let spaced = |i: usize| chars.get(i).is_none_or(|c| *c == ' ');
    match chars[0] {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => return false,
        '?' | ':' | '-' if spaced(1) => return false,
        _ => {}
    }
    !chars.iter().enumerate().skip(1).any(|(i, c)| match c {
        ':' => spaced(i + 1),
        '#' => chars[i - 1] == ' ',
        _ => false,
    })
}

fn double(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{a0}' => out.push_str("\\_"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            ' '..='~' => out.push(c),
            c if (c as u32) <= 0xff => out.push_str(&format!("\\x{:02X}", c as u32)),
            c if (c as u32) <= 0xffff => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push_str(&format!("\\U{:08X}", c as u32)),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_pyyamls() {
        let conda =
            json!({"name": "env", "channels": ["conda-forge"], "dependencies": ["python=3.8", {"pip": ["a[b]>=1"]}]});
        assert_eq!(
            yaml_dump(&conda, true),
            "channels:\n- conda-forge\ndependencies:\n- python=3.8\n- pip:\n  - a[b]>=1\nname: env\n"
        );
        let odd = json!({"a": "1", "b": "yes", "c": "", "d": 1.0, "e": [], "f": {}, "g": "x: y", "h": null, "i": "é"});
        assert_eq!(
            yaml_dump(&odd, true),
            "a: '1'\nb: 'yes'\nc: ''\nd: 1.0\ne: []\nf: {}\ng: 'x: y'\nh: null\ni: \"\\xE9\"\n"
        );
    }

    #[test]
    fn json_is_pythons() {
        let mut text = String::new();
        json_dumps(&json!({"b": [1, 2.0, null], "a": "é\"\n"}), &mut text);
        assert_eq!(text, r#"{"a": "\u00e9\"\n", "b": [1, 2.0, null]}"#);
    }
}
