//! Writes an MLflow model folder: `MLmodel`, its requirements, and a short loader for the TorchScript file.
//!
//! The flavor is `python_function` with our own loader, not `pytorch`, which pickles a class; here, the code is part of
//! the module. The loader standardises: `predict` takes a table with unstandardised columns, and returns a table with
//! the class and the probability of each class.

use std::fs;
use std::path::Path;

use amlrun::model_file::{Architecture, write_file};
use serde_json::{Value, json};

use crate::error::{StageError, io_error};
use crate::model_dir::LIBTORCH_VERSION;
use crate::model_dir::digest;
use crate::model_dir::{ARCHITECTURE, TORCHSCRIPT};

/// The loader, imported by MLflow from `code/`.
const LOADER: &str = include_str!("amlrun_pyfunc.py");
/// The Python version with which the folder was tested.
const PYTHON: &str = "3.11";
const MLFLOW: &str = "mlflow>=2.9";

/// Writes the folder for the bytes of the TorchScript file. The same model always gives the same bytes.
///
/// # Errors
/// When the files cannot be written.
pub fn write(folder: &Path, architecture: &Architecture, module: &[u8]) -> Result<(), StageError> {
    for part in ["code", "data"] {
        fs::create_dir_all(folder.join(part)).map_err(io_error(&folder.join(part)))?;
    }
    write_file(&folder.join("code/amlrun_pyfunc.py"), LOADER.as_bytes())?;
    write_file(&folder.join("data").join(TORCHSCRIPT), module)?;
    architecture.write(&folder.join("data").join(ARCHITECTURE))?;
    let requirements =
        [MLFLOW.to_owned(), "numpy".to_owned(), "pandas".to_owned(), format!("torch=={LIBTORCH_VERSION}")];
    write_file(&folder.join("requirements.txt"), format!("{}\n", requirements.join("\n")).as_bytes())?;
    let python = json!({"python": PYTHON, "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]});
    write_yaml(&folder.join("python_env.yaml"), &python)?;
    let conda = json!({
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [format!("python={PYTHON}"), "pip", {"pip": requirements}],
    });
    write_yaml(&folder.join("conda.yaml"), &conda)?;
    write_yaml(&folder.join("MLmodel"), &description(architecture, module))
}

/// The `MLmodel`.
fn description(architecture: &Architecture, module: &[u8]) -> Value {
    let column = |name: &str, kind: &str| json!({"type": kind, "name": name, "required": true});
    let inputs: Vec<Value> = architecture.features.iter().map(|feature| column(&feature.name, "double")).collect();
    let mut outputs = vec![column("prediction", "string")];
    outputs.extend(architecture.classes.iter().map(|class| column(&format!("probability_{class}"), "double")));
    // MLflow expects an id of 32 digits. A digest of the content does not change when the model is written again.
    let id = digest(module);
    json!({
        "flavors": {
            "python_function": {
                "loader_module": "amlrun_pyfunc",
                "code": "code",
                "data": "data",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "python_version": format!("{PYTHON}.0"),
            },
        },
        "model_uuid": id[..32],
        // MLflow's format requires signatures as JSON inside the YAML.
        "signature": {
            "inputs": Value::Array(inputs).to_string(),
            "outputs": Value::Array(outputs).to_string(),
            "params": null,
        },
    })
}

fn write_yaml(path: &Path, value: &Value) -> Result<(), StageError> {
    let text = serde_yaml::to_string(value).map_err(|error| StageError::message(error.to_string()))?;
    Ok(write_file(path, text.as_bytes())?)
}
