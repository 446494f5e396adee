//! `amlrun graph`: every kind of pipeline is drawn in four ways.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Project, Ran, node, pipeline};

const LOAD: &str = "$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json\n\
    name: load\nversion: 2\ntype: command\ninputs:\n  raw: {type: uri_file}\n  rate: {type: number, default: 0.5}\n\
    outputs:\n  clean: {type: uri_folder}\ncommand: cat ${{inputs.raw}}\nenvironment: azureml:small:1\n";

const PREP: &str = "$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json\n\
    name: prep\nversion: 1\ntype: pipeline\ninputs:\n  raw: {type: uri_file}\noutputs:\n  out: {type: uri_folder}\n\
    jobs:\n  load:\n    type: command\n    component: load.yml\n    inputs: {raw: \"${{parent.inputs.raw}}\"}\n    \
    outputs: {clean: \"${{parent.outputs.out}}\"}\n";

/// A pipeline in a pipeline, and a sweep that reads what it makes.
fn nested() -> Project {
    let outer = "type: pipeline\ndisplay_name: all of it\ninputs:\n  raw: {type: uri_file, path: raw.csv}\noutputs:\n  \
        model: {type: uri_folder, name: net}\nsettings: {default_compute: azureml:cpu}\njobs:\n  tune:\n    \
        type: sweep\n    trial: load.yml\n    inputs: {raw: \"${{parent.jobs.prep.outputs.out}}\"}\n    \
        search_space: {rate: {type: choice, values: [0.1, 0.2]}}\n    \
        objective: {primary_metric: accuracy, goal: maximize}\n    limits: {max_total_trials: 2}\n    \
        outputs: {clean: \"${{parent.outputs.model}}\"}\n  prep:\n    type: pipeline\n    component: prep.yml\n    \
        inputs: {raw: \"${{parent.inputs.raw}}\"}\n";
    let project = Project::new().with("load.yml", LOAD).with("prep.yml", PREP).with("raw.csv", "1\n");
    project.with("pipeline.yml", outer)
}

fn drawn(project: &Project, file: &str, format: &str) -> String {
    project.amlrun(&["graph", file, "--format", format]).ended(0).out
}

#[test]
fn a_plain_pipeline_is_drawn_in_four_ways() {
    let make = node("make", "touch ${{outputs.o}}/f").replace("    command", "    outputs: {o: {}}\n    command");
    let read = "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n    command";
    let reader = node("use", "ls ${{inputs.i}}").replace("    command", read);
    let project = Project::new().with("pipeline.yml", &pipeline(&format!("{make}{reader}")));
    let text = drawn(&project, "pipeline.yml", "text");
    assert_eq!(text, "pipeline\n├─ make\n│     -> o (uri_folder)\n└─ use\n      <- i from make.o\n");
    let dot = drawn(&project, "pipeline.yml", "dot");
    assert!(dot.contains("  \"make\";\n") && dot.contains("\"make\" -> \"use\" [label=\"o -> i\"]"), "{dot}");
    assert!(drawn(&project, "pipeline.yml", "mermaid").contains("s_make -->|\"o → i\"| s_use"));
    let graph: Value = serde_json::from_str(&drawn(&project, "pipeline.yml", "json")).unwrap();
    assert_eq!(graph["nodes"][1]["inputs"][0]["value"], "${{parent.jobs.make.outputs.o}}");
    assert_eq!(graph["edges"][0]["from"], serde_json::json!({"node": "make", "port": "o"}));
    assert_eq!(graph["edges"][0]["kind"], "data");
}

#[test]
fn a_pipeline_in_a_pipeline_is_a_box_with_its_own_edges() {
    let project = nested();
    let text = "pipeline all of it\n  raw  uri_file = raw.csv\n\
        ├─ prep  [pipeline]  (prep:1)\n│     <- raw from raw.csv\n│     -> out (uri_folder)\n\
        │  ├─ load  (load:2)\n│  │     <- raw from inputs.raw\n│  │     -> clean (uri_folder)\n\
        │  └─ output out = load.clean\n\
        ├─ tune  [sweep]  (load:2)\n│     <- raw from prep.out\n│     -> clean (uri_folder)\n\
        └─ output model = tune.clean\n";
    assert_eq!(drawn(&project, "pipeline.yml", "text"), text, "running order, boxes indented");

    let dot = drawn(&project, "pipeline.yml", "dot");
    for part in [
        "subgraph \"cluster_prep\" {",
        "\"prep.input: raw\" -> \"prep.load\" [label=\"raw\"]",
        "\"input: raw\" -> \"prep.input: raw\" [label=\"raw\"]",
        "\"prep.output: out\" -> \"tune\" [label=\"out -> raw\"]",
        "\"tune\" [label=\"tune\\nsweep\"]",
    ] {
        assert!(dot.contains(part), "{part} is not in\n{dot}");
    }
    let mermaid = drawn(&project, "pipeline.yml", "mermaid");
    for part in [
        "subgraph s_prep[\"prep<br/>pipeline\"]",
        "i_prep__raw -->|\"raw\"| s_prep__load",
        "o_prep__out -->|\"out → raw\"| s_tune",
    ] {
        assert!(mermaid.contains(part), "{part} is not in\n{mermaid}");
    }
    let graph: Value = serde_json::from_str(&drawn(&project, "pipeline.yml", "json")).unwrap();
    assert_eq!(graph["nodes"][0]["graph"]["nodes"][0]["name"], "load");
    assert_eq!(graph["nodes"][0]["graph"]["edges"][1]["to"], serde_json::json!({"node": null, "port": "out"}));
}

