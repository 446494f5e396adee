//! Makes untrusted text safe for a terminal. Names, messages and the output of steps must not move the cursor, change
//! the title or the clipboard, hide text, or change the reading direction. Colours (SGR) are kept where they are
//! wanted.

/// One line. Control characters are replaced with symbols.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}

/// Several lines. Line breaks and tabs are kept.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    filter(text, false)
}

/// Several lines with our own colours. Line breaks, tabs and colours are kept.
#[must_use]
pub fn painted(text: &str) -> String {
    filter(text, true)
}

/// A line that a step printed. Tabs and colours are kept, and colours are reset at its end. Other control sequences are
/// removed.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        match c {
            '\x1b' => match sequence(after) {
                Sequence::Colour(length) => {
                    out.push('\x1b');
                    out.push_str(&after[..length]);
                    rest = &after[length..];
                }
                Sequence::Other(length) => rest = &after[length..],
            },
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(picture(c)),
        }
    }
    if out.contains('\x1b') { out + "\x1b[0m" } else { out }
}

/// The symbol for a control character; any other character as it is.
pub(super) fn picture(c: char) -> char {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => '\u{fffd}',
        c => c,
    }
}

fn filter(text: &str, colours: bool) -> String {
    // A shortcut: nearly all text is plain.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        match c {
            '\x1b' if colours => match sequence(after) {
                Sequence::Colour(length) => {
                    out.push('\x1b');
                    out.push_str(&after[..length]);
                    rest = &after[length..];
                }
                Sequence::Other(_) => out.push(picture(c)),
            },
            '\n' | '\t' => out.push(c),
            '\r' if after.starts_with('\n') => out.push(c),
            c => out.push(picture(c)),
        }
    }
    out
}

/// The longest escape sequence that is recognised, in bytes.
const LONGEST: usize = 4096;

/// An escape sequence, with its length.
enum Sequence {
    /// A colour or a style that does not hide text.
    Colour(usize),
    /// Any other sequence. Of a sequence without an end, only the escape character.
    Other(usize),
}

fn sequence(after: &str) -> Sequence {
    // The search is limited, so that a text with many unterminated sequences is not searched to its end for each of
    // them.
    let after = &after[..after.floor_char_boundary(LONGEST)];
    let Some(kind) = after.bytes().next() else { return Sequence::Other(0) };
    match kind {
        b'[' => {
            let Some(end) = after[1..].find(|c: char| ('@'..='~').contains(&c)).map(|at| at + 1) else {
                return Sequence::Other(1);
            };
            let (body, last) = (&after[1..end], after.as_bytes()[end]);
            if last == b'm' && is_colour(body) { Sequence::Colour(end + 1) } else { Sequence::Other(end + 1) }
        }
        // Titles, clipboard, links: text up to BEL or ESC \.
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let bell = after.find('\x07').map(|at| at + 1);
            let ended = after.find("\x1b\\").map(|at| at + 2);
            Sequence::Other([bell, ended].into_iter().flatten().min().unwrap_or(0))
        }
        _ => Sequence::Other(0),
    }
}

/// Whether all SGR parameters are colours and styles, and none hides the text (8).
fn is_colour(parameters: &str) -> bool {
    if !parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':') {
        return false;
    }
    let mut numbers = parameters.split(';').map(|number| number.split(':').next().unwrap_or_default());
    while let Some(number) = numbers.next() {
        match number.trim_start_matches('0') {
            "8" => return false,
            // A colour by its number or its components, which may be 8.
            "38" | "48" | "58" => match numbers.next() {
                Some("5") => drop(numbers.next()),
                Some("2") => drop(numbers.by_ref().take(3).count()),
                _ => {}
            },
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_stay_and_cursor_moves_go() {
        assert_eq!(sanitize("a\tb"), "a\tb");
        assert_eq!(sanitize("\x1b[31mred\x1b[0m"), "\x1b[31mred\x1b[0m\x1b[0m");
        assert_eq!(sanitize("\x1b[38;5;8mgrey"), "\x1b[38;5;8mgrey\x1b[0m");
        assert_eq!(sanitize("up\x1b[2Ahome\x1b[H\x07\x1b"), "uphome");
        assert_eq!(sanitize("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c"), "abc");
        assert_eq!(sanitize("a\x1b]0;never ends"), "a]0;never ends");
        for hidden in ["\x1b[8mx", "\x1b[1;8mx", "\x1b[08mx", "\x1b[>4;1mx", "\x1b[?25mx", "\u{9b}8mx\u{202e}"] {
            assert!(!sanitize(hidden).contains(['\x1b', '\u{9b}', '\u{202e}']), "{hidden:?}");
        }
    }

    #[test]
    fn nothing_but_lines_comes_through_and_colours_of_our_own() {
        let text = "a\x1b[31m\tb\r\nc\rd\x1b[2J\u{202e}\n";
        assert_eq!(visible_lines(text), "a␛[31m\tb\r\nc␍d␛[2J\u{fffd}\n");
        assert_eq!(painted(text), "a\x1b[31m\tb\r\nc␍d␛[2J\u{fffd}\n");
        assert_eq!(visible("a\nb\x1b"), "a␊b␛");
    }

    proptest! {
        #[test]
        fn whatever_comes_no_terminal_obeys_it(text in "[\\x00-\\x1f\\x7f-\\x9fa-m0-9;:\\[\\]\u{202a}-\u{202e}]{0,40}") {
            for shown in [visible(&text), visible_lines(&text)] {
                prop_assert!(!shown.contains(|c: char| c.is_control() && !"\t\r\n".contains(c)), "{:?}", shown);
            }
            for shown in [sanitize(&text), painted(&text)] {
                for after in shown.split('\x1b').skip(1) {
                    let colour = after.strip_prefix('[').and_then(|rest| rest.split_once('m')).map(|(body, _)| body);
                    prop_assert!(colour.is_some_and(is_colour), "{:?}", shown);
                }
            }
        }
    }
}
