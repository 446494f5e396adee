//! What a job leaves is one tree, as on Azure ML: `./outputs`, logs, and what it logs through MLflow.

use serde_json::Value;

use crate::support::{Project, node, pipeline};

/// Logs an artifact through the tracking server, and prints what the server says that the run has.
const LOGS: &str = r#"
import json, os, urllib.request as u
uri, run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
def ask(method, path, body=None):
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
    return u.urlopen(u.Request(uri + path, body, headers, method=method)).read()
os.makedirs("outputs/deep", exist_ok=True)
open("outputs/deep/own.txt", "w").write("own")
root = json.loads(ask("GET", f"/api/2.0/mlflow/runs/get?run_id={run}"))["run"]["info"]["artifact_uri"].split(":/")[1]
for name in ["logged.txt", "outputs/logged_too.txt"]:
    ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{root}/{name}", b"logged")
seen = lambda path: [f["path"] for f in json.loads(ask("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}{path}")).get("files", [])]
own = ask("GET", f"/api/2.0/mlflow-artifacts/artifacts/{root}/outputs/deep/own.txt").decode()
print(json.dumps([seen(""), seen("&path=outputs"), seen("&path=outputs/deep"), own]))
"#;

#[test]
fn a_job_s_outputs_and_what_it_logs_are_seen_as_one_tree() {
    let code = |text: &str| text.replace("    command", "    code: ./src\n    command");
    let project = Project::new().with("src/log.py", LOGS);
    project.write("pipeline.yml", &pipeline(&code(&node("a", "python3 log.py"))));
    project.write("job.yml", "type: command\nenvironment: azureml:any@latest\ncode: ./src\ncommand: python3 log.py\n");
    for (file, run, job) in [("pipeline.yml", "r", "r-a"), ("job.yml", "s", "s")] {
        project.amlrun(&["run", file, "--name", run, "--quiet", "--force-rerun"]).ended(0);
        let printed = project.amlrun(&["logs", run]).ended(0).out;
        let line = printed.lines().find_map(|line| Some(&line[line.find("[[")?..])).unwrap();
        let seen: Value = serde_json::from_str(line).unwrap();
        let top: Vec<&str> = seen[0].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(top.contains(&"logged.txt") && top.contains(&"outputs"), "{top:?}");
        assert_eq!(seen[1], serde_json::json!(["outputs/deep", "outputs/logged_too.txt"]));
        assert_eq!(seen[2], serde_json::json!(["outputs/deep/own.txt"]));
        assert_eq!(seen[3], "own");
        for (address, kind) in [
            (format!("runs:/{job}/outputs/deep/own.txt"), "own"),
            (format!("runs:/{job}/logged.txt"), "logged"),
            (format!("azureml://jobs/{job}/outputs/artifacts/paths/outputs/deep/own.txt"), "own"),
            (format!("azureml://jobs/{job}/outputs/artifacts/paths/logged.txt"), "logged"),
        ] {
            let name = format!("m{}", address.len() + kind.len() + run.len() * 7);
            let made = project.amlrun(&[
                "model",
                "create",
                "-n",
                &name,
                "-p",
                &address,
                "--allow-pickle",
                "--query",
                "path",
                "-o",
                "tsv",
            ]);
            let path = made.ended(0).out;
            assert_eq!(std::fs::read_to_string(path.trim()).unwrap(), kind, "{address}");
        }
    }
}
