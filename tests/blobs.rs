//! `amlrun cp` to and from a real blob service: every name and size comes back as it was.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::support::{Project, Ran};

/// A project that reaches the account at that root, with its key.
pub fn project(url: &str) -> Project {
    let accounts = format!("[accounts.{ACCOUNT}]\nendpoint = \"{url}\"\naccount_key = {{ file = \"key\" }}\n");
    let transfer = "[transfer]\nstall = 10\nretry_timeout = 20\n";
    Project::new().with("amlrun.toml", &(accounts + transfer)).with("key", KEY)
}

/// A new container and a project that reaches it.
pub fn container(name: &str) -> (&'static Azurite, Project, String) {
    let azurite = Azurite::shared();
    azurite.container(name);
    (azurite, project(&azurite.url()), format!("{}/{name}", azurite.url()))
}

/// What `cp` tells of itself.
#[track_caller]
pub fn copied(project: &Project, from: &str, to: &str) -> Value {
    let ran = project.amlrun(&["cp", from, to, "-o", "json"]).ended(0);
    serde_json::from_str(&ran.out).unwrap()
}

/// The copy fails with that code and one sentence that has these words.
#[track_caller]
pub fn refused(ran: Ran, code: i32, words: &[&str]) {
    let ran = ran.ended(code);
    let errors: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", ran.err);
    for word in words {
        assert!(errors[0].contains(word), "'{word}' is not said:\n{}", ran.err);
    }
}

/// Files below a folder with their content.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                all.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    all
}

