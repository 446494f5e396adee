//! `amlrun cp` from web servers, good and bad ones: the file is whole in the end, or the person is told why there is none.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::hostile_http::{Act, Hostile};
use crate::support::{Project, Ran};

const MIB: usize = 1 << 20;

/// Bytes that are the same nowhere else in the file, so that a shifted or mixed one is seen.
fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// A project that gives a stalled request up after a second, and a transfer after that much trouble.
fn project(patience: u32) -> Project {
    Project::new().with("amlrun.toml", &format!("[transfer]\nstall = 1\nretry_timeout = {patience}\n"))
}

/// Copies a path of the server to `got/file`.
fn copy(server: &Hostile, project: &Project, path: &str) -> Ran {
    std::fs::create_dir_all(project.path("got")).unwrap();
    project.amlrun(&["cp", &server.url(path), "got/file"])
}

/// The names in `got/`.
fn there(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(project.path("got")).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The copy succeeds with that content, and nothing lies beside it.
#[track_caller]
fn arrives(ran: Ran, project: &Project, wanted: &[u8]) {
    let ran = ran.ended(0);
    assert_eq!(there(project), ["file"], "{}", ran.err);
    assert!(std::fs::read(project.path("got/file")).unwrap() == wanted, "other bytes arrived\n{}", ran.err);
}

/// The copy fails with that code and words, and there is no file.
#[track_caller]
fn fails(ran: Ran, project: &Project, code: i32, words: &[&str]) {
    let ran = ran.ended(code);
    let sentence = ran.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for word in words {
        assert!(sentence.contains(word), "'{word}' is not said:\n{}", ran.err);
    }
    assert!(!project.path("got/file").exists(), "a file that is not whole has the final name");
}

/// Each of these happens to the first requests; then the server is honest, and so must the file be.
#[track_caller]
fn overcomes(cases: Vec<(&str, Vec<Act>)>) {
    let server = Hostile::start();
    let wanted = content(3 * MIB + 17, 1);
    for (name, acts) in cases {
        let path = format!("/{name}");
        server.serve(&path, &wanted, acts);
        let project = project(30);
        arrives(copy(&server, &project, &path), &project, &wanted);
        let asked = server.requests("GET").iter().filter(|r| r.path == path).count();
        assert!(asked > 1, "{name}: the fault did not happen");
    }
}

#[test]
fn a_file_arrives_and_is_counted() {
    let (server, project) = (Hostile::start(), project(30));
    let wanted = content(MIB + 1, 1);
    server.serve("/data/file", &wanted, []);
    let ran = project.amlrun(&["cp", &server.url("/data/file?version=2"), "got/", "-o", "json"]).ended(0);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["files"], &told["bytes"]), (&1.into(), &wanted.len().into()), "{told}");
    assert_eq!((&told["transferred_files"], &told["skipped_files"]), (&1.into(), &0.into()), "{told}");
    arrives(ran, &project, &wanted);
}

#[test]
fn an_empty_file_and_one_byte_arrive() {
    let server = Hostile::start();
    for length in [0, 1] {
        let project = project(30);
        server.serve(&format!("/{length}"), &content(length, 1), []);
        arrives(copy(&server, &project, &format!("/{length}")), &project, &content(length, 1));
    }
}

#[test]
fn connections_that_are_reset_are_made_again() {
    overcomes(vec![
        ("at-once", vec![Act::ResetAtOnce]),
        ("begun", vec![Act::Reset(0)]),
        ("in-the-middle", vec![Act::Reset(MIB + 3)]),
        ("again-and-again", vec![Act::Reset(MIB), Act::ResetAtOnce, Act::Reset(10), Act::Reset(MIB / 2)]),
        ("near-the-end", vec![Act::Reset(3 * MIB + 16)]),
    ]);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let after = |value: &str| format!("Retry-After: {value}\r\n");
    overcomes(vec![
        ("now", vec![Act::Status(503, after("0"))]),
        ("in-a-second", vec![Act::Status(503, after("1"))]),
        ("at-a-date-gone-by", vec![Act::Status(503, after("Wed, 01 Jan 2025 00:00:00 GMT"))]),
        ("at-no-time", vec![Act::Status(503, after("soon"))]),
        ("without-a-word", vec![Act::Status(503, String::new()), Act::Status(500, String::new())]),
        ("too-many", vec![Act::Status(429, after("0")), Act::Reset(MIB)]),
    ]);
}

