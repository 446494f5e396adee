//! Writes the results of an evaluation: `metrics.json`, `report.md` and two charts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use amlrun::model_file::write_file;
use serde_json::json;

use crate::checkpoint::write_json;
use crate::error::StageError;
use crate::plot;
use crate::score::Scores;
use crate::subject::Subject;

/// The result of checking one requirement.
pub struct RequirementResult {
    /// The condition as text.
    pub requirement: String,
    /// Whether it is met.
    pub met: bool,
    /// The metric's value.
    pub value: f64,
}

/// Writes the whole report into `folder`.
///
/// # Errors
/// When the files cannot be written.
pub fn write(
    folder: &Path,
    subject: &Subject,
    scores: &Scores,
    metrics: &BTreeMap<String, f64>,
    results: &[RequirementResult],
) -> Result<(), StageError> {
    let classes = &subject.architecture.classes;
    let record = json!({
        "model": subject.id,
        "metrics": metrics,
        "classes": classes,
        "confusion_matrix": scores.confusion,
        "requirements": results.iter().map(|result| {
            json!({"requirement": result.requirement, "met": result.met, "value": result.value})
        }).collect::<Vec<_>>(),
    });
    write_json(&folder.join("metrics.json"), &record)?;
    plot::confusion_matrix(&folder.join("confusion_matrix.png"), classes, &scores.confusion)?;
    plot::roc_curve(&folder.join("roc_curve.png"), classes, scores)?;
    let text = markdown(subject, scores, results);
    Ok(write_file(&folder.join("report.md"), text.as_bytes())?)
}

/// The report as Markdown.
fn markdown(subject: &Subject, scores: &Scores, results: &[RequirementResult]) -> String {
    let architecture = &subject.architecture;
    let mut text = format!(
        "# {}\n\n{} {}, {} `{}`, scored on {} rows.\n\n| Metric | Value |\n|---|---:|\n",
        subject.id,
        architecture.kind,
        architecture.shape(),
        if subject.is_registered { "fetched as" } else { "read from" },
        subject.uri,
        scores.rows
    );
    // Writing into a String cannot fail.
    let _ = writeln!(text, "| Accuracy | {:.4} |", scores.accuracy);
    let area = scores.roc_auc.map_or_else(|| "n/a (one class only)".to_owned(), |area| format!("{area:.4}"));
    let _ = writeln!(text, "| ROC AUC | {area} |\n| Log loss | {:.4} |", scores.log_loss);
    text.push_str("\n| Class | Precision | Recall | F1 | Rows |\n|---|---:|---:|---:|---:|\n");
    for (name, class) in architecture.classes.iter().zip(&scores.classes) {
        let name = name.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {name} | {:.4} | {:.4} | {:.4} | {} |",
            class.precision, class.recall, class.f1, class.support
        );
    }
    if !results.is_empty() {
        text.push_str("\n| Required | Is | |\n|---|---:|---|\n");
        for result in results {
            let word = if result.met { "met" } else { "**not met**" };
            let _ = writeln!(text, "| `{}` | {:.4} | {word} |", result.requirement, result.value);
        }
    }
    text.push_str("\n![Confusion matrix](confusion_matrix.png)\n\n![ROC curve](roc_curve.png)\n");
    text
}
