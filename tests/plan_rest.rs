//! Plans of jobs that cannot run as a whole, stand-ins for jobs of their own, and what `amlrun.toml` says of nobody.

use serde_json::Value;

use crate::stub_blobs::Stub;
use crate::support::{Project, node, pipeline};

/// An AutoML job with an output, each line of it behind `indent`.
fn automl(indent: &str) -> String {
    let job = "type: automl\ntask: regression\ntarget_column_name: y\nprimary_metric: r2_score\n\
               training_data: {type: mltable, path: .}\noutputs: {o: {type: uri_folder}}\n";
    job.lines().map(|line| format!("{indent}{line}\n")).collect()
}

fn project(jobs: &str) -> Project {
    Project::new().with("pipeline.yml", &pipeline(jobs)).with("src/score.py", "")
}

fn decisions(project: &Project) -> Vec<(String, String)> {
    let planned = project.amlrun(&["plan", "pipeline.yml", "-o", "json"]);
    let all: Value = serde_json::from_str(&planned.out).unwrap_or_else(|_| panic!("{}", planned.err));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(|one| (text(&one["step"]), text(&one["decision"]))).collect()
}

#[test]
fn a_node_that_cannot_run_does_not_hide_the_plan_of_the_rest() {
    let jobs = format!("  score:\n{}", automl("    "))
        + &node("use", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.score.outputs.o}}\"}\n"
        + &node("apart", "echo");
    let project = project(&jobs);
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(1);
    for line in [
        "✗ score  cannot    nodes of type 'automl' are not supported by amlrun yet\n",
        "✗ use    cannot    it depends on 'score', which cannot run\n",
        "▶ apart  run ",
        "1 to run, 0 reused, 2 cannot run\n",
    ] {
        assert!(planned.out.contains(line), "{line}\n{}", planned.out);
    }
    let expected = [("score", "cannot-run"), ("use", "cannot-run"), ("apart", "run")];
    assert_eq!(decisions(&project), expected.map(|(step, word)| (step.to_owned(), word.to_owned())));
    project.amlrun(&["run", "pipeline.yml"]).ended(1);
}

#[test]
fn an_input_that_nobody_knows_does_not_hide_the_plan_of_the_rest() {
    let jobs =
        node("reads", "ls ${{inputs.i}}") + "    inputs: {i: \"${{parent.inputs.data}}\"}\n" + &node("apart", "echo");
    let text = pipeline(&jobs).replace("jobs:", "inputs: {data: {type: uri_folder, path: 'azureml:credit:1'}}\njobs:");
    let project = Project::new().with("pipeline.yml", &text);
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(1).out;
    assert!(planned.contains("✗ reads  cannot    the asset 'credit:1' is not registered"), "{planned}");
    assert!(planned.contains("▶ apart  run"), "{planned}");
}

#[test]
fn an_input_that_cannot_be_reached_does_not_hide_the_plan_of_the_rest() {
    let jobs = node("reads", "ls ${{inputs.i}}")
        + "    inputs: {i: {type: uri_file, path: 'https://mine.blob.core.windows.net/box/none.csv'}}\n"
        + &node("apart", "echo");
    let project = Project::new().with("pipeline.yml", &pipeline(&jobs));
    let stub = Stub::start(3, None);
    let mine = format!("[accounts.mine]\nendpoint = \"http://{}/mine\"\n", stub.address);
    project.write("amlrun.toml", &mine);
    // Its storage is asked once somebody has run it here.
    project.amlrun(&["run", "pipeline.yml", "--only", "apart"]).ended(0);
    let planned = project.amlrun(&["plan", "pipeline.yml", "--force-rerun"]).ended(1).out;
    assert!(planned.contains("✗ reads  cannot    the step 'reads' reads") && planned.contains("none.csv"), "{planned}");
    assert!(planned.contains("▶ apart  run"), "{planned}");
}

#[test]
fn files_that_are_not_there_do_not_hide_the_plan_of_the_rest() {
    let reads = |name: &str, path: &str| {
        node(name, "cat ${{inputs.i}}") + &format!("    inputs: {{i: {{type: uri_file, path: {path}}}}}\n")
    };
    let jobs = reads("one", "one.csv")
        + &reads("two", "here.csv")
        + &node("three", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.inputs.data}}\"}\n"
        + &node("four", "true")
        + "    code: nowhere\n"
        + &node("five", "true")
        + "    code: git+https://example.com/code\n";
    let text = pipeline(&jobs).replace("jobs:", "inputs: {data: {type: uri_folder, path: data}}\njobs:");
    let project = Project::new().with("pipeline.yml", &text).with("here.csv", "1\n");
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(1).out;
    for line in [
        "✗ one    cannot    the file 'one.csv' does not exist\n",
        "▶ two    run",
        "✗ three  cannot    the folder 'data' does not exist\n",
        "✗ four   cannot    the file or folder 'nowhere' does not exist\n",
        "✗ five   cannot    amlrun cannot fetch code from 'git+https://example.com/code' yet\n",
        "1 to run, 0 reused, 4 cannot run\n",
    ] {
        assert!(planned.contains(line), "{line}\n{planned}");
    }
    project.run("pipeline.yml").ended(1);
    // What nobody reads keeps no node from running, and the job all the same.
    project.write("pipeline.yml", &text.replace("parent.inputs.data", "parent.jobs.one.inputs.i"));
    let refused = project.amlrun(&["plan", "pipeline.yml"]).ended(1);
    assert!(refused.out.is_empty() && refused.err.contains("the folder 'data' does not exist"), "{}", refused.err);
}