#[test]
fn bodies_that_break_off_are_gone_on_with() {
    overcomes(vec![
        ("short", vec![Act::Short(5)]),
        ("very-short", vec![Act::Short(3 * MIB), Act::Short(MIB)]),
        ("chunks", vec![Act::ChunkedCut(MIB)]),
        ("no-range", vec![Act::Reset(MIB), Act::NoRange]),
        ("range-then-none", vec![Act::Short(MIB), Act::Chunked]),
    ]);
}

#[test]
fn a_stalled_request_is_given_up_and_tried_again() {
    overcomes(vec![
        ("at-once", vec![Act::Silent]),
        ("begun", vec![Act::Stall(0)]),
        ("in-the-middle", vec![Act::Stall(MIB + 1)]),
    ]);
}

#[test]
fn slow_is_not_stalled() {
    let (server, project) = (Hostile::start(), project(30));
    let wanted = content(200, 1);
    server.always("/slow", &wanted, Act::Drip(Duration::from_millis(10)));
    arrives(copy(&server, &project, "/slow"), &project, &wanted);
    assert_eq!(server.requests("GET").len(), 1, "it was given up");
}

#[test]
fn what_changes_in_the_middle_is_never_a_mixture() {
    let (server, project) = (Hostile::start(), project(30));
    let (old, new) = (content(3 * MIB, 1), content(3 * MIB, 2));
    server.serve("/x", &old, [Act::Reset(MIB), Act::Changed(new.clone())]);
    let ran = copy(&server, &project, "/x");
    if ran.code == 0 {
        arrives(ran, &project, &new);
    } else {
        fails(ran, &project, 1, &["changed"]);
    }
}

#[test]
fn a_length_that_is_not_told_is_no_trouble() {
    let server = Hostile::start();
    let wanted = content(MIB + 5, 1);
    for (path, act) in [("/chunks", Act::Chunked), ("/close", Act::UntilClose)] {
        let project = project(30);
        server.always(path, &wanted, act);
        arrives(copy(&server, &project, path), &project, &wanted);
    }
}

#[test]
fn what_follows_the_told_length_is_no_part_of_the_file() {
    let (server, project) = (Hostile::start(), project(2));
    let all = content(MIB, 1);
    server.always("/long", &all, Act::Long(100));
    let ran = copy(&server, &project, "/long");
    if ran.code == 0 {
        arrives(ran, &project, &all[..MIB - 100]);
    } else {
        fails(ran, &project, 1, &[]);
    }
}

#[test]
fn a_compressed_answer_is_not_saved_as_if_it_were_the_file() {
    let (server, project) = (Hostile::start(), project(2));
    let wanted = vec![b'x'; MIB];
    server.always("/packed", &wanted, Act::Gzip);
    let ran = copy(&server, &project, "/packed");
    if ran.code == 0 {
        arrives(ran, &project, &wanted);
    } else {
        fails(ran, &project, 1, &["gzip"]);
    }
}

#[test]
fn a_redirect_is_followed() {
    let (server, other) = (Hostile::start(), Hostile::start());
    let wanted = content(MIB, 1);
    other.serve("/there", &wanted, [Act::Reset(MIB / 2)]);
    server.serve("/there", &wanted, []);
    for (path, place) in [("/absolute", other.url("/there")), ("/relative", "there".to_owned())] {
        let project = project(30);
        server.always(path, &[], Act::Redirect(place));
        arrives(copy(&server, &project, path), &project, &wanted);
    }
}

#[test]
fn a_redirect_in_a_circle_is_told() {
    let (server, project) = (Hostile::start(), project(30));
    server.always("/a", &[], Act::Redirect(server.url("/b")));
    server.always("/b", &[], Act::Redirect(server.url("/a")));
    fails(copy(&server, &project, "/a"), &project, 1, &["redirect"]);
    assert!(server.requests("GET").len() < 50);
}

#[test]
fn a_redirect_to_a_file_of_this_machine_is_refused() {
    let server = Hostile::start();
    for (path, place) in [("/a", "file:///etc/passwd"), ("/b", "ftp://127.0.0.1/x"), ("/c", "data:,x")] {
        let project = project(30);
        server.always(path, &[], Act::Redirect(place.to_owned()));
        fails(copy(&server, &project, path), &project, 1, &["redirect", place.split(':').next().unwrap()]);
    }
}

