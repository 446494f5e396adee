//! The charts of an evaluation, drawn with an embedded font, so that no system fonts are needed.

use std::path::Path;

use amlrun::fs::atomic::Temporary;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::error::StageError;
use crate::score::Scores;

const FONT: &str = "stage";
const INK: RGBColor = RGBColor(38, 50, 56);
const FAINT: RGBColor = RGBColor(207, 216, 220);
const BLUE: RGBColor = RGBColor(21, 101, 192);
/// Colours that colour-blind people can distinguish.
const SERIES: [RGBColor; 10] = [
    BLUE,
    RGBColor(230, 126, 34),
    RGBColor(0, 137, 123),
    RGBColor(173, 20, 87),
    RGBColor(109, 76, 65),
    RGBColor(126, 87, 194),
    RGBColor(251, 192, 45),
    RGBColor(3, 169, 244),
    RGBColor(84, 110, 122),
    RGBColor(192, 202, 51),
];
/// With more classes, the cells have no labels and numbers.
const READABLE: usize = 12;
/// With more classes, the cells show only counts, and empty cells show nothing.
const ROOMY: usize = 6;

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// The confusion matrix: how often rows of each class were classified as each class.
///
/// # Errors
/// When the chart cannot be written.
pub fn confusion_matrix(path: &Path, classes: &[String], confusion: &[Vec<u64>]) -> Result<(), StageError> {
    draw(path, (760, 700), |root| {
        let (left, top, side) = (190, 90, 500);
        title(root, "Confusion matrix", left + side / 2)?;
        let count = i32::try_from(classes.len()).unwrap_or(i32::MAX).max(1);
        let cell = side / count;
        let readable = classes.len() <= READABLE;
        for (truth, row) in (0..).zip(confusion) {
            let support = row.iter().sum::<u64>().max(1);
            for (guess, rows) in (0..).zip(row) {
                let share = *rows as f64 / support as f64;
                let (x, y) = (left + guess * cell, top + truth * cell);
                let place = [(x, y), (x + cell - 3, y + cell - 3)];
                root.draw(&Rectangle::new(place, shade(share).filled()))?;
                let ink = if share > 0.5 { WHITE } else { INK };
                let (x, y) = (x + cell / 2, y + cell / 2);
                if classes.len() <= ROOMY {
                    let big = f64::from(cell / 4).clamp(16.0, 44.0);
                    text(root, &rows.to_string(), (x, y - 8), big, ink, HPos::Center)?;
                    let share = format!("{:.1} %", share * 100.0);
                    text(root, &share, (x, y + cell / 5), big * 0.42 + 5.0, ink, HPos::Center)?;
                } else if readable && *rows > 0 {
                    text(root, &rows.to_string(), (x, y), 21.0, ink, HPos::Center)?;
                }
            }
        }
        if readable {
            for (index, name) in (0..).zip(classes) {
                let middle = index * cell + cell / 2;
                let name = shortened(name, 16);
                text(root, &name, (left - 14, top + middle), 20.0, INK, HPos::Right)?;
                text(root, &name, (left + middle, top + count * cell + 20), 20.0, INK, HPos::Center)?;
            }
        }
        text(root, "predicted", (left + side / 2, top + side + 62), 22.0, INK, HPos::Center)?;
        text(root, "true", (left - 14, top - 22), 22.0, INK, HPos::Right)
    })
}

/// The true positive rate over the false positive rate: one curve for two classes, or else one for each class against
/// the rest.
///
/// # Errors
/// When the chart cannot be written.
pub fn roc_curve(path: &Path, classes: &[String], scores: &Scores) -> Result<(), StageError> {
    draw(path, (760, 700), |root| {
        let heading = scores.roc_auc.map_or_else(
            || "ROC curve: the data has only one class".to_owned(),
            |area| match scores.curves.len() {
                1 => format!("ROC curve, area {area:.4}"),
                _ => format!("ROC curves, each class against the rest, mean area {area:.4}"),
            },
        );
        title(root, &heading, 412)?;
        let mut chart = ChartBuilder::on(root)
            .margin(30)
            .margin_top(80)
            .set_label_area_size(LabelAreaPosition::Left, 74)
            .set_label_area_size(LabelAreaPosition::Bottom, 66)
            .build_cartesian_2d(-0.01f64..1.01, -0.01f64..1.01)?;
        let label = |size: i32| (FONT, size).into_font().color(&INK);
        chart
            .configure_mesh()
            .x_desc("false positive rate")
            .y_desc("true positive rate")
            .axis_desc_style(label(22))
            .label_style(label(17))
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|value| format!("{value:.1}"))
            .y_label_formatter(&|value| format!("{value:.1}"))
            .bold_line_style(FAINT)
            .light_line_style(WHITE)
            .axis_style(INK)
            .draw()?;
        let chance = [(0.0, 0.0), (1.0, 1.0)];
        chart.draw_series(DashedLineSeries::new(chance, 8, 6, FAINT.mix(1.0).stroke_width(2)))?;
        for (index, (class, points)) in scores.curves.iter().enumerate() {
            let colour = SERIES[index % SERIES.len()];
            if scores.curves.len() == 1 {
                chart.draw_series(AreaSeries::new(points.iter().copied(), 0.0, colour.mix(0.12)))?;
            }
            let series = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(4)))?;
            if index < READABLE {
                let name = shortened(classes.get(*class).map_or("", String::as_str), 24);
                series.label(name).legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 22, y + 2)], colour.filled()));
            }
        }
        if scores.curves.is_empty() {
            return Ok(());
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .margin(24)
            .label_font(label(20))
            .background_style(WHITE.mix(0.9))
            .border_style(FAINT)
            .draw()?;
        Ok(())
    })
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws a chart of `size` and writes it atomically.
fn draw(path: &Path, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn) -> Result<(), StageError> {
    let wrong = |error: Box<dyn std::error::Error>| StageError::message(format!("{}: {error}", path.display()));
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| wrong("the built-in font cannot be read".into()))?;
    // The extension determines the image format, so a folder has the temporary name.
    let folder = Temporary::beside(path);
    let image = folder.path().join(path.file_name().unwrap_or_default());
    let drawn = || -> Drawn {
        std::fs::create_dir(folder.path())?;
        let root = BitMapBackend::new(&image, size).into_drawing_area();
        root.fill(&WHITE)?;
        paint(&root)?;
        root.present()?;
        drop(root);
        Ok(std::fs::rename(&image, path)?)
    };
    drawn().map_err(wrong)
}

fn title(root: &Area<'_>, words: &str, middle: i32) -> Drawn {
    let size = if words.chars().count() > 40 { 25.0 } else { 32.0 };
    text(root, words, (middle, 38), size, INK, HPos::Center)
}

fn text(root: &Area<'_>, words: &str, at: (i32, i32), size: f64, colour: RGBColor, side: HPos) -> Drawn {
    let style = TextStyle::from((FONT, size).into_font()).color(&colour).pos(Pos::new(side, VPos::Center));
    Ok(root.draw(&Text::new(words.to_owned(), at, style))?)
}

/// A colour between nearly white and blue.
fn shade(share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    RGBColor(mix(236, BLUE.0), mix(243, BLUE.1), mix(250, BLUE.2))
}

fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}
