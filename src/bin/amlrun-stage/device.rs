//! `--device auto|cpu|cuda[:n]`: the device of tensors and computations.

use std::str::FromStr;

use crate::error::StageError;

/// The requested device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU, or else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "use auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

impl DeviceChoice {
    /// The device in libtorch.
    ///
    /// # Errors
    /// When the requested GPU does not exist.
    pub fn resolve(self) -> Result<tch::Device, StageError> {
        match self {
            Self::Auto => Ok(tch::Device::cuda_if_available()),
            Self::Cpu => Ok(tch::Device::Cpu),
            Self::Cuda(number) => {
                let there = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
                if number < there {
                    return Ok(tch::Device::Cuda(number));
                }
                let seen = match there {
                    0 => "libtorch found no GPU (it may be a CPU-only build)".to_owned(),
                    _ => format!("libtorch found cuda:0 to cuda:{}", there - 1),
                };
                Err(StageError::message(format!("--device cuda:{number}: {seen}; use --device auto or cpu")))
            }
        }
    }
}

/// The name of a device in torch's notation.
pub fn name(device: tch::Device) -> String {
    match device {
        tch::Device::Cuda(number) => format!("cuda:{number}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_torch_writes_them() {
        assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }
}
