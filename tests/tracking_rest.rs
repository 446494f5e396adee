//! The tracking server over real HTTP on loopback: MLflow's conventions and words, searches, who may come in, who says
//! how a run ended, and that nothing is lost.

use std::io::{Read, Write};
use std::net::TcpStream;

use amlrun::clock::Timestamp;
use amlrun::tracking::{NewRun, RunStatus};
use serde_json::{Value, json};

use crate::tracking_house::{House, TOKEN, house};

#[test]
fn the_minimal_transcript_of_a_client() {
    let (_folder, house) = house();
    let error = house.ask("experiments/get-by-name?experiment_name=e").refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(error, "Could not find experiment with name 'e'");
    assert_eq!(house.tell("experiments/create", json!({"name": "e"})).json(), json!({"experiment_id": "1"}));
    let experiment = house.ask("experiments/get?experiment_id=1").json()["experiment"].clone();
    assert_eq!(experiment["artifact_location"], "mlflow-artifacts:/1");
    assert_eq!(experiment["lifecycle_stage"], "active");

    let new = json!({"experiment_id": "1", "user_id": "root", "run_name": "r1", "start_time": "1795453846950",
        "tags": [{"key": "mlflow.user", "value": "root"}]});
    let run = house.tell("runs/create", new).json()["run"].clone();
    let id = run["info"]["run_id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(
        run["info"],
        json!({"run_id": id, "run_uuid": id, "run_name": "r1", "experiment_id": "1", "user_id": "root",
            "status": "RUNNING", "start_time": 1_795_453_846_950_i64,
            "artifact_uri": format!("mlflow-artifacts:/1/{id}/artifacts"), "lifecycle_stage": "active"})
    );
    assert_eq!(run["inputs"], json!({}));

    let metric = json!({"run_uuid": id, "run_id": id, "key": "m", "value": "NaN", "timestamp": 1, "step": 0});
    assert_eq!(house.tell("runs/log-metric", metric).body, b"{}");
    let put = house.put(&format!("1/{id}/artifacts/some%20dir/a.txt"), b"hello");
    assert_eq!((put.status, put.body.len()), (200, 0));
    let update = json!({"run_id": id, "status": "FINISHED", "end_time": 1_795_453_850_231_i64});
    assert_eq!(house.tell("runs/update", update).json()["run_info"]["status"], "FINISHED");

    let data = house.ask(&format!("runs/get?run_uuid={id}")).json()["run"]["data"].clone();
    assert_eq!(data["metrics"], json!([{"key": "m", "value": "NaN", "timestamp": 1, "step": 0}]));
    assert_eq!(
        data["tags"],
        json!([{"key": "mlflow.runName", "value": "r1"}, {"key": "mlflow.user", "value": "root"}])
    );
    assert_eq!(
        house.ask(&format!("artifacts/list?run_id={id}&path=some%20dir")).json(),
        json!({"root_uri": format!("mlflow-artifacts:/1/{id}/artifacts"),
            "files": [{"path": "some dir/a.txt", "is_dir": false, "file_size": 5}]})
    );
    house.close();
}

