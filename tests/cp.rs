//! `amlrun cp` on this machine, of assets and of what runs left; what it refuses; and downloads of assets.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::json;

use crate::azurite::Azurite;
use crate::blobs::{content, copied, files, refused};
use crate::support::{Project, node, pipeline};

#[test]
fn a_file_goes_to_a_name_or_into_a_folder() {
    let project = Project::new().with("a.csv", "1").with("there/x", "2");
    for (to, place) in
        [("b.csv", "b.csv"), ("new/", "new/a.csv"), ("there", "there/a.csv"), ("deep/c.csv", "deep/c.csv")]
    {
        let told = copied(&project, "a.csv", to);
        assert_eq!((&told["transferred_files"], &told["bytes"]), (&json!(1), &json!(1)));
        assert_eq!(project.read(place), "1", "{to}");
    }
    let again = copied(&project, "a.csv", "new/");
    assert_eq!((&again["skipped_files"], &again["transferred_bytes"]), (&json!(1), &json!(0)));
    refused(project.amlrun(&["cp", "a.csv/", "x"]), 3, &["a.csv"]);
    refused(project.amlrun(&["cp", "none", "x"]), 3, &["the file or folder 'none' was not found"]);
}

#[test]
fn the_contents_of_a_folder_become_those_of_the_other() {
    let project = Project::new()
        .with("d/a.csv", "1")
        .with("d/e/b.csv", "2")
        .with("to/old", "3")
        .with("to/a.csv", "old")
        .with("here.csv", "4");
    for from in ["d", "d/"] {
        copied(&project, from, "to");
        assert_eq!(files(&project.path("to")).into_keys().collect::<Vec<_>>(), ["a.csv", "e/b.csv", "old"]);
        assert_eq!(project.read("to/a.csv"), "1");
    }
    copied(&project, "d/**/*.csv", "pattern");
    assert_eq!(files(&project.path("pattern")).into_keys().collect::<Vec<_>>(), ["a.csv", "e/b.csv"]);
    copied(&project, "d/*.csv", "pattern2/");
    assert_eq!(files(&project.path("pattern2")).into_keys().collect::<Vec<_>>(), ["a.csv"]);
    copied(&project, "*.csv", "pattern3/");
    copied(&project, "./*.csv", "pattern3/");
    assert_eq!(files(&project.path("pattern3")).into_keys().collect::<Vec<_>>(), ["here.csv"]);
    std::fs::create_dir_all(project.path("empty/of/files")).unwrap();
    refused(project.amlrun(&["cp", "empty", "x"]), 3, &["a file in the folder 'empty' was not found"]);
    refused(project.amlrun(&["cp", "d/*.txt", "x"]), 3, &["a file that matches 'd/*.txt' was not found"]);
    assert!(!project.path("x").exists());
}

#[test]
fn nothing_is_copied_onto_itself() {
    let project = Project::new().with("d/a", "1").with("d/e/b", "2");
    symlink("a", project.path("d/same")).unwrap();
    std::fs::hard_link(project.path("d/a"), project.path("second")).unwrap();
    for (from, to) in [("d/a", "d/a"), ("d/a", "d"), ("d/a", "./d/../d/a"), ("d/a", "d/same"), ("d/a", "second")] {
        refused(project.amlrun(&["cp", from, to]), 1, &["the same file"]);
    }
    for (from, to) in [("d", "d"), ("d", "d/e"), ("d", "d/new/deep"), (".", "d")] {
        refused(project.amlrun(&["cp", from, to]), 1, &["cannot copy a folder into itself"]);
    }
    assert_eq!((project.read("d/a"), project.path("d/new").exists()), ("1".to_owned(), false));
}

