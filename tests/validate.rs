//! `amlrun validate`: every mistake at its place, and nothing is run.

use serde_json::Value;

use crate::support::{Project, node, pipeline};

const COMPONENT: &str = "name: train\ntype: command\nenvironment: azureml:any@latest\ncommand: train --lr ${{inputs.lr}} --out ${{outputs.model}}\n\
    inputs:\n  lr: {type: number, max: 1}\n  data: {type: uri_file}\noutputs:\n  model: {type: uri_folder}\n";

#[test]
fn five_mistakes_give_five_diagnostics() {
    let project = Project::new().with("train.yml", COMPONENT).with(
        "pipeline.yml",
        "type: pipeline\ninptus: {}\njobs:\n  train:\n    type: comand\n    component: train.yml\n  \
         again:\n    type: command\n    component: ./trian.yml\n  \
         good:\n    type: command\n    component: train.yml\n    inputs:\n      lr: fast\n      data: ${{parent.inputs.nope}}\n",
    );
    let ran = project.amlrun(&["validate", "pipeline.yml"]).ended(1);
    assert_eq!(ran.err.matches("error[").count(), 5, "{}", ran.err);
    for part in [
        "pipeline.yml:2:1\n",
        "did you mean 'inputs'?",
        "pipeline.yml:5:11\n",
        "did you mean 'command'?",
        "pipeline.yml:9:16\n",
        "did you mean 'train.yml'?",
        "pipeline.yml:14:11\n",
        "'fast' is not a valid value for the input 'lr' of type number",
        "pipeline.yml:15:13\n",
        "the pipeline has no input 'nope'",
        "   |             ^^^^^^^^^^^^^^^^^^^^^^^\n",
    ] {
        assert!(ran.err.contains(part), "missing {part:?} in\n{}", ran.err);
    }
    assert!(!project.path(".amlrun").exists(), "validating must leave nothing");
    let run = project.run("pipeline.yml").ended(1);
    assert_eq!(run.err.matches("error[").count(), 5, "run refuses the same");
    assert!(!project.path(".amlrun").exists(), "a refused run must leave nothing");
}

#[test]
fn mistakes_of_the_graph_are_told() {
    let bind = |input: &str, to: &str| {
        format!("    inputs: {{{input}: \"${{{{parent.jobs.{to}}}}}\"}}\n    outputs: {{o: }}\n")
    };
    let project = Project::new();
    let circle = node("a", "true") + &bind("x", "b.outputs.o") + &node("b", "true") + &bind("x", "a.outputs.o");
    project.write("circle.yml", &pipeline(&circle));
    let ran = project.amlrun(&["validate", "circle.yml"]).ended(1);
    assert!(ran.err.contains("error[cycle]: these nodes depend on each other: a -> b -> a"), "{}", ran.err);

    let two = node("a", "true")
        + "    outputs: {o: \"${{parent.outputs.r}}\"}\n"
        + &node("b", "true")
        + "    outputs: {o: \"${{parent.outputs.r}}\"}\n";
    project.write("two.yml", &pipeline(&two).replace("jobs:", "outputs: {r: }\njobs:"));
    let ran = project.amlrun(&["validate", "two.yml"]).ended(1);
    assert!(
        ran.err.contains("two nodes write the pipeline's output 'r'") && ran.err.contains("first written here"),
        "{}",
        ran.err
    );

    let unknown = node("train", "true")
        + "    outputs: {model: }\n"
        + &node("b", "true")
        + &bind("x", "trian.outputs.model")
        + &node("c", "true")
        + &bind("x", "train.outputs.modle");
    project.write("unknown.yml", &pipeline(&unknown));
    let ran = project.amlrun(&["validate", "unknown.yml"]).ended(1);
    assert!(ran.err.contains("did you mean 'train'?") && ran.err.contains("did you mean 'model'?"), "{}", ran.err);
}

