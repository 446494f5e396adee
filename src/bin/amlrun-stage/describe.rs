//! Describes what a file saved by Python does not contain: the input columns, their standardisation, and the classes.
//!
//! Nothing is guessed. The description comes from an `architecture.json` (given, or in the same folder), or from
//! training data and a label.

use std::path::{Path, PathBuf};

use amlrun::model_file::{Architecture, Column};

use crate::cli::DescribeArguments;
use crate::data::{self, Table};
use crate::error::StageError;
use crate::imported_model::{Described, Ends};
use crate::model_dir::ARCHITECTURE;
use crate::progress;

/// The description of the model at `path` according to the options. `scored` is the data to use if no training data is
/// given.
///
/// # Errors
/// When the options are not sufficient, or the data do not fit them. The message names the options that are needed.
pub fn described(arguments: &DescribeArguments, path: &Path, scored: Option<&Table>) -> Result<Described, StageError> {
    if let Some(file) = architecture_file(arguments, path) {
        return Ok(Described::Whole(Architecture::read(&file)?));
    }
    let learned = arguments.training_data.as_deref().map(Table::read).transpose()?;
    let (Some(label), Some(table)) = (&arguments.label, learned.as_ref().or(scored.filter(|_| arguments.raw))) else {
        return Err(StageError::message(format!(
            "{} does not contain its columns, their standardisation and its classes. Use \
            --architecture architecture.json, or --label COLUMN with --training-data FILE (mean and deviation are \
            computed from it){}",
            path.display(),
            if scored.is_some() {
                ", or --label COLUMN with --raw (without standardisation)"
            } else {
                " and --raw for inputs without standardisation"
            }
        )));
    };
    Ok(Described::Ends(ends(table, label, &arguments.features, arguments.raw)?))
}

/// The columns, standardisation and classes of a table.
fn ends(table: &Table, label: &str, features: &[String], raw: bool) -> Result<Ends, StageError> {
    let names = table.feature_columns(label, features)?;
    let classes = data::classes_of(&table.labels(label)?);
    let features = if raw {
        as_they_are(&names)
    } else {
        let numbers = table.numbers(names.iter().map(String::as_str))?;
        let rows: Vec<usize> = (0..numbers.len() / names.len().max(1)).collect();
        data::standardisation(&names, &numbers, &rows)
    };
    Ok(Ends { features, label: label.to_owned(), classes })
}

/// Columns that are not standardised.
pub fn as_they_are(names: &[String]) -> Vec<Column> {
    names.iter().map(|name| Column { name: name.clone(), mean: 0.0, std: 1.0 }).collect()
}

/// The given `architecture.json`, or the one in the model's folder if no other option was given.
pub fn architecture_file(arguments: &DescribeArguments, path: &Path) -> Option<PathBuf> {
    if let Some(named) = &arguments.architecture {
        return Some(if named.is_dir() { named.join(ARCHITECTURE) } else { named.clone() });
    }
    if arguments.training_data.is_some() || arguments.raw {
        return None;
    }
    let folder = if path.is_dir() { path } else { path.parent()? };
    // An MLflow model has its files in data/.
    let beside = [folder.join(ARCHITECTURE), folder.join("data").join(ARCHITECTURE)];
    let found = beside.into_iter().find(|file| file.is_file())?;
    if !path.is_dir() {
        progress::say(format!("described by {}", found.display()));
    }
    Some(found)
}
