//! Registered components: frozen when they are registered, and run by reference.

use serde_json::Value;

use crate::support::{Project, Ran};

const SAY: &str = "name: say\ntype: command\ncode: src\nenvironment: azureml:any@latest\ncommand: sh say.sh ${{inputs.n}}\n\
                   inputs: {n: {type: integer, default: 1}}\n";

/// A component whose code prints `first`, and a pipeline that names it so.
fn project(reference: &str) -> Project {
    let project = Project::new().with("parts/say.yml", SAY).with("parts/src/say.sh", "echo first $1\n");
    project.write("parts/src/.amlignore", "secret\n");
    project.write("parts/src/secret", "s");
    project.write("pipeline.yml", &by_reference(reference));
    project
}

fn by_reference(reference: &str) -> String {
    format!("type: pipeline\njobs:\n  a:\n    type: command\n    component: {reference}\n    inputs: {{n: 5}}\n")
}

fn create(project: &Project, more: &[&str]) -> Ran {
    project.amlrun(&[&["component", "create", "-f", "parts/say.yml"], more].concat())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn a_reference_runs_what_was_registered_and_not_what_the_source_is_now() {
    let project = project("azureml:say:1");
    create(&project, &[]).ended(0);
    project.write("parts/src/say.sh", "echo edited\n");
    project.write("parts/say.yml", "broken");
    for (run, reference) in [("one", "azureml:say:1"), ("two", "azureml:say@latest"), ("three", "azureml:say")] {
        project.write("pipeline.yml", &by_reference(reference));
        project.amlrun(&["validate", "pipeline.yml"]).ended(0);
        let ran = project.amlrun(&["run", "pipeline.yml", "--name", run, "--force-rerun"]).ended(0);
        assert!(ran.out.contains("first 5") || ran.err.contains("first 5"), "{reference}: {}{}", ran.out, ran.err);
        assert!(!project.path(&format!(".amlrun/runs/{run}/steps/a/wd/secret")).exists());
    }
    let shown = project.amlrun(&["show", "pipeline.yml"]).ended(0);
    assert!(shown.out.contains("sh say.sh"), "{}", shown.out);
    assert_eq!(project.amlrun(&["plan", "pipeline.yml", "--check"]).code, 0, "the same again is reused");
}

#[test]
fn latest_is_the_version_registered_last_and_others_stay() {
    let project = project("azureml:say@latest");
    create(&project, &[]).ended(0);
    project.write("parts/src/say.sh", "echo second $1\n");
    assert_eq!(create(&project, &["--query", "version", "-o", "tsv"]).ended(0).out, "2\n");
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "second 5\n");
    project.write("pipeline.yml", &by_reference("azureml:say:1"));
    project.amlrun(&["run", "pipeline.yml", "--name", "old"]).ended(0);
    assert_eq!(project.read(".amlrun/runs/old/steps/a/user_logs/std_log.txt"), "first 5\n");
}

#[test]
fn a_version_never_changes() {
    let project = project("azureml:say:7");
    create(&project, &["-v", "7"]).ended(0);
    let again = create(&project, &["-v", "7"]).ended(0);
    assert!(again.err.contains("'say:7' is already registered with this content"), "{}", again.err);
    project.write("parts/src/say.sh", "echo changed\n");
    let refused = create(&project, &["-v", "7"]).ended(1);
    assert!(refused.err.contains("versions cannot be changed"), "{}", refused.err);
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "first 5\n");
    let family = std::fs::read_dir(project.path(".amlrun/components/v1/say")).unwrap();
    assert_eq!(family.count(), 1, "nothing is left of what was refused");
}

#[test]
fn what_set_changes_is_registered_changed() {
    let project = project("azureml:other:1");
    let more = ["-n", "other", "--set", "command=sh say.sh 9", "--set", "description=it's new"];
    let created = json(&create(&project, &more).ended(0));
    assert_eq!((created["name"].as_str(), created["version"].as_str()), (Some("other"), Some("1")));
    assert_eq!(created["description"], "it's new");
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "first 9\n");
}

#[test]
fn components_are_listed_and_shown_as_az_does() {
    let project = project("azureml:say:1");
    create(&project, &[]).ended(0);
    create(&project, &["-v", "b"]).ended(0);
    create(&project, &["-n", "other"]).ended(0);
    let of = |more: &[&str]| project.amlrun(&[&["component"], more].concat());
    assert_eq!(of(&["list", "--query", "[].name", "-o", "tsv"]).ended(0).out, "other\nsay\n");
    assert_eq!(of(&["list", "-n", "say", "--query", "[].version", "-o", "tsv"]).ended(0).out, "b\n1\n");
    let shown = json(&of(&["show", "-n", "say", "--label", "latest"]).ended(0));
    assert_eq!((shown["version"].as_str(), shown["type"].as_str()), (Some("b"), Some("command")));
    assert_eq!(std::fs::read_to_string(shown["path"].as_str().unwrap()).unwrap(), SAY);
    let unknown = of(&["show", "-n", "say", "-v", "9"]).ended(3);
    assert!(unknown.err.contains("'say:9' is not registered"), "{}", unknown.err);
    assert!(unknown.err.contains("the versions b, 1"), "{}", unknown.err);
    let unknown = of(&["show", "-n", "sya"]).ended(3);
    assert!(unknown.err.contains("did you mean 'say'?"), "{}", unknown.err);
}

