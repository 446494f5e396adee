//! Artifacts through the tracking server: they stream, arrive whole or not at all, and cannot escape.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::tracking_house::{TOKEN, house};

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
