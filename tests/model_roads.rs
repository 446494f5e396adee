//! One policy on every way into the registry: by hand, as the named output of a step, and through MLflow's REST.

use serde_json::{Value, json};

use crate::model_forge::{Zip, legacy_right, tensor};
use crate::model_safety::{evil, scikit};
use crate::support::Project;
use crate::tracking_house::house;

/// What each kind of model is, and a word that a refusal must have; none for those that are registered.
fn models() -> Vec<(&'static str, Vec<u8>, &'static str, Option<&'static str>)> {
    let right = Zip::torch(&tensor(2, 0, &[2], &[1]), &[&[0; 8]]).bytes();
    let odd = b"\x80\x02I0x10\n0}.".to_vec();
    vec![
        ("state.pth", right.clone(), "safe", None),
        ("boosting.pkl", scikit(), "unknown", None),
        ("cut_off.pth", right[..right.len() - 9].to_vec(), "cannot_be_judged", Some("cut off")),
        ("followed.pth", [legacy_right(), b"more".to_vec()].concat(), "cannot_be_judged", Some("4 bytes follow")),
        ("odd.pkl", odd, "cannot_be_judged", Some("interpret differently")),
        ("evil.pkl", evil(), "dangerous", Some("os.system can run any command")),
    ]
}

#[test]
fn by_hand_a_file_and_a_folder_are_judged_alike() {
    let project = Project::new();
    for (name, bytes, safety, refusal) in models() {
        std::fs::create_dir_all(project.path(&format!("in_{name}"))).unwrap();
        std::fs::write(project.path(name), &bytes).unwrap();
        std::fs::write(project.path(&format!("in_{name}/{name}")), &bytes).unwrap();
        for path in [name.to_owned(), format!("in_{name}")] {
            let create = ["model", "create", "-n", "m", "-p", &path, "--query", "summary.safety", "-o", "tsv"];
            let ran = project.amlrun(&create);
            match refusal {
                Some(word) => {
                    assert_eq!(ran.code, 1, "{path}: {}{}", ran.out, ran.err);
                    assert!(ran.err.contains(word) && ran.err.contains("--allow-pickle"), "{path}: {}", ran.err);
                    let allowed = project.amlrun(&[create.as_slice(), &["--allow-pickle"]].concat()).ended(0);
                    assert_eq!(allowed.out, format!("{safety}\n"), "{path}");
                    assert!(allowed.err.contains("warning: "), "{path}: {}", allowed.err);
                }
                None => {
                    assert_eq!(
                        (ran.code, ran.out.as_str()),
                        (0, format!("{safety}\n").as_str()),
                        "{path}: {}",
                        ran.err
                    );
                    assert_eq!(ran.err.contains("warning: "), safety == "unknown", "{path}: {}", ran.err);
                }
            }
        }
    }
    let warned = project.amlrun(&["model", "create", "-n", "again", "-p", "boosting.pkl"]).ended(0).err;
    assert!(warned.contains("runs the code of scikit-learn, numpy when it is loaded"), "{warned}");
}

#[test]
fn what_is_no_model_is_told_apart_from_what_cannot_be_judged() {
    let project = Project::new();
    project.write("notes.txt", "hello");
    project.write("pointer.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n");
    project.write("page.pth", "<!DOCTYPE html><html><body>404</body></html>");
    let create = |path: &str| {
        project.amlrun(&["model", "create", "-n", "m", "-p", path, "--query", "summary.safety", "-o", "json"]).ended(0)
    };
    let notes = create("notes.txt");
    assert_eq!((notes.out.as_str(), notes.err.contains("warning")), ("null\n", false), "{}", notes.err);
    for (path, word) in [("pointer.pth", "git lfs pull"), ("page.pth", "HTML page")] {
        let ran = create(path);
        assert!(ran.err.contains("warning: ") && ran.err.contains(word), "{path}: {}", ran.err);
        let inspected = project.amlrun(&["model", "inspect", path]).ended(1);
        assert!(inspected.err.contains(word), "{path}: {}", inspected.err);
    }
}

#[test]
fn the_named_output_of_a_step_is_judged() {
    let project = Project::new();
    let job = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\n\
               command: cp ${{inputs.m}} ${{outputs.model}}/\nenvironment: azureml:any@latest\n\
               inputs:\n  m: {type: uri_file, path: ./NAME}\noutputs:\n  model: {type: custom_model, name: made}\n";
    for (name, bytes, safety, refusal) in models() {
        std::fs::write(project.path(name), bytes).unwrap();
        project.write("job.yml", &job.replace("NAME", name));
        let ran = project.amlrun(&["run", "job.yml"]);
        let kept = project.amlrun(&["model", "list", "--query", "[].summary.safety", "-o", "json"]).ended(0).out;
        let kept: Vec<String> = serde_json::from_str::<Value>(&kept)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|safety| safety.as_str().unwrap().to_owned())
            .collect();
        match refusal {
            Some(word) => {
                assert!(
                    ran.code == 1 && (ran.out.contains(word) || ran.err.contains(word)),
                    "{name}: {}{}",
                    ran.out,
                    ran.err
                );
                assert!(!kept.contains(&safety.to_owned()), "{name}: {kept:?}");
            }
            None => assert!(ran.code == 0 && kept.contains(&safety.to_owned()), "{name}: {}{}", ran.out, ran.err),
        }
    }
}

#[test]
fn a_step_registers_ordinary_models_through_mlflow_and_no_others() {
    let (_folder, house) = house();
    let id = house.run();
    house.tell("registered-models/create", json!({"name": "m"})).json();
    for (name, bytes, safety, refusal) in models() {
        assert_eq!(house.put(&format!("1/{id}/artifacts/{name}/{name}"), &bytes).status, 200);
        let mlmodel = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n";
        assert_eq!(house.put(&format!("1/{id}/artifacts/ml_{name}/MLmodel"), mlmodel).status, 200);
        assert_eq!(house.put(&format!("1/{id}/artifacts/ml_{name}/{name}"), &bytes).status, 200);
        for source in
            [format!("runs:/{id}/{name}"), format!("runs:/{id}/ml_{name}"), format!("runs:/{id}/{name}/{name}")]
        {
            let told = house.tell("model-versions/create", json!({"name": "m", "source": source, "run_id": id}));
            match refusal {
                Some(word) => {
                    let message = told.refused(400, "INVALID_PARAMETER_VALUE");
                    assert!(message.contains(word), "{source}: {message}");
                }
                None => assert_eq!(told.json()["model_version"]["status"], "READY", "{source} is {safety}"),
            }
        }
    }
}
