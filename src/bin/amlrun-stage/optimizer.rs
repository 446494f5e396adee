//! Adam, AdamW and SGD on tensors.
//!
//! `tch` does not expose the state of libtorch's optimizers, and without it training cannot be resumed exactly. The
//! algorithms are those of `torch.optim` with its default betas and epsilon.

use amlrun::model_file::{self, DType};
use tch::{Device, Tensor};

use crate::error::StageError;
use crate::net::{from_torch, to_torch};
use crate::settings::Algorithm;
use crate::settings::Settings;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl Algorithm {
    /// The running averages that the algorithm keeps for each parameter, with torch's names.
    fn averages(self) -> &'static [&'static str] {
        match self {
            Self::Adam | Self::AdamW => &["exp_avg", "exp_avg_sq"],
            Self::Sgd => &["momentum_buffer"],
        }
    }
}

/// An optimizer and its state.
pub struct Optimizer {
    settings: Settings,
    step: i64,
    /// The running averages of each parameter, in the order of the `state_dict`.
    averages: Vec<(String, Vec<Tensor>)>,
}

impl Optimizer {
    /// A new optimizer for `parameters`.
    ///
    /// # Errors
    /// When libtorch cannot allocate the memory.
    pub fn new(settings: &Settings, parameters: &[(String, Tensor)]) -> Result<Self, StageError> {
        let mut averages = Vec::new();
        for (name, parameter) in parameters {
            let zeros = settings.optimizer.averages().iter().map(|_| parameter.f_zeros_like().map(|t| t.detach()));
            averages.push((name.clone(), zeros.collect::<Result<_, _>>()?));
        }
        Ok(Self { settings: settings.clone(), step: 0, averages })
    }

    /// Updates `parameters` by their gradients, and clears the gradients.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step(&mut self, parameters: &[(String, Tensor)]) -> Result<(), StageError> {
        self.step += 1;
        let (step, settings) = (self.step, &self.settings);
        tch::no_grad(|| {
            for ((_, parameter), (_, averages)) in parameters.iter().zip(&mut self.averages) {
                let mut parameter = parameter.shallow_clone();
                update(settings, step, &mut parameter, averages)?;
                parameter.zero_grad();
            }
            Ok(())
        })
    }

    /// The state in the form of a model file: `step`, and `exp_avg.fc1.weight` and so on.
    ///
    /// # Errors
    /// When libtorch cannot copy it.
    pub fn state(&self) -> Result<Vec<model_file::Tensor>, StageError> {
        let step = model_file::Tensor::new("step", DType::I64, vec![], self.step.to_le_bytes().to_vec())?;
        let mut tensors = vec![step];
        for (name, averages) in &self.averages {
            for (kind, average) in self.settings.optimizer.averages().iter().zip(averages) {
                tensors.push(from_torch(&format!("{kind}.{name}"), average)?);
            }
        }
        Ok(tensors)
    }

    /// Loads a state from [`Optimizer::state`].
    ///
    /// # Errors
    /// The tensor that is missing or has a different shape.
    pub fn load(&mut self, tensors: &[model_file::Tensor], device: Device) -> Result<(), StageError> {
        let find = |name: &str| {
            let missing = || StageError::message(format!("optimizer state: tensor '{name}' is missing"));
            tensors.iter().find(|tensor| tensor.name() == name).ok_or_else(missing)
        };
        let step = find("step")?;
        let bytes = <[u8; 8]>::try_from(step.bytes());
        self.step =
            bytes.map(i64::from_le_bytes).map_err(|_| StageError::message("optimizer state: 'step' is not a count"))?;
        for (name, averages) in &mut self.averages {
            for (kind, average) in self.settings.optimizer.averages().iter().zip(averages) {
                let name = format!("{kind}.{name}");
                let saved = to_torch(find(&name)?, device)?;
                if saved.size() != average.size() {
                    let (saved, wanted) = (saved.size(), average.size());
                    return Err(StageError::message(format!(
                        "optimizer state: tensor '{name}' has shape {saved:?} instead of {wanted:?}"
                    )));
                }
                *average = saved;
            }
        }
        Ok(())
    }
}

/// Updates one parameter.
fn update(s: &Settings, step: i64, parameter: &mut Tensor, averages: &mut [Tensor]) -> Result<(), StageError> {
    let mut gradient = parameter.grad();
    if s.weight_decay != 0.0 {
        match s.optimizer {
            Algorithm::AdamW => drop(parameter.f_mul_scalar_(1.0 - s.learning_rate * s.weight_decay)?),
            Algorithm::Adam | Algorithm::Sgd => {
                gradient = gradient.f_add(&parameter.f_mul_scalar(s.weight_decay)?)?;
            }
        }
    }
    match (s.optimizer, averages) {
        (Algorithm::Adam | Algorithm::AdamW, [mean, square]) => {
            let _ = mean.f_lerp_(&gradient, 1.0 - BETA1)?;
            let _ = square.f_mul_scalar_(BETA2)?.f_add_(&gradient.f_square()?.f_mul_scalar(1.0 - BETA2)?)?;
            let power = i32::try_from(step).unwrap_or(i32::MAX);
            let (correction1, correction2) = (1.0 - BETA1.powi(power), 1.0 - BETA2.powi(power));
            let scale = square.f_sqrt()?.f_div_scalar(correction2.sqrt())?.f_add_scalar(EPSILON)?;
            let change = mean.f_div(&scale)?.f_mul_scalar(s.learning_rate / correction1)?;
            let _ = parameter.f_sub_(&change)?;
        }
        (Algorithm::Sgd, [momentum]) => {
            if s.momentum != 0.0 {
                // The first step uses the whole gradient. Starting from zeros gives the same sum.
                let _ = momentum.f_mul_scalar_(s.momentum)?.f_add_(&gradient)?;
                gradient = momentum.shallow_clone();
            }
            let _ = parameter.f_sub_(&gradient.f_mul_scalar(s.learning_rate)?)?;
        }
        // `Optimizer::new` creates the averages according to the same table.
        _ => return Err(StageError::message("optimizer state: it belongs to another optimizer")),
    }
    Ok(())
}
