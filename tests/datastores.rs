//! `datastore create|list|show|delete`, their credentials, and what `amlrun.toml` says of them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::{Value, json};

use crate::support::{Project, Ran};

const BLOB: &str = "$schema: https://azuremlschemas.azureedge.net/latest/azureBlob.schema.json
name: training
type: azure_blob
description: what models learn from
account_name: account
container_name: box
tags: {team: a}
";

fn with_key(key: &str) -> String {
    format!("{BLOB}credentials:\n  account_key: {key}\n")
}

fn json_of(ran: Ran) -> Value {
    serde_json::from_str(&ran.ended(0).out).unwrap()
}

/// Everything that the workspace holds, as one text.
fn workspace(project: &Project) -> String {
    let mut text = String::new();
    let mut open = vec![project.path(".amlrun")];
    while let Some(path) = open.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => text += &String::from_utf8_lossy(&std::fs::read(&path).unwrap()),
        }
    }
    text
}

#[test]
fn a_datastore_is_created_shown_and_deleted() {
    let project = Project::new().with("blob.yml", &with_key("TOPSECRET=="));
    let created = project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(0);
    assert!(created.err.contains("the account key is stored in"), "{}", created.err);
    let shown = json_of(project.amlrun(&["datastore", "show", "-n", "training"]));
    assert_eq!(serde_json::from_str::<Value>(&created.out).unwrap(), shown);
    for (field, value) in [
        ("name", json!("training")),
        ("type", json!("azure_blob")),
        ("account_name", json!("account")),
        ("container_name", json!("box")),
        ("endpoint", json!("core.windows.net")),
        ("protocol", json!("https")),
        ("credentials", json!({"type": "account_key"})),
        ("description", json!("what models learn from")),
        ("tags", json!({"team": "a"})),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(!(created.out + &created.err).contains("TOPSECRET") && !workspace(&project).contains("TOPSECRET"));
    assert!(std::fs::read_to_string(project.credentials()).unwrap().contains("TOPSECRET=="));
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&project.credentials()), mode(project.credentials().parent().unwrap())), (0o600, 0o700));

    let deleted = project.amlrun(&["datastore", "delete", "-n", "training"]).ended(0);
    assert!(deleted.out.contains("deleted with its credentials"), "{}", deleted.out);
    assert!(!std::fs::read_to_string(project.credentials()).unwrap().contains("TOPSECRET"));
    project.amlrun(&["datastore", "show", "-n", "training"]).ended(3);
    project.amlrun(&["datastore", "delete", "-n", "training"]).ended(3);
}

#[test]
fn a_datastore_without_credentials_needs_no_file_of_them() {
    let project = Project::new().with("blob.yml", BLOB);
    let create =
        ["datastore", "create", "-f", "blob.yml", "--set", "container_name=other", "--query", "container_name"];
    let mut command = project.command(&create);
    command.env_remove("AMLRUN_CREDENTIALS").env_remove("HOME").env_remove("XDG_CONFIG_HOME");
    assert_eq!(Ran::of(command).ended(0).out, "\"other\"\n");
    let deleted = project.amlrun(&["datastore", "delete", "-n", "training"]).ended(0);
    assert!(deleted.out.contains("training: deleted;"), "{}", deleted.out);
    assert!(!project.credentials().exists());
}

#[test]
fn creating_again_replaces_the_definition_and_the_secret() {
    let project = Project::new().with("blob.yml", &with_key("FIRST"));
    project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(0);
    project.write("blob.yml", &format!("{BLOB}credentials: {{sas_token: '?sv=1&sig=SECOND'}}\n"));
    let kind = ["datastore", "create", "-f", "blob.yml", "--query", "credentials.type", "-o", "tsv"];
    assert_eq!(project.amlrun(&kind).ended(0).out, "sas\n");
    let kept = std::fs::read_to_string(project.credentials()).unwrap();
    assert!(kept.contains("\"sv=1&sig=SECOND\"") && !kept.contains("FIRST"), "{kept}");
    project.write("blob.yml", BLOB);
    assert_eq!(project.amlrun(&kind).ended(0).out, "none\n");
    assert!(!std::fs::read_to_string(project.credentials()).unwrap().contains("SECOND"));
}

#[test]
fn a_mistake_in_the_file_is_marked_and_shows_no_secret() {
    let project = Project::new();
    for (text, words) in [
        (with_key("TOPSECRET").replace("account_key", "acount_key"), "did you mean 'account_key'?"),
        (with_key("TOPSECRET") + "  sas_token: TOPSECRET\n", "unknown field 'sas_token'"),
        (format!("{BLOB}credentials: TOPSECRET\n"), "is not an account key"),
        (with_key("TOPSECRET").replace("container_name", "containr_name"), "did you mean 'container_name'?"),
    ] {
        project.write("blob.yml", &text);
        let refused = project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(1);
        assert!(refused.err.contains(words) && refused.err.contains("blob.yml:"), "{}", refused.err);
        assert!(refused.err.contains("^^^") && !refused.err.contains("TOPSECRET"), "{}", refused.err);
    }
    project.write("blob.yml", BLOB);
    let set = ["datastore", "create", "-f", "blob.yml", "--set", "credentials.acount_key=TOPSECRET"];
    let refused = project.amlrun(&set).ended(1);
    assert!(refused.err.contains("account_key") && !refused.err.contains("TOPSECRET"), "{}", refused.err);
    for (set, words) in [
        ("name=my-store", "letters, digits or '_'"),
        ("name=../x", "letters, digits or '_'"),
        ("protocol=ftp", "https or http"),
        ("endpoint=https://core.windows.net", "is not a host name"),
    ] {
        let refused = project.amlrun(&["datastore", "create", "-f", "blob.yml", "--set", set]).ended(1);
        assert!(refused.err.contains(words), "{}", refused.err);
    }
    assert!(!project.path(".amlrun/datastores").exists());
    project.amlrun(&["datastore", "create", "-f", "none.yml"]).ended(3);
}

