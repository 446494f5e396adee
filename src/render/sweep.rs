//! The trials of a sweep as a table, as charts in text, and as a picture with parallel coordinates.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::table;
use crate::diagnostic::visible::visible;
use crate::event::StepView;
use crate::report::chart::{Line, chart, short};
use crate::report::style::Paint;

/// The trials of a sweep, the best one first.
pub(crate) struct Trials<'v> {
    pub sweep: &'v StepView,
    pub metric: String,
    pub is_minimized: bool,
    /// The names of the parameters, in the author's order.
    pub parameters: Vec<String>,
    pub trials: Vec<&'v StepView>,
}

impl Trials<'_> {
    fn headline(&self) -> String {
        let count = match self.trials.len() {
            1 => "1 trial".to_owned(),
            count => format!("{count} trials"),
        };
        let goal = if self.is_minimized { "minimize" } else { "maximize" };
        format!("{} of '{}', best first by {} ({goal})", count, self.sweep.path, self.metric)
    }
}

/// A table with one line for each trial.
pub(crate) fn table(trials: &Trials<'_>, width: usize, paint: Paint) -> String {
    let row = |trial: &&StepView| {
        let mut row = Map::new();
        let name = trial.path.rsplit('.').next().unwrap_or(&trial.path);
        row.insert("trial".to_owned(), json!(name));
        row.insert("status".to_owned(), json!(status(trial)));
        row.insert(trials.metric.clone(), json!(trial.score.map(short)));
        for parameter in &trials.parameters {
            row.insert(parameter.clone(), json!(value(trial, parameter)));
        }
        Value::Object(row)
    };
    let mut out = format!("{}\n", paint.dim(&visible(&trials.headline())));
    let rows: Vec<Value> = trials.trials.iter().map(row).collect();
    let table = table::table(&Value::Array(rows), width, true);
    out.push_str(&table.text);
    if !table.left_out.is_empty() {
        let _ = writeln!(out, "{}", paint.dim(&format!("not shown: {}", table.left_out.join(", "))));
    }
    out
}

fn status(trial: &StepView) -> String {
    match (&trial.reused_from, &trial.stopped) {
        (Some(_), _) => "Reused".to_owned(),
        (_, Some(_)) => "Stopped".to_owned(),
        _ => trial.status.to_string(),
    }
}

/// The value of a parameter as text.
fn value(trial: &StepView, parameter: &str) -> Option<String> {
    let (_, value) = trial.parameters.iter().find(|(name, _)| name == parameter)?;
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map(short)?,
        value => value.to_string(),
    })
}

/// A chart of the score over each parameter that is a number.
pub(crate) fn scatter(trials: &Trials<'_>, width: usize) -> String {
    let mut out = String::new();
    for parameter in &trials.parameters {
        let point = |trial: &&StepView| {
            let (_, value) = trial.parameters.iter().find(|(name, _)| name == parameter)?;
            Some((value.as_f64()?, trial.score?))
        };
        let points: Vec<(f64, f64)> = trials.trials.iter().filter_map(point).collect();
        let name = visible(&format!("{} over {parameter}", trials.metric));
        let drawn = chart(&[Line { name, points, is_joined: false }], width);
        if !drawn.is_empty() {
            let _ = write!(out, "\n{drawn}");
        }
    }
    out
}

/// The size of the picture, in pixels.
const HEIGHT: f64 = 420.0;
/// The distance of two axes.
const APART: f64 = 150.0;
/// The space around the axes.
const MARGIN: f64 = 70.0;

/// One axis of the picture: where each trial is on it, and what stands at its ends.
struct Axis {
    name: String,
    /// Between 0, the bottom, and 1; `None` for a trial that is not on it.
    places: Vec<Option<f64>>,
    /// Texts with their places.
    marks: Vec<(f64, String)>,
}

/// A picture in SVG: an axis for each parameter and for the score, a line for each trial. The best trials are drawn last
/// and darkest.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
pub(crate) fn coordinates(trials: &Trials<'_>) -> String {
    let scored: Vec<&StepView> = trials.trials.iter().copied().filter(|trial| trial.score.is_some()).collect();
    let mut axes: Vec<Axis> = trials.parameters.iter().map(|name| axis(name, &scored)).collect();
    axes.push(numbers(&trials.metric, &scored.iter().map(|trial| trial.score).collect::<Vec<_>>()));
    let width = 2.0f64.mul_add(MARGIN, APART * (axes.len() as f64 - 1.0));
    let height = HEIGHT - 2.0 * MARGIN;
    let place = |number: usize, at: f64| (MARGIN + APART * number as f64, MARGIN + height * (1.0 - at));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        escaped(&trials.headline())
    );
    for (rank, trial) in scored.iter().enumerate().rev() {
        let points = axes.iter().enumerate().filter_map(|(number, axis)| {
            let (x, y) = place(number, axis.places[rank]?);
            Some(format!("{x:.1},{y:.1}"))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let part = 1.0 - rank as f64 / scored.len().max(1) as f64;
        let (opacity, stroke) = (0.15 + 0.75 * part * part, if rank == 0 { 3 } else { 1 });
        let colour = if rank == 0 { "#d1495b" } else { "#1f6f8b" };
        let _ = writeln!(
            out,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{stroke}\" \
             stroke-opacity=\"{opacity:.2}\"><title>{}</title></polyline>",
            escaped(&crate::report::trials::line(trial))
        );
    }
    for (number, axis) in axes.iter().enumerate() {
        let ((x, top), (_, bottom)) = (place(number, 1.0), place(number, 0.0));
        let _ = writeln!(out, "<line x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#444\"/>");
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>",
            top - 25.0,
            escaped(&axis.name)
        );
        for (at, text) in &axis.marks {
            let (x, y) = place(number, *at);
            let _ =
                writeln!(out, "<text x=\"{}\" y=\"{:.1}\" fill=\"#444\">{}</text>", x + 5.0, y + 4.0, escaped(text));
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The axis of a parameter: of numbers if all of its values are numbers, otherwise of words.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn axis(name: &str, trials: &[&StepView]) -> Axis {
    let number = |trial: &&StepView| {
        let (_, value) = trial.parameters.iter().find(|(known, _)| known == name)?;
        value.as_f64()
    };
    let values: Vec<Option<f64>> = trials.iter().map(number).collect();
    if values.iter().all(Option::is_some) {
        return numbers(name, &values);
    }
    let texts: Vec<Option<String>> = trials.iter().map(|trial| value(trial, name)).collect();
    let mut words: Vec<&String> = texts.iter().flatten().collect();
    words.sort();
    words.dedup();
    let count = words.len().max(1) as f64;
    let place = |word: &String| words.iter().position(|known| *known == word).map(|at| (at as f64 + 0.5) / count);
    let marks = words.iter().filter_map(|word| Some((place(word)?, (*word).clone())));
    let marks = marks.collect();
    let places = texts.iter().map(|text| text.as_ref().and_then(place)).collect();
    Axis { name: name.to_owned(), places, marks }
}

fn numbers(name: &str, values: &[Option<f64>]) -> Axis {
    let finite = || values.iter().flatten().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let at = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    let places = values.iter().map(|value| value.filter(|value| value.is_finite()).map(at)).collect();
    let marks = if low > high {
        Vec::new()
    } else if low < high {
        vec![(0.0, short(low)), (1.0, short(high))]
    } else {
        vec![(0.5, short(low))]
    };
    Axis { name: name.to_owned(), places, marks }
}

/// Text in an XML document.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