#[test]
fn nodes_of_an_inner_pipeline_that_cannot_run_do_not_hide_the_plan_of_the_rest() {
    let inner = "name: inner\ntype: pipeline\ninputs: {d: {type: uri_folder}}\noutputs: {o: {type: uri_folder}}\n"
        .to_owned()
        + &format!("jobs:\n  score:\n{}", automl("    "))
            .replace("o: {type: uri_folder}", "o: \"${{parent.outputs.o}}\"")
        + &node("reads", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.inputs.d}}\"}\n"
        + &node("lacks", "cat ${{inputs.i}}")
        + "    inputs: {i: {type: uri_file, path: none.csv}}\n"
        + "  asks: {type: command, component: 'azureml:zip:1'}\n"
        + &node("apart", "true");
    let jobs = "  x: {type: pipeline, component: ./inner.yml, inputs: {d: {type: uri_folder, path: none}}}\n".to_owned()
        + &node("use", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.x.outputs.o}}\"}\n"
        // Of the same name as one that cannot run inside.
        + &node("asks", "true");
    let project = project(&jobs).with("inner.yml", &inner);
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(1).out;
    for line in [
        "✗ x.score  cannot    nodes of type 'automl' are not supported by amlrun yet\n",
        "✗ x.reads  cannot    the folder 'none' does not exist\n",
        "✗ x.lacks  cannot    the file 'none.csv' does not exist\n",
        "✗ x.asks   cannot    the component 'zip:1' is not registered in this workspace\n",
        "▶ x.apart  run",
        "✗ use      cannot    it depends on 'x.score', which cannot run\n",
        "▶ asks     run",
        "2 to run, 0 reused, 5 cannot run\n",
    ] {
        assert!(planned.contains(line), "{line}\n{planned}");
    }
}

#[test]
fn a_node_that_samples_stand_in_for_needs_nothing_of_what_it_would_run() {
    let trial = "name: t\ntype: command\nenvironment: azureml:any@latest\ncode: nowhere\n\
                 command: echo ${{inputs.lr}} ${{inputs.typo}}\ninputs: {lr: {type: number}, d: {type: uri_file}}\n\
                 outputs: {o: {type: uri_folder}}\n";
    let more = "    inputs: {d: {type: uri_file, path: none.csv}}\n    outputs: {o: {type: uri_folder}}\n".to_owned()
        + &node("use", "cat ${{inputs.i}}/a")
        + "    inputs: {i: \"${{parent.jobs.far.outputs.o}}\"}\n";
    let sweep = |trial: &str| {
        format!(
            "  far:\n    type: sweep\n    trial: {trial}\n    sampling_algorithm: random\n    limits: {{max_total_trials: 2}}\n    \
             search_space: {{lr: {{type: uniform, min_value: 0, max_value: 1}}}}\n    \
             objective: {{goal: minimize, primary_metric: loss}}\n{more}"
        )
    };
    let command = |more_of_it: &str| format!("  far:\n    type: command\n{more_of_it}{more}");
    let inline = "    environment: azureml:any@latest\n    command: echo\n    code: ";
    for jobs in [
        sweep("./trial.yml"),
        sweep("./broken.yml"),
        sweep("./nowhere.yml"),
        sweep("azureml:nowhere:1"),
        command("    component: ./trial.yml\n"),
        command("    component: ./broken.yml\n"),
        command("    component: ./nowhere.yml\n"),
        command(&format!("{inline}nowhere\n")),
        command(&format!("{inline}git+https://example.com/code\n")),
        command(&format!("{inline}.\n    distribution: {{type: ray}}\n")),
    ] {
        let project = project(&jobs).with("trial.yml", trial).with("samples/a", "sample\n");
        project.write("broken.yml", &trial.replace("command:", "comand:"));
        project.write("amlrun.toml", "[steps.far]\npolicy = \"stub\"\noutputs = { o = \"samples\" }\n");
        project.amlrun(&["plan", "pipeline.yml"]).ended(0);
        project.amlrun(&["validate", "--target", "local", "pipeline.yml"]).ended(0);
        project.run("pipeline.yml").ended(0);
        assert_eq!(project.log("use"), "sample\n");
        // Without samples it is refused, and so is another node that needs the same.
        project.write("amlrun.toml", "");
        project.amlrun(&["run", "pipeline.yml"]).ended(1);
    }
    let both = sweep("./trial.yml")
        + "  other: {type: command, component: ./trial.yml, inputs: {lr: 1, d: {type: uri_file, path: a}}}\n";
    let project = project(&both)
        .with("trial.yml", &trial.replace("code: nowhere\n", ""))
        .with("samples/a", "sample\n")
        .with("a", "");
    project.write("amlrun.toml", "[types.sweep]\npolicy = \"stub\"\noutputs = { o = \"samples\" }\n");
    let refused = project.run("pipeline.yml").ended(1);
    assert!(refused.err.contains("error[unknown-port]: the command uses the input 'typo'"), "{}", refused.err);
}

