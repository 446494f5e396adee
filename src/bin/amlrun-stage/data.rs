//! Reads CSV files: a header, numeric columns, and one column with the class as a word or an integer.
//!
//! Every error names the file, the line and the column, because most problems with training come from the data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use amlrun::model_file::Column;

/// An error in the data.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DataError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One value is wrong.
    #[error("{}, line {line}, column '{column}': {reason}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line in the file; the header is line 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What is wrong.
        reason: String,
    },
}

/// A CSV file in memory, as text.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<(u64, csv::StringRecord)>,
    digest: String,
}

impl Table {
    /// Reads a CSV file with a header and at least one row.
    ///
    /// # Errors
    /// When it cannot be read, is empty, has rows of unequal length, or has two columns with the same name.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let wrong = |reason: String| DataError::File { path: path.to_owned(), reason };
        if path.is_dir() {
            return Err(wrong("is a folder; use the CSV file in it".to_owned()));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(wrong("is empty; it must have a header and rows".to_owned()));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header: Vec<String> =
            reader.headers().map_err(|error| wrong(error.to_string()))?.iter().map(str::to_owned).collect();
        if let Some(twice) = header.iter().enumerate().find(|(index, name)| header[..*index].contains(name)) {
            return Err(wrong(format!("has two columns named '{}'", twice.1)));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| wrong(csv_reason(&error)))?;
            rows.push((record.position().map_or(0, csv::Position::line), record));
        }
        if rows.is_empty() {
            return Err(wrong("has a header but no rows".to_owned()));
        }
        Ok(Self { path: path.to_owned(), header, rows, digest })
    }

    /// The BLAKE3 digest of the file's bytes, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The columns to train on: the requested ones, or else all but the label.
    ///
    /// # Errors
    /// When one was not found or is the label, or there are none.
    pub fn feature_columns(&self, label: &str, wanted: &[String]) -> Result<Vec<String>, DataError> {
        self.index(label)?;
        let columns: Vec<String> = if wanted.is_empty() {
            self.header.iter().filter(|name| *name != label).cloned().collect()
        } else {
            wanted.to_vec()
        };
        for (position, name) in columns.iter().enumerate() {
            self.index(name)?;
            if name == label {
                return Err(self.file(format!("'{name}' is the label and cannot also be a feature")));
            }
            if columns[..position].contains(name) {
                return Err(self.file(format!("'{name}' is a duplicate in --features")));
            }
        }
        if columns.is_empty() {
            return Err(self.file(format!("has no column other than the label '{label}'")));
        }
        Ok(columns)
    }

    /// The values of `columns`, row after row.
    ///
    /// # Errors
    /// When a column is missing, or a value is missing, not a number, or not finite.
    pub fn numbers<'a>(&self, columns: impl IntoIterator<Item = &'a str>) -> Result<Vec<f64>, DataError> {
        let columns: Vec<(usize, &str)> =
            columns.into_iter().map(|name| Ok((self.index(name)?, name))).collect::<Result<_, _>>()?;
        let mut numbers = Vec::with_capacity(self.rows.len() * columns.len());
        for (line, row) in &self.rows {
            for (index, name) in &columns {
                let text = row.get(*index).unwrap_or_default();
                let reason = match text.parse::<f64>() {
                    Ok(number) if number.is_finite() => {
                        numbers.push(number);
                        continue;
                    }
                    Ok(_) => format!("'{text}' is not a finite number; correct it or remove the row"),
                    Err(_) if text.is_empty() => "the value is missing; add it or remove the row".to_owned(),
                    Err(_) => format!("'{text}' is not a number; exclude the column with --features"),
                };
                return Err(self.cell(*line, name, reason));
            }
        }
        Ok(numbers)
    }

    /// The label of every row, as written.
    ///
    /// # Errors
    /// When the column or a value is missing.
    pub fn labels(&self, label: &str) -> Result<Vec<&str>, DataError> {
        let index = self.index(label)?;
        let value = |(line, row): &'_ (u64, csv::StringRecord)| -> Result<(), DataError> {
            match row.get(index) {
                None | Some("") => Err(self.cell(*line, label, "the label is missing".to_owned())),
                Some(_) => Ok(()),
            }
        };
        self.rows.iter().try_for_each(value)?;
        Ok(self.rows.iter().map(|(_, row)| row.get(index).unwrap_or_default()).collect())
    }

    /// The index of each row's class in `classes`.
    ///
    /// # Errors
    /// When a label is not one of the classes.
    pub fn class_indices(&self, label: &str, classes: &[String]) -> Result<Vec<i64>, DataError> {
        let find = |(row, text): (usize, &str)| {
            let found = classes.iter().position(|class| class == text).and_then(|index| i64::try_from(index).ok());
            found.ok_or_else(|| {
                let reason =
                    format!("the class '{text}' is not one of the classes of the model: {}", classes.join(", "));
                self.cell(self.rows[row].0, label, reason)
            })
        };
        self.labels(label)?.into_iter().enumerate().map(find).collect()
    }

    /// An error about the whole file.
    pub fn file(&self, reason: String) -> DataError {
        DataError::File { path: self.path.clone(), reason }
    }

    fn cell(&self, line: u64, column: &str, reason: String) -> DataError {
        DataError::Cell { path: self.path.clone(), line, column: column.to_owned(), reason }
    }

    fn index(&self, name: &str) -> Result<usize, DataError> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let near = closest(name, &self.header).map_or_else(
                || format!("use one of: {}", self.header.join(", ")),
                |near| format!("did you mean '{near}'?"),
            );
            self.file(format!("has no column '{name}'; {near}"))
        })
    }
}

