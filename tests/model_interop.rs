//! Files of the real Python torch, read and written anew. `tests/interop/torch_files.py` makes them and runs this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use amlrun::model_file::save::{Weight, pth, select, stream_safetensors};
use amlrun::model_file::{ModelFile, ScalarType};
use serde_json::{Value, json};

#[test]
#[ignore = "needs the files of tests/interop/torch_files.py"]
fn files_of_python_are_read_and_written_bit_for_bit() {
    let folder = PathBuf::from(std::env::var_os("AMLRUN_INTEROP").expect("AMLRUN_INTEROP names the folder"));
    let manifest: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let mut written = Vec::new();
    let mut wrong = Vec::new();
    for entry in &manifest {
        let name = entry["file"].as_str().unwrap();
        match read(&folder, entry) {
            Ok(file) => written.extend(write(&folder, name, &file)),
            Err(reason) => wrong.push(format!("{name}: {reason}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    std::fs::write(folder.join("written.json"), serde_json::to_vec(&written).unwrap()).unwrap();
}

/// Opens a file and compares every tensor with the bytes that Python left beside it.
fn read(folder: &Path, entry: &Value) -> Result<ModelFile, String> {
    let file = ModelFile::open(&folder.join(entry["file"].as_str().unwrap())).map_err(|e| e.to_string())?;
    let kind = serde_json::to_value(file.contents.kind).unwrap();
    if kind != entry["kind"] {
        return Err(format!("is told to be {kind}, not {}", entry["kind"]));
    }
    if entry["parameters"].as_u64().is_some_and(|count| count != file.parameters()) {
        return Err(format!("has {} parameters, not {}", file.parameters(), entry["parameters"]));
    }
    let raw = std::fs::read(folder.join(entry["raw"].as_str().unwrap())).unwrap();
    let wanted = entry["tensors"].as_array().unwrap();
    let mut names: Vec<_> = file.contents.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut expected: Vec<_> = wanted.iter().map(|tensor| tensor["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    expected.sort_unstable();
    if names != expected {
        return Err(format!("has {names:?}, Python has {expected:?}"));
    }
    for one in wanted {
        let name = one["name"].as_str().unwrap();
        let tensor = file.contents.find(name).unwrap();
        let shape: Vec<usize> = serde_json::from_value(one["shape"].clone()).unwrap();
        if tensor.scalar_type.torch_name() != one["dtype"] || tensor.shape != shape {
            return Err(format!("{name} is {} {:?}", tensor.scalar_type.torch_name(), tensor.shape));
        }
        let (start, length) = (one["offset"].as_u64().unwrap() as usize, one["bytes"].as_u64().unwrap() as usize);
        let bytes = file.contents.read(tensor).map_err(|e| e.to_string())?;
        if bytes != raw[start..start + length] {
            return Err(format!("{name} has other bytes"));
        }
    }
    Ok(file)
}

/// Writes the same tensors as .pth and .safetensors, and once rounded to another type.
fn write(folder: &Path, name: &str, file: &ModelFile) -> Vec<Value> {
    let mut written = Vec::new();
    let all = || select(&file.contents, &["*".to_owned()], None).weights;
    let mut note = |out: &str, form: &str, dtype: Option<&str>| {
        written.push(json!({"file": out, "of": name, "form": form, "dtype": dtype}));
    };
    let out = format!("out-{name}.pth");
    pth::write(&folder.join(&out), &all()).unwrap();
    note(&out, "pth", None);
    if all().iter().all(|weight| weight.scalar_type().safetensors_name().is_some()) {
        let out = format!("out-{name}.safetensors");
        stream_safetensors(&folder.join(&out), &all(), &BTreeMap::new()).unwrap();
        note(&out, "safetensors", None);
    }
    for (dtype, marker) in [("float16", "dtype-"), ("bfloat16", "module-"), ("float64", "state-")] {
        if name.starts_with(marker) {
            let to = ScalarType::from_torch_name(dtype).unwrap();
            let weights: Vec<Weight<'_>> = all().into_iter().map(|weight| weight.converted(to)).collect();
            let out = format!("out-{dtype}-{name}.pth");
            pth::write(&folder.join(&out), &weights).unwrap();
            note(&out, "pth", Some(dtype));
        }
    }
    written
}
