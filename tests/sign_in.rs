//! Containers that are opened by who somebody is: a token of `az`, sent where it may be sent and kept nowhere.

use std::os::unix::fs::PermissionsExt as _;

use crate::between::{Act, Between};
use crate::blobs::{files, refused};
use crate::stub_blobs::Stub;
use crate::support::{Project, Ran};

const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.T0K3N.c2ln";

/// A project whose account is at that root, and an `az` that gives a token or says why there is none.
fn project(endpoint: &str, signed_in: bool) -> Project {
    let project = Project::new().with(
        "amlrun.toml",
        &format!("[accounts.mine]\nendpoint = \"{endpoint}\"\n[transfer]\nstall = 5\nretry_timeout = 5\n"),
    );
    let answer = format!(
        "{{\"accessToken\": \"{TOKEN}\", \"expiresOn\": \"2099-01-01 00:00:00.000000\", \"expires_on\": 4070908800, \
         \"subscription\": \"s\", \"tenant\": \"t\", \"tokenType\": \"Bearer\"}}"
    );
    let script = if signed_in {
        format!("#!/bin/sh\necho \"$@\" >> ../asked\ncat <<'END'\n{answer}\nEND\n")
    } else {
        "#!/bin/sh\necho \"Please run 'az login' to setup account.\" >&2\nexit 1\n".to_owned()
    };
    // Beside the project, so that what is in it is amlrun's alone.
    let az = project.path("../bin/az");
    std::fs::create_dir(az.parent().unwrap()).unwrap();
    std::fs::write(&az, script).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    project
}

fn amlrun(project: &Project, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = project.command(arguments);
    let path = std::env::var("PATH").unwrap();
    command
        .env("PATH", format!("{}:{path}", project.path("../bin").display()))
        .env("AZURE_CREDENTIAL_KIND", "azurecli");
    command.envs(variables.iter().copied());
    Ran::of(command)
}

/// The token is in nothing that was printed, and in no file.
#[track_caller]
fn keeps(project: &Project, ran: &Ran) {
    assert!(!ran.out.contains("T0K3N") && !ran.err.contains("T0K3N"), "{}{}", ran.out, ran.err);
    for (name, bytes) in files(&project.path("")) {
        assert!(!String::from_utf8_lossy(&bytes).contains("T0K3N"), "it is in {name}");
    }
}

#[test]
fn what_is_not_public_is_opened_with_a_token_of_az() {
    let stub = Stub::start(3, Some(TOKEN));
    let project = project(&format!("http://{}/mine", stub.address), true);
    let url = format!("http://{}/mine/box", stub.address);
    for (from, to) in [(format!("{url}/d/00001.txt"), "one"), (format!("{url}/d/"), "all"), (format!("{url}/d"), "any")]
    {
        let ran = amlrun(&project, &["cp", &from, to], &[]).ended(0);
        keeps(&project, &ran);
    }
    assert_eq!((project.read("one"), project.read("all/00002.txt")), ("00001".to_owned(), "00002".to_owned()));
    let (first, nobody) = &stub.seen()[0];
    assert!(nobody.is_none(), "a token was sent before it was asked for: {first}");
    assert!(stub.seen().iter().any(|(_, token)| token.as_deref() == Some(&format!("Bearer {TOKEN}"))));
    let asked = std::fs::read_to_string(project.path("../asked")).unwrap();
    assert_eq!(asked.lines().count(), 3, "once for each command:\n{asked}");
    assert!(asked.contains("https://storage.azure.com/.default"), "{asked}");
    // Registered and shown it is in no file either.
    let create = ["data", "create", "-n", "d", "-p", &format!("{url}/d/"), "--type", "uri_folder"];
    amlrun(&project, &create, &[]).ended(0);
    let ran = amlrun(&project, &["data", "download", "-n", "d", "-p", "got"], &[]).ended(0);
    keeps(&project, &ran);
    assert_eq!(project.read("got/d/00000.txt"), "00000");
}

#[test]
fn what_is_public_is_read_as_nobody() {
    let stub = Stub::start(3, None);
    let project = project(&format!("http://{}/mine", stub.address), true);
    amlrun(&project, &["cp", &format!("http://{}/mine/box/d/", stub.address), "all"], &[]).ended(0);
    // Public containers do say what is not there, so that nobody needs to sign in for that.
    let missing = amlrun(&project, &["cp", &format!("http://{}/mine/box/d/99999.txt", stub.address), "x"], &[]);
    refused(missing, 3, &["d/99999.txt"]);
    assert!(stub.seen().iter().take(4).all(|(_, token)| token.is_none()));
    assert_eq!(files(&project.path("all")).len(), 3);
}

#[test]
fn nobody_who_is_signed_in_is_told_what_to_do() {
    let stub = Stub::start(3, Some(TOKEN));
    let project = project(&format!("http://{}/mine", stub.address), false);
    let ran = amlrun(&project, &["cp", &format!("http://{}/mine/box/d/", stub.address), "x"], &[]);
    refused(ran, 1, &["is not public, and you are not signed in: run 'az login'"]);
    assert!(!project.path("x").exists());
}

#[test]
fn a_token_is_not_the_right_one_everywhere() {
    let stub = Stub::start(3, Some("another"));
    let project = project(&format!("http://{}/mine", stub.address), true);
    let ran = amlrun(&project, &["cp", &format!("http://{}/mine/box/d/", stub.address), "x"], &[]);
    keeps(&project, &ran);
    refused(ran, 3, &["was not found"]);
}

#[test]
fn no_token_goes_over_an_open_connection_to_another_machine() {
    let between = Between::start("127.0.0.1:1");
    between.rule(|_| Act::Status(404, "x-ms-error-code: ResourceNotFound\r\n"));
    let project = project("http://mine.example.com", true);
    let proxy = format!("http://{}", between.address);
    for (from, to) in [("http://mine.example.com/box/d/a", "x"), ("amlrun.toml", "http://mine.example.com/box/d/a")] {
        let ran = amlrun(&project, &["cp", from, to], &[("HTTP_PROXY", &proxy)]);
        keeps(&project, &ran);
        refused(ran, 1, &["http://mine.example.com has no TLS, and tokens are not sent without encryption"]);
    }
    assert!(between.seen().iter().all(|seen| !seen.head.to_lowercase().contains("authorization")));
    assert!(!between.seen().is_empty() && !project.path("../asked").exists(), "a token was asked for");
}

#[test]
fn fifty_thousand_blobs_are_listed_searched_and_copied() {
    let stub = Stub::start(50_000, None);
    let project = project(&format!("http://{}/mine", stub.address), true);
    let url = format!("http://{}/mine/box/d", stub.address);
    amlrun(&project, &["cp", &format!("{url}/*4242.txt"), "some"], &[]).ended(0);
    assert_eq!(stub.pages(), 10);
    assert_eq!(
        files(&project.path("some")).into_keys().collect::<Vec<_>>(),
        ["04242.txt", "14242.txt", "24242.txt", "34242.txt", "44242.txt"]
    );
    let ran = amlrun(&project, &["cp", &format!("{url}/"), "all", "-o", "json"], &[]).ended(0);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["transferred_files"], &told["bytes"]), (&50_000.into(), &250_000.into()));
    let all = files(&project.path("all"));
    assert!(all.len() == 50_000 && all.iter().all(|(name, bytes)| name.as_bytes().starts_with(bytes)));
}