#[test]
fn a_status_that_stays_is_told_at_once() {
    let server = Hostile::start();
    for (status, code) in [(404, 3), (403, 1), (401, 1), (410, 3), (416, 1)] {
        let (path, project) = (format!("/{status}"), project(30));
        server.always(&path, b"there", Act::Status(status, String::new()));
        let words = if status == 404 { "/404".to_owned() } else { status.to_string() };
        fails(copy(&server, &project, &path), &project, code, &[&words]);
        let asked = server.requests("GET").iter().filter(|r| r.path == path).count();
        assert!(asked <= 2, "{status}: asked {asked} times");
    }
}

#[test]
fn the_retry_timeout_ends_and_what_was_there_stays() {
    let server = Hostile::start();
    let acts = [
        ("/busy", Act::Status(503, "Retry-After: 0\r\n".to_owned()), "503"),
        ("/reset", Act::ResetAtOnce, "127.0.0.1"),
        ("/silent", Act::Silent, "127.0.0.1"),
    ];
    for (path, act, word) in acts {
        let project = project(1);
        project.write("got/other", "old");
        server.always(path, &content(MIB, 1), act);
        fails(copy(&server, &project, path), &project, 1, &[word]);
        project.amlrun(&["cp", &server.url(path), "got/other"]).ended(1);
        assert_eq!(project.read("got/other"), "old");
    }
}

#[test]
fn what_was_there_is_replaced_as_a_whole() {
    let (server, project) = (Hostile::start(), project(30));
    project.write("got/file", &"old".repeat(MIB));
    server.serve("/new", b"new", [Act::Reset(1)]);
    arrives(copy(&server, &project, "/new"), &project, b"new");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let project = project(1);
    let ran = project.amlrun(&["cp", &format!("http://{address}/x"), "got/file"]);
    fails(ran, &project, 1, &[&address.to_string()]);
}

#[test]
fn the_secret_of_a_url_is_never_printed() {
    let (server, project) = (Hostile::start(), project(1));
    server.always("/x", &[], Act::Status(403, String::new()));
    let ran = project.amlrun(&["cp", &server.url("/x?sv=2022-11-02&sig=S3CRET%3D"), "got/file"]).ended(1);
    assert!(!format!("{}{}", ran.out, ran.err).contains("S3CRET"), "{}", ran.err);
}

#[test]
fn a_web_server_is_no_destination() {
    let (server, project) = (Hostile::start(), project(1));
    project.write("file", "x");
    let ran = project.amlrun(&["cp", "file", &server.url("/x")]).ended(2);
    assert!(ran.err.contains("error: "), "{}", ran.err);
    assert!(server.requests("PUT").is_empty() && server.requests("POST").is_empty());
}

/// The server itself: without this, a test above could fail for the wrong reason.
#[test]
fn the_hostile_server_does_as_told() {
    use std::io::{Read as _, Write as _};
    let server = Hostile::start();
    let ask = |path: &str, lines: &str| {
        let mut connection = std::net::TcpStream::connect(server.address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n").unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        let end = connection.read_to_end(&mut bytes).map_err(|error| error.kind());
        (String::from_utf8_lossy(&bytes).into_owned(), end)
    };
    server.serve("/x", b"0123456789", [Act::Reset(4), Act::Short(3), Act::NoRange, Act::ChunkedCut(5)]);
    assert_eq!(ask("/x", "").1, Err(std::io::ErrorKind::ConnectionReset));
    assert!(ask("/x", "").0.ends_with("\r\n\r\n0123456"));
    assert!(ask("/x", "Range: bytes=2-3\r\n").0.ends_with("\r\n\r\n0123456789"));
    assert!(ask("/x", "").0.ends_with("\r\n5\r\n01234\r\n"));
    let (part, _) = ask("/x", "Range: bytes=2-3\r\n");
    assert!(
        part.starts_with("HTTP/1.1 206") && part.contains("bytes 2-3/10") && part.ends_with("\r\n\r\n23"),
        "{part}"
    );
    assert!(ask("/x", "Range: bytes=10-\r\n").0.starts_with("HTTP/1.1 416"));
    assert!(ask("/nowhere", "").0.starts_with("HTTP/1.1 404"));
    assert_eq!(server.requests("GET").len(), 7);
}
