//! Pipelines that read data from elsewhere: fetched once, known again, and fetched anew when it or its copy changed.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::azurite::{ACCOUNT, Azurite, KEY};
use crate::cloud::{Cloud, count, everything, job, moved, settings};
use crate::hostile_http::{Act, Hostile};
use crate::support::{Project, Ran, until_changed};

#[test]
fn every_form_of_address_is_read_and_the_second_run_moves_nothing() {
    let cloud = Cloud::new("forms");
    let web = Hostile::start();
    web.serve("/web%20page.csv", b"web\n", []);
    cloud.put("in/a.csv", "a\n");
    cloud.put("in/sub/b ü.csv", "b\n");
    cloud.put("in/empty", "");
    let url = cloud.azurite.url();
    cloud
        .project
        .write("table/MLTable", "paths:\n- file: ./l.csv\n- pattern: azureml://datastores/credit/paths/in/**/*.csv\n");
    cloud.project.write("table/l.csv", "local\n");
    cloud.project.write("local.csv", "here\n");
    cloud.amlrun(&["data", "create", "-n", "far", "-p", "azureml://datastores/credit/paths/in/"]).ended(0);
    cloud.amlrun(&["data", "create", "-n", "near", "-p", "local.csv", "--type", "uri_file"]).ended(0);
    cloud.amlrun(&["model", "create", "-n", "net", "-p", "local.csv"]).ended(0);
    let earlier = job("echo earlier > ${{outputs.o}}", "n: 1", "o: {type: uri_file}");
    cloud.project.write("earlier.yml", &earlier);
    cloud.amlrun(&["run", "earlier.yml", "--name", "earlier"]).ended(0);
    // What the run logged with MLflow.
    cloud.project.write(".amlrun/runs/earlier/artifacts/logged.txt", "logged\n");
    let inputs = format!(
        "web: {{type: uri_file, path: \"{}\"}}
        wasbs: {{type: uri_file, path: \"wasbs://forms@{ACCOUNT}.blob.core.windows.net/in/a.csv\"}}
        abfss: {{type: uri_file, path: \"abfss://forms@{ACCOUNT}.dfs.core.windows.net/in/sub/b ü.csv\", mode: download}}
        blob: {{type: uri_file, path: \"{url}/forms/in/a.csv\"}}
        store: {{type: uri_folder, path: azureml://datastores/credit/paths/in/, mode: download}}
        long: {{type: uri_file, path: azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/credit/paths/in/a.csv}}
        glob: {{type: uri_folder, path: \"azureml://datastores/credit/paths/in/**/b*.csv\"}}
        far: {{type: uri_folder, path: \"azureml:far@latest\"}}
        near: {{type: uri_file, path: \"azureml:near:1\"}}
        job: {{type: uri_file, path: azureml://jobs/earlier/outputs/o}}
        model: {{type: custom_model, path: \"models:/net/1\"}}
        logged: {{type: uri_file, path: \"runs:/earlier/logged.txt\"}}
        table: {{type: mltable, path: table, mode: eval_download}}
        direct: {{type: uri_folder, path: azureml://datastores/credit/paths/in/, mode: direct}}
        local: {{type: uri_file, path: local.csv}}",
        web.url("/web%20page.csv")
    );
    let command = "cat \"${{inputs.web}}\" ${{inputs.wasbs}} \"${{inputs.abfss}}\" ${{inputs.blob}} ${{inputs.long}} \
        ${{inputs.near}} ${{inputs.job}} ${{inputs.model}} ${{inputs.logged}} ${{inputs.local}} && cd ${{inputs.store}} && find . -type f | sort && \
        (cd ${{inputs.glob}} && find . -type f) && (cd ${{inputs.far}} && find . -type f | wc -l) && \
        (cd ${{inputs.table}} && find . -type f | sort) && echo ${{inputs.direct}} && touch ./new && \
        mkdir -p ${{outputs.o}}/d && echo out > ${{outputs.o}}/d/x && : > ${{outputs.o}}/none && echo f > ${{outputs.f}}";
    let outputs = format!(
        "o: {{type: uri_folder, path: azureml://datastores/credit/paths/out/o}}
        f: {{type: uri_file, mode: upload, path: \"wasbs://forms@{ACCOUNT}.blob.core.windows.net/out/f.txt\"}}"
    );
    cloud.project.write("job.yml", &job(command, &inputs, &outputs));
    let (first, events) = cloud.run("r");
    first.ended(0);
    let printed = cloud.project.log("main");
    let wanted = "web\na\nb\na\na\nhere\nearlier\nhere\nlogged\nhere\n./a.csv\n./empty\n./sub/b ü.csv\n./sub/b ü.csv\n3\n\
        ./1/a.csv\n./1/sub/b ü.csv\n./l.csv\nazureml://datastores/credit/paths/in/\n";
    assert_eq!(printed, wanted);
    assert_eq!(
        (cloud.get("out/o/d/x"), cloud.get("out/o/none"), cloud.get("out/f.txt")),
        ("out\n".into(), "".into(), "f\n".into())
    );
    assert!(moved(&events).0 > 0 && moved(&events).1 > 0);
    let asked = web.requests("GET").len();
    let (second, events) = cloud.run("second");
    second.ended(0);
    assert_eq!((moved(&events), count(&events, "data_fetched"), count(&events, "step_reused")), ((0, 0), 0, 1));
    assert_eq!((count(&events, "step_started"), web.requests("GET").len()), (0, asked));
    assert!(cloud.amlrun(&["plan", "job.yml", "--check"]).code == 0);
}

#[test]
fn a_datastore_mapped_to_a_folder_needs_no_server() {
    let text = job(
        "cat ${{inputs.d}}/in.csv > ${{outputs.o}}",
        "d: {type: uri_folder, path: azureml://datastores/credit/paths/data}",
        "o: {type: uri_file, path: azureml://datastores/credit/paths/out/o.csv}",
    );
    let cloud = Cloud::new("mapped");
    cloud.put("data/in.csv", "cloud\n");
    cloud.project.write("job.yml", &text);
    cloud.run("r").0.ended(0);
    assert_eq!(cloud.get("out/o.csv"), "cloud\n");
    let project = Project::new()
        .with("amlrun.toml", "[datastores.credit]\nfolder = \"sample\"\n")
        .with("sample/data/in.csv", "sample\n")
        .with("job.yml", &text);
    project.run("job.yml").ended(0);
    assert_eq!(project.read("sample/out/o.csv"), "sample\n");
    let again = project.amlrun(&["run", "job.yml"]).ended(0);
    assert!(again.out.contains("reused from"), "{}", again.out);
}

#[test]
fn what_changed_is_fetched_and_what_comes_to_the_same_is_not_run() {
    let cloud = Cloud::new("changes");
    cloud.put("d/a.csv", "1\n");
    cloud.put("d/b.csv", "2\n");
    let input = "d: {type: uri_folder, path: azureml://datastores/credit/paths/d}";
    cloud.project.write("job.yml", &job("cat ${{inputs.d}}/* > ${{outputs.o}}", input, "o: {type: uri_file}"));
    let (first, events) = cloud.run("r");
    first.ended(0);
    assert_eq!(moved(&events).0, 4);
    // The same bytes under a new version: fetched, and then the earlier result stands.
    cloud.put("d/a.csv", "1\n");
    let planned = cloud.amlrun(&["plan", "job.yml"]).ended(0);
    assert!(planned.out.contains("its remote data is downloaded first"), "{}", planned.out);
    let (second, events) = cloud.run("second");
    second.ended(0);
    assert_eq!((moved(&events).0, count(&events, "step_reused")), (2, 1), "one file of two");
    cloud.put("d/b.csv", "3\n");
    let (third, events) = cloud.run("third");
    third.ended(0);
    assert_eq!((moved(&events).0, count(&events, "step_started")), (2, 1));
    let why = cloud.amlrun(&["why", "third"]).ended(0);
    assert!(why.out.contains("b.csv"), "{}", why.out);
}

#[test]
fn what_nobody_needs_of_what_was_fetched_can_go() {
    let cloud = Cloud::new("states");
    let input = "d: {type: uri_folder, path: azureml://datastores/credit/paths/d}";
    cloud.project.write("job.yml", &job("cat ${{inputs.d}}/*", input, "o: "));
    for text in ["first\n", "second\n"] {
        cloud.put("d/a", text);
        cloud.amlrun(&["run", "job.yml"]).ended(0);
    }
    let downloads = || everything(&cloud.project.path(".amlrun/downloads"));
    assert!(downloads().contains("first") && downloads().contains("second"));
    let gone = cloud.amlrun(&["cache", "gc"]).ended(0);
    assert!(gone.out.contains("download") && !downloads().contains("first") && downloads().contains("second"));
    let du = cloud.amlrun(&["cache", "du", "-o", "json"]).ended(0);
    assert!(du.out.contains("\"downloads\""), "{}", du.out);
    assert_eq!(moved(&cloud.run("again").1).0, 0, "what is current stays");
}

#[test]
fn a_copy_that_somebody_touched_is_fetched_again() {
    let cloud = Cloud::new("touched");
    cloud.put("d/a", "right\n");
    let input = "d: {type: uri_folder, path: azureml://datastores/credit/paths/d}";
    cloud.project.write("job.yml", &job("cat ${{inputs.d}}/a", input, "o: "));
    cloud.run("r").0.ended(0);
    // A step that writes into what it was given to read spoils it for all others.
    cloud.project.write("bad.yml", &job("chmod u+w ${{inputs.d}}/a && echo wrong > ${{inputs.d}}/a", input, "o: "));
    let bad = cloud.amlrun(&["run", "bad.yml", "--name", "bad"]).ended(1);
    assert!(bad.out.contains("input 'd'"), "{}", bad.out);
    let (again, events) = cloud.run("again");
    again.ended(0);
    assert_eq!((moved(&events).0, count(&events, "step_reused")), (6, 1), "fetched, and the same as before");
}

#[test]
fn however_many_ask_at_once_data_is_fetched_once() {
    let cloud = Cloud::new("once");
    cloud.put("d/big", &"0123456789".repeat(100_000));
    let step = |name: &str| {
        format!(
            "  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: wc -c < ${{{{inputs.d}}}}/big\n    \
             inputs:\n      d: {{type: uri_folder, path: azureml://datastores/credit/paths/d}}\n"
        )
    };
    let steps: String = ["a", "b", "c", "d"].map(step).concat();
    cloud.project.write("job.yml", &format!("type: pipeline\njobs:\n{steps}"));
    let start = |name: &str| {
        let mut command =
            cloud.project.command(&["run", "job.yml", "--name", name, "--jobs", "4", "--output", "jsonl"]);
        command.env("BLOB_KEY", KEY).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let runs = [start("one"), start("two")];
    let mut fetched = 0;
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        fetched += moved(&events).0;
    }
    assert_eq!(fetched, 1_000_000);
}

#[test]
fn a_step_that_nobody_asked_for_stands_although_its_data_is_gone() {
    let cloud = Cloud::new("only");
    cloud.put("d", "x\n");
    let text = "type: pipeline\njobs:\n  prep:\n    type: command\n    environment: azureml:any@latest\n    \
        command: cat ${{inputs.d}} > ${{outputs.o}}\n    inputs:\n      d: {type: uri_file, path: azureml://datastores/credit/paths/d}\n    \
        outputs:\n      o: {type: uri_file}\n  use:\n    type: command\n    environment: azureml:any@latest\n    \
        command: cat ${{inputs.o}}\n    inputs:\n      o: ${{parent.jobs.prep.outputs.o}}\n";
    cloud.project.write("job.yml", text);
    cloud.run("r").0.ended(0);
    let only = |name: &str| {
        let ran = cloud.amlrun(&["run", "job.yml", "--only", "use", "--force-rerun=use", "--name", name]);
        (ran.code, ran.out + &ran.err)
    };
    assert_eq!(only("there").0, 0, "{}", only("again").1);
    cloud.azurite.send("DELETE", "only/d", &[], b"").is(202);
    let (code, said) = only("gone");
    assert!(code == 0 || said.contains("which has no result to reuse"), "{said}");
}

#[test]
fn what_is_not_there_is_told_before_anything_runs() {
    let cloud = Cloud::new("missing");
    let step = |name: &str, path: &str| {
        format!(
            "  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: touch ran\n    inputs:\n      \
             d: {{type: uri_file, path: \"{path}\"}}\n"
        )
    };
    cloud.put("there", "x");
    let (good, bad) = ("azureml://datastores/credit/paths/there", "azureml://datastores/credit/paths/gone.csv");
    cloud.project.write("job.yml", &format!("type: pipeline\njobs:\n{}{}", step("a", good), step("b", bad)));
    let ran = cloud.run("r").0.ended(3);
    assert!(
        ran.err.contains("the step 'b' reads azureml://datastores/credit/paths/gone.csv, but it was not found"),
        "{}",
        ran.err
    );
    assert!(!cloud.project.path(".amlrun/runs/r").exists());
}

#[test]
fn a_copy_is_known_to_be_touched_whatever_is_done_to_hide_it() {
    let cloud = Cloud::new("hidden");
    cloud.put("d/a", "hello\n");
    let input = "d: {type: uri_folder, path: azureml://datastores/credit/paths/d}";
    let spoil = "cd ${{inputs.d}} && touch -r a /tmp/ref.$$ && chmod u+w a && echo HELLO > a && touch -r /tmp/ref.$$ a && rm /tmp/ref.$$";
    cloud.project.write("bad.yml", &job(spoil, input, "o: "));
    cloud.project.write("amlrun.toml", &(settings(cloud.azurite) + "[steps.main]\nretries = 2\n"));
    let bad = cloud.amlrun(&["run", "bad.yml", "--name", "bad"]).ended(1);
    assert!(!bad.out.contains("try 2"), "nobody tries again with spoilt data: {}", bad.out);
    cloud.project.write("good.yml", &job("cat ${{inputs.d}}/a && ls ${{inputs.d}}", input, "o: "));
    let good = cloud.amlrun(&["run", "good.yml", "--name", "r"]).ended(0);
    assert_eq!(cloud.project.log("main"), "hello\na\n", "{}", good.out);
    let folder = "mkdir ${{inputs.d}}/empty";
    cloud.project.write("folder.yml", &job(folder, input, "o: "));
    cloud.amlrun(&["run", "folder.yml"]);
    let again = cloud.amlrun(&["run", "good.yml", "--force-rerun", "--output", "jsonl"]).ended(0);
    assert!(!again.out.contains("\"empty\""), "{}", again.out);
}

#[test]
fn what_is_gone_does_not_keep_anybody_from_looking_at_a_run() {
    let cloud = Cloud::new("gone");
    cloud.put("d.csv", "x\n");
    let input = "d: {type: uri_file, path: azureml://datastores/credit/paths/d.csv}";
    cloud.project.write("job.yml", &job("cat ${{inputs.d}}", input, "o: "));
    cloud.run("r").0.ended(0);
    cloud.azurite.send("DELETE", "gone/d.csv", &[], b"").is(202);
    let ran = cloud.run("second").0.ended(3);
    assert!(ran.err.contains("but it was not found") && ran.err.contains("the earlier download"), "{}", ran.err);
    let shell = cloud.amlrun(&["shell", "r", "main", "--command", "cat $AZURE_ML_INPUT_d"]).ended(0);
    assert_eq!(shell.out.lines().last(), Some("x"));
    cloud.amlrun(&["step", "rerun", "r", "main"]).ended(0);
}

#[test]
fn a_place_that_cannot_be_reached_is_stood_for_by_what_was_fetched_before() {
    let azurite = Azurite::start();
    azurite.container("offline");
    azurite.put("offline", "d.csv", b"kept\n");
    let project = Project::new().with("amlrun.toml", &settings(&azurite));
    let path = format!("{}/offline/d.csv", azurite.url());
    let input = format!("d: {{type: uri_file, path: \"{path}\"}}");
    project.write("job.yml", &job("cat ${{inputs.d}}", &input, "o: "));
    let run = |name: &str| {
        let mut command = project.command(&["run", "job.yml", "--name", name, "--force-rerun"]);
        command.env("BLOB_KEY", KEY);
        Ran::of(command)
    };
    run("r").ended(0);
    azurite.stop();
    let ran = run("second").ended(0);
    assert!((ran.out.clone() + &ran.err).contains("an earlier download of"), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("kept"), "{}", ran.out);
}

#[test]
fn a_fetch_that_a_killed_runner_left_goes_on_and_ctrl_c_ends_one_at_once() {
    let web = Hostile::start();
    let content: Vec<u8> = (0..16 << 20).map(|n: u32| (n >> 8) as u8).collect();
    web.serve("/big.bin", &content, [Act::Plain, Act::Plain, Act::Stall(1000), Act::Stall(0)]);
    let project = Project::new();
    let input = format!("d: {{type: uri_file, path: \"{}\"}}", web.url("/big.bin"));
    project.write("job.yml", &job("cksum < ${{inputs.d}}", &input, "o: "));
    let mut runner = project.command(&["run", "job.yml", "--name", "killed"]).stdout(Stdio::null()).spawn().unwrap();
    let downloads = project.path(".amlrun/downloads");
    // Two of four parts are there, and the rest never comes.
    web.wait_for("GET", 4);
    until_changed(&project.path(".amlrun"), "two parts arrive", || ledgers_known(&downloads) == 2);
    runner.kill().unwrap();
    runner.wait().unwrap();
    project.run("job.yml").ended(0);
    assert_eq!(web.requests("GET").len(), 6, "the two that were missing, and no other");
    let sum = Ran::of({
        let mut command = std::process::Command::new("cksum");
        command.arg(project.path("big.bin"));
        std::fs::write(project.path("big.bin"), &content).unwrap();
        command
    });
    assert_eq!(project.log("main").split(' ').next(), sum.out.split(' ').next());
    web.always("/never.bin", &content, Act::Silent);
    let input = format!("d: {{type: uri_file, path: \"{}\"}}", web.url("/never.bin"));
    project.write("job.yml", &job("true", &input, "o: "));
    let asked = web.requests("GET").len();
    let runner = project.command(&["run", "job.yml", "--name", "stopped"]).stdout(Stdio::piped()).spawn().unwrap();
    web.wait_for("GET", asked + 1);
    kill(Pid::from_raw(runner.id().cast_signed()), Signal::SIGINT).unwrap();
    let ended = runner.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stdout));
}

/// How many parts the ledgers know to be there.
fn ledgers_known(folder: &Path) -> usize {
    let mut known = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ if entry.file_name().to_string_lossy().ends_with(".blocks.part") => {
                    let ledger = std::fs::read(entry.path()).unwrap_or_default();
                    known += ledger.chunks(9).filter(|record| record[0] == 1).count();
                }
                _ => {}
            }
        }
    }
    known
}

#[test]
fn what_is_fetched_from_the_web_is_recognised_by_its_tag() {
    let web = Hostile::start();
    let content = vec![7; 3_000_000];
    web.serve("/x.bin", &content, [Act::Reset(1_000_000)]);
    let project = Project::new();
    let input = format!("d: {{type: uri_file, path: \"{}\"}}", web.url("/x.bin"));
    project.write("job.yml", &job("wc -c < ${{inputs.d}}", &input, "o: "));
    project.run("job.yml").ended(0);
    assert_eq!(project.log("main"), "3000000\n");
    let asked = web.requests("GET").len();
    project.amlrun(&["run", "job.yml", "--force-rerun"]).ended(0);
    assert_eq!(web.requests("GET").len(), asked);
}

#[test]
fn what_is_being_waited_out_is_told_before_a_run_and_while_it_fetches() {
    let web = Hostile::start();
    let busy = Act::Status(503, "Retry-After: 1\r\n".to_owned());
    web.serve("/busy.csv", b"x\n", [busy]);
    // The last of these waits is longer than the time between two looks at them.
    web.serve("/cut.csv", b"y\n", [(); 4].map(|()| Act::Reset(0)));
    let project = Project::new();
    let input = |name: &str| format!("{name}: {{type: uri_file, path: \"{}\"}}", web.url(&format!("/{name}.csv")));
    let inputs = format!("{}\n{}", input("busy"), input("cut"));
    project.write("job.yml", &job("cat ${{inputs.busy}} ${{inputs.cut}}", &inputs, "o: "));
    let ran = project.amlrun(&["run", "job.yml", "--output", "jsonl"]).ended(0);
    assert!(ran.err.contains("; retrying") && ran.err.contains("HTTP 503"), "{}", ran.err);
    let told = |line: &&str| line.contains("\"event\":\"moving\"") && line.contains("\"waiting\":\"127.0.0.1");
    assert!(ran.out.lines().any(|line| told(&line)), "{}", ran.out);
}