#[test]
fn links_are_followed_unless_they_lead_out_of_the_folder() {
    let project = Project::new().with("d/a", "1").with("secret", "s");
    symlink("a", project.path("d/link")).unwrap();
    copied(&project, "d", "to");
    assert!(project.path("to/link").symlink_metadata().unwrap().is_file());
    symlink("../secret", project.path("d/out")).unwrap();
    refused(project.amlrun(&["cp", "d", "other"]), 1, &["d/out", "points outside"]);
    assert!(!project.path("other").exists(), "nothing is half done");
    // Who names the link itself means what it leads to.
    copied(&project, "d/out", "named");
    assert_eq!(project.read("named"), "s");
}

#[test]
fn a_copy_is_whole_and_its_owners() {
    let project = Project::new().with("sealed", "1").with("script", "2").with("target", "old").with("linked", "3");
    let mode = |name: &str| project.path(name).metadata().unwrap().permissions().mode() & 0o777;
    let set = |name: &str, mode| std::fs::set_permissions(project.path(name), std::fs::Permissions::from_mode(mode));
    set("sealed", 0o444).unwrap();
    set("script", 0o755).unwrap();
    copied(&project, "sealed", "target");
    copied(&project, "script", "copy");
    assert_eq!((mode("target"), mode("copy"), project.read("target")), (0o644, 0o755, "1".to_owned()));
    // What is replaced is the name, not what it was a name of.
    symlink("linked", project.path("link")).unwrap();
    copied(&project, "sealed", "link");
    assert_eq!((project.read("linked"), project.read("link")), ("3".to_owned(), "1".to_owned()));
    assert!(
        std::fs::read_dir(project.path(""))
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with(".amlrun-") })
    );
}

#[test]
fn assets_are_copied_by_name() {
    let project = Project::new().with("d/a.csv", "1").with("f.csv", "2").with("m/weights", "3");
    project.amlrun(&["data", "create", "-n", "folder", "-p", "d"]).ended(0);
    project.amlrun(&["data", "create", "-n", "file", "-p", "f.csv", "--type", "uri_file"]).ended(0);
    project.amlrun(&["model", "create", "-n", "net", "-p", "m"]).ended(0);
    for (from, to, place) in [
        ("azureml:folder:1", "got1", "got1/a.csv"),
        ("azureml:folder@latest", "got2/", "got2/a.csv"),
        ("azureml:file:1", "got3", "got3"),
        ("azureml:file:1", "got4/", "got4/f.csv"),
        ("azureml:net:1", "got5", "got5/weights"),
        ("models:/net/1", "got6", "got6/weights"),
        ("models:/net/latest/weights", "got7", "got7"),
    ] {
        copied(&project, from, to);
        assert!(project.path(place).is_file(), "{from} {to}");
        assert!(project.path(place).metadata().unwrap().permissions().mode() & 0o200 != 0, "{from}: it is read-only");
    }
    let both =
        ["the data asset 'foldr' was not found; did you mean 'folder'?", "and the model asset 'foldr' was not found"];
    refused(project.amlrun(&["cp", "azureml:foldr:1", "x"]), 3, &both);
    refused(project.amlrun(&["cp", "azureml:folder:9", "x"]), 3, &["data asset 'folder' has no version 9"]);
    refused(project.amlrun(&["cp", "azureml:folder", "x"]), 3, &["azureml:folder@latest"]);
    refused(project.amlrun(&["cp", "models:/nett/1", "x"]), 3, &["did you mean 'net'?"]);
    refused(project.amlrun(&["cp", "azureml:/subscriptions/1/x", "x"]), 2, &["an asset in Azure ML"]);
    assert!(!project.path("x").exists());
}

