//! Outputs that go elsewhere: sent when their step succeeds, kept when that fails, and read by steps after it.

use std::process::Stdio;

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::cloud::{Cloud, everything, job};
use crate::support::{Project, Ran, until_changed};

#[test]
fn a_failed_upload_fails_the_step_and_keeps_what_it_wrote() {
    let cloud = Cloud::new("upload");
    let text = job(
        "echo precious > ${{outputs.o}}",
        "n: 1",
        &format!("o: {{type: uri_file, path: \"{}/nosuchcontainer/o.txt\"}}", cloud.azurite.url()),
    );
    cloud.project.write("job.yml", &text);
    let (ran, events) = cloud.run("r");
    ran.ended(1);
    let failed = events.iter().find(|e| e["event"] == "step_finished").unwrap().to_string();
    assert!(failed.contains("cannot be uploaded") && failed.contains("nosuchcontainer"), "{failed}");
    let kept = cloud.project.path(".amlrun/store/v1/r.main.o/o");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "precious\n");
    assert!(failed.contains("it is kept at"), "{failed}");
    // Nobody takes it for rubbish, and going on sends it without making it again.
    cloud.amlrun(&["cache", "gc"]).ended(0);
    assert!(kept.exists());
    cloud.azurite.container("nosuchcontainer");
    let resumed = cloud.amlrun(&["run", "--resume", "r", "--output", "jsonl"]).ended(0);
    assert!(!resumed.out.contains("step_started") && resumed.out.contains("output_uploaded"), "{}", resumed.out);
    assert_eq!(cloud.azurite.get("nosuchcontainer", "o.txt"), b"precious\n");
}

#[test]
fn an_output_may_be_named_by_an_address_with_its_signature() {
    let cloud = Cloud::new("signed-out");
    let sas = cloud.azurite.sas("signed-out", "rwlc");
    let path = |inner: &str| format!("{}/signed-out/{inner}?{sas}", cloud.azurite.url());
    let outputs = format!(
        "f: {{type: uri_file, path: \"{}\"}}
        d: {{type: uri_folder, path: \"{}\"}}",
        path("50%25 of it/f.txt"),
        path("${{name}}/d")
    );
    cloud.project.write("job.yml", &job("echo f > ${{outputs.f}} && echo d > ${{outputs.d}}/x", "n: 1", &outputs));
    cloud.project.run("job.yml").ended(0);
    assert_eq!((cloud.get("50% of it/f.txt"), cloud.get("r/d/x")), ("f\n".into(), "d\n".into()));
    let drawn = cloud.project.amlrun(&["graph", "job.yml", "--format", "json"]).ended(0);
    let signature = sas.split("sig=").nth(1).unwrap();
    assert!(!drawn.out.contains(signature) && !everything(&cloud.project.path(".amlrun")).contains(signature));
}

#[test]
fn what_an_earlier_step_writes_is_read_as_it_wrote_it() {
    let cloud = Cloud::new("handed");
    let place = "azureml://datastores/credit/paths/shared";
    let text = format!(
        "type: pipeline\njobs:\n  a:\n    type: command\n    environment: azureml:any@latest\n    \
         command: echo ${{{{inputs.n}}}} > ${{{{outputs.o}}}}/x && echo done > ${{{{outputs.t}}}}\n    inputs: {{n: 1}}\n    outputs:\n      \
         o: {{type: uri_folder, path: {place}}}\n      t: {{type: uri_file}}\n  b:\n    type: command\n    \
         environment: azureml:any@latest\n    command: cat ${{{{inputs.d}}}}/x ${{{{inputs.t}}}}\n    inputs:\n      \
         d: {{type: uri_folder, path: {place}/}}\n      t: ${{{{parent.jobs.a.outputs.t}}}}\n"
    );
    cloud.project.write("job.yml", &text);
    cloud.run("r").0.ended(0);
    assert_eq!(cloud.project.log("b"), "1\ndone\n");
    let ran = cloud.amlrun(&["run", "job.yml", "--name", "again", "--set", "jobs.a.inputs.n=2"]).ended(0);
    assert!(ran.out.contains("b | 2"), "{}", ran.out);
}

#[test]
fn who_reads_before_the_writer_and_who_reads_after_it_read_different_things() {
    let cloud = Cloud::new("turns");
    cloud.put("f.txt", "v0\n");
    let step = |name: &str, command: &str, more: &str| {
        format!("  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: {command}\n{more}")
    };
    let place = "azureml://datastores/credit/paths/f.txt";
    let read = format!("    inputs:\n      i: {{type: uri_file, path: {place}}}\n");
    let n = step(
        "n",
        "cat ${{inputs.i}} && echo > ${{outputs.t}}",
        &format!("{read}    outputs: {{t: {{type: uri_file}}}}\n"),
    );
    let a = step(
        "a",
        "echo ${{inputs.v}} > ${{outputs.o}}",
        &format!(
            "    inputs:\n      v: ${{{{parent.inputs.v}}}}\n      t: ${{{{parent.jobs.n.outputs.t}}}}\n    outputs:\n      \
             o: {{type: uri_file, path: {place}}}\n"
        ),
    );
    let b = step("b", "cat ${{inputs.i}}", &format!("{read}      t: ${{{{parent.jobs.a.outputs.o}}}}\n"));
    cloud.project.write("job.yml", &format!("type: pipeline\ninputs: {{v: v1}}\njobs:\n{n}{a}{b}"));
    let run = |v: &str, n: &str, b: &str| {
        let ran = cloud.amlrun(&["run", "job.yml", "--set", &format!("inputs.v={v}")]).ended(0);
        for line in [format!("n | {n}"), format!("b | {b}")] {
            assert!(ran.out.contains(&line), "no '{line}' in\n{}", ran.out);
        }
    };
    run("v1", "v0", "v1");
    run("v2", "v1", "v2");
}

#[test]
fn what_was_made_before_the_runner_was_killed_in_an_upload_is_sent_and_not_made_again() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let azurite = Azurite::shared();
    azurite.container("killed");
    let settings = |root: &str| {
        format!("[datastores.out]\ncontainer = \"{root}/killed\"\naccount_key = {{ env = \"BLOB_KEY\" }}\n")
    };
    let nobody = format!("http://{}/{ACCOUNT}", silent.local_addr().unwrap());
    let project = Project::new().with("amlrun.toml", &settings(&nobody));
    let output = "o: {type: uri_file, path: azureml://datastores/out/paths/o}";
    project.write("job.yml", &job("echo made > ${{outputs.o}}", "n: 1", output));
    let amlrun = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("BLOB_KEY", KEY);
        command
    };
    let mut runner = amlrun(&["run", "job.yml", "--name", "r"]).stdout(Stdio::null()).spawn().unwrap();
    // It asks what is there, and nobody ever answers.
    let _asked = silent.accept().unwrap();
    let is_known = || Ran::of(amlrun(&["plan", "job.yml", "--check"])).code == 0;
    until_changed(&project.path(".amlrun/reuse"), "what was made is known", is_known);
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(Ran::of(amlrun(&["cache", "gc"])).ended(0).out.contains("freed 0 B in total"));
    project.write("amlrun.toml", &settings(&azurite.url()));
    let resumed = Ran::of(amlrun(&["run", "--resume", "r", "--output", "jsonl"])).ended(0);
    assert!(!resumed.out.contains("step_started"), "{}", resumed.out);
    assert_eq!(azurite.get("killed", "o"), b"made\n");
}
