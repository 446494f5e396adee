//! What opens a container and what does not: keys, signatures, proxies and tokens; one sentence each, and never a secret.

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::between::{Act, Between};
use crate::blobs::{container, content, copied, project, refused};
use crate::support::{Project, Ran};

/// A project without a key.
fn keyless(url: &str) -> Project {
    let project = project(url);
    project
        .write("amlrun.toml", &format!("[accounts.{ACCOUNT}]\nendpoint = \"{url}\"\n[transfer]\nretry_timeout = 5\n"));
    project
}

/// Neither the key nor the signature was printed.
#[track_caller]
fn keeps(ran: &Ran, secrets: &[&str]) {
    for secret in secrets {
        assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "a secret was printed:\n{}", ran.err);
    }
}

#[test]
fn a_container_that_is_not_there_is_told() {
    let (_, project, url) = container("there-is-one");
    project.write("f", "1");
    let none = url.replace("there-is-one", "there-is-none");
    refused(project.amlrun(&["cp", &format!("{none}/x"), "got"]), 3, &["the container of", "was not found"]);
    refused(project.amlrun(&["cp", &format!("{none}/x/"), "got"]), 3, &["there-is-none was not found"]);
    refused(project.amlrun(&["cp", "f", &format!("{none}/")]), 3, &["the container of", "was not found"]);
    std::fs::create_dir(project.path("d")).unwrap();
    std::fs::write(project.path("d/big"), content(9 << 20, 1)).unwrap();
    refused(project.amlrun(&["cp", "d", &none]), 3, &["the container of", "was not found"]);
}

#[test]
fn a_wrong_key_is_told_and_not_shown() {
    let (_, project, url) = container("wrong-key");
    project.write("f", "1");
    let wrong = "d3Jvbmcga2V5IHRoYXQgaXMgbG9uZyBlbm91Z2g=";
    project.write("key", wrong);
    for (from, to) in [(format!("{url}/x"), "got".to_owned()), ("f".to_owned(), format!("{url}/f"))] {
        let ran = project.amlrun(&["cp", &from, &to]);
        keeps(&ran, &[wrong, KEY]);
        refused(ran, 1, &["access to", "is denied", "HTTP 403"]);
    }
    project.write("key", "no base64 at all!");
    let ran = project.amlrun(&["cp", &format!("{url}/x"), "got"]);
    keeps(&ran, &["no base64 at all!"]);
    refused(ran, 1, &["is not valid base64"]);
}

#[test]
fn a_signature_opens_what_it_says_and_no_more() {
    let (azurite, _, url) = container("signed");
    azurite.put("signed", "there/a", b"1");
    let project = keyless(&azurite.url()).with("f", "2").with("d/f", "3");
    let with = |permissions: &str, path: &str| format!("{url}/{path}?{}", azurite.sas("signed", permissions));
    let denied = ["access to", "is denied", "HTTP 403"];
    // Writing alone: nobody may look, and all is sent.
    copied(&project, "f", &with("w", "new/f"));
    copied(&project, "d", &with("w", "new/d"));
    std::fs::write(project.path("d/big"), content(9 << 20, 1)).unwrap();
    copied(&project, "d", &with("cw", "new/d"));
    assert_eq!(azurite.list("signed"), ["new/d/big", "new/d/f", "new/f", "there/a"]);
    // Reading alone opens a file that is named, and no folder.
    copied(&project, &with("r", "there/a"), "got");
    assert_eq!(project.read("got"), "1");
    for (from, to, code) in [
        (with("r", "there/"), "x".to_owned(), 1),
        (with("r", "there/*"), "x".to_owned(), 1),
        ("f".to_owned(), with("rl", "new/g"), 1),
        ("d".to_owned(), with("rl", "new/d2/"), 1),
    ] {
        let ran = project.amlrun(&["cp", &from, &to]);
        let signature = format!("{from} {to}").split("sig=").nth(1).unwrap()[..20].to_owned();
        keeps(&ran, &["sig=", &signature]);
        refused(ran, code, &denied);
    }
    copied(&project, &with("rl", "there/"), "folder");
    assert_eq!(project.read("folder/a"), "1");
    assert!(!project.path("x").exists());
}

