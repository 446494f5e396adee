//! `data create|list|show|archive|restore`, assets that stay at an address, and downloads of what a step made.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::{Project, Ran, node, pipeline};

fn json_of(ran: Ran) -> Value {
    serde_json::from_str(&ran.ended(0).out).unwrap()
}

fn create(project: &Project, more: &[&str]) -> Ran {
    let mut arguments = vec!["data", "create"];
    arguments.extend(more);
    project.amlrun(&arguments)
}

#[test]
fn data_is_copied_and_never_changes() {
    let project = Project::new().with("d/a/x.csv", "1\n");
    let first = json_of(create(&project, &["-n", "d", "-p", "d", "-d", "numbers", "--tag", "k=v"]));
    assert_eq!((&first["version"], &first["type"]), (&json!("1"), &json!("uri_folder")));
    assert_eq!(
        (&first["description"], &first["tags"], &first["bytes"]),
        (&json!("numbers"), &json!({"k": "v"}), &json!(2))
    );
    project.write("d/a/x.csv", "2\n");
    let second = json_of(create(&project, &["-n", "d", "-p", "d"]));
    assert_eq!(second["version"], "2");
    let kept = std::path::Path::new(first["path"].as_str().unwrap()).join("a/x.csv");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "1\n");
    assert!(kept.metadata().unwrap().permissions().mode() & 0o222 == 0, "it is read-only");
    let shown = json_of(project.amlrun(&["data", "show", "-n", "d", "-v", "1"]));
    assert_eq!(shown, first);
    assert_eq!(json_of(project.amlrun(&["data", "show", "-n", "d", "-l", "latest"])), second);
    let versions = project.amlrun(&["data", "list", "-n", "d", "--query", "[].version", "-o", "tsv"]).ended(0);
    assert_eq!(versions.out, "2\n1\n");
}

#[test]
fn a_file_says_what_the_flags_do_not() {
    let yaml = "$schema: https://azuremlschemas.azureedge.net/latest/data.schema.json\nname: iris\ntype: uri_file\n\
        path: ../raw/iris.csv\ndescription: flowers\ntags: {source: web}\n";
    let project = Project::new().with("assets/iris.yml", yaml).with("raw/iris.csv", "1\n");
    let made = json_of(create(&project, &["-f", "assets/iris.yml", "-v", "2024.1", "--set", "description=other"]));
    assert_eq!((&made["id"], &made["description"]), (&json!("azureml:iris:2024.1"), &json!("other")));
    assert_eq!((&made["type"], &made["tags"]), (&json!("uri_file"), &json!({"source": "web"})));
    assert!(made["path"].as_str().unwrap().ends_with("/iris.csv"), "a file keeps its name");
    let renamed = create(&project, &["-f", "assets/iris.yml", "-n", "flowers", "--query", "id", "-o", "tsv"]).ended(0);
    assert_eq!(renamed.out, "azureml:flowers:1\n");
    project.write("assets/iris.yml", &yaml.replace("uri_file", "uri_fiel"));
    let refused = create(&project, &["-f", "assets/iris.yml"]).ended(1);
    assert!(refused.err.contains("assets/iris.yml:3:7") && refused.err.contains("^^^"), "{}", refused.err);
    project.write("assets/iris.yml", &yaml.replace("name: iris\n", ""));
    assert!(create(&project, &["-f", "assets/iris.yml"]).ended(1).err.contains("has no 'name'"));
    create(&project, &["-n", "x"]).ended(2);
    create(&project, &[]).ended(2);
}

