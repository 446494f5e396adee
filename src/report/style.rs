//! Colours and signs: one for each status, the same everywhere.

use std::borrow::Cow;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};

use crate::outcome::JobStatus;

/// Paints text, or leaves it plain.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether the output supports ANSI styles.
    pub colour: bool,
}

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.colour { format!("{}{text}{}", style.render(), style.render_reset()) } else { text.to_owned() }
    }

    /// Important text.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// Unimportant text.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// Text in the colour of a status.
    #[must_use]
    pub fn status(self, status: JobStatus, text: &str) -> String {
        let colour = match status {
            JobStatus::Completed => AnsiColor::Green,
            JobStatus::Failed | JobStatus::NotResponding => AnsiColor::Red,
            JobStatus::Canceled | JobStatus::CancelRequested => AnsiColor::Yellow,
            JobStatus::Running | JobStatus::Preparing | JobStatus::Finalizing => AnsiColor::Cyan,
            JobStatus::NotStarted | JobStatus::Queued => return self.dim(text),
        };
        self.with(Style::new().fg_color(Some(colour.into())), text)
    }

    /// The name of a step before its output, in its own colour.
    #[must_use]
    pub fn step(self, index: usize, name: &str) -> String {
        const HUES: [AnsiColor; 5] =
            [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::Green, AnsiColor::Yellow];
        self.with(Style::new().fg_color(Some(HUES[index % HUES.len()].into())), name)
    }
}

/// Whether the user's locale has more than ASCII. If no locale is set, as in most containers, it has.
#[must_use]
pub fn is_utf8() -> bool {
    static IS_UTF8: OnceLock<bool> = OnceLock::new();
    // Like the C library: the first variable that is set counts.
    let said =
        || ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    *IS_UTF8.get_or_init(|| said().is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8")))
}

/// A text for the user's locale: if it has only ASCII, amlrun's own signs are replaced. Other text is not changed.
#[must_use]
pub fn for_locale(text: &str) -> Cow<'_, str> {
    if is_utf8() || text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|character| in_ascii(character).map_or(character.to_string(), str::to_owned)).collect())
}

/// One of amlrun's own signs in ASCII.
fn in_ascii(sign: char) -> Option<&'static str> {
    Some(match sign {
        '✓' | '◌' => "+",
        '✗' => "x",
        '⊘' => "-",
        '▶' | '▷' => ">",
        '·' => ".",
        '…' => "..",
        '→' => "->",
        '↻' => "~",
        '⇅' => "=",
        '├' | '└' | '┌' | '┐' | '┘' => "+",
        '│' => "|",
        '─' | '━' | '╌' => "-",
        _ => return None,
    })
}

/// A name in at most that many columns: shortened in the middle, because names differ at both ends.
#[must_use]
pub fn capped(name: &str, width: usize) -> String {
    let count = name.chars().count();
    if count <= width {
        return name.to_owned();
    }
    let room = width.saturating_sub(ellipsis().chars().count());
    let begin = name.chars().take(room / 2);
    let end = name.chars().skip(count - room.div_ceil(2));
    begin.chain(ellipsis().chars()).chain(end).collect()
}

/// The sign for the missing rest of a text.
#[must_use]
pub fn ellipsis() -> &'static str {
    if is_utf8() { "…" } else { ".." }
}

/// The sign of a status.
#[must_use]
pub fn sign(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Completed => "✓",
        JobStatus::Failed | JobStatus::NotResponding => "✗",
        JobStatus::Canceled | JobStatus::CancelRequested => "⊘",
        JobStatus::Running | JobStatus::Preparing | JobStatus::Finalizing => "▶",
        JobStatus::NotStarted | JobStatus::Queued => "·",
    }
}

/// A text wrapped for a terminal: broken between words, with every line but the first indented. If the width is
/// unknown or too small, it stays one line.
#[must_use]
pub fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    const LEAST: usize = 24;
    let room = width.unwrap_or(0).saturating_sub(indent);
    if room < LEAST || text.chars().count() <= room {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{capped, in_ascii, sign, wrapped};
    use crate::outcome::JobStatus;

    #[test]
    fn names_are_cut_in_their_middle() {
        assert_eq!(capped("prepare.clean.rows", 10), "prep….rows");
        assert_eq!(capped("train", 10), "train");
    }

    #[test]
    fn every_sign_has_one_in_ascii() {
        let all = [JobStatus::Completed, JobStatus::Failed, JobStatus::Canceled, JobStatus::Running, JobStatus::Queued];
        assert!(all.iter().flat_map(|status| sign(*status).chars()).all(|sign| in_ascii(sign).is_some()));
    }

    #[test]
    fn lines_break_between_words() {
        let text = "the file prep.sh of its code changed and more";
        assert_eq!(wrapped(text, 4, Some(30)), "the file prep.sh of its\n    code changed and more");
        assert_eq!(wrapped(text, 4, None), text);
        assert_eq!(wrapped(text, 20, Some(30)), text, "too little room");
    }
}
