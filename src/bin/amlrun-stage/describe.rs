//! What a file that Python saved does not say: which columns go in, how they are standardised, which classes come out.
//!
//! Never guessed. It comes from an `architecture.json` (named, or beside the file), or from training data and a label.

use std::path::{Path, PathBuf};

use amlrun::model_file::{Architecture, Column};

use crate::cli::DescribeArguments;
use crate::data::{self, Table};
use crate::error::StageError;
use crate::imported_model::{Described, Ends};
use crate::model_dir::ARCHITECTURE;
use crate::progress;

/// What the options say about the model at `path`. `scored` is the data at hand when none to learn from are named.
///
/// # Errors
/// When they say too little, or the data do not fit them; the message says which options are needed.
pub fn described(arguments: &DescribeArguments, path: &Path, scored: Option<&Table>) -> Result<Described, StageError> {
    if let Some(file) = architecture_file(arguments, path) {
        return Ok(Described::Whole(Architecture::read(&file)?));
    }
    let learned = arguments.training_data.as_deref().map(Table::read).transpose()?;
    let (Some(label), Some(table)) = (&arguments.label, learned.as_ref().or(scored.filter(|_| arguments.raw))) else {
        return Err(StageError::message(format!(
            "{} does not say which columns go in, how they are standardised and which classes come out. Give \
             --architecture architecture.json; or --label COLUMN with --training-data FILE (mean and deviation are \
             learned from it){}",
            path.display(),
            if scored.is_some() {
                "; or --label COLUMN with --raw (columns go in as they are)"
            } else {
                " and --raw if columns go in as they are"
            }
        )));
    };
    Ok(Described::Ends(ends(table, label, &arguments.features, arguments.raw)?))
}

/// Columns, standardisation and classes as a table has them.
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

/// Columns that go into the network without standardisation.
pub fn as_they_are(names: &[String]) -> Vec<Column> {
    names.iter().map(|name| Column { name: name.clone(), mean: 0.0, std: 1.0 }).collect()
}

/// The `architecture.json` that was named, or lies beside the model and nothing else was said.
pub fn architecture_file(arguments: &DescribeArguments, path: &Path) -> Option<PathBuf> {
    if let Some(named) = &arguments.architecture {
        return Some(if named.is_dir() { named.join(ARCHITECTURE) } else { named.clone() });
    }
    if arguments.training_data.is_some() || arguments.raw {
        return None;
    }
    let folder = if path.is_dir() { path } else { path.parent()? };
    // An MLflow model keeps its files in data/.
    let beside = [folder.join(ARCHITECTURE), folder.join("data").join(ARCHITECTURE)];
    let found = beside.into_iter().find(|file| file.is_file())?;
    if !path.is_dir() {
        progress::say(format!("described by {}", found.display()));
    }
    Some(found)
}