#[test]
fn a_signature_that_has_expired_or_is_none_is_told() {
    let (azurite, _, url) = container("expired");
    azurite.put("expired", "a", b"1");
    let project = keyless(&azurite.url());
    for (signature, words) in [
        (azurite.sas_until("expired", "rl", "2020-01-01T00:00:00Z"), "expired"),
        ("sv=2022-11-02&sr=c&sp=r&se=2099-01-01T00%3A00%3A00Z&sig=S3CRET".to_owned(), "HTTP 403"),
    ] {
        for path in ["a", ""] {
            let ran = project.amlrun(&["cp", &format!("{url}/{path}?{signature}"), "got"]);
            keeps(&ran, &["S3CRET", signature.rsplit("sig=").next().unwrap()]);
            refused(ran, 1, &["is denied", words]);
        }
    }
    assert!(!project.path("got").exists());
}

#[test]
fn a_proxy_of_the_environment_is_used_unless_it_is_said_not_to() {
    let (azurite, project, url) = container("proxied");
    for name in ["a", "b", "c"] {
        azurite.put("proxied", &format!("d/{name}"), name.as_bytes());
    }
    let proxy = Between::start("127.0.0.1:1");
    let copy = |to: &str, variables: &[(&str, String)]| {
        let mut command = project.command(&["cp", &format!("{url}/d"), to]);
        for (name, value) in variables {
            command.env(name, value);
        }
        Ran::of(command).ended(0);
    };
    let through = ("HTTP_PROXY", format!("http://{}", proxy.address));
    copy("one", std::slice::from_ref(&through));
    for name in ["a", "b", "c"] {
        assert!(proxy.count(|seen| seen.target == format!("{url}/d/{name}")) > 0);
    }
    let before = proxy.seen().len();
    copy("two", &[through, ("NO_PROXY", "127.0.0.1".to_owned())]);
    assert_eq!(proxy.seen().len(), before);
    assert_eq!(project.read("two/c"), "c");
}

#[test]
fn connections_are_used_again() {
    let azurite = Azurite::shared();
    azurite.container("reused");
    let between = Between::start(&azurite.address());
    let url = format!("http://{}/{ACCOUNT}", between.address);
    let project = project(&url);
    for number in 0..300 {
        project.write(&format!("d/{number}"), "1");
    }
    between.rule(|_| Act::Pass);
    copied(&project, "d", &format!("{url}/reused/d"));
    let (up, connections) = (between.seen().len(), between.connections());
    assert!(up > 300 && connections <= 64, "{connections} connections for {up} requests");
    between.rule(|_| Act::Pass);
    copied(&project, &format!("{url}/reused/d"), "back");
    let (down, connections) = (between.seen().len(), between.connections());
    assert!(down > 300 && connections <= 64, "{connections} connections for {down} requests");
}

#[test]
fn trouble_is_told_while_it_is_waited_out() {
    let azurite = Azurite::shared();
    azurite.container("waits");
    azurite.put("waits", "a", b"1");
    let between = Between::start(&azurite.address());
    let url = format!("http://{}/{ACCOUNT}", between.address);
    let project = project(&url);
    let mut left = 3;
    between.rule(move |_| {
        left -= 1;
        if left >= 0 { Act::Status(503, "Retry-After: 1\r\n") } else { Act::Pass }
    });
    let ran = project.amlrun(&["cp", &format!("{url}/waits/a"), "got"]).ended(0);
    let waiting = format!("{url}/waits/a: HTTP 503; retrying\n");
    assert_eq!(ran.err, waiting);
    assert_eq!(project.read("got"), "1");
}

#[test]
fn what_is_no_blob_service_is_told_in_one_sentence() {
    let server = crate::hostile_http::Hostile::start();
    let project = project(&server.url(&format!("/{ACCOUNT}")));
    server.serve(&format!("/{ACCOUNT}/box"), &"<html>welcome</html>\n".repeat(5000).into_bytes(), []);
    server.serve(&format!("/{ACCOUNT}/box/a"), b"<html>welcome</html>", []);
    for path in ["box/", "box/a"] {
        let ran = project.amlrun(&["cp", &server.url(&format!("/{ACCOUNT}/{path}")), "got"]);
        assert!(ran.err.len() < 600, "{}", ran.err);
        refused(ran, 1, &["the response is not from Azure Blob Storage"]);
    }
    assert!(!project.path("got").exists());
}

#[test]
fn a_host_that_nobody_knows_is_told_without_minutes_of_waiting() {
    let project = Project::new();
    let ran = project.amlrun(&["cp", "https://no-such-host.invalid/x.csv", "x.csv"]).ended(1);
    assert!(ran.err.contains("no-such-host.invalid") && ran.err.contains("was not found"), "{}", ran.err);
}