#[test]
fn a_type_is_what_lies_there() {
    let project = Project::new().with("d/x", "1").with("t/MLTable", "paths: []\n").with("f.csv", "1");
    for (path, kind, words) in [
        ("f.csv", "uri_folder", "--type uri_file"),
        ("d", "uri_file", "--type uri_folder"),
        ("d", "mltable", "a file named MLTable"),
        ("f.csv", "mltable", "a file named MLTable"),
    ] {
        let refused = create(&project, &["-n", "x", "-p", path, "--type", kind]).ended(1);
        assert!(refused.err.contains(words), "{}", refused.err);
    }
    create(&project, &["-n", "x", "-p", "d", "--type", "custom_model"]).ended(2);
    create(&project, &["-n", "x", "-p", "none"]).ended(3);
    let bad = create(&project, &["-n", "a/b", "-p", "d"]).ended(1);
    assert!(bad.err.contains("is not a valid name"), "{}", bad.err);
    assert!(!project.path(".amlrun/data").exists(), "what is refused leaves no copy");
    let table = create(&project, &["-n", "t", "-p", "t", "--type", "mltable", "--query", "type", "-o", "tsv"]).ended(0);
    assert_eq!(table.out, "mltable\n");
}

#[test]
fn the_same_content_is_told_and_kept_once() {
    let project = Project::new().with("f.csv", "1");
    let file = ["-n", "f", "-p", "f.csv", "--type", "uri_file"];
    create(&project, &file).ended(0);
    let again = create(&project, &file).ended(0);
    assert_eq!(again.err, "note: azureml:f:2 has the same content as azureml:f:1\n");
    assert_eq!(std::fs::read_dir(project.path(".amlrun/data")).unwrap().count(), 1);
    let same = create(&project, &[&file[..], &["-v", "2", "--query", "version", "-o", "tsv"]].concat()).ended(0);
    assert_eq!(same.out, "2\n");
    assert!(same.err.contains("already registered with this content"), "{}", same.err);
    project.write("f.csv", "2");
    let other = create(&project, &[&file[..], &["-v", "2"]].concat()).ended(1);
    assert!(other.err.contains("'f:2' already exists"), "{}", other.err);
    assert_eq!(std::fs::read_dir(project.path(".amlrun/data")).unwrap().count(), 1);
}

