//! The settings of training: the options of `train`, then those of the checkpoint, then the defaults.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::StageError;
use std::fmt;

/// The rule of the updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Algorithm {
    /// Adam; weight decay is added to the gradient.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
    /// Stochastic gradient descent, with momentum if wanted.
    Sgd,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adam => "adam",
            Self::AdamW => "adamw",
            Self::Sgd => "sgd",
        })
    }
}

/// All settings that affect the weights, except for the data and the number of epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The number of units of each hidden layer.
    pub hidden: Vec<usize>,
    /// The fraction of hidden units that are dropped in training.
    pub dropout: f64,
    /// The algorithm of the updates.
    pub optimizer: Algorithm,
    /// The learning rate.
    pub learning_rate: f64,
    /// The momentum of SGD.
    pub momentum: f64,
    /// L2 penalty (adam, sgd) or decoupled decay (adamw).
    pub weight_decay: f64,
    /// The number of rows of one update.
    pub batch_size: usize,
    /// The share of each class's rows that is kept for validation.
    pub validation_share: f64,
    /// The number of epochs without improvement after which training stops. 0 never stops early.
    pub patience: u64,
    /// The seed of the split, the initial weights, the shuffles and the dropout.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hidden: vec![20],
            dropout: 0.0,
            optimizer: Algorithm::Adam,
            learning_rate: 0.001,
            momentum: 0.0,
            weight_decay: 0.0,
            batch_size: 32,
            validation_share: 0.1,
            patience: 0,
            seed: 0,
        }
    }
}

impl Settings {
    /// Checks that training with these settings can resume from a checkpoint made with `earlier`. The learning rate,
    /// the batch size, the weight decay and the number of epochs for early stopping may change. Settings that the
    /// checkpoint's state depends on may not.
    ///
    /// # Errors
    /// The first setting that must not change.
    pub fn check_resumes(&self, earlier: &Self) -> Result<(), StageError> {
        let refuse = |flag: &str, now: String, then: String, why: &str| {
            Err(StageError::message(format!(
                "--{flag} {now} differs from {then} in the checkpoint: {why}. Remove --{flag}, or train without \
                 --resume"
            )))
        };
        let list = |hidden: &Hidden| hidden.to_string();
        if self.hidden != earlier.hidden {
            let (now, then) = (Hidden(self.hidden.clone()), Hidden(earlier.hidden.clone()));
            return refuse("hidden", list(&now), list(&then), "its weights have a different architecture");
        }
        if self.dropout != earlier.dropout {
            let (now, then) = (self.dropout.to_string(), earlier.dropout.to_string());
            return refuse("dropout", now, then, "it is part of the architecture");
        }
        if self.optimizer != earlier.optimizer {
            let (now, then) = (self.optimizer.to_string(), earlier.optimizer.to_string());
            return refuse("optimizer", now, then, "its state belongs to another optimizer");
        }
        for (flag, now, then) in [
            ("seed", self.seed.to_string(), earlier.seed.to_string()),
            ("validation-share", self.validation_share.to_string(), earlier.validation_share.to_string()),
        ] {
            if now != then {
                return refuse(flag, now, then, "validation rows would be used for training");
            }
        }
        Ok(())
    }
}

/// `--hidden 20` or `--hidden 64,32` or `--hidden none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden(pub Vec<usize>);

impl FromStr for Hidden {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        let sizes = text.split(',').map(|size| match size.trim().parse::<usize>() {
            Ok(size) if (1..=1_000_000).contains(&size) => Ok(size),
            _ => Err(format!("'{size}' is not a layer size; use --hidden 20, --hidden 64,32 or --hidden none")),
        });
        sizes.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_layers_are_a_list() {
        assert_eq!("64, 32".parse(), Ok(Hidden(vec![64, 32])));
        assert_eq!("none".parse(), Ok(Hidden(vec![])));
        assert!("20,".parse::<Hidden>().is_err());
        assert!("0".parse::<Hidden>().is_err());
    }

    #[test]
    fn what_the_state_rests_on_may_not_change() {
        let earlier = Settings::default();
        assert!(Settings { learning_rate: 0.1, batch_size: 8, ..earlier.clone() }.check_resumes(&earlier).is_ok());
        let error = Settings { hidden: vec![5], ..earlier.clone() }.check_resumes(&earlier).unwrap_err();
        assert!(error.to_string().starts_with("--hidden 5 differs from 20 in the checkpoint: its weights"), "{error}");
        assert!(Settings { seed: 1, ..earlier.clone() }.check_resumes(&earlier).is_err());
    }
}
