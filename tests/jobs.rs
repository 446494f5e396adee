//! `job`, `logs`, `model`: looking at what was run, in `az`'s shape.

use serde_json::Value;

use crate::support::{Project, node, pipeline};

fn two_steps() -> Project {
    let project = Project::new();
    let nodes = node("make", "echo made; echo 1 > ${{outputs.o}}/f; echo 2 > outputs/g")
        + "    outputs: {o: }\n"
        + &node("use", "cat ${{inputs.i}}/f")
        + "    inputs: {i: \"${{parent.jobs.make.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project
}

#[test]
fn a_script_for_az_needs_one_word_changed() {
    let project = two_steps();
    let created = project.amlrun(&["job", "create", "-f", "pipeline.yml", "--query", "name", "-o", "tsv"]).ended(0);
    let name = created.out.trim();
    let streamed = project.amlrun(&["job", "stream", "-n", name]).ended(0);
    assert!(streamed.out.contains("make | made") && streamed.out.contains("Completed in"), "{}", streamed.out);
    let status = project.amlrun(&["job", "show", "-n", name, "-o", "json", "--query", "status", "-o", "tsv"]).ended(0);
    assert_eq!(status.out, "Completed\n");
    let list = project.amlrun(&["job", "list"]).ended(0);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!((list.as_array().unwrap().len(), list[0]["name"].as_str()), (1, Some(name)));
}

#[test]
fn create_with_stream_stays_and_prints_the_job() {
    let project = two_steps();
    let ran =
        project.amlrun(&["job", "create", "-f", "pipeline.yml", "--stream", "--query", "status", "-o", "tsv"]).ended(0);
    assert_eq!(ran.out, "Completed\n", "only the answer is on stdout");
    assert!(ran.err.contains("make | made"), "{}", ran.err);
}

#[test]
fn create_refuses_before_anything_starts() {
    let project = Project::new().with("pipeline.yml", "type: pipelin\n");
    let ran = project.amlrun(&["job", "create", "-f", "pipeline.yml"]).ended(1);
    assert!(ran.err.contains("did you mean 'pipeline'?"), "{}", ran.err);
    assert!(!project.path(".amlrun").exists());
}

#[test]
fn outputs_and_logs_can_be_downloaded() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    project.amlrun(&["job", "download", "-n", "r", "--output-name", "make.o", "-p", "got"]).ended(0);
    assert_eq!(project.read("got/named-outputs/make.o/f"), "1\n");
    project.amlrun(&["job", "download", "-n", "r", "--all", "-p", "all"]).ended(0);
    assert_eq!(project.read("all/artifacts/make/outputs/g"), "2\n");
    assert_eq!(project.read("all/artifacts/make/user_logs/std_log.txt"), "made\n");
    let wrong = project.amlrun(&["job", "download", "-n", "r", "--output-name", "mke.o"]).ended(3);
    assert!(wrong.err.contains("did you mean 'make.o'?"), "{}", wrong.err);
    let again = project.amlrun(&["job", "download", "-n", "r", "--output-name", "make.o", "-p", "got"]).ended(1);
    assert!(again.err.contains("already exists"), "{}", again.err);
}

#[test]
fn logs_are_found_by_run_and_step() {
    let project = two_steps();
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.amlrun(&["logs", "r", "make"]).ended(0).out, "made\n");
    assert_eq!(project.amlrun(&["logs", "r"]).ended(0).out, "==> make <==\nmade\n==> use <==\n1\n");
    assert!(project.amlrun(&["logs", "r", "mak"]).ended(3).err.contains("did you mean 'make'?"));
    project.amlrun(&["logs", "q"]).ended(3);
}

#[test]
fn models_are_registered_by_hand_as_well() {
    let project = Project::new().with("m/w.bin", "weights");
    let create = ["model", "create", "-n", "net", "-p", "m", "--tag", "stage=dev"];
    project.amlrun(&create).ended(0);
    project.write("m/w.bin", "other");
    project.amlrun(&create).ended(0);
    let shown = project.amlrun(&["model", "show", "-n", "net", "-v", "1"]).ended(0);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!((shown["version"].as_str(), shown["tags"]["stage"].as_str()), (Some("1"), Some("dev")));
    let path = shown["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(format!("{path}/w.bin")).unwrap(), "weights", "version 1 keeps its own bytes");
    project.amlrun(&["model", "download", "-n", "net", "-p", "got"]).ended(0);
    assert_eq!(project.read("got/net/w.bin"), "other", "the latest version when none is named");
    let missing = project.amlrun(&["model", "show", "-n", "nte"]).ended(3);
    assert!(missing.err.contains("net"), "{}", missing.err);
    let versions = project.amlrun(&["model", "list", "-n", "net", "--query", "[].version", "-o", "tsv"]).ended(0);
    assert_eq!(versions.out.lines().count(), 2);
}

#[test]
fn the_command_line_teaches() {
    let project = Project::new();
    let help = project.amlrun(&["--help"]).ended(0);
    for part in ["Examples:", "amlrun run pipeline.yml", "Exit codes:", "130"] {
        assert!(help.out.contains(part), "missing {part:?} in\n{}", help.out);
    }
    assert!(project.amlrun(&["rnu"]).ended(2).err.contains("run"));
    assert!(project.amlrun(&["completion", "bash"]).ended(0).out.contains("complete -F"));
    assert!(project.amlrun(&["job", "list", "--query", "["]).ended(2).err.contains("JMESPath"));
}

#[test]
fn a_model_is_looked_into_when_it_is_registered() {
    let project = Project::new();
    // A pickle that would run a command when Python loads it: os.system("true"), protocol 0.
    project.write("bad/model.pkl", "cos\nsystem\n(S'true'\ntR.");
    let refused = project.amlrun(&["model", "create", "-n", "bad", "-p", "bad"]).ended(1);
    assert!(refused.err.contains("os.system") && refused.err.contains("--allow-pickle"), "{}", refused.err);
    assert_eq!(project.amlrun(&["model", "list"]).ended(0).out, "[]\n");
    let left = std::fs::read_dir(project.path(".amlrun/models/created")).unwrap().count();
    assert_eq!(left, 0, "what is refused leaves no copy");
    let create =
        ["model", "create", "-n", "bad", "-p", "bad", "--allow-pickle", "--query", "summary.safety", "-o", "tsv"];
    assert_eq!(project.amlrun(&create).ended(0).out, "dangerous\n");
    // What is no model file that is known is registered without a word.
    project.write("other/notes.txt", "hello");
    let other = ["model", "create", "-n", "other", "-p", "other", "--query", "summary", "-o", "json"];
    assert_eq!(project.amlrun(&other).ended(0).out, "null\n");
}
