//! The tracking server over real HTTP on loopback: MLflow's conventions, who may come in, artifacts that cannot escape,
//! and a model from a run's artifacts to a sealed, registered version.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use amlrun::clock::Timestamp;
use amlrun::registry::{AssetKind, AssetType, Registry, Selector};
use amlrun::tracking::{NewRun, RunStatus, Server, Tracking};
use serde_json::{Value, json};

const TOKEN: &str = "t0ken";

/// A workspace with a running server.
struct House {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    tracking: Arc<Tracking>,
    registry: Arc<Registry>,
    address: SocketAddr,
}

impl House {
    fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let registry = Arc::new(Registry::open(&folder.join("registry.db")).unwrap());
        let (models, artifacts) = (folder.join("models"), folder.join("artifacts"));
        let tracking = Tracking::open(&folder.join("tracking.db"), Arc::clone(&registry), models, artifacts);
        let tracking = Arc::new(tracking.unwrap());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = runtime.block_on(Server::start(Arc::clone(&tracking), TOKEN, any_port)).unwrap();
        let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
        Self { runtime, server: Some(server), tracking, registry, address }
    }

    fn close(mut self) {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.stop());
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        // The server may refuse before it has read everything.
        let _ = connection.write_all(body);
        let mut bytes = Vec::new();
        let _ = connection.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let body = bytes[end + 4..].to_vec();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body }
    }

    fn with_token(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let host = self.address.to_string();
        let headers = [("Host", host.as_str()), ("Authorization", &token), ("Content-Type", kind)];
        self.send(method, path, &headers, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.with_token("GET", path, "", b"")
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/api/2.0/mlflow/{path}");
        self.with_token(method, &path, "application/json", body.to_string().as_bytes())
    }

    fn ask(&self, path: &str) -> Answer {
        self.get(&format!("/api/2.0/mlflow/{path}"))
    }

    fn tell(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Answer {
        self.with_token("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/{path}"), "text/plain", bytes)
    }

    fn artifact(&self, path: &str) -> Answer {
        self.get(&format!("/api/2.0/mlflow-artifacts/artifacts/{path}"))
    }

    /// A run in the experiment `e`.
    fn run(&self) -> String {
        let experiment = self.tracking.experiment("e").unwrap();
        let made = self.tell("runs/create", json!({"experiment_id": experiment, "run_name": "r"})).json();
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> String {
        let error: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((self.status, error["error_code"].as_str().unwrap()), (status, code), "{error}");
        error["message"].as_str().unwrap().to_owned()
    }
}

fn house() -> (tempfile::TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    (folder, house)
}

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
fn artifacts_stream_whole_in_ranges_and_never_half() {
    let (folder, house) = house();
    let root = format!("1/{}/artifacts", house.run());
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for bytes in [&big[..], &big[..17], b""] {
        assert_eq!(house.put(&format!("{root}/deep/er/big.bin"), bytes).status, 200);
        let got = house.artifact(&format!("{root}/deep/er/big.bin"));
        assert!(got.status == 200 && got.body == bytes);
        assert!(got.head.contains("content-disposition: attachment; filename=\"big.bin\""), "{}", got.head);
        assert!(got.head.contains("x-content-type-options: nosniff"));
    }
    house.put(&format!("{root}/ten"), b"0123456789");
    let (host, bearer) = (house.address.to_string(), format!("Bearer {TOKEN}"));
    let headers = [("Host", host.as_str()), ("Authorization", &bearer), ("Range", "bytes=2-4")];
    let part = house.send("GET", &format!("/api/2.0/mlflow-artifacts/artifacts/{root}/ten"), &headers, b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert!(part.head.contains("content-range: bytes 2-4/10"));

    // A client that says 100 bytes, sends 3 and goes away.
    let mut connection = TcpStream::connect(house.address).unwrap();
    let head = format!(
        "PUT /api/2.0/mlflow-artifacts/artifacts/{root}/half HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bearer}\r\n\
         Content-Length: 100\r\n\r\nabc"
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = connection.read_to_end(&mut Vec::new());
    house.artifact(&format!("{root}/half")).refused(404, "RESOURCE_DOES_NOT_EXIST");

    let listing = house.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={root}")).json();
    assert_eq!(
        listing["files"],
        json!([{"path": "deep", "is_dir": true}, {"path": "ten", "is_dir": false, "file_size": 10}])
    );
    assert_eq!(house.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={root}/ten")).json(), json!({}));
    house.close();
    let left = std::fs::read_dir(folder.path().join("artifacts").join(root)).unwrap().count();
    assert_eq!(left, 2, "nothing of the broken upload stays");
}

#[test]
fn artifact_paths_cannot_escape() {
    let (folder, house) = house();
    let id = house.run();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    for path in [
        "../secret",
        "%2e%2e/secret",
        "1/%2e%2e%2f%2e%2e/secret",
        "1/..%2f../secret",
        "%252e%252e/secret",
        "%2Fetc%2Fpasswd",
        "1%5c..%5csecret",
        "C%3A/secret",
    ] {
        let message = house.artifact(path).refused(400, "INVALID_PARAMETER_VALUE");
        assert!(message.starts_with("Invalid path"), "{path}: {message}");
        house.put(path, b"x").refused(400, "INVALID_PARAMETER_VALUE");
        house.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={path}")).refused(400, "INVALID_PARAMETER_VALUE");
    }
    house.ask(&format!("artifacts/list?run_id={id}&path=..")).refused(400, "INVALID_PARAMETER_VALUE");
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).unwrap(), "s");

    #[cfg(unix)]
    {
        house.put(&format!("1/{id}/artifacts/a"), b"x");
        let run = folder.path().join(format!("artifacts/1/{id}/artifacts"));
        std::os::unix::fs::symlink(folder.path(), run.join("link")).unwrap();
        house.artifact(&format!("1/{id}/artifacts/link/secret")).refused(400, "INVALID_PARAMETER_VALUE");
        house.put(&format!("1/{id}/artifacts/link/new"), b"x").refused(400, "INVALID_PARAMETER_VALUE");
        assert!(!folder.path().join("new").exists());
    }
}

#[test]
fn a_model_goes_from_artifacts_to_a_sealed_version() {
    let (folder, house) = house();
    let id = house.run();
    house.put(&format!("1/{id}/artifacts/model/model.safetensors"), b"weights");
    house.put(&format!("1/{id}/artifacts/model/code/net.txt"), b"net");
    house.tell("registered-models/create", json!({"name": "simple-torch-model"})).json();
    let again = house.tell("registered-models/create", json!({"name": "simple-torch-model"}));
    let message = again.refused(400, "RESOURCE_ALREADY_EXISTS");
    assert_eq!(message, "Registered Model (name=simple-torch-model) already exists.");

    let new = json!({"name": "simple-torch-model", "source": format!("mlflow-artifacts:/1/{id}/artifacts/model"),
        "run_id": id, "description": "A net",
        "tags": [{"key": "framework", "value": "pytorch"}, {"key": "libtorch_version", "value": "2.13.0"}]});
    let made = house.tell("model-versions/create", new.clone()).json()["model_version"].clone();
    assert_eq!((&made["version"], &made["status"], &made["run_id"]), (&json!("1"), &json!("READY"), &json!(id)));
    assert_eq!(house.tell("model-versions/create", new).json()["model_version"]["version"], "2");

    let asset = house.registry.get(AssetKind::Model, "simple-torch-model", &Selector::Version("1".into())).unwrap();
    assert_eq!(asset.asset_type, AssetType::CustomModel);
    assert_eq!((asset.framework.as_deref(), asset.framework_version.as_deref()), (Some("pytorch"), Some("2.13.0")));
    assert_eq!((asset.run.as_deref(), asset.bytes), (Some(id.as_str()), 10));
    assert!(asset.path.starts_with(folder.path().join("models")));
    assert!(asset.path.join("model.safetensors").metadata().unwrap().permissions().readonly());

    let uri = house.ask("model-versions/get-download-uri?name=simple-torch-model&version=1").json();
    let uri = uri["artifact_uri"].as_str().unwrap();
    assert_eq!(uri, "mlflow-artifacts:/models/simple-torch-model/1");
    // What the run does afterwards changes nothing, and neither can a client.
    assert_eq!(house.put(&format!("1/{id}/artifacts/model/model.safetensors"), b"changed").status, 200);
    let sealed = "models/simple-torch-model/1";
    assert_eq!(house.artifact(&format!("{sealed}/model.safetensors")).body, b"weights");
    let refused = house.put(&format!("{sealed}/model.safetensors"), b"x").refused(400, "INVALID_PARAMETER_VALUE");
    assert!(refused.contains("sealed"));
    assert_eq!(
        house.get(&format!("/api/2.0/mlflow-artifacts/artifacts?path={sealed}")).json()["files"],
        json!([{"path": "code", "is_dir": true},
            {"path": "model.safetensors", "is_dir": false, "file_size": 7}])
    );
}

#[test]
fn a_model_source_must_lie_among_its_run_s_artifacts() {
    let (folder, house) = house();
    let (id, other) = (house.run(), house.run());
    for run in [&id, &other] {
        house.put(&format!("1/{run}/artifacts/m/w"), b"w");
    }
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    house.tell("registered-models/create", json!({"name": "m"})).json();
    let local = folder.path().join(format!("artifacts/1/{id}/artifacts/m"));
    let (local, secret) = (local.to_str().unwrap(), folder.path().join("secret"));
    let create = |source: &str, run: &str| {
        house.tell("model-versions/create", json!({"name": "m", "source": source, "run_id": run}))
    };
    for (source, run) in [
        (secret.to_str().unwrap(), id.as_str()),
        (secret.to_str().unwrap(), ""),
        (&format!("file://{}", secret.display()), &id),
        (local, ""),
        (local, &other),
        (&format!("{local}/../../../../../../secret"), &id),
        (&format!("mlflow-artifacts:/1/{other}/artifacts/m"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/../../{other}/artifacts/m"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/%2e%2e/%2e%2e/secret"), &id),
        (&format!("runs:/{other}/m"), &id),
        (&format!("runs:/{id}/m"), ""),
        ("s3://bucket/m", &id),
        ("models:/m-123", ""),
    ] {
        create(source, run).refused(400, "INVALID_PARAMETER_VALUE");
    }
    create(&format!("mlflow-artifacts:/1/{id}/artifacts/nothing"), &id).refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert!(house.registry.list(AssetKind::Model, None).unwrap().is_empty());

    for (source, run) in [
        (local, id.as_str()),
        (&format!("file://{local}"), &id),
        (&format!("runs:/{id}/m/w"), &id),
        (&format!("mlflow-artifacts:/1/{id}/artifacts/m"), ""),
        ("models:/m/1", ""),
    ] {
        create(source, run).json();
    }
    let uri = house.ask("model-versions/get-download-uri?name=m&version=3").json();
    assert_eq!(uri["artifact_uri"], "mlflow-artifacts:/models/m/3/w", "a model of one file is that file");
    assert_eq!(house.artifact("models/m/3/w").body, b"w");
    assert_eq!(house.registry.list(AssetKind::Model, None).unwrap().len(), 5);
}

#[test]
fn registered_models_have_aliases_stages_tags_and_are_searched() {
    let (_folder, house) = house();
    let id = house.run();
    house.put(&format!("1/{id}/artifacts/m/MLmodel"), b"flavors: {}");
    let none = house.ask("registered-models/get?name=none").refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(none, "Registered Model with name=none not found");
    house.tell("registered-models/create", json!({"name": "a/b"})).refused(400, "INVALID_PARAMETER_VALUE");
    house.tell("registered-models/create", json!({"name": "net", "tags": [{"key": "team", "value": "x"}]})).json();
    for _ in 0..2 {
        let source = format!("runs:/{id}/m");
        house.tell("model-versions/create", json!({"name": "net", "source": source, "run_id": id})).json();
    }
    let newest = house.registry.get(AssetKind::Model, "net", &Selector::Latest).unwrap();
    assert_eq!(newest.asset_type, AssetType::MlflowModel);

    house.tell("registered-models/alias", json!({"name": "net", "alias": "champion", "version": "1"})).json();
    let champion = house.ask("registered-models/alias?name=net&alias=champion").json();
    assert_eq!(champion["model_version"]["version"], "1");
    let unknown = house.ask("registered-models/alias?name=net&alias=zz").refused(400, "INVALID_PARAMETER_VALUE");
    assert_eq!(unknown, "Registered model alias zz not found.");
    let reserved = json!({"name": "net", "alias": "latest", "version": "1"});
    house.tell("registered-models/alias", reserved).refused(400, "INVALID_PARAMETER_VALUE");
    let absent = json!({"name": "net", "alias": "x", "version": "77"});
    let message = house.tell("registered-models/alias", absent).refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(message, "Model Version (name=net, version=77) not found");

    let stage = json!({"name": "net", "version": "1", "stage": "production", "archive_existing_versions": false});
    let moved = house.tell("model-versions/transition-stage", stage).json();
    assert_eq!(moved["model_version"]["current_stage"], "Production");
    let latest = house.tell("registered-models/get-latest-versions", json!({"name": "net"})).json();
    let versions: Vec<_> = latest["model_versions"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(versions, ["2", "1"], "the newest of each stage");

    let tag = json!({"name": "net", "version": "2", "key": "quality", "value": "good"});
    house.tell("model-versions/set-tag", tag).json();
    let describe = json!({"name": "net", "version": "2", "description": "better"});
    assert_eq!(
        house.call("PATCH", "model-versions/update", &describe).json()["model_version"]["description"],
        "better"
    );
    let search = |filter: &str| house.ask(&format!("model-versions/search?filter={filter}")).json();
    assert_eq!(search("name%3D'net'%20AND%20tags.quality%3D'good'")["model_versions"].as_array().unwrap().len(), 1);
    assert_eq!(search(&format!("run_id%20IN%20('{id}')"))["model_versions"].as_array().unwrap().len(), 2);

    // What every client adds to every search; a model without the tag is no prompt.
    let filter = "name%20ILIKE%20'NE%25'%20AND%20tag.%60mlflow.prompt.is_prompt%60%20!%3D%20'true'";
    let models = house.ask(&format!("registered-models/search?filter={filter}&max_results=100")).json();
    assert_eq!(models["registered_models"][0]["aliases"], json!([{"alias": "champion", "version": "1"}]));
    house.call("DELETE", "registered-models/alias", &json!({"name": "net", "alias": "champion"})).json();
    house.ask("registered-models/alias?name=net&alias=champion").refused(400, "INVALID_PARAMETER_VALUE");
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

/// Serves until its input ends, for `tests/interop/mlflow_client.py`; says where in the file that
/// `AMLRUN_TEST_URL_FILE` names.
#[test]
#[ignore = "waits for a client"]
fn serve_for_a_real_client() {
    let (_folder, house) = house();
    if let Some(file) = std::env::var_os("AMLRUN_TEST_URL_FILE") {
        std::fs::write(file, format!("http://{}", house.address)).unwrap();
    }
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    house.close();
}
