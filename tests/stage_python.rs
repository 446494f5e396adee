//! What Python saved, taken by the stages as it is. The files are in `fixtures/torch`, with the script that made them.

use std::path::Path;

use serde_json::Value;

use crate::stage_house::Bench;
use crate::support::Ran;

/// A bench with the files of Python in it, and what Python finds for `rows.csv`.
fn bench() -> (Bench, Value) {
    let bench = Bench::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch");
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), bench.path(&entry.file_name().to_string_lossy())).unwrap();
    }
    let expected = serde_json::from_slice(&bench.read("expected.json")).unwrap();
    (bench, expected)
}

/// Scores a model on `rows.csv`, whose columns go in as they are.
fn evaluate(bench: &Bench, model: &str, more: &str) -> Ran {
    bench.stage(&format!("evaluate --model {model} --data rows.csv --report report {more}"))
}

const RAW: &str = "--raw --label kind";

#[track_caller]
fn is_as_python_says(bench: &Bench, expected: &Value) {
    let report: Value = serde_json::from_slice(&bench.read("report/metrics.json")).unwrap();
    assert_eq!(report["metrics"]["accuracy"], expected["accuracy"]);
    let (found, wanted) = (report["metrics"]["log_loss"].as_f64().unwrap(), expected["log_loss"].as_f64().unwrap());
    assert!((found - wanted).abs() < 1e-6, "log loss {found}, Python's is {wanted}");
}

#[test]
fn every_way_to_save_is_scored_as_in_python() {
    let (bench, expected) = bench();
    for (file, model) in [
        ("state.pth", "net"),
        ("legacy.pt", "net"),
        ("checkpoint.pth", "net"),
        ("double.pth", "net"),
        ("state.safetensors", "net"),
        ("whole.pth", "net"),
        ("scripted.pt", "net"),
        ("stack_state.pth", "stack"),
        ("stack.pth", "stack"),
        ("normed.pt", "normed"),
    ] {
        evaluate(&bench, file, RAW).ended(0);
        is_as_python_says(&bench, &expected[model]);
    }
}

#[test]
fn what_had_to_be_assumed_is_said_and_a_sequential_is_certain() {
    let (bench, _) = bench();
    let said = evaluate(&bench, "whole.pth", RAW).ended(0).out;
    assert!(said.contains("the file does not contain SimpleNet.forward"), "{said}");
    let said = evaluate(&bench, "state.pth", RAW).ended(0).out;
    assert!(said.contains("a state_dict does not contain the functions between its layers"), "{said}");
    let said = evaluate(&bench, "stack.pth", RAW).ended(0).out;
    assert!(!said.contains("does not contain") && said.contains("0 as fc1, 3 as fc2"), "{said}");
}

#[test]
fn a_persisted_file_is_the_same_model_in_every_form() {
    let (bench, expected) = bench();
    let forms = "--format torchscript,safetensors,pth,mlflow --training-data rows.csv";
    let ran = bench.stage(&format!("persist --checkpoint stack.pth --model m {forms} {RAW}")).ended(0);
    assert!(ran.out.contains("all 4 formats of SimpleNet 3-4-2 verified"), "{}", ran.out);
    let description: Value = serde_json::from_slice(&bench.read("m/architecture.json")).unwrap();
    assert_eq!((&description["dropout"], &description["features"][0]["std"]), (&0.25.into(), &1.0.into()));
    for model in ["m", "m/model.pt", "m/model.pth", "m/model.safetensors", "m/mlflow"] {
        evaluate(&bench, model, "").ended(0);
        is_as_python_says(&bench, &expected["stack"]);
    }
    let described: Value = serde_yaml::from_slice(&bench.read("m/mlflow/MLmodel")).unwrap();
    let flavor = &described["flavors"]["python_function"];
    assert!(bench.path(&format!("m/mlflow/code/{}.py", flavor["loader_module"].as_str().unwrap())).is_file());
    let inputs: Value = serde_json::from_str(described["signature"]["inputs"].as_str().unwrap()).unwrap();
    assert_eq!(inputs[2]["name"], "z");
}

#[test]
fn a_module_of_unknown_layers_is_persisted_as_it_is() {
    let (bench, expected) = bench();
    let describe = "--training-data rows.csv --raw --label kind --format torchscript,pth";
    let ran = bench.stage(&format!("persist --checkpoint normed.pt --model m {describe}")).ended(0);
    assert!(ran.out.contains("both formats of TorchScript 3-…-2 verified"), "{}", ran.out);
    assert_eq!(bench.read("m/model.pt"), bench.read("normed.pt"));
    evaluate(&bench, "m", "").ended(0);
    is_as_python_says(&bench, &expected["normed"]);
    // Its weights alone have no code.
    bench.fails(
        "evaluate --model m/model.pth --data rows.csv --report r",
        &["only weights", "use the TorchScript file"],
    );
}

