//! Colours and signs: one for each status, everywhere the same.

use anstyle::{AnsiColor, Style};

use crate::outcome::JobStatus;

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether the reader understands ANSI styles.
    pub colour: bool,
}

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.colour { format!("{}{text}{}", style.render(), style.render_reset()) } else { text.to_owned() }
    }

    /// Text that matters.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// Text that may be overlooked.
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
            JobStatus::NotStarted => return self.dim(text),
        };
        self.with(Style::new().fg_color(Some(colour.into())), text)
    }

    /// The name of a step in front of what it printed, in a colour of its own.
    #[must_use]
    pub fn step(self, index: usize, name: &str) -> String {
        const HUES: [AnsiColor; 5] =
            [AnsiColor::Cyan, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::Green, AnsiColor::Yellow];
        self.with(Style::new().fg_color(Some(HUES[index % HUES.len()].into())), name)
    }
}

/// The sign of a status.
#[must_use]
pub fn sign(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Completed => "✓",
        JobStatus::Failed | JobStatus::NotResponding => "✗",
        JobStatus::Canceled | JobStatus::CancelRequested => "⊘",
        JobStatus::Running | JobStatus::Preparing | JobStatus::Finalizing => "▶",
        JobStatus::NotStarted => "·",
    }
}

/// A text in lines of a terminal: broken between words, and each line but the first moved in. Where no width is known, or
/// too little of it is left, it stays one line.
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
    use super::wrapped;

    #[test]
    fn lines_break_between_words() {
        let text = "the file prep.sh of its code changed and more";
        assert_eq!(wrapped(text, 4, Some(30)), "the file prep.sh of its\n    code changed and more");
        assert_eq!(wrapped(text, 4, None), text);
        assert_eq!(wrapped(text, 20, Some(30)), text, "too little room");
    }
}