#[test]
fn a_mistake_is_told_once_and_not_again_where_others_refer_to_it() {
    let text = "type: pipeline\ninputs: {n: many}\noutputs: {r: }\njobs:\n  \
        a: {type: command, component: nope.yml}\n  \
        b:\n    type: command\n    component: train.yml\n    \
          inputs: {lr: \"${{parent.inputs.n}}\", data: \"${{parent.jobs.a.outputs.o}}\"}\n";
    let project = Project::new().with("train.yml", COMPONENT).with("pipeline.yml", text);
    let ran = project.amlrun(&["validate", "pipeline.yml"]).ended(1);
    assert!(ran.err.contains("2 errors\n"), "{}", ran.err);
    assert!(ran.err.contains("pipeline.yml:2:13") && ran.err.contains("-- declared here"), "{}", ran.err);
}

#[test]
fn what_is_not_run_yet_is_refused_and_not_ignored() {
    let project = Project::new();
    let command = "command: x\nenvironment: azureml:a:1\n";
    let automl =
        "type: automl\ntask: regression\ntarget_column_name: y\ntraining_data: {type: mltable, path: azureml:d:1}\n";
    let node = |text: &str| format!("type: pipeline\njobs:\n  s: {text}\n");
    for (text, said) in [
        (automl.to_owned(), "jobs of type 'automl' are not supported by amlrun yet"),
        (node("{type: pipeline, component: azureml:x:1}"), "the component 'x:1' is not registered"),
        (node("{type: command, component: azureml:x:1}"), "the component 'x:1' is not registered"),
        (
            format!("{command}inputs: {{d: {{path: https://x.org/y}}}}\n"),
            "'https://x.org/y' is a single file on the web",
        ),
        (
            format!("{command}outputs: {{d: {{path: azureml://datastores/a/paths/b}}}}\n"),
            "the datastore 'a' was not found",
        ),
    ] {
        project.write("job.yml", &text);
        let ran = project.amlrun(&["run", "job.yml"]).ended(1);
        assert!(ran.err.contains(said), "for\n{text}\n{}", ran.err);
    }
}

#[test]
fn the_verdict_for_this_machine_is_that_of_a_run() {
    let auto = "type: pipeline\nsettings: {default_compute: azureml:c}\njobs:\n  s:\n    type: automl\n    task: regression\n    \
        target_column_name: y\n    primary_metric: r2_score\n    training_data: {type: mltable, path: .}\n";
    let reads = |path: &str| {
        format!(
            "command: ls ${{{{inputs.d}}}}\nenvironment: azureml:e@latest\ninputs: {{d: {{type: uri_folder, path: '{path}'}}}}\n"
        )
    };
    let replayed = pipeline(&(node("a", "true") + "    compute: azureml:c\n"));
    for (text, local, said) in [
        (auto.to_owned(), "", "error[not-yet]"),
        (reads("azureml:rows@latest"), "", "error[unknown-asset]"),
        (
            pipeline("  a: {type: command, compute: azureml:c, component: azureml:train:1}\n"),
            "",
            "error[unknown-component]",
        ),
        (reads("azureml://datastores/lake/paths/x"), "", "error[unknown-datastore]"),
        (reads("azureml://datastores/workspaceblobstore/paths/x"), "", "error[missing-path]"),
        (reads("azureml://registries/public/data/rows/versions/1"), "", "error[not-yet]"),
        (replayed.clone(), "[steps.a]\npolicy = 'replay'\n", "no run has a completed step with that name"),
        (replayed, "[steps.a]\npolcy = 'skip'\n", "amlrun.toml:2:1: unknown field `polcy`"),
        (auto.to_owned(), "[steps.s]\npolicy = 'skip'\n", ""),
    ] {
        let project = Project::new().with("job.yml", &text).with("amlrun.toml", local);
        let checked = project.amlrun(&["validate", "job.yml", "--target", "local"]);
        let ran = project.run("job.yml");
        assert_eq!(checked.code, ran.code, "{text}{local}\n{}\n{}", checked.err, ran.err);
        assert!(checked.err.contains(said) && ran.err.contains(said.trim_start_matches("error")), "{}", checked.err);
        for target in [&["validate", "job.yml"][..], &["validate", "job.yml", "--target", "azure"]] {
            let right = project.amlrun(target).ended(0);
            assert!(!right.err.contains("error"), "the file itself is right: {}", right.err);
        }
    }
}