/// The sorted classes: by number if all are integers, or else alphabetically.
pub fn classes_of(labels: &[&str]) -> Vec<String> {
    let distinct: BTreeSet<&str> = labels.iter().copied().collect();
    let mut classes: Vec<&str> = distinct.into_iter().collect();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(0));
    }
    classes.into_iter().map(str::to_owned).collect()
}

/// The mean and the population standard deviation of each column over the given rows. A constant column gets a
/// deviation of 1, so that its values become zero.
pub fn standardisation(names: &[String], numbers: &[f64], rows: &[usize]) -> Vec<Column> {
    let width = names.len();
    let count = rows.len().max(1) as f64;
    let column = |(index, name): (usize, &String)| {
        let values = || rows.iter().map(|row| numbers[row * width + index]);
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let std = variance.sqrt();
        let std = if std > f64::EPSILON * mean.abs() && std.is_finite() { std } else { 1.0 };
        Column { name: name.clone(), mean, std }
    };
    names.iter().enumerate().map(column).collect()
}

/// The standardised values, which are the network's inputs.
pub fn standardised(columns: &[Column], numbers: &[f64]) -> Vec<f32> {
    let value = |(index, number): (usize, &f64)| {
        let column = &columns[index % columns.len()];
        ((number - column.mean) / column.std) as f32
    };
    numbers.iter().enumerate().map(value).collect()
}

/// The known name that is most similar to a wrong one.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let score = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let best = known.into_iter().max_by(|left, right| score(left).total_cmp(&score(right)))?;
    (score(best) > 0.8).then_some(best.as_str())
}

/// A CSV error without the prefixes of the `csv` crate.
fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} has {len} values, but the header has {expected_len} columns")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(text: &str) -> Result<Table, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path).map_err(|error| match error {
            DataError::File { reason, .. } => DataError::File { path: "d.csv".into(), reason },
            DataError::Cell { line, column, reason, .. } => {
                DataError::Cell { path: "d.csv".into(), line, column, reason }
            }
        })
    }

    fn message<T: std::fmt::Debug>(result: Result<T, DataError>) -> String {
        let text = result.unwrap_err().to_string();
        text.rsplit_once("d.csv").map_or(text.clone(), |(_, rest)| rest.to_owned())
    }

    #[test]
    fn a_missing_column_is_guessed() {
        let table = table("radius,texture,kind\n1,2,a\n").unwrap();
        assert_eq!(message(table.labels("kinds")), ": has no column 'kinds'; did you mean 'kind'?");
        assert_eq!(message(table.labels("zzz")), ": has no column 'zzz'; use one of: radius, texture, kind");
    }

    #[test]
    fn a_bad_value_is_named_by_line_and_column() {
        for (value, reason) in [
            ("NaN", "'NaN' is not a finite number; correct it or remove the row"),
            ("inf", "'inf' is not a finite number; correct it or remove the row"),
            ("", "the value is missing; add it or remove the row"),
            ("abc", "'abc' is not a number; exclude the column with --features"),
        ] {
            let table = table(&format!("x,y,k\n1,2,a\n3,{value},b\n")).unwrap();
            assert_eq!(message(table.numbers(["x", "y"])), format!(", line 3, column 'y': {reason}"));
        }
    }

    #[test]
    fn files_without_rows_are_refused() {
        assert_eq!(message(table("")), ": is empty; it must have a header and rows");
        assert_eq!(message(table("x,y\n")), ": has a header but no rows");
        assert_eq!(message(table("x,y\n1,2\n1,2,3\n")), ": line 3 has 3 values, but the header has 2 columns");
        assert_eq!(message(table("x,x\n1,2\n")), ": has two columns named 'x'");
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_name() {
        assert_eq!(table("\u{feff}x,k\n1,a\n").unwrap().numbers(["x"]).unwrap(), [1.0]);
    }

    #[test]
    fn integers_are_ordered_as_numbers_and_words_by_the_alphabet() {
        assert_eq!(classes_of(&["10", "9", "9"]), ["9", "10"]);
        assert_eq!(classes_of(&["malignant", "benign"]), ["benign", "malignant"]);
    }

    #[test]
    fn a_class_that_the_model_does_not_know_is_named() {
        let table = table("x,k\n1,a\n2,c\n").unwrap();
        let classes = ["a".to_owned(), "b".to_owned()];
        let text = message(table.class_indices("k", &classes));
        assert_eq!(text, ", line 3, column 'k': the class 'c' is not one of the classes of the model: a, b");
    }

    proptest! {
        #[test]
        fn standardised_columns_have_mean_zero_and_deviation_one(values in prop::collection::vec(-1e6f64..1e6, 2..60)) {
            let rows: Vec<usize> = (0..values.len()).collect();
            let columns = standardisation(&["x".to_owned()], &values, &rows);
            let scaled = standardised(&columns, &values);
            let mean = scaled.iter().map(|&v| f64::from(v)).sum::<f64>() / scaled.len() as f64;
            prop_assert!(mean.abs() < 1e-3, "{}", mean);
            let spread = scaled.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / scaled.len() as f64;
            prop_assert!((spread - 1.0).abs() < 1e-3 || spread == 0.0, "{}", spread);
        }
    }
}