#[test]
fn other_mistakes_are_told_as_before() {
    let jobs = format!("  score:\n{}", automl("    ")) + &node("bad", "ls ${{inputs.none}}");
    let refused = project(&jobs).amlrun(&["plan", "pipeline.yml"]).ended(1);
    assert!(refused.out.is_empty() && refused.err.contains("none"), "{}{}", refused.out, refused.err);
}

#[test]
fn samples_stand_in_for_a_job_of_its_own_as_for_a_node() {
    let project = Project::new().with("job.yml", &automl("")).with("src/score.py", "").with("samples/a", "1");
    let refused = project.run("job.yml").ended(1);
    assert!(refused.err.contains("not-yet") && refused.err.contains("[types.automl]"), "{}", refused.err);
    project.write("amlrun.toml", "[types.automl]\npolicy = \"stub\"\noutputs = { o = \"samples\" }\n");
    let ran = project.run("job.yml").ended(0);
    assert!(ran.out.contains("stubbed from samples"), "{}", ran.out);
    let shown = project.shown();
    assert_eq!((shown["type"].as_str(), shown["substitute"].as_str()), (Some("automl"), Some("stub")));
    let made = shown["outputs"]["o"]["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(format!("{made}/a")).unwrap(), "1");
}

#[test]
fn a_datastore_beside_the_project_is_read_as_it_is_written() {
    let jobs = node("a", "cp ${{inputs.i}}/x ${{outputs.o}}/y")
        + "    inputs: {i: {type: uri_folder, path: azureml://datastores/mine/paths/in}}\n"
        + "    outputs: {o: {type: uri_folder, path: azureml://datastores/mine/paths/out}}\n";
    let project = Project::new().with("pipeline.yml", &pipeline(&jobs)).with("../beside/in/x", "1");
    project.write("amlrun.toml", "[datastores.mine]\nfolder = \"../beside\"\n");
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.read("../beside/out/y"), "1");
    // What is read still does not lead out of the datastore.
    project.write("../secret/x", "2");
    project.write("pipeline.yml", &pipeline(&jobs).replace("paths/in", "paths/../secret"));
    project.amlrun(&["run", "pipeline.yml"]).ended(1);
}

#[test]
fn a_table_of_amlrun_toml_for_a_step_that_is_not_there_is_told() {
    let project = project(&node("train", "echo"));
    project.write("amlrun.toml", "[steps.trian]\nretries = 2\n[steps.\"*\"]\ntimeout = 60\n");
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(0);
    let sentence = "amlrun.toml has a table [steps.trian], but this job has no step 'trian'; did you mean 'train'?";
    assert!(planned.err.contains(sentence) && !planned.err.contains("'*'"), "{}", planned.err);
    let ran = project.run("pipeline.yml").ended(0);
    assert!(ran.out.contains(sentence), "{}", ran.out);
}

#[test]
fn much_data_is_told_before_it_is_fetched() {
    let stub = Stub::start(3, None);
    let jobs = node("reads", "ls ${{inputs.i}}")
        + "    inputs: {i: {type: uri_folder, path: 'https://mine.blob.core.windows.net/box'}}\n";
    let project = Project::new().with("pipeline.yml", &pipeline(&jobs));
    let mine = format!(
        "[accounts.mine]\nendpoint = \"http://{}/mine\"\n[transfer]\nstall = 2\nretry_timeout = 2\n",
        stub.address
    );
    project.write("amlrun.toml", &mine);
    let small = project.run("pipeline.yml").ended(0);
    assert!(!small.out.contains("fetched before it starts"), "{}", small.out);
    stub.claims(3_000_000_000);
    // What lists say is not true, and the run ends badly; what was said comes before.
    let large = project.amlrun(&["run", "pipeline.yml", "--name", "large"]);
    assert!(large.out.contains("3 files (9.0 GB) must be downloaded before it starts"), "{}{}", large.out, large.err);
}

#[test]
fn data_that_only_a_node_which_cannot_run_reads_does_not_hide_the_plan_of_the_rest() {
    let jobs = node("free", "echo hi")
        + "  pick:\n    type: command\n    component: azureml:pick:1\n    inputs: {rows: \"${{parent.inputs.rows}}\"}\n";
    let text = pipeline(&jobs).replace("jobs:", "inputs: {rows: {type: uri_folder, path: azureml:rows:1}}\njobs:");
    let project = Project::new().with("pipeline.yml", &text);
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(1);
    assert!(
        planned.out.contains("▶ free  run") && planned.out.contains("✗ pick  cannot"),
        "{}{}",
        planned.out,
        planned.err
    );
}
