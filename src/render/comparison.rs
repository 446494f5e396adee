//! Compared runs as text: a column for each run, in as many blocks as the width requires, and charts.

use unicode_width::UnicodeWidthStr as _;

use crate::diagnostic::visible::visible;
use crate::history::compare::{Compared, Goal};
use crate::report::chart::{Line, chart, short};
use crate::report::style::Paint;

/// The maximum width of a column of values, and of the column of names.
const VALUE: usize = 14;
const NAME: usize = 32;

/// A table of the parameters, then the metrics. `order` is the metric by which the runs are sorted.
pub(crate) fn table(runs: &[Compared], order: Option<&(String, Goal)>, width: usize, paint: Paint) -> String {
    let mut out = String::new();
    if let Some((metric, goal)) = order {
        out.push_str(&paint.dim(&format!("best first by {} ({})\n", visible(metric), goal.word())));
    }
    let rows: Vec<Row> = rows(runs);
    let names = rows.iter().map(|row| row.name.width()).max().unwrap_or(0).min(NAME);
    let column = |run: usize| rows.iter().map(|row| row.cells[run].width()).max().unwrap_or(0).min(VALUE);
    let mut begin = 0;
    while begin < runs.len() {
        let mut used = names;
        let fits = |run: &usize| {
            used += 2 + column(*run);
            // A block has at least one run.
            used <= width || *run == begin
        };
        let end = begin + (begin..runs.len()).take_while(fits).count();
        if begin > 0 {
            out.push('\n');
        }
        for row in &rows {
            let cells = (begin..end).map(|run| format!("  {}", padded(&row.cells[run], column(run))));
            let line = format!("{}{}", padded(&row.name, names), cells.collect::<String>());
            let line = line.trim_end();
            out.push_str(&if row.is_title { paint.bold(line) } else { line.to_owned() });
            out.push('\n');
        }
        begin = end;
    }
    out
}

/// A line of the table.
struct Row {
    name: String,
    cells: Vec<String>,
    is_title: bool,
}

fn rows(runs: &[Compared]) -> Vec<Row> {
    let title = |name: &str, cells: Vec<String>| Row { name: name.to_owned(), cells, is_title: true };
    let empty = || vec![String::new(); runs.len()];
    let mut rows = vec![title("run", headings(runs))];
    rows.push(Row {
        name: "status".into(),
        cells: runs.iter().map(|run| run.status.clone()).collect(),
        is_title: false,
    });
    let parameters = names(runs.iter().map(|run| &run.parameters));
    if !parameters.is_empty() {
        rows.push(title("parameters", empty()));
    }
    for name in parameters {
        let cell =
            |run: &Compared| run.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| visible(value));
        rows.push(Row::of(&name, runs.iter().map(cell)));
    }
    let metrics = names(runs.iter().map(|run| &run.metrics));
    if !metrics.is_empty() {
        rows.push(title("metrics", empty()));
    }
    for name in metrics {
        let cell =
            |run: &Compared| run.metrics.iter().find(|(known, _)| *known == name).map(|(_, value)| short(*value));
        rows.push(Row::of(&name, runs.iter().map(cell)));
    }
    rows
}

impl Row {
    fn of(name: &str, cells: impl Iterator<Item = Option<String>>) -> Self {
        let cells = cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect();
        Self { name: format!("  {}", visible(name)), cells, is_title: false }
    }
}

/// The shortest unique prefixes of run names: a prefix is accepted wherever a run is named.
fn headings(runs: &[Compared]) -> Vec<String> {
    let cut = |name: &str| name.chars().take(VALUE).collect::<String>();
    let unique = |name: &str| runs.iter().filter(|run| run.name.starts_with(&cut(name))).count() < 2;
    runs.iter().map(|run| if unique(&run.name) { cut(&run.name) } else { run.name.clone() }).collect()
}

/// All names, in order of their first appearance.
fn names<'a, T: 'a>(lists: impl Iterator<Item = &'a Vec<(String, T)>>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in lists.flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// A text in a column. A text that is too long is cut in the middle, because names often differ at their ends.
fn padded(text: &str, width: usize) -> String {
    let long = text.width();
    if long <= width {
        return format!("{text}{}", " ".repeat(width - long));
    }
    let characters: Vec<char> = text.chars().collect();
    let (first, last) = (width.saturating_sub(2) / 2, width.saturating_sub(2).div_ceil(2));
    let begin: String = characters[..first.min(characters.len())].iter().collect();
    let end: String = characters[characters.len().saturating_sub(last)..].iter().collect();
    format!("{begin}..{end}")
}

/// A chart for each metric that has several values in some run.
pub(crate) fn charts(runs: &[Compared], width: usize) -> String {
    let headings = headings(runs);
    let mut out = String::new();
    for metric in names(runs.iter().map(|run| &run.histories)) {
        let points =
            |run: &Compared| run.histories.iter().find(|(name, _)| *name == metric).map(|(_, all)| all.clone());
        let lines = runs.iter().zip(&headings).filter_map(|(run, name)| {
            Some(Line {
                name: visible(name),
                points: points(run).filter(|points| !points.is_empty())?,
                is_joined: true,
            })
        });
        let lines: Vec<Line> = lines.collect();
        if lines.iter().any(|line| line.points.len() > 1) {
            out.push_str(&format!("\n{}\n{}", visible(&metric), chart(&lines, width)));
        }
    }
    out
}
