//! Requests that nobody means well: the tracking server answers 4xx, soon, and goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::tracking_house::{House, TOKEN};

fn house() -> (tempfile::TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path());
    (folder, house)
}

#[test]
fn only_names_of_this_machine_are_hosts() {
    let (_folder, house) = house();
    let status = |host: &str| {
        let token = format!("Bearer {TOKEN}");
        let path = "/api/2.0/mlflow/experiments/get?experiment_id=0";
        house.send("GET", path, &[("Host", host), ("Authorization", &token)], b"").status
    };
    for here in ["localhost", "localhost:80", "127.0.0.1:1", "[::1]", "[::1]:80"] {
        assert_eq!(status(here), 200, "{here}");
    }
    for foreign in [
        "[::1]evil.com",
        "[::1].evil.com:80",
        "[::1]:80.evil.com",
        "[::1",
        "localhost:evil.com",
        "127.0.0.1:80@evil.com",
    ] {
        assert!((400..500).contains(&status(foreign)), "{foreign}: {}", status(foreign));
    }
}

#[test]
fn who_connects_and_asks_nothing_is_let_go() {
    let (_folder, house) = house();
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(house.address).unwrap()).collect();
    for (number, connection) in silent.iter().enumerate() {
        // Nothing at all, or the beginning of a request.
        let begun: &[u8] = if number % 2 == 0 { b"" } else { b"GET /health HTTP/1.1\r\nHost: loc" };
        (&mut &*connection).write_all(begun).unwrap();
    }
    assert_eq!(house.ask("experiments/get?experiment_id=0").status, 200, "others are served meanwhile");
    for mut connection in silent {
        // The server ends it: reading gets to an end.
        let _ = connection.read_to_end(&mut Vec::new());
    }
    assert_eq!(house.ask("experiments/get?experiment_id=0").status, 200);
    house.close();
}

#[test]
fn names_that_are_too_long_are_the_client_s_mistake() {
    let (_folder, house) = house();
    let run = house.run();
    let long = "n".repeat(300);
    let mut answers = vec![("a model", house.tell("registered-models/create", json!({"name": long})).status)];
    for path in [long.clone(), format!("{long}/x"), format!("a/{long}"), "a/".repeat(3000) + "x"] {
        answers.push(("an upload", house.put(&path, b"x").status));
        answers.push(("a download", house.artifact(&path).status));
        answers.push(("a list", house.ask(&format!("artifacts/list?run_id={run}&path={path}")).status));
    }
    house.put("file", b"x");
    answers.push(("a file as a folder", house.put("file/x", b"x").status));
    house.put("folder/x", b"x");
    answers.push(("a folder as a file", house.put("folder", b"x").status));
    for (what, status) in answers {
        assert!((200..500).contains(&status), "{what}: {status}");
    }
    assert_eq!(house.put(&long, b"x").status, 400);
    assert_eq!(house.put("short", b"x").status, 200);
}

#[test]
fn searches_are_bounded() {
    let (_folder, house) = house();
    house.run();
    let many = |count: usize| vec!["params.a = 'x'"; count].join(" AND ");
    let filters = [
        many(20_000),
        many(101),
        format!("params.a LIKE '{}'", "%a".repeat(40_000)),
        format!("params.a ILIKE '{}'", "_".repeat(60_000)),
        format!("run_id IN ({})", vec!["'x'"; 100_000].join(",")),
        format!("`{}` = 'x'", "k".repeat(200_000)),
        "(".repeat(100_000),
    ];
    for filter in &filters {
        for search in ["runs/search", "registered-models/search", "model-versions/search", "experiments/search"] {
            let body = json!({"experiment_ids": ["0"], "filter": filter, "max_results": 10});
            let answer = if search.starts_with("runs") || search.starts_with("experiments") {
                house.tell(search, body)
            } else {
                house.ask(&format!("{search}?max_results=10&filter={}", filter.replace('%', "%25").replace(' ', "%20")))
            };
            assert!((400..500).contains(&answer.status), "{search}: {}: {}", &filter[..20], answer.status);
        }
    }
    let orders = vec!["metrics.m DESC"; 5000];
    assert_eq!(house.tell("runs/search", json!({"experiment_ids": ["0"], "order_by": orders})).status, 400);
    assert_eq!(house.tell("runs/search", json!({"experiment_ids": ["0"], "filter": many(50)})).status, 200);
}
