//! Computes the metrics of an evaluation from labels and probabilities. It uses neither tensors nor files.
//!
//! The definitions are those of scikit-learn: a precision or recall without any case is 0; the ROC AUC counts ties as
//! one half; several classes are averaged one against the rest; a probability in the log loss is kept at least one
//! float64 epsilon away from 0 and 1.

use std::collections::BTreeMap;

/// The scores of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The share of rows that were classified correctly.
    pub accuracy: f64,
    /// The scores of each class, in the order of the classes.
    pub classes: Vec<ClassScore>,
    /// The area under the ROC curve. `None` if the data have only one class.
    pub roc_auc: Option<f64>,
    /// The mean negative logarithm of the probability of the true class.
    pub log_loss: f64,
    /// `confusion[truth][guess]`, in numbers of rows.
    pub confusion: Vec<Vec<u64>>,
    /// A curve for the second of two classes, or for each class against the rest: `(class, points)`.
    pub curves: Vec<(usize, Vec<(f64, f64)>)>,
    /// The number of scored rows.
    pub rows: usize,
}

/// The scores of a model for one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    /// Of the rows that were classified as this class, the share that belongs to it.
    pub precision: f64,
    /// Of the rows of this class, the share that was classified as it.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The number of rows of this class.
    pub support: u64,
}

/// Scores `probabilities`, which have a row for each of `truth` and a value for each class.
pub fn score(truth: &[usize], probabilities: &[Vec<f64>], classes: usize) -> Scores {
    let mut confusion = vec![vec![0u64; classes]; classes];
    let mut log_sum = 0.0;
    for (&class, row) in truth.iter().zip(probabilities) {
        confusion[class][first_largest(row)] += 1;
        log_sum -= row[class].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    }
    let rows = truth.len();
    let right: u64 = (0..classes).map(|class| confusion[class][class]).sum();
    // Two classes have one curve, that of the second class, as is usual.
    let positives: Vec<usize> = if classes == 2 { vec![1] } else { (0..classes).collect() };
    let mut curves = Vec::new();
    let mut areas = Vec::new();
    for class in positives {
        let scores: Vec<(f64, bool)> =
            truth.iter().zip(probabilities).map(|(&truth, row)| (row[class], truth == class)).collect();
        if let Some(points) = roc_curve(&scores) {
            areas.push(area(&points));
            curves.push((class, points));
        }
    }
    Scores {
        accuracy: ratio(right, rows as u64),
        classes: (0..classes).map(|class| class_score(&confusion, class)).collect(),
        roc_auc: (!areas.is_empty()).then(|| mean(&areas)),
        log_loss: log_sum / rows.max(1) as f64,
        confusion,
        curves,
        rows,
    }
}

impl Scores {
    /// All metrics by name, for requirements and for MLflow.
    pub fn metrics(&self, names: &[String]) -> BTreeMap<String, f64> {
        let over = |part: fn(&ClassScore) -> f64| mean(&self.classes.iter().map(part).collect::<Vec<_>>());
        let mut metrics = BTreeMap::from([
            ("accuracy".to_owned(), self.accuracy),
            ("log_loss".to_owned(), self.log_loss),
            ("rows".to_owned(), self.rows as f64),
            ("precision_macro".to_owned(), over(|score| score.precision)),
            ("recall_macro".to_owned(), over(|score| score.recall)),
            ("f1_macro".to_owned(), over(|score| score.f1)),
        ]);
        if let Some(area) = self.roc_auc {
            metrics.insert("roc_auc".to_owned(), area);
        }
        for (name, score) in names.iter().zip(&self.classes) {
            metrics.insert(format!("precision_{name}"), score.precision);
            metrics.insert(format!("recall_{name}"), score.recall);
            metrics.insert(format!("f1_{name}"), score.f1);
        }
        metrics
    }
}