#[test]
fn metrics_keep_their_history_and_the_latest_by_step() {
    let (_folder, house) = house();
    let id = house.run();
    let metric =
        |step: i64, value: Value| json!({"key": "loss", "value": value, "timestamp": 100 - step, "step": step});
    let metrics = [metric(2, json!(0.2)), metric(1, json!("0.5")), metric(1, json!(0.5)), metric(0, json!("Infinity"))];
    house.tell("runs/log-batch", json!({"run_id": id, "metrics": metrics})).json();
    let latest = house.ask(&format!("runs/get?run_id={id}")).json()["run"]["data"]["metrics"].clone();
    assert_eq!(latest, json!([{"key": "loss", "value": 0.2, "timestamp": 98, "step": 2}]));

    let history = house.ask(&format!("metrics/get-history?run_id={id}&metric_key=loss")).json();
    let values: Vec<_> = history["metrics"].as_array().unwrap().iter().map(|m| m["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [0.2, 0.5, f64::MAX], "by time; infinities are clamped, duplicates are kept once");

    let page = house.ask(&format!("metrics/get-history?run_id={id}&metric_key=loss&max_results=2")).json();
    let token = page["next_page_token"].as_str().unwrap().replace('=', "%3D");
    let next = format!("metrics/get-history?run_id={id}&metric_key=loss&max_results=2&page_token={token}");
    assert_eq!(house.ask(&next).json()["metrics"].as_array().unwrap().len(), 1);
}

#[test]
fn parameters_never_change() {
    let (_folder, house) = house();
    let id = house.run();
    let log = |value: &str| house.tell("runs/log-parameter", json!({"run_id": id, "key": "p", "value": value}));
    log("1").json();
    log("1").json();
    assert_eq!(
        log("other").refused(400, "INVALID_PARAMETER_VALUE"),
        format!(
            "Changing param values is not allowed. Param with key='p' was already logged with value='1' for run \
             ID='{id}'. Attempted logging new value 'other'."
        )
    );
    let twice = json!([{"key": "q", "value": "1"}, {"key": "q", "value": "1"}]);
    house.tell("runs/log-batch", json!({"run_id": id, "params": twice})).refused(400, "INVALID_PARAMETER_VALUE");
    let changed = json!({"run_id": id, "metrics": [{"key": "m", "value": 1, "timestamp": 1}],
        "params": [{"key": "p", "value": "2"}]});
    house.tell("runs/log-batch", changed).refused(400, "INVALID_PARAMETER_VALUE");
    let data = house.ask(&format!("runs/get?run_id={id}")).json()["run"]["data"].clone();
    assert_eq!(data["params"], json!([{"key": "p", "value": "1"}]));
    assert_eq!(data.get("metrics"), None, "a batch is logged wholly or not at all");
}

#[test]
fn mistakes_are_said_in_mlflow_s_words() {
    let (_folder, house) = house();
    let id = house.run();
    let missing = house.tell("runs/log-metric", json!({"key": "m", "value": 1, "timestamp": 1}));
    assert_eq!(
        missing.refused(400, "INVALID_PARAMETER_VALUE"),
        "Missing value for required parameter 'run_id'. See the API docs for more information about request parameters."
    );
    let number = house.tell("experiments/create", json!({"name": 123}));
    assert!(
        number.refused(400, "INVALID_PARAMETER_VALUE").starts_with("Invalid value 123 for parameter 'name' supplied")
    );
    let gone = house.ask("runs/get?run_id=nope");
    assert_eq!(gone.refused(404, "RESOURCE_DOES_NOT_EXIST"), "Run with id=nope not found");
    let gone = house.ask("experiments/get?experiment_id=99");
    assert_eq!(gone.refused(404, "RESOURCE_DOES_NOT_EXIST"), "No Experiment with id=99 exists");
    let tag = house.tell("runs/delete-tag", json!({"run_id": id, "key": "fakeTag"}));
    assert!(tag.refused(404, "RESOURCE_DOES_NOT_EXIST").starts_with("No tag with name: fakeTag in run with id"));
    let taken = house.tell("experiments/create", json!({"name": "e"}));
    assert_eq!(taken.refused(400, "RESOURCE_ALREADY_EXISTS"), "Experiment 'e' already exists.");
    let metrics = vec![json!({"key": "m", "value": 1, "timestamp": 1}); 1001];
    let many = house.tell("runs/log-batch", json!({"run_id": id, "metrics": metrics}));
    let message = many.refused(400, "INVALID_PARAMETER_VALUE");
    assert!(message.starts_with("A batch logging request can contain at most 1000 metrics. Got 1001 metrics."));
    let path = house.tell("runs/log-metric", json!({"run_id": id, "key": "../x", "value": 1, "timestamp": 1}));
    path.refused(400, "INVALID_PARAMETER_VALUE");

    let text = house.with_token("POST", "/api/2.0/mlflow/experiments/create", "text/plain", b"{\"name\":\"x\"}");
    assert!(text.refused(400, "INVALID_PARAMETER_VALUE").contains("Content-Type"));
    let broken = house.with_token("POST", "/api/2.0/mlflow/experiments/create", "application/json", b"{\"name\":");
    assert!(broken.refused(400, "INVALID_PARAMETER_VALUE").contains("not valid JSON"));
    let huge = vec![b' '; 17 << 20];
    let huge = house.with_token("POST", "/api/2.0/mlflow/experiments/create", "application/json", &huge);
    assert!(huge.refused(413, "INVALID_PARAMETER_VALUE").contains("16 MiB"));

    house.ask("logged-models/m-1").refused(404, "ENDPOINT_NOT_FOUND");
    house.tell("logged-models", json!({"experiment_id": "1"})).refused(404, "ENDPOINT_NOT_FOUND");
    let none = json!({"experiment_ids": ["1"], "filter": "name = 'model'"});
    assert_eq!(house.tell("logged-models/search", none).json(), json!({}));
    house.get("/nothing/here").refused(404, "ENDPOINT_NOT_FOUND");
    house.tell("runs/get", json!({"run_id": id})).refused(405, "BAD_REQUEST");
}

#[test]
fn deleted_runs_take_no_more_and_can_come_back() {
    let (_folder, house) = house();
    let id = house.run();
    house.tell("runs/delete", json!({"run_id": id})).json();
    let refused = house.tell("runs/set-tag", json!({"run_id": id, "key": "k", "value": "v"}));
    let message = refused.refused(400, "INVALID_PARAMETER_VALUE");
    assert_eq!(message, format!("The run {id} must be in the 'active' state. Current state is deleted."));
    let search = |view: &str| house.tell("runs/search", json!({"experiment_ids": ["1"], "run_view_type": view})).json();
    assert_eq!(search("ACTIVE_ONLY"), json!({}));
    assert_eq!(search("DELETED_ONLY")["runs"][0]["info"]["run_id"], id.as_str());
    house.tell("runs/restore", json!({"run_id": id})).json();
    assert_eq!(search("ACTIVE_ONLY")["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn runs_are_searched_ordered_and_paged() {
    let (_folder, house) = house();
    let ids: Vec<String> = (0..5).map(|_| house.run()).collect();
    for (n, id) in ids.iter().enumerate().take(4) {
        let loss = if n == 3 { json!("NaN") } else { json!(n as f64 / 10.0) };
        house
            .tell(
                "runs/log-batch",
                json!({"run_id": id, "metrics": [{"key": "val loss", "value": loss, "timestamp": 1}],
                    "params": [{"key": "lr", "value": format!("1e-{n}")}],
                    "tags": [{"key": "team", "value": if n % 2 == 0 { "Blue" } else { "red" }}]}),
            )
            .json();
    }
    let search = |filter: &str, order: &str| -> Vec<usize> {
        let order: Vec<&str> = if order.is_empty() { vec![] } else { vec![order] };
        let body = json!({"experiment_ids": ["1"], "filter": filter, "order_by": order});
        let found = house.tell("runs/search", body).json();
        let runs = found["runs"].as_array().cloned().unwrap_or_default();
        runs.iter().map(|run| ids.iter().position(|id| run["info"]["run_id"] == id.as_str()).unwrap()).collect()
    };
    assert_eq!(search("metrics.`val loss` >= 0.1", "metrics.`val loss` DESC"), [2, 1]);
    let (up, down) = (search("", "metrics.`val loss`"), search("", "metrics.`val loss` DESC"));
    assert_eq!((up, down), (vec![0, 1, 2, 3, 4], vec![2, 1, 0, 3, 4]), "NaN, then missing, last both ways");
    assert_eq!(search("tags.team = 'Blue' AND params.lr != '1e-0'", ""), [2]);
    assert_eq!(search("tags.team LIKE 'b%'", ""), [0_usize; 0]);
    assert_eq!(search("tags.team ILIKE 'b%'", "params.lr"), [0, 2]);
    assert_eq!(search("tags.team IS NULL", ""), [4]);
    assert_eq!(search(&format!("attributes.run_id IN ('{}', '{}')", ids[1], ids[3]), "params.lr"), [1, 3]);
    assert_eq!(search("run_name = 'r' and status = 'FINISHED'", ""), [0_usize; 0]);
    assert_eq!(search(r#"params.lr = "1e-1' OR '1'='1""#, ""), [0_usize; 0], "values are never SQL");
}

#[test]
fn nobody_comes_in_without_the_token_or_from_elsewhere() {
    let (_folder, house) = house();
    let path = "/api/2.0/mlflow/experiments/get?experiment_id=0";
    let host = house.address.to_string();
    let bearer = format!("Bearer {TOKEN}");
    let get = |headers: &[(&str, &str)]| house.send("GET", path, headers, b"");
    get(&[("Host", &host)]).refused(401, "UNAUTHENTICATED");
    get(&[("Host", &host), ("Authorization", "Bearer wrong")]).refused(401, "UNAUTHENTICATED");
    // "anyone:t0ken"
    get(&[("Host", &host), ("Authorization", "Basic YW55b25lOnQwa2Vu")]).json();
    get(&[("Host", "evil.example"), ("Authorization", &bearer)]).refused(403, "PERMISSION_DENIED");
    let headers = [
        ("Host", host.as_str()),
        ("Authorization", &bearer),
        ("Content-Type", "application/json"),
        ("Origin", "https://evil.example"),
    ];
    let create = "/api/2.0/mlflow/experiments/create";
    house.send("POST", create, &headers, b"{\"name\":\"x\"}").refused(403, "PERMISSION_DENIED");
    house.ask("experiments/get-by-name?experiment_name=x").refused(404, "RESOURCE_DOES_NOT_EXIST");

    let health = house.send("GET", "/health", &[("Host", &host)], b"");
    assert_eq!((health.status, health.body.as_slice()), (200, &b"OK"[..]));
    assert_eq!(house.get("/api/3.0/mlflow/server-info").json()["store_type"], "SqlStore");
    assert_eq!(
        house.get("/ajax-api/2.0/mlflow/experiments/get?experiment_id=0").json()["experiment"]["name"],
        "Default"
    );
}

#[test]
fn the_runner_has_the_last_word_on_its_runs() {
    let (folder, house) = house();
    let experiment = house.tracking.experiment("simple_net").unwrap();
    assert_eq!(house.tracking.experiment("simple_net").unwrap(), experiment);
    let artifacts = folder.path().join("runs/brave_fox_1a2b3c/steps/train/artifacts");
    let new = NewRun {
        run_id: "brave_fox_1a2b3c-train".into(),
        run_name: "train".into(),
        experiment_id: experiment.clone(),
        parent: Some("brave_fox_1a2b3c".into()),
        tags: vec![("mlflow.user".into(), "ada".into())],
        artifact_dir: Some(artifacts.clone()),
        start_time: Timestamp(1000),
    };
    let run = house.tracking.create_run(&new).unwrap();
    assert_eq!(run.data.tag("mlflow.parentRunId"), Some("brave_fox_1a2b3c"));
    assert_eq!(run.info.user_id, "ada");
    let id = "brave_fox_1a2b3c-train";

    assert_eq!(house.put(&format!("{experiment}/{id}/artifacts/plots/loss.txt"), b"x").status, 200);
    assert_eq!(std::fs::read(artifacts.join("plots/loss.txt")).unwrap(), b"x", "the run's own folder");
    let update = |status: &str| {
        house.tell("runs/update", json!({"run_id": id, "status": status, "end_time": 5})).json()["run_info"].clone()
    };
    assert_eq!(update("FINISHED")["status"], "FINISHED");
    house.tracking.end_run(id, RunStatus::Failed, Timestamp(2000)).unwrap();
    let after = update("FINISHED");
    assert_eq!((&after["status"], &after["end_time"]), (&json!("FAILED"), &json!(2000)));

    // The runner tries the step again.
    assert_eq!(house.tracking.create_run(&new).unwrap().info.status, RunStatus::Running);
    assert_eq!(update("FINISHED")["status"], "FINISHED");
    assert!(house.tracking.end_run("nobody", RunStatus::Killed, Timestamp(1)).is_err());
}

#[test]
fn everything_is_there_after_a_restart() {
    let (folder, house) = house();
    let id = house.run();
    house.tell("runs/log-parameter", json!({"run_id": id, "key": "p", "value": "1"})).json();
    house.put(&format!("1/{id}/artifacts/m/w"), b"w");
    house.tell("registered-models/create", json!({"name": "m"})).json();
    let source = format!("runs:/{id}/m");
    house.tell("model-versions/create", json!({"name": "m", "source": source, "run_id": id})).json();
    let before = house.ask(&format!("runs/get?run_id={id}")).json();
    house.close();

    let house = House::open(folder.path());
    assert_eq!(house.ask(&format!("runs/get?run_id={id}")).json(), before);
    assert_eq!(house.artifact("models/m/1/w").body, b"w");
    assert_eq!(house.ask("model-versions/get?name=m&version=1").json()["model_version"]["source"], source.as_str());
    house.close();
}

#[test]
fn many_clients_log_at_once_and_nothing_is_lost() {
    let (_folder, house) = house();
    let id = house.run();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (house, id) = (&house, &id);
            scope.spawn(move || {
                for step in 0..10 {
                    let metric = json!({"run_id": id, "key": format!("m{client}"), "value": step, "timestamp": step,
                        "step": step});
                    house.tell("runs/log-metric", metric).json();
                }
            });
        }
    });
    let run = house.ask(&format!("runs/get?run_id={id}")).json();
    let latest: Vec<_> = run["run"]["data"]["metrics"].as_array().unwrap().iter().map(|m| m["value"].clone()).collect();
    assert_eq!(latest, vec![json!(9.0); 8]);
}

#[test]
fn two_processes_share_one_store() {
    let (folder, first) = house();
    let second = House::open(folder.path());
    let id = first.run();
    std::thread::scope(|scope| {
        for (house, name) in [(&first, "a"), (&second, "b")] {
            let id = &id;
            scope.spawn(move || {
                for step in 0..20 {
                    let metric = json!({"run_id": id, "key": name, "value": 1, "timestamp": step, "step": step});
                    house.tell("runs/log-metric", metric).json();
                }
            });
        }
    });
    for key in ["a", "b"] {
        let history = first.ask(&format!("metrics/get-history?run_id={id}&metric_key={key}")).json();
        assert_eq!(history["metrics"].as_array().unwrap().len(), 20);
    }
}

#[test]
fn a_stopped_server_is_gone_even_when_a_client_keeps_its_connection() {
    let (_folder, house) = house();
    let (address, host) = (house.address, house.address.to_string());
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    connection.read_exact(&mut [0; 15]).unwrap();
    house.close();
    TcpStream::connect(address).unwrap_err();
    // The kept connection is closed as well: reading it comes to an end.
    let _ = connection.read_to_end(&mut Vec::new());
}

/// Serves until its input ends, for `tests/interop/mlflow_client.py`: writes what that needs in its environment to the
/// file that `AMLRUN_TEST_ENV_FILE` names.
#[test]
#[ignore = "waits for a client"]
fn serve_for_a_real_client() {
    let (_folder, house) = house();
    let new = NewRun {
        run_id: "brave_fox_1a2b3c-train".into(),
        run_name: "train".into(),
        experiment_id: house.tracking.experiment("job").unwrap(),
        parent: None,
        tags: vec![],
        artifact_dir: None,
        start_time: Timestamp::now(),
    };
    let run = house.tracking.create_run(&new).unwrap().info;
    let file = std::env::var_os("AMLRUN_TEST_ENV_FILE").expect("AMLRUN_TEST_ENV_FILE");
    let (address, id, experiment) = (house.address, run.run_id, run.experiment_id);
    let variables = format!(
        "MLFLOW_TRACKING_URI=http://{address}\nMLFLOW_TRACKING_TOKEN={TOKEN}\nMLFLOW_RUN_ID={id}\n\
         MLFLOW_EXPERIMENT_ID={experiment}\n"
    );
    std::fs::write(file, variables).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    house.close();
}