#[test]
fn components_and_single_jobs_are_drawn_and_assets_are_not() {
    let project = nested();
    let component = drawn(&project, "prep.yml", "text");
    assert!(component.starts_with("pipeline component prep\n  raw  uri_file\n├─ load  (load:2)\n"), "{component}");
    let single = drawn(&project, "load.yml", "text");
    assert!(single.contains("command component load\n") && single.contains("├─ main\n"), "{single}");
    project.write("model.yml", "type: custom_model\nname: net\npath: raw.csv\n");
    let refused = project.amlrun(&["graph", "model.yml"]).ended(1);
    assert_eq!(refused.err, "error: model.yml is a model: only jobs and components have a graph\n");
    project.amlrun(&["graph", "none.yml"]).ended(3);
}

#[test]
fn a_pipeline_with_mistakes_is_drawn_as_far_as_it_can_be_read() {
    let project = nested();
    let text = project.read("pipeline.yml").replace("parent.jobs.prep", "parent.jobs.prpe");
    project.write("pipeline.yml", &text);
    let ran = project.amlrun(&["graph", "pipeline.yml"]).ended(1);
    assert!(ran.out.contains("├─ tune  [sweep]"), "{}", ran.out);
    assert!(ran.err.contains("did you mean 'prep'?"), "{}", ran.err);
}

#[test]
fn conditions_and_loops_say_what_they_control() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/accept/preview");
    let project = Project::new();
    let drawn = |case: &str, format: &str| {
        let mut command = project.command(&["graph", &format!("{corpus}/{case}.yml"), "--format", format]);
        command.env("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED", "true");
        Ran::of(command).out
    };
    let text = drawn("if_else", "text");
    let choose =
        "├─ choose  [if_else]\n│     <- condition from check.good\n│     => true: yes_node\n│     => false: no_node\n";
    assert!(text.contains(choose), "{text}");
    assert!(drawn("if_else", "mermaid").contains("s_choose -.->|\"false\"| s_no_node"));
    let text = drawn("do_while", "text");
    assert!(text.contains("[do_while, up to 5 times]") && text.contains("next step.count from step.next"), "{text}");
    assert!(drawn("do_while", "dot").contains("\"again\" -> \"step\" [label=\"body\", style=dashed]"));
    assert!(drawn("parallel_for", "text").contains("[parallel_for, for each of 2 items]\n│     => body: one"));
}

#[test]
fn names_cannot_break_out_of_a_picture() {
    // No such node name is accepted; it is drawn beside the mistake all the same.
    let file = pipeline("  'a\"];x[\"':\n    type: command\n    environment: azureml:e:1\n    command: 'true'\n");
    let project = Project::new().with("pipeline.yml", &file);
    let drawn = |format: &str| project.amlrun(&["graph", "pipeline.yml", "--format", format]).ended(1).out;
    assert!(drawn("dot").contains("  \"a\\\"];x[\\\"\";\n"), "{}", drawn("dot"));
    let mermaid = drawn("mermaid");
    assert!(mermaid.contains("s_a_x22__x5d__x3b_x_x5b__x22_[\"a#quot;];x[#quot;\"]"), "{mermaid}");
}

#[test]
fn a_thousand_nodes_and_many_boxes_are_drawn() {
    let load = |n: usize, from: &str| {
        format!("  n{n}:\n    type: command\n    component: load.yml\n    inputs: {{raw: \"{from}\"}}\n")
    };
    let first = load(0, "${{parent.inputs.raw}}");
    let chain: String = (1..1000).map(|n| load(n, &format!("${{{{parent.jobs.n{}.outputs.clean}}}}", n - 1))).collect();
    let project = nested();
    let head =
        "type: pipeline\ninputs:\n  raw: {type: uri_file, path: raw.csv}\nsettings: {default_compute: azureml:c}\n";
    project.write("pipeline.yml", &format!("{head}jobs:\n{first}{chain}"));
    let graph: Value = serde_json::from_str(&drawn(&project, "pipeline.yml", "json")).unwrap();
    let names: BTreeSet<&str> =
        graph["nodes"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), graph["edges"].as_array().unwrap().len()), (1000, 1000));

    for depth in 0..25 {
        let inner = if depth == 0 { "prep.yml".to_owned() } else { format!("p{}.yml", depth - 1) };
        let head = PREP.split("jobs:").next().unwrap();
        let body = format!(
            "jobs:\n  in{depth}:\n    type: pipeline\n    component: {inner}\n    inputs: {{raw: \"${{{{parent.inputs.raw}}}}\"}}\n    outputs: {{out: \"${{{{parent.outputs.out}}}}\"}}\n"
        );
        project.write(&format!("p{depth}.yml"), &format!("{head}{body}"));
    }
    let deep = drawn(&project, "p24.yml", "dot");
    assert_eq!(deep.matches("subgraph").count(), 25);
    assert_eq!(deep.matches('{').count(), deep.matches('}').count());
}
