//! The files of a persisted model, and their digest.

/// The whole model as TorchScript.
pub const TORCHSCRIPT: &str = "model.pt";

/// Only the weights.
pub const STATE_DICT: &str = "model.safetensors";

/// The description with which the weights become a network.
pub const ARCHITECTURE: &str = "architecture.json";

/// The version of libtorch that this program was built with.
pub const LIBTORCH_VERSION: &str = env!("AMLRUN_LIBTORCH_VERSION");

/// The BLAKE3 digest in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