#[test]
fn what_only_this_machine_lacks_is_a_warning() {
    let text = "command: ls ${{inputs.d}}\nenvironment: azureml:e@latest\n\
        inputs: {d: {type: uri_folder, path: 'azureml:rows@latest'}}\n";
    let project = Project::new().with("job.yml", text);
    let ran = project.amlrun(&["validate", "job.yml"]).ended(0);
    assert!(ran.err.contains("warning[unknown-asset]: the asset 'rows@latest' is not registered"), "{}", ran.err);
    let environment =
        "  this machine's environment: azureml:e@latest is neither registered here nor a curated environment";
    assert_eq!(ran.out, format!("job.yml: command job, accepted, 1 warning\n{environment}\n"));
}

#[test]
fn what_the_environment_of_each_step_becomes_is_told() {
    let curated = node("a", "true").replace("azureml:any@latest", "azureml:AzureML-sklearn-1.5@latest");
    let image = node("c", "true").replace("azureml:any@latest", "{image: ubuntu}");
    let jobs = format!("{curated}{}{image}", curated.replace("  a:", "  b:"));
    let project = Project::new().with("pipeline.yml", &pipeline(&jobs));
    let ran = project.amlrun(&["validate", "pipeline.yml"]).ended(0);
    let told: Vec<&str> = ran.out.lines().skip(1).collect();
    let expected = [
        "  a, b: environment 'sklearn-1.5' (curated environment)",
        "  c: this machine's environment: image ubuntu has no conda file",
    ];
    assert_eq!(told, expected);
    let json = project.amlrun(&["validate", "pipeline.yml", "-o", "json"]).ended(0);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    let first = &answer["files"][0]["environments"][0];
    assert_eq!((first["becomes"].as_str(), first["name"].as_str()), (Some("managed"), Some("sklearn-1.5")));
    assert_eq!(first["steps"], serde_json::json!(["a", "b"]));
}

#[test]
fn an_optional_part_without_an_expression_is_a_warning() {
    // A component of azureml-examples is written so, and runs.
    let component = "name: c\ntype: command\nenvironment: azureml:e@latest\n\
        inputs: {model: {type: string, optional: true}}\ncommand: echo --model $[[inputs.model]]\n";
    let node = "  a:\n    type: command\n    component: c.yml\n    inputs: {model: m}\n";
    let project = Project::new().with("c.yml", component).with("job.yml", &pipeline(node));
    let ran = project.amlrun(&["validate", "job.yml", "--target", "local"]).ended(0);
    assert!(ran.err.contains("warning[bad-expression]: '$[[inputs.model]]' contains no expression"), "{}", ran.err);
    assert!(ran.err.contains("did you mean $[[${{inputs.model}}]]?"), "{}", ran.err);
    project.run("job.yml").ended(0);
    assert_eq!(project.log("a"), "--model inputs.model\n");
}

#[test]
fn quoted_text_may_start_its_lines_anywhere() {
    let head = "command: echo \"${{inputs.a}}\"\nenvironment: azureml:e@latest\ninputs:\n";
    for (written, read) in [
        ("\"first\nsecond\"", "first second"),
        ("'first\nsecond'", "first second"),
        ("\"first\\\n  \\  second\n\"", "first  second "),
        ("\"first\n\t- second\"", "first - second"),
    ] {
        let project = Project::new().with("job.yml", &format!("{head}  a: {written}\n  b: ok\n"));
        project.run("job.yml").ended(0);
        assert_eq!(project.log("main").trim_end_matches('\n'), read, "{written}");
    }
    // Places below are those of the author's text.
    let project = Project::new().with("job.yml", &format!("{head}  a: \"x\ny\"\n  b: [\n1]\n"));
    let ran = project.amlrun(&["validate", "job.yml"]).ended(1);
    assert!(ran.err.contains("job.yml:6:6\n") && ran.err.contains("6 |   b: [\n"), "{}", ran.err);
}

