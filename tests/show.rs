//! `amlrun show`: a document with everything in its place, and where each value came from.

use serde_json::{Value, json};

use crate::support::Project;

const TRAIN: &str = "$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json\n\
    name: train\nversion: 3\ntype: command\ninputs:\n  data: {type: uri_folder}\n  rate: {type: number, default: 0.5}\n  epochs: {type: integer, default: 3}\n\
    outputs:\n  model: {type: uri_folder}\ncode: ./src\ncommand: |\n  python train.py\n  echo done\n\
    environment: azureml:small@latest\n";

const PIPELINE: &str = "type: pipeline\ninputs:\n  data: {path: azureml:iris:2}\n  day: '2024-01-01'\n\
    settings:\n  default_compute: azureml:cpu\njobs:\n  train: &train\n    type: command\n    component: parts/train.yml\n    \
    inputs:\n      data: ${{parent.inputs.data}}\n  again:\n    <<: *train\n";

fn project() -> Project {
    Project::new().with("parts/train.yml", TRAIN).with("parts/src/train.py", "").with("pipeline.yml", PIPELINE)
}

#[test]
fn each_line_says_where_its_value_came_from() {
    let shown = project().amlrun(&["show", "pipeline.yml", "--set", "inputs.day=today"]).ended(0).out;
    for line in [
        "    path: azureml:iris:2  # pipeline.yml:3\n",
        "    type: uri_folder  # default\n",
        "  day: today  # --set\n",
        "  continue_on_step_failure: true  # default\n",
        "    component:  # pipeline.yml:10, content of parts/train.yml\n",
        "      name: train  # parts/train.yml:2\n",
        "      environment: azureml:small@latest  # parts/train.yml:15\n",
        "      rate: 0.5  # parts/train.yml:7\n",
        "      epochs: 3  # parts/train.yml:8\n",
        "    compute: azureml:cpu  # pipeline.yml:6\n",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(
        shown.contains("command: |  # parts/train.yml:13\n        python train.py\n        echo done\n"),
        "{shown}"
    );
    assert!(shown.contains("code: parts/src  # parts/train.yml:11\n"), "as the document's folder sees it:\n{shown}");
    let again = shown.split("  again:\n").nth(1).unwrap();
    assert!(
        again.contains("data: ${{parent.inputs.data}}  # pipeline.yml:12\n"),
        "anchors lead to their line:\n{again}"
    );
}

#[test]
fn the_yaml_is_the_document_itself() {
    let project = project();
    let shown = project.amlrun(&["show", "pipeline.yml"]).ended(0).out;
    project.write("shown.yml", &shown);
    project.amlrun(&["validate", "shown.yml", "--target", "azure"]).ended(0);
    let twice = project.amlrun(&["show", "shown.yml", "-o", "json"]).ended(0).out;
    let once = project.amlrun(&["show", "pipeline.yml", "-o", "json"]).ended(0).out;
    let (once, twice): (Value, Value) = (serde_json::from_str(&once).unwrap(), serde_json::from_str(&twice).unwrap());
    assert_eq!(once["document"], twice["document"], "showing what was shown changes nothing");
    assert_eq!(once["document"]["inputs"]["day"], "2024-01-01");
}

#[test]
fn json_has_the_origins_by_path() {
    let ran = project().amlrun(&["show", "pipeline.yml", "-o", "json", "--set", "inputs.day=today"]).ended(0);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown["document"]["jobs"]["train"]["component"]["version"], 3);
    let origins = &shown["origins"];
    assert_eq!(origins["inputs.day"], json!({"set": true}));
    assert_eq!(origins["settings.force_rerun"], json!({"default": true}));
    assert_eq!(origins["jobs.train.inputs.rate"], json!({"file": "parts/train.yml", "line": 7, "column": 33}));
    assert_eq!(
        origins["jobs.train.component"],
        json!({"file": "pipeline.yml", "line": 10, "column": 16, "content_of": "parts/train.yml"})
    );
}

#[test]
fn secrets_are_masked() {
    let store = "type: azure_blob\nname: store\naccount_name: acme\ncontainer_name: c\ncredentials:\n  \
        account_key: hunter2\n";
    let job = "type: command\nenvironment: azureml:e:1\ncommand: 'true'\nenvironment_variables:\n  API_KEY: hunter2\n  \
        DB_PASSWORD: ${{inputs.p}}\n  MAX_TOKENS: '20'\ninputs:\n  p: x\n  \
        data: {type: uri_file, path: 'https://a.blob.core.windows.net/c/f?sv=1&sig=hunter2'}\n";
    let project = Project::new().with("store.yml", store).with("job.yml", job);
    for file in ["store.yml", "job.yml"] {
        for output in ["yaml", "json"] {
            let shown = project.amlrun(&["show", file, "-o", output]).ended(0).out;
            assert!(!shown.contains("hunter2") && shown.contains("********"), "{shown}");
        }
    }
    let shown = project.amlrun(&["show", "job.yml"]).out;
    assert!(shown.contains("MAX_TOKENS: '20'") && shown.contains("DB_PASSWORD: ${{inputs.p}}"), "{shown}");
}

#[test]
fn a_file_with_mistakes_is_shown_as_far_as_it_can_be_read() {
    let project = project();
    project.write("pipeline.yml", &PIPELINE.replace("parts/train.yml", "parts/tarin.yml"));
    let ran = project.amlrun(&["show", "pipeline.yml"]).ended(1);
    assert!(ran.out.contains("component: null  # pipeline.yml:10, cannot be read"), "{}", ran.out);
    assert!(ran.err.contains("did you mean 'train.yml'?"), "{}", ran.err);
    project.amlrun(&["show", "none.yml"]).ended(3);
}
