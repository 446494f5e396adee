//! The model commands as a user has them: inspect, diff, convert, extract.

use serde_json::Value;

use crate::model_forge::{Zip, tensor, tensor_value, text};
use crate::support::Project;

/// Two floats, 1 and 2.
fn floats() -> Vec<u8> {
    [1f32.to_le_bytes(), 2f32.to_le_bytes()].concat()
}

fn project() -> Project {
    let project = Project::new();
    let file = Zip::torch(&tensor(2, 0, &[2], &[1]), &[&floats()]).bytes();
    std::fs::write(project.path("model.pth"), file).unwrap();
    project
}

/// `Net(fc: Linear(1, 2))` with its optimiser, as a training script keeps both.
fn checkpoint() -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    let hooks = b"ccollections\nOrderedDict\n)R";
    out.extend(text("epoch"));
    out.extend(b"K\x03");
    out.extend(text("model_state_dict"));
    out.extend(b"}(");
    out.extend(text("fc.weight"));
    out.extend(tensor_value("0", 2, 0, &[2, 1], &[1, 1], hooks));
    out.extend(text("tied"));
    out.extend(tensor_value("0", 2, 0, &[2, 1], &[1, 1], hooks));
    out.extend(b"u");
    out.extend(text("optimizer_state_dict"));
    out.extend(b"}(");
    out.extend(text("state"));
    out.extend(b"}K\x00}");
    out.extend(text("exp_avg"));
    out.extend(tensor_value("1", 2, 0, &[2, 1], &[1, 1], hooks));
    out.extend(b"ss");
    out.extend(text("param_groups"));
    out.extend(b"]uu.");
    Zip::torch(&out, &[&floats(), &floats()]).bytes()
}

#[test]
fn inspect_tells_people_and_scripts_the_same() {
    let project = project();
    let told = project.amlrun(&["model", "inspect", "model.pth"]).ended(0).out;
    assert!(told.contains("kind        state_dict\n") && told.contains("\n  w  float32        [2]\n"), "{told}");
    let json: Value =
        serde_json::from_str(&project.amlrun(&["model", "inspect", "model.pth", "-o", "json"]).ended(0).out).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["kind", "safety", "imports", "parameters", "bytes", "tensors", "modules", "notes"]);
    assert_eq!((&json["kind"], &json["safety"]), (&"state_dict".into(), &"safe".into()));
    assert_eq!((&json["parameters"], &json["bytes"]), (&2.into(), &8.into()));
    assert_eq!(json["tensors"].to_string(), r#"[{"name":"w","shape":[2],"dtype":"float32","bytes":8}]"#);
    assert_eq!(json["imports"][0], "torch._utils._rebuild_tensor_v2");
    let query = project.amlrun(&["model", "inspect", "model.pth", "--query", "tensors[0].name", "-o", "tsv"]).ended(0);
    assert_eq!(query.out, "w\n");
}

#[test]
fn inspect_takes_what_is_registered() {
    let project = project();
    project.amlrun(&["model", "create", "-n", "net", "-p", "model.pth"]).ended(0);
    let told = project.amlrun(&["model", "inspect", "azureml:net:1"]).ended(0).out;
    assert!(told.contains("state_dict"), "{told}");
    project.amlrun(&["model", "inspect", "azureml:net@latest"]).ended(0);
    assert!(project.amlrun(&["model", "inspect", "azureml:nett:1"]).ended(3).err.contains("nett"));
    project.amlrun(&["model", "inspect", "nothing.pth"]).ended(3);
}

#[test]
fn a_checkpoint_gives_its_model_and_says_what_was_left() {
    let project = project();
    std::fs::write(project.path("last.ckpt"), checkpoint()).unwrap();
    let json: Value =
        serde_json::from_str(&project.amlrun(&["model", "inspect", "last.ckpt", "-o", "json"]).ended(0).out).unwrap();
    assert_eq!((&json["kind"], &json["parameters"]), (&"checkpoint".into(), &2.into()));
    let notes = json["notes"].to_string();
    assert!(notes.contains("epoch: 3") && notes.contains("tied (sharing one storage)"), "{notes}");
    for out in ["w.safetensors", "w.pth"] {
        let ran = project.amlrun(&["model", "convert", "last.ckpt", out]).ended(0);
        assert_eq!(ran.out, format!("{out}: 2 tensors\n"));
        assert!(ran.err.contains("skipped 1 tensor of an optimizer"), "{}", ran.err);
        let names = project.amlrun(&["model", "inspect", out, "--query", "tensors[].name", "-o", "tsv"]).ended(0);
        assert_eq!(names.out, "fc.weight\ntied\n");
    }
    project.amlrun(&["model", "diff", "w.pth", "w.safetensors"]).ended(0);
}

#[test]
fn convert_replaces_nothing_unless_told_to() {
    let project = project();
    assert!(project.amlrun(&["model", "convert", "model.pth", "model.pth"]).ended(1).err.contains("--force"));
    project.amlrun(&["model", "convert", "model.pth", "out.bin", "--to", "safetensors", "--dtype", "float16"]).ended(0);
    let query = ["model", "inspect", "out.bin", "--query", "[kind, tensors[0].dtype]", "-o", "tsv"];
    assert_eq!(project.amlrun(&query).ended(0).out, "safetensors\nfloat16\n");
    project.amlrun(&["model", "convert", "model.pth", "out.bin", "--to", "pth", "--force"]).ended(0);
    project.amlrun(&["model", "convert", "model.pth", "out"]).ended(2);
    project.amlrun(&["model", "convert", "model.pth", "out.pth", "--select", "x*"]).ended(1);
    project.amlrun(&["model", "convert", "model.pth", "out.pth", "--dtype", "int8"]).ended(2);
    assert!(!project.path("out.pth").exists());
}

#[test]
fn diff_ends_with_one_when_models_differ() {
    let project = project();
    let other = Zip::torch(&tensor(2, 0, &[2], &[1]), &[&[1f32.to_le_bytes(), 2.5f32.to_le_bytes()].concat()]).bytes();
    std::fs::write(project.path("other.pth"), other).unwrap();
    project.amlrun(&["model", "diff", "model.pth", "model.pth"]).ended(0);
    let told = project.amlrun(&["model", "diff", "model.pth", "other.pth"]).ended(1);
    assert_eq!(told.out, "changed     w  largest difference 5.000e-1 absolute, 2.000e-1 relative\n0 equal\n");
    project.amlrun(&["model", "diff", "model.pth", "other.pth", "--no-values"]).ended(0);
    let json = project.amlrun(&["model", "diff", "model.pth", "other.pth", "-o", "json"]).ended(1).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["changed"][0]["absolute"], 0.5);
}

#[test]
fn extract_writes_what_numpy_reads() {
    let project = project();
    project.amlrun(&["model", "extract", "model.pth", "w", "w.npy"]).ended(0);
    let bytes = std::fs::read(project.path("w.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && bytes.ends_with(&floats()) && bytes.len() == 128 + 8);
    let ran = project.amlrun(&["model", "extract", "model.pth", "v", "v.npy"]).ended(3);
    assert!(ran.err.contains("no tensor 'v'"), "{}", ran.err);
}