#[test]
fn a_prompt_flow_is_no_parallel_component() {
    let schema =
        |kind: &str| format!("$schema: https://azuremlschemas.azureedge.net/promptflow/latest/{kind}.schema.json\n");
    let node = |component: &str| {
        pipeline(&format!(
            "  score:\n    type: parallel\n    compute: azureml:c\n    component: {component}\n    inputs: {{data: {{type: uri_folder, path: flow}}, text: '${{data.text}}'}}\n"
        ))
    };
    let flow =
        "inputs: {text: {type: string}}\noutputs: {answer: {type: string, reference: '${llm.output}'}}\nnodes: []\n";
    let project = Project::new()
        .with("flow/flow.dag.yaml", &format!("{}{flow}", schema("Flow")))
        .with("run.yml", &format!("{}flow: ./flow\n", schema("Run")))
        .with("by_flow.yml", &node("./flow/flow.dag.yaml"))
        .with("by_run.yml", &node("./run.yml"));
    let ran = project.amlrun(&["validate", ".", "--target", "azure"]).ended(0);
    assert!(
        ran.err.is_empty()
            && ran.out.contains("2 files: 2 accepted; 2 of other kinds skipped (1 prompt flow, 1 prompt flow run)"),
        "{}{}",
        ran.out,
        ran.err
    );

    project.write("empty/readme.txt", "");
    for (run, said, place) in [
        ("flow: ./empty\n", "the folder './empty' is not a flow: it has no flow.dag.yaml", "run.yml:2:7"),
        ("flow: ./flow\nname: My-Flow\n", "'name' must be a name of lowercase letters", "run.yml:3:7"),
    ] {
        project.write("run.yml", &(schema("Run") + run));
        let ran = project.amlrun(&["validate", "by_run.yml", "--target", "azure"]).ended(1);
        assert!(ran.err.contains(said) && ran.err.contains(place), "{}", ran.err);
    }
}

#[test]
fn json_has_the_place_of_everything() {
    let project = Project::new().with("job.yml", "comand: x\nenvironment: azureml:a:1\n");
    let ran = project.amlrun(&["validate", "job.yml", "-o", "json"]).ended(1);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let file = &answer["files"][0];
    assert_eq!((file["path"].as_str(), file["accepted"].as_bool()), (Some("job.yml"), Some(false)));
    let unknown = file["diagnostics"].as_array().unwrap().iter().find(|d| d["code"] == "unknown-field").unwrap();
    assert_eq!((unknown["line"].as_u64(), unknown["column"].as_u64()), (Some(1), Some(1)));
    assert_eq!(unknown["help"], "did you mean 'command'?");
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let project = Project::new().with("empty.yml", "").with("list.yml", "- a\n").with("broken.yml", "a: [1\n");
    std::fs::write(project.path("latin.yml"), b"a: \xe9\n").unwrap();
    let code = |file: &str| project.amlrun(&["validate", file]).code;
    assert_eq!([code("empty.yml"), code("list.yml"), code("broken.yml"), code("latin.yml")], [1; 4]);
    let missing = project.amlrun(&["validate", "nope.yml"]).ended(3);
    assert!(missing.err.contains("cannot read nope.yml"), "{}", missing.err);
    let folder = project.amlrun(&["validate", "."]).ended(3);
    assert!(folder.err.contains("no Azure ML document was found in '.' (4 files skipped)"), "{}", folder.err);
    assert!(project.run(".").ended(1).err.contains("is a folder"));
}