#[test]
fn what_runs_left_is_copied() {
    let job = pipeline(
        &(node("a", "echo hi > ${{outputs.o}}/hi.txt").trim_end().to_owned()
            + "\n    outputs: {o: {type: uri_folder}}\n"),
    );
    let project = Project::new().with("p.yml", &job);
    project.run("p.yml").ended(0);
    copied(&project, "azureml://jobs/r-a/outputs/o", "got");
    copied(&project, "azureml://jobs/r-a/outputs/o/paths/hi.txt", "hi.txt");
    assert_eq!((project.read("got/hi.txt"), project.read("hi.txt")), ("hi\n".to_owned(), "hi\n".to_owned()));
    let near = ["has no output 'other'; its outputs are o"];
    refused(project.amlrun(&["cp", "azureml://jobs/r-a/outputs/other", "x"]), 3, &near);
    copied(&project, "got", "azureml://datastores/workspaceblobstore/paths/kept/");
    copied(&project, "azureml://datastores/workspaceblobstore/paths/kept/hi.txt", "back");
    assert_eq!(project.read("back"), "hi\n");
}

#[test]
fn what_cannot_be_written_to_is_refused_before_anything_is_done() {
    let project = Project::new().with("f", "1");
    for to in
        ["azureml:x:1", "azureml:x", "models:/x/1", "azureml://jobs/r/outputs/o", "runs:/1/x", "https://example.com/x"]
    {
        let ran = project.amlrun(&["cp", "f", to]);
        assert!(ran.err.contains("use a local path, the URL of a blob"), "{}", ran.err);
        refused(ran, 2, &["cannot copy to"]);
    }
    assert!(!project.path(".amlrun").exists());
}

#[test]
fn assets_at_an_address_are_fetched_and_go_on_where_they_were() {
    let azurite = Azurite::shared();
    azurite.container("assets");
    azurite.put("assets", "d/a.csv", b"1");
    azurite.put("assets", "d/e/b.bin", &content(5 << 20, 1));
    azurite.put("assets", "net.pt", b"weights");
    let project = crate::blobs::project(&azurite.url());
    let url = format!("{}/assets", azurite.url());
    let create = |noun: &str, name: &str, path: &str, kind: &str| {
        let path = format!("{url}/{path}");
        project.amlrun(&[noun, "create", "-n", name, "-p", &path, "--type", kind]).ended(0);
    };
    create("data", "folder", "d", "uri_folder");
    create("data", "file", "d/a.csv", "uri_file");
    create("model", "net", "net.pt", "custom_model");
    create("data", "gone", "none", "uri_folder");
    for (arguments, told, place) in [
        (["data", "folder"], "got/folder\n", "got/folder/e/b.bin"),
        (["data", "file"], "got/file/a.csv\n", "got/file/a.csv"),
        (["model", "net"], "got/net/net.pt\n", "got/net/net.pt"),
    ] {
        for again in [false, true] {
            let download = [arguments[0], "download", "-n", arguments[1], "-l", "latest", "-p", "got"];
            let ran = project.amlrun(&download).ended(0);
            assert_eq!((ran.out.as_str(), project.path(place).is_file()), (told, true), "{again}");
        }
    }
    copied(&project, "azureml:folder:1", "copy");
    assert_eq!(files(&project.path("copy")), files(&project.path("got/folder")));
    copied(&project, "azureml:net@latest", "copy/");
    assert_eq!(project.read("copy/net.pt"), "weights");
    refused(project.amlrun(&["data", "download", "-n", "gone", "-v", "1"]), 3, &["assets/none"]);
    refused(project.amlrun(&["data", "download", "-n", "gon"]), 3, &["did you mean 'gone'?"]);
    assert!(!project.path("gone").exists());
}

#[test]
fn data_that_is_kept_here_is_downloaded_once() {
    let project = Project::new().with("d/a.csv", "1");
    project.amlrun(&["data", "create", "-n", "d2", "-p", "d"]).ended(0);
    let download = ["data", "download", "-n", "d2", "-v", "1", "-p", "got"];
    assert_eq!(project.amlrun(&download).ended(0).out, "got/d2\n");
    assert_eq!(project.read("got/d2/a.csv"), "1");
    refused(project.amlrun(&download), 1, &["already exists"]);
}