/// Bytes that are the same nowhere else.
pub fn content(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn names_of_all_kinds_come_back_with_their_content() {
    let (azurite, project, url) = container("names");
    let names = [
        "empty",
        "ein schöner Name.csv",
        "50%.csv",
        "%41.csv",
        "a#b?c=d&e.csv",
        "a+b.csv",
        "<x>&amp;\"'.xml",
        "日本/語/ファイル.csv",
        "a/b/c/d/e/deep.csv",
        " leading.csv",
        "trailing ",
        ".hidden",
        "..double",
        "~tilde$dollar@at:colon;semi,comma!=.csv",
        "[brackets]{braces}*star.csv",
    ];
    for name in names.iter().filter(|name| **name != "empty") {
        project.write(&format!("data/{name}"), name);
    }
    project.write("data/empty", "");
    let told = copied(&project, "data", &format!("{url}/in a folder%25/"));
    assert_eq!((&told["files"], &told["transferred_files"]), (&names.len().into(), &names.len().into()));
    let mut there: Vec<String> = names.iter().map(|name| format!("in a folder%/{name}")).collect();
    there.sort();
    let mut listed = azurite.list("names");
    listed.sort();
    assert_eq!(listed, there);
    copied(&project, &format!("{url}/in a folder%25"), "back");
    assert_eq!(files(&project.path("back")), files(&project.path("data")));
    azurite.put("names", " both ", b"x");
    copied(&project, &format!("{url}/*both*"), "spaces");
    assert_eq!(project.read("spaces/ both "), "x");
    let again = copied(&project, &format!("{url}/in a folder%25"), "back");
    assert_eq!((&again["skipped_files"], &again["transferred_bytes"]), (&names.len().into(), &0.into()));
}

#[test]
fn names_that_can_be_no_blobs_are_told_before_anything_is_done() {
    let (azurite, project, url) = container("unfit");
    let long = format!("{}/{}/{}", "d".repeat(250), "e".repeat(250), "f".repeat(250));
    for name in ["back\\slash", "new\nline", "tab\t"] {
        project.write("data/a", "1");
        project.write(&format!("data/{name}"), "2");
        let ran = project.amlrun(&["cp", "data", &url]);
        refused(ran, 1, &[&name.escape_debug().to_string(), "a backslash, a tab or a line break"]);
        std::fs::remove_dir_all(project.path("data")).unwrap();
    }
    project.write(&format!("data/{long}/{}", "g".repeat(250)), "1");
    copied(&project, "data", &format!("{url}/short"));
    refused(project.amlrun(&["cp", "data", &format!("{url}/{}", "h".repeat(30))]), 1, &["1,024 characters"]);
    refused(project.amlrun(&["cp", &format!("{url}/x/../y"), "got"]), 1, &["'x/../y'", "are not allowed"]);
    assert_eq!(azurite.list("unfit").len(), 1, "nothing else was sent");
}

#[test]
fn one_file_is_named_as_any_address_is() {
    let (azurite, project, url) = container("one");
    project.write("50% #1.csv", "x");
    copied(&project, "50% #1.csv", &format!("{url}/folder/"));
    assert_eq!(azurite.list("one"), ["folder/50% #1.csv"]);
    copied(&project, &format!("{url}/folder/50%25%20%231.csv"), "got/");
    assert_eq!(project.read("got/50% #1.csv"), "x");
    copied(&project, &format!("{url}/folder/50%25%20%231.csv"), "got/other");
    assert_eq!(project.read("got/other"), "x");
    copied(&project, "50% #1.csv", &format!("{url}/renamed"));
    assert_eq!(azurite.get("one", "renamed"), b"x");
}

#[test]
fn long_names_come_back_or_are_told_before_anything_is_done() {
    let (azurite, project, url) = container("long");
    let part = "p".repeat(200);
    let long = format!("{}/{}", [part.as_str(); 4].join("/"), "f".repeat(195));
    let widest = "w".repeat(255);
    azurite.put("long", &format!("{long}x"), b"1");
    azurite.put("long", &widest, b"2");
    copied(&project, &url, "got");
    assert_eq!(files(&project.path("got")).len(), 2);
    copied(&project, "got", &format!("{url}2/").replace("long2", "long"));
    assert_eq!(project.read(&format!("got/{widest}")), "2");
    azurite.put("long", &format!("a/{}", "ü".repeat(128)), b"3");
    azurite.put("long", "a/fine", b"4");
    refused(project.amlrun(&["cp", &format!("{url}/a"), "other"]), 1, &["255 bytes", "üüü"]);
    assert!(!project.path("other").exists(), "nothing is half done");
}

#[test]
fn names_that_can_be_no_files_are_told_before_anything_is_done() {
    let (azurite, project, url) = container("clash");
    azurite.put("clash", "both/a", b"1");
    azurite.put("clash", "both/a/b", b"2");
    refused(project.amlrun(&["cp", &format!("{url}/both"), "got"]), 1, &["a blob and a folder"]);
    // Either of them alone is no trouble.
    copied(&project, &format!("{url}/both/a"), "file");
    copied(&project, &format!("{url}/both/a/"), "folder");
    assert_eq!((project.read("file"), project.read("folder/b")), ("1".into(), "2".into()));
    for name in ["twice/a//b", "up/a/../b", "here/./b"] {
        azurite.send("PUT", &format!("clash/{name}"), &[("x-ms-blob-type", "BlockBlob")], b"x");
    }
    let odd: Vec<String> = azurite.list("clash").into_iter().filter(|name| name.contains("//")).collect();
    assert_eq!(odd, ["twice/a//b"]);
    refused(project.amlrun(&["cp", &format!("{url}/twice"), "got"]), 1, &["twice/a//b"]);
    assert!(!project.path("got").exists());
}

#[test]
fn marks_of_folders_are_no_files() {
    let (azurite, project, url) = container("marks");
    let mark = [("x-ms-blob-type", "BlockBlob"), ("x-ms-meta-hdi_isfolder", "true")];
    for name in ["d", "d/e"] {
        azurite.send("PUT", &format!("marks/{name}"), &mark, b"");
    }
    azurite.put("marks", "d/x", b"1");
    azurite.put("marks", "d/e/y", b"2");
    for (from, to) in [("", "all"), ("/d", "d"), ("/d/", "slash"), ("/d/**", "pattern")] {
        let told = copied(&project, &format!("{url}{from}"), to);
        assert_eq!(told["files"], 2, "{from}");
    }
    assert_eq!(files(&project.path("all")).into_keys().collect::<Vec<_>>(), ["d/e/y", "d/x"]);
}

#[test]
fn patterns_find_files() {
    let (azurite, project, url) = container("glob");
    for name in ["d/a.csv", "d/b.txt", "d/e/c.csv", "d/e/f/g.csv", "other.csv"] {
        azurite.put("glob", name, name.as_bytes());
    }
    for (pattern, found) in [
        ("d/*.csv", vec!["a.csv"]),
        ("d/**/*.csv", vec!["a.csv", "e/c.csv", "e/f/g.csv"]),
        ("d/e/*", vec!["c.csv"]),
        ("*.csv", vec!["other.csv"]),
    ] {
        let to = blake3::hash(pattern.as_bytes()).to_hex();
        copied(&project, &format!("{url}/{pattern}"), &to);
        assert_eq!(files(&project.path(&to)).into_keys().collect::<Vec<_>>(), found, "{pattern}");
    }
    refused(project.amlrun(&["cp", &format!("{url}/d/*.parquet"), "none"]), 3, &["d/*.parquet"]);
}

#[test]
fn what_is_there_already_is_not_moved_again() {
    let (azurite, project, url) = container("skip");
    for (name, bytes) in [("small", content(10, 1)), ("large", content(9 << 20, 2)), ("changes", content(10, 3))] {
        project.write(&format!("data/{name}"), "");
        std::fs::write(project.path(&format!("data/{name}")), bytes).unwrap();
    }
    copied(&project, "data", &format!("{url}/d"));
    let again = copied(&project, "data", &format!("{url}/d"));
    assert_eq!((&again["skipped_files"], &again["transferred_bytes"]), (&3.into(), &0.into()));
    std::fs::write(project.path("data/changes"), content(10, 4)).unwrap();
    // What a download that was broken off left is nobody's data.
    project.write("data/.amlrun-0123456789abcdef.part", "half");
    project.write("data/.amlrun-part-1-2", "half");
    let changed = copied(&project, "data", &format!("{url}/d"));
    assert_eq!((&changed["skipped_files"], &changed["transferred_files"]), (&2.into(), &1.into()));
    assert!(azurite.get("skip", "d/changes") == content(10, 4) && azurite.list("skip").len() == 3);
    // Down again, where one differs.
    std::fs::write(project.path("data/large"), content(9 << 20, 5)).unwrap();
    let back = copied(&project, &format!("{url}/d"), "data");
    assert_eq!((&back["skipped_files"], &back["transferred_files"]), (&2.into(), &1.into()));
    assert!(std::fs::read(project.path("data/large")).unwrap() == content(9 << 20, 2));
}

#[test]
fn between_two_containers_each_file_counts_once() {
    let (azurite, project, url) = container("source");
    azurite.container("target");
    azurite.put("source", "d/a", b"1");
    azurite.put("source", "d/e/b", &content(5 << 20, 1));
    let other = format!("{}/target", azurite.url());
    let told = copied(&project, &format!("{url}/d"), &format!("{other}/x"));
    assert_eq!((&told["files"], &told["bytes"]), (&2.into(), &((5 << 20) + 1).into()), "{told}");
    assert_eq!(azurite.list("target"), ["x/a", "x/e/b"]);
    copied(&project, &format!("{url}/d/a"), &format!("{other}/one/"));
    assert_eq!(azurite.get("target", "one/a"), b"1");
    for (from, to) in [("/d", "/d"), ("/d", "/d/"), ("/d/a", "/d/a"), ("/d/a", "/d/"), ("", "")] {
        let ran = project.amlrun(&["cp", &format!("{url}{from}"), &format!("{url}{to}")]);
        refused(ran, 2, &["the same location"]);
    }
}