#[test]
fn warnings_do_not_refuse() {
    let project = Project::new();
    let text =
        pipeline(&node("a", "true")).replace("type: pipeline", "type: pipeline\nsettings: {default_datestore: x}");
    project.write("pipeline.yml", &text);
    let ran = project.amlrun(&["validate", "pipeline.yml"]).ended(0);
    assert!(ran.err.contains("did you mean 'default_datastore'?"), "{}", ran.err);
    assert!(ran.out.contains("1 step, accepted"), "{}", ran.out);
}

#[test]
fn a_component_file_is_checked_on_its_own() {
    let schema = "$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json\n";
    let project = Project::new().with("train.yml", &format!("{schema}{COMPONENT}"));
    let ran = project.amlrun(&["validate", "train.yml"]).ended(0);
    assert_eq!(ran.out.lines().next(), Some("train.yml: command component, accepted"));
    project.write("train.yml", &format!("{schema}{}", COMPONENT.replace("inputs.lr", "inputs.lrr")));
    let ran = project.amlrun(&["validate", "train.yml"]).ended(1);
    assert!(ran.err.contains("the command uses the input 'lrr', but the component declares 'lr'"), "{}", ran.err);
    let run = project.run("train.yml").ended(1);
    assert!(run.err.contains("this file describes a command component, not a job"), "{}", run.err);
    project.write("train.yml", "name: e\nimage: ubuntu\n");
    let run = project.run("train.yml").ended(1);
    assert!(run.err.contains("this file describes an environment, not a job"), "{}", run.err);
}

#[test]
fn a_slip_of_set_is_a_mistake_and_not_a_new_key() {
    let text = "type: pipeline\nsettings: {default_compute: azureml:cpu}\ninputs: {epochs: 1}\njobs:\n  train:\n    \
        type: command\n    environment: azureml:any@latest\n    command: echo ${{inputs.n}}\n    \
        inputs: {n: \"${{parent.inputs.epochs}}\"}\n  use: {component: ./c.yml}\n";
    let component = "name: c\ntype: command\nenvironment: azureml:any@latest\n\
        inputs: {size: {type: integer, default: 1}}\ncommand: echo ${{inputs.size}}\n";
    let project = Project::new().with("pipeline.yml", text).with("c.yml", component);
    for (set, message, help) in [
        ("inputs.epcohs=7", "the input 'epcohs' is not used", "did you mean 'epochs'?"),
        ("outputs.model.path=x", "the output 'model' is not used", "there is nothing to set"),
        ("settings.force_rerurn=true", "a pipeline has no setting 'force_rerurn'", "did you mean 'force_rerun'?"),
        ("jobs.trian.inputs.n=7", "the job 'trian' does not exist", "did you mean 'train'?"),
        ("jobs.train.inputs.m=7", "'jobs.train' has no input 'm'", "use one of: n"),
        ("jobs.use.inputs.sise=7", "'jobs.use' has no input 'sise'", "did you mean 'size'?"),
    ] {
        for how in [&["validate"][..], &["validate", "--target", "azure"], &["run"]] {
            let ran = project.amlrun(&[how, &["pipeline.yml", "--set", set]].concat()).ended(1);
            let first = ran.err.lines().next().unwrap_or_default();
            assert_eq!(first, format!("error[bad-override]: {message}"), "{how:?} {set}");
            assert!(ran.err.contains(help), "{}", ran.err);
            assert_eq!(ran.err.matches("[bad-override]").count(), 1, "{}", ran.err);
        }
    }
    let sets = ["inputs.epochs=7", "jobs.use.inputs.size=2", "tags.owner=me", "settings.force_rerun=true"];
    project.amlrun(&[&["run", "pipeline.yml", "--name", "r", "--set"][..], &sets].concat()).ended(0);
    assert_eq!(project.amlrun(&["logs", "r", "train"]).ended(0).out, "7\n");
    assert_eq!(project.amlrun(&["logs", "r", "use"]).ended(0).out, "2\n");
}
