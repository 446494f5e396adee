//! Results as tables that fit the terminal. Digests, times and paths are shortened, wide columns come last, and columns
//! that do not fit are left out and listed.

use std::path::Path;

use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::diagnostic::visible::visible;
use crate::report::style::ellipsis;
use crate::report::summary::shown;

/// A wider column can be cut down to this many characters.
const LEAST: usize = 12;
/// How many characters of a digest are shown, enough to identify it.
const DIGEST: usize = 12;
/// The space between columns.
const GAP: usize = 2;

/// A result as a table.
pub(crate) struct Table {
    /// The lines, each with its line break.
    pub text: String,
    /// Columns that did not fit.
    pub left_out: Vec<String>,
}

struct Column {
    key: String,
    title: String,
    cells: Vec<String>,
    /// Whether the end of a cell is more informative than its beginning.
    is_path: bool,
    /// Whether all rows have the same value.
    is_constant: bool,
    /// Whether its cells must not be cut: times, digests, numbers.
    is_whole: bool,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(self.title.width())
    }

    /// The width to which it can be cut.
    fn least(&self) -> usize {
        if self.is_whole { self.width() } else { self.width().min(LEAST) }
    }
}

/// Formats a result in that many characters. Columns that the user `chose` keep their order and position.
pub(crate) fn table(answer: &Value, width: usize, chose: bool) -> Table {
    let mut columns = columns(answer);
    let mut left_out = Vec::new();
    if total(columns.iter().map(Column::width)) > width {
        columns.iter_mut().for_each(shorten);
        if !chose {
            // The first column identifies the row.
            let first = columns.len().min(1);
            columns[first..].sort_by_key(|column| column.width() > 2 * LEAST);
            while total(least(&columns)) > width {
                let Some(dispensable) = dispensable(&columns) else { break };
                left_out.push(columns.remove(dispensable).key);
            }
        }
    }
    let widths = fit(&columns, width);
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, w)| format!("{cell}{}", " ".repeat(w - cell.width())));
        text.push_str(padded.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end());
        text.push('\n');
    };
    let rows = columns.first().map_or(0, |column| column.cells.len());
    if !columns.is_empty() {
        line(columns.iter().zip(&widths).map(|(column, w)| cut(&column.title, *w, false)).collect());
        line(widths.iter().map(|w| "-".repeat(*w)).collect());
    }
    for row in 0..rows {
        line(columns.iter().zip(&widths).map(|(column, w)| cut(&column.cells[row], *w, column.is_path)).collect());
    }
    Table { text, left_out }
}

/// The least important column: one with the same value in all rows, or else the type or the experiment, or else the
/// last. Columns that identify the row or show its status are kept.
fn dispensable(columns: &[Column]) -> Option<usize> {
    let can_go = |at: &usize| *at > 0 && !["status", "version"].contains(&columns[*at].key.as_str());
    let all = || (0..columns.len()).filter(can_go);
    let least_of = |at: &usize| ["type", "experiment_name"].contains(&columns[*at].key.as_str());
    all().find(|at| columns[*at].is_constant).or_else(|| all().find(least_of)).or_else(|| all().next_back())
}

