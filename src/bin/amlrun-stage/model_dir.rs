//! The files of a persisted model, and what identifies them.

/// The whole model as TorchScript.
pub const TORCHSCRIPT: &str = "model.pt";

/// The weights alone.
pub const STATE_DICT: &str = "model.safetensors";

/// The description from which the weights become a network again.
pub const ARCHITECTURE: &str = "architecture.json";

/// The version of libtorch that this program was built with.
pub const LIBTORCH_VERSION: &str = env!("AMLRUN_LIBTORCH_VERSION");

/// BLAKE3 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
