//! A chart in plain characters, for every terminal and log.

use std::fmt::Write as _;

/// The signs of the lines, in order.
const SIGNS: [char; 6] = ['*', '+', 'o', 'x', '#', '%'];
/// The height of a chart, in lines.
const HEIGHT: usize = 10;
/// The minimum width of the drawing area.
const LEAST: usize = 16;

/// One line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name below the chart.
    pub name: String,
    /// Its points, sorted by the first number. Points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether its points are joined.
    pub is_joined: bool,
}

/// Draws all lines into one chart of `width` columns, with the scale beside it.
#[must_use]
pub fn chart(lines: &[Line], width: usize) -> String {
    let finite = |line: &Line| {
        let points = line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        Line { points, ..line.clone() }
    };
    let lines: Vec<Line> = lines.iter().map(finite).collect();
    let all = || lines.iter().flat_map(|line| &line.points);
    let Some((left, right)) = range(all().map(|point| point.0)) else { return String::new() };
    let Some((low, high)) = range(all().map(|point| point.1)) else { return String::new() };
    let labels = [short(high), short(low)];
    let beside = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let columns = width.saturating_sub(beside + 3).max(LEAST);
    let mut plane = vec![vec![' '; columns]; HEIGHT];
    for (number, line) in lines.iter().enumerate().rev() {
        let sign = SIGNS[number % SIGNS.len()];
        let at = |(x, y): (f64, f64)| (cell(x, left, right, columns), HEIGHT - 1 - cell(y, low, high, HEIGHT));
        let mut before: Option<(f64, f64)> = None;
        for &point in &line.points {
            // The line between two points is straight.
            let from = before.filter(|_| line.is_joined).unwrap_or(point);
            let (first, last) = (at(from).0, at(point).0);
            let mut put = |column: usize, y: f64| plane[at((point.0, y)).1][column] = sign;
            for column in first..=last {
                let part = if last > first { ratio(column - first, last - first) } else { 1.0 };
                put(column, from.1 + (point.1 - from.1) * part);
            }
            before = Some(point);
        }
    }
    let mut out = String::new();
    for (row, cells) in plane.iter().enumerate() {
        let label = match row {
            0 => labels[0].as_str(),
            _ if row == HEIGHT - 1 => labels[1].as_str(),
            _ => "",
        };
        let cells: String = cells.iter().collect();
        let _ = writeln!(out, "{}", format!("{label:>beside$} | {cells}").trim_end());
    }
    let _ = writeln!(out, "{:beside$} +-{}", "", "-".repeat(columns));
    let (first, last) = (short(left), short(right));
    let gap = columns.saturating_sub(first.len() + last.len());
    let _ = writeln!(out, "{:beside$}   {first}{}{last}", "", " ".repeat(gap));
    let names = lines.iter().enumerate().map(|(number, line)| format!("{} {}", SIGNS[number % SIGNS.len()], line.name));
    let _ = writeln!(out, "{:beside$}   {}", "", names.collect::<Vec<_>>().join("   "));
    out
}

/// The minimum and maximum of numbers; `None` without numbers. A flat line is put into the middle of a range.
fn range(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    numbers.fold(None, |range, number| {
        let (low, high) = range.unwrap_or((number, number));
        Some((number.min(low), number.max(high)))
    })
}

/// The index of the cell in which a number is, between two bounds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "within cells"
)]
fn cell(number: f64, low: f64, high: f64, cells: usize) -> usize {
    // Halved, so that the distance of very large numbers stays finite.
    let part = (number / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    if part.is_nan() { cells / 2 } else { (part * (cells - 1) as f64).round() as usize }.min(cells - 1)
}

#[expect(clippy::cast_precision_loss, reason = "columns of a terminal")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A number in at most ten characters: unchanged if it is short, otherwise with four significant digits.
#[must_use]
pub fn short(number: f64) -> String {
    let plain = number.to_string();
    if plain.len() <= 7 || !number.is_finite() {
        return plain;
    }
    match number.abs() {
        size if (0.001..100_000.0).contains(&size) => {
            #[expect(clippy::cast_possible_truncation, reason = "between -3 and 4")]
            let places = 3 - size.log10().floor() as i32;
            format!("{number:.*}", usize::try_from(places.max(0)).unwrap_or(0))
        }
        _ => format!("{number:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fall_and_rise_from_left_to_right() {
        let falls = Line { name: "falls".into(), points: vec![(0.0, 1.0), (10.0, 0.0)], is_joined: true };
        let rises =
            Line { name: "rises".into(), points: vec![(0.0, 0.0), (10.0, 1.0), (11.0, f64::NAN)], is_joined: true };
        let text = chart(&[falls, rises], 26);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), HEIGHT + 3);
        assert!(rows[0].starts_with("1 | *") && rows[0].ends_with('+'), "{text}");
        assert!(rows[HEIGHT - 1].starts_with("0 | +") && rows[HEIGHT - 1].ends_with('*'), "{text}");
        assert!(rows[HEIGHT + 1].trim_start().starts_with('0') && rows[HEIGHT + 1].ends_with("10"), "{text}");
        assert!(rows[HEIGHT + 2].ends_with("* falls   + rises"), "{text}");
        assert!(rows.iter().all(|row| row.chars().count() <= 26), "{text}");
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let line = |points: &[(f64, f64)]| Line { name: "x".into(), points: points.to_vec(), is_joined: true };
        assert_eq!(chart(&[line(&[(1.0, f64::NAN)])], 40), "");
        assert!(chart(&[line(&[(1.0, 5.0)])], 40).contains('*'), "one point");
        assert!(chart(&[line(&[(0.0, f64::MIN), (1.0, f64::MAX)])], 40).contains('*'));
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.5, 0.363_422_1, 12_345.678, 100.0, 1e-9, 123_456_789.0, f64::NAN];
        assert_eq!(numbers.map(short), ["0.5", "0.3634", "12346", "100", "1.000e-9", "1.235e8", "NaN"]);
    }
}