#[test]
fn weights_of_another_shape_are_told_tensor_by_tensor() {
    let (bench, _) = bench();
    let persist = format!("persist --checkpoint state.pth --model m --training-data rows.csv {RAW}");
    bench.stage(&persist).ended(0);
    let ran = evaluate(&bench, "wider.pth", "--architecture m/architecture.json").ended(1);
    for line in ["reshaped    fc1.weight  [4, 3] -> [5, 3]", "reshaped    fc2.weight  [2, 4] -> [2, 5]", "1 equal"] {
        assert!(ran.err.contains(line), "{}", ran.err);
    }
    let ran = evaluate(&bench, "half.pth", "--architecture m").ended(1);
    for line in ["missing     fc2.weight", "missing     fc1.bias", "unexpected  fc3.bias"] {
        assert!(ran.err.contains(line), "{}", ran.err);
    }
    // The data have another number of columns than the layers take.
    let ran = evaluate(&bench, "state.pth", "--raw --label kind --features x,y").ended(1);
    assert!(ran.err.contains("reshaped    fc1.weight  [4, 2] -> [4, 3]"), "{}", ran.err);
    let ran = evaluate(&bench, "scripted.pt", "--raw --label kind --features x,y").ended(1);
    assert!(ran.err.contains("scripted.pt does not accept rows of 2 columns"), "{}", ran.err);
}

#[test]
fn what_is_missing_is_said() {
    let (bench, _) = bench();
    let bare = |file: &str| format!("evaluate --model {file} --data rows.csv --report r");
    bench.fails(&bare("state.pth"), &["--architecture", "--label COLUMN with --training-data FILE", "--raw"]);
    let raw = |file: &str| format!("{} {RAW}", bare(file));
    bench.fails(
        &raw("normed_whole.pth"),
        &["not the network that uses them: 'norm' is a BatchNorm1d", "torch.jit.script"],
    );
    bench.fails(&raw("half.pth"), &["tensor 'fc1.weight' of shape [4, 3] is not part of a Linear layer with a bias"]);
    bench.fails(&raw("rows.csv"), &["rows.csv", "is not a model file"]);
    bench.fails(&raw("none.pth"), &["none.pth", "No such file"]);
}

#[test]
fn a_hostile_file_is_named_and_nothing_of_it_runs() {
    let (bench, expected) = bench();
    let ran = evaluate(&bench, "trap.pth", RAW).ended(0);
    assert!(ran.err.contains("trap.pth is dangerous to load in Python (posix.system)"), "{}", ran.err);
    is_as_python_says(&bench, &expected["net"]);
    assert!(!bench.path("trap-was-sprung").exists());
}

#[test]
fn training_goes_on_with_what_python_saved() {
    let (bench, _) = bench();
    for (file, network) in [("checkpoint.pth", "SimpleNet 3-4-2"), ("scripted.pt", "TorchScript 3-…-2")] {
        let train = format!("train --data rows.csv --label kind --raw --resume {file} --checkpoint c --epochs 3");
        let ran = bench.stage(&train).ended(0);
        assert!(ran.out.contains(&format!("{network} on cpu")) && ran.out.contains(file), "{}", ran.out);
        let provenance: Value = serde_json::from_slice(&bench.checkpoint("c", "provenance.json")).unwrap();
        assert!(provenance["begun_with"].as_str().unwrap().starts_with(&format!("{file} ")));
        bench.stage("persist --checkpoint c --model m").ended(0);
        evaluate(&bench, "m", "").ended(0);
    }
    let train = "train --data rows.csv --label kind --checkpoint d";
    let adam = bench.stage(&format!("{train} --resume checkpoint.pth --epochs 1")).ended(0);
    assert!(adam.out.contains("using the optimizer state (adam) of the file"), "{}", adam.out);
    let sgd = bench.stage(&format!("{train} --resume checkpoint.pth --epochs 1 --optimizer sgd")).ended(0);
    assert!(sgd.out.contains("the file has no state of the optimizer sgd: it starts without state"), "{}", sgd.out);
    bench.fails(&format!("{train} --resume d --raw"), &["remove --raw and --architecture"]);
    bench.fails(&format!("{train} --resume state.pth --hidden 9"), &["hidden layers of 4", "remove --hidden"]);
    bench.fails(&format!("{train} --module state.pth"), &["is not a TorchScript file", "torch.jit.script"]);
    bench.fails(
        &format!("{train} --module scripted.pt --features x,y"),
        &["the module does not accept rows of 2 columns"],
    );
}

#[test]
fn a_module_that_is_trained_resumes_in_the_same_bits() {
    let (bench, _) = bench();
    let train = |checkpoint: &str, more: &str| {
        bench.stage(&format!("train --data rows.csv --label kind --checkpoint {checkpoint} {more}")).ended(0)
    };
    train("whole", "--module normed.pt --epochs 6");
    train("parts", "--module normed.pt --epochs 3");
    train("parts", "--resume parts --epochs 6");
    let weights = |folder: &str| bench.checkpoint(folder, "weights.safetensors");
    assert_eq!(weights("whole"), weights("parts"));
    train("short", "--module normed.pt --epochs 3");
    assert_ne!(weights("whole"), weights("short"), "three more epochs change the weights");
    // The running averages of the batch norm are trained and kept as well.
    let state = safetensors(&weights("whole"));
    assert!(state.iter().any(|name| name == "norm.running_mean"), "{state:?}");
}

/// The names in a safetensors file.
fn safetensors(bytes: &[u8]) -> Vec<String> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.keys().cloned().collect()
}