#[test]
fn versions_are_counted_by_many_at_once() {
    let project = Project::new();
    let children: Vec<_> = (0..8)
        .map(|n| {
            project.write(&format!("f{n}"), &n.to_string());
            let path = format!("f{n}");
            let mut command = project.command(&["data", "create", "-n", "f", "-p", &path, "--type", "uri_file"]);
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    let versions = json_of(project.amlrun(&["data", "list", "-n", "f", "--query", "sort([].version)"]));
    assert_eq!(versions, json!(["1", "2", "3", "4", "5", "6", "7", "8"]));
}

#[test]
fn what_is_archived_is_out_of_the_way() {
    let project = Project::new().with("d/x", "1");
    create(&project, &["-n", "d", "-p", "d"]).ended(0);
    create(&project, &["-n", "d", "-p", "d"]).ended(0);
    assert_eq!(project.amlrun(&["data", "archive", "-n", "d", "-v", "2"]).ended(0).out, "d:2: archived\n");
    let latest = |project: &Project| project.amlrun(&["data", "show", "-n", "d", "--query", "version", "-o", "tsv"]);
    assert_eq!(latest(&project).ended(0).out, "1\n");
    let list = |more: &str| json_of(project.amlrun(&["data", "list", "--query", "sort([].version)", more]));
    assert_eq!(list("--include-archived"), json!(["1", "2"]));
    assert_eq!(list("--archived-only"), json!(["2"]));
    project.amlrun(&["data", "archive", "-n", "d"]).ended(0);
    assert_eq!(list("--output=json"), json!([]));
    assert_eq!(project.amlrun(&["data", "restore", "-n", "d"]).ended(0).out.lines().count(), 2);
    assert_eq!(latest(&project).ended(0).out, "2\n");
    let missing = project.amlrun(&["data", "archive", "-n", "d", "-v", "9"]).ended(3);
    assert!(missing.err.contains("use one of"), "{}", missing.err);
    project.amlrun(&["data", "restore", "-n", "dd"]).ended(3);
    Project::new().amlrun(&["data", "archive", "-n", "d"]).ended(3);
}

#[test]
fn an_address_is_kept_as_it_is() {
    let project = Project::new();
    for address in [
        "azureml://datastores/training/paths/a b/",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/training/paths/x",
        "https://account.blob.core.windows.net/box/x",
        "https://example.com/x.csv?v=1",
        "wasbs://box@account.blob.core.windows.net/x",
        "abfss://box@account.dfs.core.windows.net/x",
    ] {
        let made = json_of(create(&project, &["-n", "far", "-p", address]));
        assert_eq!((&made["path"], &made["bytes"]), (&json!(address), &json!(0)));
        let shown = json_of(project.amlrun(&["data", "show", "-n", "far", "-l", "latest", "--query", "path"]));
        assert_eq!(shown, address);
    }
    let same =
        create(&project, &["-n", "far", "-v", "3", "-p", "https://account.blob.core.windows.net/box/x"]).ended(0);
    assert!(same.err.contains("nothing changed"), "{}", same.err);
    let signed = create(&project, &["-n", "s", "-p", "https://account.blob.core.windows.net/box/x?sv=1&sig=TOPSECRET"]);
    let signed = signed.ended(1);
    assert!(
        signed.err.contains("create a datastore with the SAS") && !signed.err.contains("TOPSECRET"),
        "{}",
        signed.err
    );
    for (address, words) in [("s3://x/y", "'s3://' is not supported"), ("azureml:far:1", "is already an asset")] {
        assert!(create(&project, &["-n", "s", "-p", address]).ended(1).err.contains(words));
    }
    let model = ["model", "create", "-n", "m", "-p", "wasbs://box@account.blob.core.windows.net/m", "-o", "none"];
    project.amlrun(&model).ended(0);
    let shown = json_of(project.amlrun(&["model", "show", "-n", "m", "--query", "path"]));
    assert_eq!(shown, "wasbs://box@account.blob.core.windows.net/m");
}

#[test]
fn a_model_may_have_a_file_of_its_own() {
    let yaml = "name: net\nversion: 3\ntype: custom_model\npath: weights\nstage: Production\ntags: {a: b}\n";
    let project = Project::new().with("model.yml", yaml).with("weights/w.txt", "1");
    let made = json_of(project.amlrun(&["model", "create", "-f", "model.yml"]));
    assert_eq!(
        (&made["id"], &made["stage"], &made["tags"]),
        (&json!("azureml:net:3"), &json!("Production"), &json!({"a": "b"}))
    );
    assert!(project.amlrun(&["model", "create", "-f", "model.yml"]).ended(0).err.contains("nothing changed"));
}

/// A run `r` whose step `make` wrote an output and an artifact.
fn ran() -> Project {
    let project = Project::new();
    let nodes = node("make", "echo made; echo 1 > ${{outputs.o}}/f; echo 2 > outputs/g")
        + "    outputs: {o: }\n"
        + &node("deep-er", "cp ${{inputs.i}}/f ${{outputs.file}}")
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n    outputs: {file: {type: uri_file}}\n";
    project.write("pipeline.yml", &(pipeline(&nodes.replace("deep-er", "deeper")) + "outputs: {}\n"));
    project.run("pipeline.yml").ended(0);
    project
}

#[test]
fn what_a_job_left_can_become_data() {
    let project = ran();
    let from = |address: &str, kind: &str| create(&project, &["-n", "d", "-p", address, "--type", kind]);
    let content = |made: &Value, file: &str| {
        std::fs::read_to_string(std::path::Path::new(made["path"].as_str().unwrap()).join(file)).unwrap()
    };
    let made = json_of(from("azureml://jobs/r-make/outputs/o", "uri_folder"));
    assert_eq!(content(&made, "f"), "1\n");
    assert!(made["path"].as_str().unwrap().contains(".amlrun/data/"), "a copy of its own");
    json_of(from("azureml://jobs/r-make/outputs/o/paths/f", "uri_file"));
    json_of(from("azureml://jobs/r-deeper/outputs/file", "uri_file"));
    let made = json_of(from("azureml://jobs/r-make/outputs/artifacts/paths/outputs", "uri_folder"));
    assert_eq!(content(&made, "g"), "2\n");
    json_of(from("azureml://jobs/r-make/outputs/default/paths/user_logs/std_log.txt", "uri_file"));
    for (address, words) in [
        ("azureml://jobs/r-make/outputs/oo", "its outputs are o"),
        ("azureml://jobs/r-deeper/outputs/fiel", "did you mean 'file'?"),
        ("azureml://jobs/r-mkae/outputs/o", "did you mean 'r-make'?"),
        ("azureml://jobs/q/outputs/o", "the run 'q' was not found"),
        ("azureml://jobs/r-make/outputs/o/paths/none", "'none' was not found in the output 'o'"),
        ("runs:/r-mak/x", "did you mean 'r-make'?"),
        ("runs:/r-make", "has logged no artifacts"),
        ("models:/none/1", "none"),
    ] {
        let missing = from(address, "uri_folder").ended(3);
        assert!(missing.err.contains(words), "{address}: {}", missing.err);
    }
    project.write("m/w", "1");
    project.amlrun(&["model", "create", "-n", "m", "-p", "m"]).ended(0);
    json_of(from("models:/m/1", "uri_folder"));
    project.write(".amlrun/runs/r/steps/make/artifacts/logged/x", "3\n");
    let made = json_of(from("runs:/r-make/logged", "uri_folder"));
    assert_eq!(content(&made, "x"), "3\n");
}

#[test]
fn one_step_can_be_downloaded_by_its_job_name() {
    let project = ran();
    project.amlrun(&["job", "download", "-n", "r-make", "--all", "-p", "got"]).ended(0);
    assert_eq!(project.read("got/named-outputs/o/f"), "1\n");
    assert_eq!(project.read("got/artifacts/outputs/g"), "2\n");
    assert_eq!(project.read("got/artifacts/user_logs/std_log.txt"), "made\n");
    project.amlrun(&["job", "download", "-n", "r-deeper", "--output-name", "file", "-p", "one"]).ended(0);
    assert_eq!(std::fs::read_dir(project.path("one/named-outputs/file")).unwrap().count(), 1);
    project.amlrun(&["job", "download", "-n", "r-make", "--output-name", "default", "-p", "left"]).ended(0);
    assert_eq!(project.read("left/artifacts/outputs/g"), "2\n");
    assert!(!project.path("left/named-outputs").exists());
    let wrong = project.amlrun(&["job", "download", "-n", "r-make", "--output-name", "make.o"]).ended(3);
    assert!(wrong.err.contains("the job 'r-make' has no output 'make.o'"), "{}", wrong.err);
    let near = project.amlrun(&["job", "download", "-n", "r-mkae"]).ended(3);
    assert!(near.err.contains("did you mean 'r-make'?"), "{}", near.err);
}

#[test]
fn a_job_of_one_command_is_downloaded_as_az_lays_it_out() {
    let job = "type: command\ncommand: echo 1 > ${{outputs.o}}/f; echo 2 > outputs/g; echo said\n\
        environment: azureml:any@latest\noutputs: {o: }\n";
    let project = Project::new().with("job.yml", job);
    project.run("job.yml").ended(0);
    project.amlrun(&["job", "download", "-n", "r", "--all", "-p", "got"]).ended(0);
    assert_eq!(project.read("got/named-outputs/o/f"), "1\n");
    assert_eq!(project.read("got/artifacts/outputs/g"), "2\n");
    assert_eq!(project.read("got/artifacts/user_logs/std_log.txt"), "said\n");
    let made = create(&project, &["-n", "d", "-p", "azureml://jobs/r/outputs/o", "--query", "bytes"]).ended(0);
    assert_eq!(made.out, "2\n");
}
