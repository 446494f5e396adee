//! A workspace with a running tracking server, and the smallest HTTP client that can say anything to it, right or
//! wrong. For the other `tracking_` files.

#![allow(clippy::unwrap_used)] // only tests call this
#![allow(clippy::needless_pass_by_value)] // `tell("…", json!(…))` reads better

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use amlrun::registry::Registry;
use amlrun::tracking::{Server, Tracking};
use serde_json::{Value, json};

pub const TOKEN: &str = "t0ken";

/// A workspace with a running server.
pub struct House {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    pub tracking: Arc<Tracking>,
    pub registry: Arc<Registry>,
    pub address: SocketAddr,
}

impl House {
    pub fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let registry = Arc::new(Registry::open(&folder.join("registry.db")).unwrap());
        let (models, artifacts) = (folder.join("models"), folder.join("artifacts"));
        let tracking = Tracking::open(&folder.join("tracking.db"), Arc::clone(&registry), models, artifacts);
        let tracking = Arc::new(tracking.unwrap());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let _inside = runtime.enter();
        let server = Server::start(Arc::clone(&tracking), TOKEN, any_port).unwrap();
        let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
        Self { runtime, server: Some(server), tracking, registry, address }
    }

    pub fn close(mut self) {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.stop());
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
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

    pub fn with_token(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let host = self.address.to_string();
        let headers = [("Host", host.as_str()), ("Authorization", &token), ("Content-Type", kind)];
        self.send(method, path, &headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.with_token("GET", path, "", b"")
    }

    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/api/2.0/mlflow/{path}");
        self.with_token(method, &path, "application/json", body.to_string().as_bytes())
    }

    pub fn ask(&self, path: &str) -> Answer {
        self.get(&format!("/api/2.0/mlflow/{path}"))
    }

    pub fn tell(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body)
    }

    pub fn put(&self, path: &str, bytes: &[u8]) -> Answer {
        self.with_token("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/{path}"), "text/plain", bytes)
    }

    pub fn artifact(&self, path: &str) -> Answer {
        self.get(&format!("/api/2.0/mlflow-artifacts/artifacts/{path}"))
    }

    /// A run in the experiment `e`.
    pub fn run(&self) -> String {
        let experiment = self.tracking.experiment("e").unwrap();
        let made = self.tell("runs/create", json!({"experiment_id": experiment, "run_name": "r"})).json();
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let error: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!((self.status, error["error_code"].as_str().unwrap()), (status, code), "{error}");
        error["message"].as_str().unwrap().to_owned()
    }
}

pub fn house() -> (tempfile::TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    (folder, house)
}