/// The columns are the members that have a scalar value in some row.
fn columns(answer: &Value) -> Vec<Column> {
    let rows: Vec<&Value> = match answer {
        Value::Array(rows) => rows.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let mut keys: Vec<String> = Vec::new();
    for row in &rows {
        match row {
            Value::Object(map) => {
                let plain = map.iter().filter(|(_, v)| !v.is_object() && !v.is_array() && !v.is_null());
                for (key, _) in plain {
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
            }
            _ if keys.is_empty() => keys.push("result".to_owned()),
            _ => {}
        }
    }
    let value = |row: &Value, key: &str| match row {
        Value::Object(map) => map.get(key).map(cell).unwrap_or_default(),
        other => cell(other),
    };
    let column = |key: String| {
        let cells: Vec<String> = rows.iter().map(|row| value(row, &key)).collect();
        let is_constant = cells.len() > 1 && cells.iter().all(|cell| *cell == cells[0]);
        Column { title: title(&visible(&key)), cells, is_path: false, is_constant, is_whole: false, key }
    };
    keys.into_iter().map(column).collect()
}

fn title(key: &str) -> String {
    let mut chars = key.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Shortens digests, times and paths to the part that identifies them.
fn shorten(column: &mut Column) {
    column.is_path = column.cells.iter().any(|cell| Path::new(cell).is_absolute());
    let whole = |cell: &String| cell.is_empty() || digest(cell).or(minute(cell).as_deref()).is_some();
    column.is_whole = column.cells.iter().all(whole);
    for cell in &mut column.cells {
        if let Some(digest) = digest(cell) {
            *cell = digest.chars().take(DIGEST).collect();
        } else if let Some(minute) = minute(cell) {
            *cell = minute;
        } else if column.is_path {
            *cell = shown(Path::new(&cell));
        }
    }
    let seconds = |cell: &String| cell.is_empty() || cell.parse::<f64>().is_ok();
    if let Some(short) = column.title.strip_suffix("_seconds").filter(|_| column.cells.iter().all(seconds)) {
        column.title = short.to_owned();
        column.is_whole = true;
        column.cells.iter_mut().filter(|cell| !cell.is_empty()).for_each(|cell| cell.push_str(" s"));
    }
}

/// The digits of a digest, without the name of the algorithm.
fn digest(cell: &str) -> Option<&str> {
    let digits = cell.rsplit(':').next().unwrap_or(cell);
    (digits.len() >= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// A time such as `2026-11-25T22:45:21.971Z`, to the minute.
fn minute(cell: &str) -> Option<String> {
    let is_time = cell.len() >= 20 && cell.ends_with('Z') && cell.as_bytes().get(10) == Some(&b'T');
    let (day, time) = (cell.get(..10)?, cell.get(11..16)?);
    is_time.then(|| format!("{day} {time}"))
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The first column identifies the row: it is cut only when the other columns cannot be cut further.
fn least(columns: &[Column]) -> impl Iterator<Item = usize> {
    columns.iter().enumerate().map(|(at, column)| if at == 0 { column.width() } else { column.least() })
}

/// The widths of the columns. The widest is cut until all fit.
fn fit(columns: &[Column], width: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let least: Vec<usize> = least(columns).collect();
    while total(widths.iter().copied()) > width {
        let can = (0..widths.len()).filter(|&at| widths[at] > least[at]);
        let Some(widest) = can.max_by_key(|&at| widths[at]) else { break };
        widths[widest] -= 1;
    }
    widths
}

/// A text without its end or its beginning, if it is too long for its column.
fn cut(text: &str, width: usize, keep_end: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ellipsis().width());
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= room
    };
    if keep_end {
        let mut end: Vec<char> = text.chars().rev().take_while(fits).collect();
        end.reverse();
        return format!("{}{}", ellipsis(), end.into_iter().collect::<String>());
    }
    format!("{}{}", text.chars().take_while(fits).collect::<String>(), ellipsis())
}

/// A value as one line.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => visible(&text.replace(['\t', '\n'], " ")),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => String::new(),
        Value::Array(items) => items.len().to_string(),
        Value::Object(_) => String::new(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_line_up() {
        let text = table(&json!([{"name": "a", "n": 10, "deep": {}}, {"name": "日本", "n": 2}]), 80, false).text;
        assert_eq!(text, "Name  N\n----  --\na     10\n日本  2\n");
        assert_eq!(table(&json!([]), 80, false).text, "");
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let digest = "0123456789abcdef0123456789abcdef";
        assert!(table(&json!([{"name": "a", "digest": digest}]), 80, false).text.contains(digest));
    }

    #[test]
    fn digests_times_and_paths_are_shortened_and_wide_columns_come_last() {
        let row = |name: &str, kind: &str| {
            json!({
                "name": name, "path": format!("/a/very/long/path/of/a/folder/that/ends/with/the/name/of.a.{kind}"),
                "digest": format!("blake3:0123456789abcdef0123456789abcdef0123456789abcdef01234567{:08x}", name.len()),
                "created_at": format!("2026-11-25T22:45:{}.971Z", name.len() + 20), "duration_seconds": 1.5 * name.len() as f64, "type": kind, "same": "in all rows",
            })
        };
        let answer = json!([row("brave_fox_1a2b3c4d5e", "pipeline"), row("calm_owl_1a2b3c4d5e", "command")]);
        let Table { text, left_out } = table(&answer, 80, false);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        let first = text.lines().nth(2).unwrap();
        assert!(first.starts_with("brave_fox_1a2b3c4d5e  0123456789ab  2026-11-25 22:45  30.0 s"), "{text}");
        assert!(first.ends_with("of.a.pipeline"), "a path is known by its end: {text}");
        assert_eq!(left_out, ["same", "type"]);
        assert_eq!(table(&answer, 200, false).left_out, [""; 0]);
    }

    #[test]
    fn columns_that_a_person_chose_stay() {
        let answer = json!([{"a": "x".repeat(60), "b": "y".repeat(60), "c": 1}]);
        let Table { text, left_out } = table(&answer, 40, true);
        assert!(text.starts_with("A") && text.lines().next().unwrap().ends_with('C') && left_out.is_empty(), "{text}");
    }
}