#[test]
fn a_file_of_credentials_that_others_may_read_is_refused() {
    let project = Project::new().with("blob.yml", &with_key("TOPSECRET"));
    project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(0);
    std::fs::set_permissions(project.credentials(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(1);
    assert!(refused.err.contains("chmod 600 "), "{}", refused.err);
    assert!(project.amlrun(&["datastore", "delete", "-n", "training"]).ended(1).err.contains("chmod 600 "));
}

#[test]
fn lists_tell_every_name_that_leads_somewhere() {
    let toml = "[datastores.samples]\nfolder = \"data/samples\"\n\
        [datastores.workspaceblobstore]\ncontainer = \"https://account.blob.core.windows.net/box\"\n";
    let project = Project::new().with("amlrun.toml", toml).with("blob.yml", BLOB);
    project.amlrun(&["datastore", "create", "-f", "blob.yml"]).ended(0);
    let list = json_of(project.amlrun(&["datastore", "list", "--query", "[].{name: name, from: from, path: path}"]));
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let expected = ["samples", "training", "workspaceartifactstore", "workspaceblobstore", "workspacefilestore"];
    assert_eq!(names[..5], expected);
    assert_eq!(list[0]["path"], project.path("data/samples").display().to_string());
    assert_eq!((&list[3]["from"], &list[2]["from"]), (&json!("amlrun.toml"), &json!("workspace")));
    let near = project.amlrun(&["datastore", "show", "-n", "trainig"]).ended(3);
    assert!(near.err.contains("did you mean 'training'?"), "{}", near.err);
    let mapped = project.amlrun(&["datastore", "delete", "-n", "samples"]).ended(3);
    assert!(mapped.err.contains("remove [datastores.samples]"), "{}", mapped.err);
    project.amlrun(&["datastore", "delete", "-n", "workspacefilestore"]).ended(3);
}

#[test]
fn a_storage_that_is_not_read_can_be_described_all_the_same() {
    let text = "name: share\ntype: azure_file\naccount_name: account\nfile_share_name: files\n";
    let project = Project::new().with("share.yml", text);
    let created = project.amlrun(&["datastore", "create", "-f", "share.yml", "--query", "file_share_name"]).ended(0);
    assert_eq!(created.out, "\"files\"\n");
    assert!(created.err.contains("[datastores.share] folder = "), "{}", created.err);
}

#[test]
fn a_secret_in_amlrun_toml_is_refused_and_not_quoted() {
    let project = Project::new().with("amlrun.toml", "[datastores.d]\n\naccount_key = \"TOPSECRET\"\n");
    let refused = project.amlrun(&["datastore", "list"]).ended(1);
    assert!(refused.err.contains("amlrun.toml:3:15: use account_key = { env = \"NAME\" }"), "{}", refused.err);
    assert!(!refused.err.contains("TOPSECRET"), "{}", refused.err);
}

#[test]
fn the_workspaces_of_one_person_do_not_mix() {
    let (one, two) = (Project::new(), Project::new());
    for (project, key) in [(&one, "KEYONE"), (&two, "KEYTWO")] {
        project.write("blob.yml", &with_key(key));
        let mut command = project.command(&["datastore", "create", "-f", "blob.yml"]);
        command.env("AMLRUN_CREDENTIALS", one.credentials());
        Ran::of(command).ended(0);
    }
    two.amlrun(&["datastore", "delete", "-n", "training"]).ended(0);
    let kept = std::fs::read_to_string(one.credentials()).unwrap();
    assert!(kept.contains("KEYONE") && kept.contains("KEYTWO"), "{kept}");
}

#[test]
fn all_that_are_created_at_once_keep_their_secrets() {
    let project = Project::new().with("blob.yml", &with_key("TOPSECRET"));
    let children: Vec<_> = (0..8)
        .map(|n| {
            let (name, key) = (format!("name=d{n}"), format!("credentials.account_key=KEY{n}"));
            let mut command =
                project.command(&["datastore", "create", "-f", "blob.yml", "--set", &name, "--set", &key]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    let kept = std::fs::read_to_string(project.credentials()).unwrap();
    assert!((0..8).all(|n| kept.contains(&format!("\"KEY{n}\""))), "{kept}");
    assert_eq!(std::fs::read_dir(project.path(".amlrun/datastores")).unwrap().count(), 8);
}