#[test]
fn a_reference_to_nothing_is_refused_before_the_run() {
    let project = project("azureml:say:1");
    let ran = project.run("pipeline.yml").ended(1);
    assert!(ran.err.contains("the component 'say:1' is not registered in this workspace"), "{}", ran.err);
    assert!(ran.err.contains("register it (amlrun component create -f FILE)"), "{}", ran.err);
}

#[test]
fn a_pipeline_component_takes_along_what_it_names() {
    let project = project("azureml:both:1");
    project.write("parts/env/conda.yml", "dependencies: []\n");
    project.write("lib/tool.txt", "tool\n");
    project.write(
        "parts/deep/both.yml",
        "name: both\ntype: pipeline\noutputs: {o: {type: uri_folder}}\njobs:\n\
         \x20 first:\n    type: command\n    component: ../say.yml\n    inputs: {n: 3}\n\
         \x20 second:\n    type: command\n    component: ./use.yml\n    inputs: {data: {type: uri_folder, path: ../data}}\n\
         \x20   outputs: {o: \"${{parent.outputs.o}}\"}\n",
    );
    project.write(
        "parts/deep/use.yml",
        "name: use\ntype: command\nadditional_includes: [../../lib/tool.txt]\n\
         environment: {image: any, conda_file: ../env/conda.yml}\n\
         inputs: {data: {type: uri_folder}}\noutputs: {o: {type: uri_folder}}\n\
         command: cat tool.txt ${{inputs.data}}/d > ${{outputs.o}}/f\n",
    );
    project.write("parts/data/d", "data\n");
    project.amlrun(&["component", "create", "-f", "parts/deep/both.yml"]).ended(0);
    for gone in ["parts", "lib"] {
        std::fs::remove_dir_all(project.path(gone)).unwrap();
    }
    project.write("pipeline.yml", "type: pipeline\njobs:\n  b:\n    type: pipeline\n    component: azureml:both:1\n");
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("b.first"), "first 3\n");
    assert_eq!(project.read(".amlrun/store/v1/r.b.second.o/f"), "tool\ndata\n");
    project.write("job.yml", "type: pipeline\ncomponent: azureml:both@latest\n");
    project.amlrun(&["run", "job.yml", "--name", "whole"]).ended(0);
    let drawn = project.amlrun(&["graph", "pipeline.yml"]).ended(0);
    assert!(drawn.out.contains("second"), "{}", drawn.out);
}

#[test]
fn a_reference_inside_is_pinned_to_what_it_was() {
    let project = project("azureml:outer:1");
    create(&project, &[]).ended(0);
    let outer = "name: outer\ntype: pipeline\njobs:\n  in:\n    type: command\n    component: azureml:say@latest\n";
    project.write("outer.yml", outer);
    project.amlrun(&["component", "create", "-f", "outer.yml"]).ended(0);
    project.write("parts/src/say.sh", "echo second $1\n");
    create(&project, &[]).ended(0);
    project.write("pipeline.yml", "type: pipeline\njobs:\n  o:\n    type: pipeline\n    component: azureml:outer\n");
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("o.in"), "first 1\n");
}

#[test]
fn what_a_copy_cannot_take_along_is_refused() {
    let project = project("azureml:say:1");
    let code = format!("code={}", project.path("parts/src").display());
    let refused = create(&project, &["--set", &code]).ended(1);
    assert!(refused.err.contains("is an absolute path"), "{}", refused.err);
    assert!(!project.path(".amlrun/components/v1/say").exists());
}

#[test]
fn azure_is_asked_about_the_reference_itself() {
    let project = project("azureml:say:1");
    create(&project, &[]).ended(0);
    let compute = ["--set", "settings.default_compute=azureml:cpu"];
    let body = project.amlrun(&[&["job", "create", "-f", "pipeline.yml", "--dry-run"][..], &compute].concat()).ended(0);
    assert!(body.out.contains("say:1") && !body.out.contains("say.sh"), "{}{}", body.out, body.err);
    create(&project, &["--dry-run"]).ended(0);
    assert_eq!(project.amlrun(&["component", "list", "--query", "length(@)"]).ended(0).out, "1\n");
}
