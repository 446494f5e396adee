//! Prepares training from a table: the description of the network, the training rows and the validation rows.

use amlrun::model_file::Architecture;
use amlrun::model_file::architecture::{FORMAT, Kind as NetKind};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use crate::cli::TrainArguments;
use crate::data::{self, Table};
use crate::describe;
use crate::error::StageError;
use crate::net::matrix;
use crate::settings::Settings;

/// The random stream for the split. The initial weights use stream 0.
const SPLIT_STREAM: u64 = 1;

/// Rows and their classes, on the device.
pub struct Rows {
    /// The standardised values, row by row.
    pub inputs: Tensor,
    /// The index of each row's class.
    pub classes: Tensor,
    /// The number of rows.
    pub count: usize,
}

/// The input of training.
pub struct Prepared {
    /// The network, with the standardisation of its inputs.
    pub architecture: Architecture,
    /// The rows to train on.
    pub training: Rows,
    /// The validation rows; may be empty.
    pub validation: Rows,
}

/// Splits the rows, computes the standardisation from the training rows, and describes the network. When training is
/// resumed, the description is that of the earlier model, and the data must fit it.
///
/// # Errors
/// When columns or values are missing or invalid, there is only one class, or the earlier model was trained on other
/// data.
pub fn prepare(
    arguments: &TrainArguments,
    settings: &Settings,
    table: &Table,
    earlier: Option<&Architecture>,
    device: Device,
) -> Result<Prepared, StageError> {
    let names = table.feature_columns(&arguments.label, &arguments.features)?;
    let labels = table.labels(&arguments.label)?;
    let classes = data::classes_of(&labels);
    if classes.len() < 2 {
        let text = format!("the label '{}' has only one class, '{}'", arguments.label, classes.concat());
        return Err(table.file(text).into());
    }
    if let Some(architecture) = earlier {
        let columns: Vec<&str> = architecture.features.iter().map(|column| column.name.as_str()).collect();
        if columns != names || architecture.classes != classes || architecture.label != arguments.label {
            return Err(StageError::message(format!(
                "the model to resume has a different architecture: it has {} as inputs and '{}' ({}) as label, the \
                 data has {} and '{}' ({})",
                columns.join(", "),
                architecture.label,
                architecture.classes.join(", "),
                names.join(", "),
                arguments.label,
                classes.join(", ")
            )));
        }
    }
    let numbers = table.numbers(names.iter().map(String::as_str))?;
    let (training, validation) = split(&labels, &classes, settings);
    let architecture = earlier.cloned().unwrap_or_else(|| Architecture {
        format: FORMAT,
        kind: NetKind::SimpleNet,
        hidden: settings.hidden.clone(),
        dropout: settings.dropout,
        features: if arguments.raw {
            describe::as_they_are(&names)
        } else {
            data::standardisation(&names, &numbers, &training)
        },
        label: arguments.label.clone(),
        classes,
    });
    architecture.check()?;
    let classes = table.class_indices(&architecture.label, &architecture.classes)?;
    let values = data::standardised(&architecture.features, &numbers);
    let rows = |indices: &[usize]| take(&values, &classes, indices, names.len(), device);
    Ok(Prepared { training: rows(&training)?, validation: rows(&validation)?, architecture })
}

/// Keeps a share of each class for validation. At least one row of every class is used for training.
fn split(labels: &[&str], classes: &[String], settings: &Settings) -> (Vec<usize>, Vec<usize>) {
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    random.set_stream(SPLIT_STREAM);
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for class in classes {
        let mut rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
        rows.shuffle(&mut random);
        let kept_out = ((rows.len() as f64 * settings.validation_share).round() as usize).min(rows.len() - 1);
        validation.extend_from_slice(&rows[..kept_out]);
        training.extend_from_slice(&rows[kept_out..]);
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

fn take(values: &[f32], classes: &[i64], rows: &[usize], width: usize, device: Device) -> Result<Rows, StageError> {
    let inputs: Vec<f32> = rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect();
    let classes: Vec<i64> = rows.iter().map(|&row| classes[row]).collect();
    Ok(Rows {
        inputs: matrix(&inputs, width, device)?,
        classes: Tensor::f_from_slice(&classes)?.f_to_device(device)?,
        count: rows.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_keeps_the_share_of_each_class_and_every_row_once() {
        let labels: Vec<&str> = (0..100).map(|row| if row % 4 == 0 { "a" } else { "b" }).collect();
        let classes = ["a".to_owned(), "b".to_owned()];
        let settings = Settings { validation_share: 0.2, ..Settings::default() };
        let (training, validation) = split(&labels, &classes, &settings);
        assert_eq!((training.len(), validation.len()), (80, 20));
        assert_eq!(validation.iter().filter(|&&row| labels[row] == "a").count(), 5);
        let mut all = [training.clone(), validation].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split(&labels, &classes, &settings).0, training, "the seed decides");
        assert_ne!(split(&labels, &classes, &Settings { seed: 1, ..settings }).0, training);
    }

    #[test]
    fn a_class_with_one_row_is_trained_on() {
        let settings = Settings { validation_share: 0.9, ..Settings::default() };
        let (training, validation) = split(&["a", "b"], &["a".to_owned(), "b".to_owned()], &settings);
        assert_eq!((training.len(), validation.len()), (2, 0));
    }
}