/// The index of the largest value. For equal values the first, as in `argmax`.
fn first_largest(row: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

fn class_score(confusion: &[Vec<u64>], class: usize) -> ClassScore {
    let hit = confusion[class][class];
    let support: u64 = confusion[class].iter().sum();
    let called: u64 = confusion.iter().map(|row| row[class]).sum();
    let (precision, recall) = (ratio(hit, called), ratio(hit, support));
    let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    ClassScore { precision, recall, f1, support }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The false positive rate and the true positive rate for decreasing thresholds, from (0,0) to (1,1). Equal scores are
/// one step, which is a slope. `None` without a positive and a negative.
fn roc_curve(scores: &[(f64, bool)]) -> Option<Vec<(f64, f64)>> {
    let positives = scores.iter().filter(|(_, positive)| *positive).count();
    let negatives = scores.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut points = vec![(0.0, 0.0)];
    let (mut hits, mut misses) = (0usize, 0usize);
    for (index, (score, positive)) in sorted.iter().enumerate() {
        if *positive {
            hits += 1;
        } else {
            misses += 1;
        }
        if sorted.get(index + 1).is_none_or(|next| next.0 != *score) {
            points.push((misses as f64 / negatives as f64, hits as f64 / positives as f64));
        }
    }
    Some(points)
}

/// The area under a piecewise linear curve.
fn area(points: &[(f64, f64)]) -> f64 {
    points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[1].1 + pair[0].1) / 2.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binary(positive: &[f64]) -> Vec<Vec<f64>> {
        positive.iter().map(|p| vec![1.0 - p, *p]).collect()
    }

    #[test]
    fn the_textbook_example() {
        // scikit-learn: roc_auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) is 0.75.
        let scores = score(&[0, 0, 1, 1], &binary(&[0.1, 0.4, 0.35, 0.8]), 2);
        assert_eq!(scores.roc_auc, Some(0.75));
        assert_eq!(scores.confusion, [[2, 0], [1, 1]]);
        assert_eq!(scores.accuracy, 0.75);
        assert_eq!((scores.classes[1].precision, scores.classes[1].recall), (1.0, 0.5));
        assert!((scores.classes[1].f1 - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.log_loss - 0.472_287_951).abs() < 1e-8, "{}", scores.log_loss);
    }

    #[test]
    fn all_scores_equal_is_chance() {
        let scores = score(&[0, 1, 1, 0], &binary(&[0.5; 4]), 2);
        assert_eq!(scores.roc_auc, Some(0.5));
        assert_eq!(scores.curves[0].1, [(0.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn one_class_only_has_no_curve_and_a_missing_class_scores_zero() {
        let scores = score(&[0, 0], &binary(&[0.1, 0.2]), 2);
        assert_eq!(scores.roc_auc, None);
        assert_eq!(scores.classes[1], ClassScore { precision: 0.0, recall: 0.0, f1: 0.0, support: 0 });
        assert!(!scores.metrics(&["a".to_owned(), "b".to_owned()]).contains_key("roc_auc"));
    }

    #[test]
    fn certain_and_wrong_is_finite() {
        let scores = score(&[0], &[vec![0.0, 1.0]], 2);
        assert!(scores.log_loss.is_finite() && scores.log_loss > 30.0);
    }

    #[test]
    fn several_classes_are_averaged_one_against_the_rest() {
        let rows = vec![vec![0.8, 0.1, 0.1], vec![0.2, 0.5, 0.3], vec![0.1, 0.3, 0.6], vec![0.3, 0.4, 0.3]];
        let scores = score(&[0, 1, 2, 0], &rows, 3);
        // Class 0: 0.8 and 0.3 against 0.2 and 0.1. Class 1: 0.5 is the highest. Class 2: 0.6 is the highest.
        assert_eq!(scores.roc_auc, Some(1.0));
        assert_eq!(scores.curves.len(), 3);
    }

    proptest! {
        #[test]
        fn the_area_is_the_chance_that_a_positive_ranks_higher(
            rows in prop::collection::vec((0u8..8, any::<bool>()), 2..40)
        ) {
            let scores: Vec<(f64, bool)> = rows.iter().map(|(score, positive)| (f64::from(*score), *positive)).collect();
            let split = |wanted: bool| scores.iter().filter(move |s| s.1 == wanted).map(|s| s.0).collect::<Vec<_>>();
            let (positives, negatives) = (split(true), split(false));
            let Some(points) = roc_curve(&scores) else {
                prop_assert!(positives.is_empty() || negatives.is_empty());
                return Ok(());
            };
            let mut wins = 0.0;
            for positive in &positives {
                for negative in &negatives {
                    wins += if positive > negative { 1.0 } else if positive == negative { 0.5 } else { 0.0 };
                }
            }
            let chance = wins / (positives.len() * negatives.len()) as f64;
            prop_assert!((area(&points) - chance).abs() < 1e-9, "{} {}", area(&points), chance);
        }

        #[test]
        fn every_row_is_counted_once_and_all_shares_are_shares(
            rows in prop::collection::vec((0usize..3, prop::collection::vec(0.0f64..1.0, 3)), 1..30)
        ) {
            let truth: Vec<usize> = rows.iter().map(|row| row.0).collect();
            let probabilities: Vec<Vec<f64>> = rows.iter().map(|row| row.1.clone()).collect();
            let scores = score(&truth, &probabilities, 3);
            prop_assert_eq!(scores.confusion.iter().flatten().sum::<u64>(), rows.len() as u64);
            let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
            for (name, value) in scores.metrics(&names) {
                prop_assert!(name == "rows" || name == "log_loss" || (0.0..=1.0).contains(&value), "{} {}", name, value);
            }
        }
    }
}
