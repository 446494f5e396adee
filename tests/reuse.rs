//! The same again runs nothing: what is reused, what is not, and what `plan` and `why` say of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Project, Ran, node, pipeline};

/// A preparation, a training on what it wrote, and a step that stands alone. Each writes its name into the file `ran` of
/// the project when it runs.
fn three_steps() -> Project {
    let project = Project::new()
        .with("raw.csv", "1\n2\n")
        .with("prep/prep.sh", "cat $1 > $2/clean.csv\n")
        .with("train/train.sh", "cat $1/clean.csv; echo $2 $MODE\n");
    project.write("pipeline.yml", &three(&project));
    project
}

fn three(project: &Project) -> String {
    let ran = project.path("ran").display().to_string();
    format!(
        "type: pipeline
inputs: {{rate: 0.1}}
jobs:
  prep:
    type: command
    environment: azureml:any@latest
    code: prep
    command: echo prep >> {ran}; bash prep.sh ${{{{inputs.raw}}}} ${{{{outputs.clean}}}}
    inputs: {{raw: {{type: uri_file, path: raw.csv}}}}
    outputs: {{clean: {{type: uri_folder}}}}
  train:
    type: command
    environment: azureml:any@latest
    code: train
    command: echo train >> {ran}; bash train.sh ${{{{inputs.data}}}} ${{{{inputs.rate}}}} > ${{{{outputs.model}}}}
    environment_variables: {{MODE: slow}}
    inputs: {{data: \"${{{{parent.jobs.prep.outputs.clean}}}}\", rate: \"${{{{parent.inputs.rate}}}}\"}}
    outputs: {{model: {{type: uri_file}}}}
  alone:
    type: command
    environment: azureml:any@latest
    command: echo alone >> {ran}
"
    )
}

impl Project {
    /// Runs the pipeline under a name and gives the steps that ran, in the order of their names.
    fn ran(&self, name: &str, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["run", "pipeline.yml", "--name", name];
        arguments.extend(more);
        self.amlrun(&arguments).ended(0);
        self.executed()
    }

    /// The steps that ran since this was last asked.
    fn executed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("ran")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("ran"));
        let mut steps: Vec<String> = text.lines().map(str::to_owned).collect();
        steps.sort();
        steps
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.write(file, &text.replace(from, to));
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.amlrun(arguments).ended(0);
        serde_json::from_str(&ran.out).unwrap()
    }

    fn plan(&self) -> Ran {
        self.amlrun(&["plan", "pipeline.yml"]).ended(0)
    }

    fn why(&self, run: &str, step: &str) -> String {
        self.amlrun(&["why", run, step]).ended(0).out
    }

    /// Where a step of a run wrote an output.
    fn output(&self, run: &str, step: &str, output: &str) -> std::path::PathBuf {
        let shown = self.json(&["job", "show", "-n", run]);
        shown["jobs"][step]["outputs"][output]["path"].as_str().unwrap().into()
    }
}

/// Writes other bytes of the same size into a file, and puts its times back.
fn edit_unseen(file: &Path) {
    let before = std::fs::metadata(file).unwrap();
    let other = vec![b'x'; usize::try_from(before.len()).unwrap()];
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(file, other).unwrap();
    let opened = std::fs::File::options().write(true).open(file).unwrap();
    opened.set_modified(before.modified().unwrap()).unwrap();
    std::fs::set_permissions(file, before.permissions()).unwrap();
}

#[test]
fn the_same_again_runs_nothing() {
    let project = three_steps();
    let before = project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(1);
    assert!(before.out.ends_with("3 to run, 0 reused\n"), "{}", before.out);
    assert!(!project.path(".amlrun").exists(), "a plan makes no workspace");
    assert_eq!(project.ran("first", &[]), ["alone", "prep", "train"]);
    let plan = project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(0);
    assert!(plan.out.ends_with("0 to run, 3 reused\n"), "{}", plan.out);
    assert!(project.ran("second", &[]).is_empty());
    assert!(project.ran("third", &[]).is_empty());
    let shown = project.json(&["job", "show", "-n", "third"]);
    assert_eq!(shown["status"], "Completed");
    assert_eq!(shown["jobs"]["train"]["reused_from"], "first-train", "the one that ran, not the one that was reused");
    assert_eq!(
        project.why("third", "train"),
        "train was reused: command, code, inputs and environment are the same as for first-train\n"
    );
    assert_eq!(std::fs::read_to_string(project.output("third", "train", "model")).unwrap(), "1\n2\n0.1 slow\n");
}

/// A file, what in it becomes what, the steps that then run, and one of them with its reason.
type Change = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str, &'static str);

#[test]
fn what_changed_runs_and_what_it_feeds_and_nothing_else() {
    let project = three_steps();
    project.ran("r0", &[]);
    let cases: [Change; 7] = [
        ("pipeline.yml", "rate: 0.1", "rate: 0.2", &["train"], "train", "the parameter rate changed from 0.1 to 0.2"),
        ("train/train.sh", "echo $2", "echo rate $2", &["train"], "train", "the file train.sh of its code changed"),
        ("pipeline.yml", "slow", "fast", &["train"], "train", "the variable MODE changed from slow to fast"),
        ("raw.csv", "2\n", "3\n", &["prep", "train"], "prep", "the file raw.csv of the input raw changed"),
        ("pipeline.yml", "command: echo alone", "command: echo  alone", &["alone"], "alone", "the command changed"),
        ("prep/prep.sh", "clean.csv", "clean.csv; echo 4 >> $2/clean.csv", &["prep", "train"], "prep", "prep.sh"),
        ("pipeline.yml", "any@latest\n    command", "other@latest\n    command", &["alone"], "alone", "azureml:other"),
    ];
    for (number, (file, from, to, steps, step, because)) in cases.into_iter().enumerate() {
        project.change(file, from, to);
        let plan = project.plan();
        let name = format!("r{}", number + 1);
        assert_eq!(project.ran(&name, &[]), steps, "after {to:?}:\n{}", plan.out);
        let why = project.why(&name, step);
        assert!(why.contains(because), "{why}");
        let line = plan.out.lines().find(|line| line.contains(&format!(" {step} "))).unwrap();
        assert!(line.contains("run") && line.contains(because), "{}", plan.out);
    }
    // What was there before is still there.
    project.change("pipeline.yml", "rate: 0.2", "rate: 0.1");
    assert_eq!(project.ran("back", &[]), ["train"]);
    project.change("pipeline.yml", "rate: 0.1", "rate: 0.2");
    assert!(project.ran("forth", &[]).is_empty());
}

#[test]
fn names_and_words_for_people_change_nothing() {
    let project = three_steps();
    project.ran("first", &[]);
    project.change("pipeline.yml", "type: pipeline", "type: pipeline\ndisplay_name: other\ntags: {a: b}\ncompute: x");
    project.change("pipeline.yml", "  alone:", "  renamed:");
    assert!(project.ran("second", &[]).is_empty());
}

#[test]
fn a_comment_in_the_preparation_does_not_cost_the_training() {
    let project = three_steps();
    project.ran("first", &[]);
    project.change("prep/prep.sh", "cat", "# Copies.\ncat");
    let plan = project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(1);
    let lines: Vec<String> =
        plan.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "▶ prep run the file prep.sh of its code changed",
            "▷ train run 'prep' runs first and may write different data",
            "✓ alone reuse from first-alone",
            "2 to run, 1 reused",
        ]
    );
    let steps = project.json(&["plan", "pipeline.yml", "-o", "json"]);
    let of = |step: &str| steps.as_array().unwrap().iter().find(|s| s["step"] == step).unwrap().clone();
    let prep = of("prep");
    let (before, after) = (&prep["because"][0]["before"], &prep["because"][0]["after"]);
    assert!(before.is_string() && after.is_string() && before != after, "{prep}");
    assert_eq!(
        prep,
        json!({"step": "prep", "decision": "run",
               "because": [{"what": "file", "name": "code/prep.sh", "before": before, "after": after}]})
    );
    let waits = "'prep' runs first and may write different data";
    assert_eq!(
        of("train"),
        json!({"step": "train", "decision": "run",
               "because": [{"what": "reason", "name": waits, "before": null, "after": null}]})
    );
    assert_eq!(of("alone"), json!({"step": "alone", "decision": "reuse", "because": []}));

    assert_eq!(project.ran("second", &[]), ["prep"]);
    assert_eq!(project.why("second", "prep"), "prep ran because the file prep.sh of its code changed\n");
    let why = project.why("second", "train");
    assert!(why.starts_with("train was reused: ") && why.contains("first-train"), "{why}");
    assert_eq!(project.json(&["why", "second", "prep", "-o", "json"]), prep, "what was planned is what was done");
    let all = project.json(&["why", "second", "-o", "json"]);
    assert_eq!(all.as_array().unwrap().len(), 3);
    assert_eq!(all[1], json!({"step": "train", "decision": "reuse", "because": []}));
}

#[test]
fn an_output_that_was_edited_is_never_reused() {
    let project = three_steps();
    project.ran("first", &[]);
    edit_unseen(&project.output("first", "prep", "clean").join("clean.csv"));
    let plan = project.plan();
    assert!(plan.out.contains("its output clean was changed after it was written"), "{}", plan.out);
    assert_eq!(project.ran("second", &[]), ["prep"], "the training was made from the right bytes");
    let why = project.why("second", "prep");
    assert_eq!(why, "prep ran because its output clean was changed after it was written\n");
    assert!(project.ran("third", &[]).is_empty(), "the new result counts");
    assert_eq!(project.output("third", "prep", "clean"), project.output("second", "prep", "clean"));

    edit_unseen(&project.output("first", "train", "model"));
    assert_eq!(project.ran("fourth", &[]), ["train"]);
    assert_eq!(std::fs::read_to_string(project.output("fourth", "train", "model")).unwrap(), "1\n2\n0.1 slow\n");
}

#[test]
fn a_file_more_and_an_output_less_are_noticed() {
    let project = three_steps();
    project.ran("first", &[]);
    std::fs::write(project.output("first", "prep", "clean").join("more.csv"), "").unwrap();
    assert_eq!(project.ran("second", &[]), ["prep"]);
    std::fs::remove_dir_all(project.output("second", "prep", "clean")).unwrap();
    let plan = project.plan();
    assert!(plan.out.contains("its output clean is gone"), "{}", plan.out);
    assert_eq!(project.ran("third", &[]), ["prep"]);
    std::fs::remove_file(project.output("first", "train", "model")).unwrap();
    assert_eq!(project.ran("fourth", &[]), ["train"]);
    assert_eq!(project.why("fourth", "train"), "train ran because its output model is gone\n");
}

#[test]
fn a_touch_costs_nothing() {
    let project = three_steps();
    project.ran("first", &[]);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let output = project.output("first", "prep", "clean").join("clean.csv");
    for file in [output, project.path("raw.csv"), project.path("prep/prep.sh"), project.path("train/train.sh")] {
        std::fs::File::open(file).unwrap().set_modified(old).unwrap();
    }
    let plan = project.amlrun(&["plan", "pipeline.yml", "--check"]).ended(0);
    assert!(plan.out.ends_with("0 to run, 3 reused\n"), "{}", plan.out);
    assert!(project.ran("second", &[]).is_empty());
}

#[test]
fn secrets_are_compared_and_never_told() {
    let project = three_steps();
    project.change("pipeline.yml", "MODE: slow", "MODE: slow, API_TOKEN: hunter-one");
    project.change("pipeline.yml", "inputs: {rate: 0.1}", "inputs: {rate: 0.1, password: swordfish-one}");
    project.change(
        "pipeline.yml",
        "    command: echo alone",
        "    inputs: {password: \"${{parent.inputs.password}}\"}\n    command: echo alone",
    );
    project.ran("first", &[]);
    project.change("pipeline.yml", "hunter-one", "hunter-two");
    project.change("pipeline.yml", "swordfish-one", "swordfish-two");
    let mut said = project.plan().out;
    said += &project.amlrun(&["plan", "pipeline.yml", "-o", "json"]).ended(0).out;
    assert_eq!(project.ran("second", &[]), ["alone", "train"]);
    assert_eq!(project.why("second", "train"), "train ran because the variable API_TOKEN changed\n");
    said += &project.why("second", "alone");
    said += &project.amlrun(&["why", "second", "-o", "json"]).ended(0).out;
    said += &project.read(".amlrun/runs/second/events.jsonl");
    assert!(!said.contains("hunter") && !said.contains("swordfish"), "{said}");
}

#[test]
fn whoever_asks_for_a_rerun_gets_it() {
    let project = three_steps();
    project.ran("first", &[]);
    assert_eq!(project.ran("all", &["--force-rerun"]), ["alone", "prep", "train"]);
    assert_eq!(project.why("all", "alone"), "alone ran because --force-rerun asks for it\n");
    assert_eq!(project.ran("one", &["--force-rerun=prep"]), ["prep"], "what it wrote is the same");
    let plan = project.amlrun(&["plan", "pipeline.yml", "--force-rerun=alone"]).ended(0);
    assert!(
        plan.out.contains("--force-rerun asks for it") && plan.out.ends_with("1 to run, 2 reused\n"),
        "{}",
        plan.out
    );
    let wrong = project.amlrun(&["plan", "pipeline.yml", "--force-rerun=alnoe"]).ended(2);
    assert!(wrong.err.contains("did you mean 'alone'?"), "{}", wrong.err);
    project.change("pipeline.yml", "type: pipeline", "type: pipeline\nsettings: {force_rerun: true}");
    assert_eq!(project.ran("settings", &[]), ["alone", "prep", "train"]);
    assert_eq!(project.why("settings", "train"), "train ran because settings.force_rerun is true\n");
}

#[test]
fn a_component_that_is_not_deterministic_runs_each_time() {
    let project = Project::new();
    let ran = project.path("ran").display().to_string();
    project.write(
        "dice.yml",
        &format!(
            "name: dice\nversion: 1\ntype: command\nis_deterministic: false\nenvironment: azureml:any@latest\n\
             outputs: {{o: {{type: uri_file}}}}\ncommand: echo dice >> {ran}; echo 4 > ${{{{outputs.o}}}}\n"
        ),
    );
    let nodes = "  dice:\n    type: command\n    component: dice.yml\n".to_owned()
        + &node("use", &format!("echo use >> {ran}; cat ${{{{inputs.i}}}}"))
        + "    inputs: {i: \"${{parent.jobs.dice.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    assert_eq!(project.ran("first", &[]), ["dice", "use"]);
    assert_eq!(project.ran("second", &[]), ["dice"]);
    assert_eq!(project.ran("part", &["--only=use", "--force-rerun"]), ["use"], "its last result will do for others");
    let why = project.why("second", "dice");
    assert_eq!(why, "dice ran because its component is not deterministic (is_deterministic: false)\n");
}

#[test]
fn pipelines_of_a_workspace_share_what_they_made() {
    let project = three_steps();
    project.ran("first", &[]);
    std::fs::rename(project.path("pipeline.yml"), project.path("other.yml")).unwrap();
    project.change("other.yml", "  prep:", "  clean_up:");
    project.change("other.yml", "jobs.prep.", "jobs.clean_up.");
    project.amlrun(&["run", "other.yml", "--name", "other"]).ended(0);
    assert!(project.executed().is_empty());
    assert!(project.why("other", "clean_up").contains("first-prep"));
}

#[test]
fn a_step_that_failed_is_never_reused() {
    let project = Project::new().with("ok", "no");
    let ran = project.path("ran").display().to_string();
    let command =
        format!("echo it >> {ran}; echo half > ${{{{outputs.o}}}}/f; grep -q yes {}", project.path("ok").display());
    project.write("pipeline.yml", &pipeline(&(node("it", &command) + "    outputs: {o: }\n")));
    for name in ["first", "second"] {
        project.amlrun(&["run", "pipeline.yml", "--name", name]).ended(1);
        assert_eq!(project.executed(), ["it"]);
    }
    project.write("ok", "yes");
    assert_eq!(project.ran("third", &[]), ["it"]);
    assert!(project.ran("fourth", &[]).is_empty());
}

#[test]
fn a_step_whose_runner_was_killed_is_never_reused() {
    let project = Project::new();
    let (ran, gate) = (project.path("ran").display().to_string(), project.path("gate").display().to_string());
    let held =
        format!("echo it >> {ran}; echo half > ${{{{outputs.o}}}}/f; echo ready; test ! -e {gate} || read x < {gate}");
    project.write("pipeline.yml", &pipeline(&(node("it", &held) + "    outputs: {o: }\n")));
    nix::unistd::mkfifo(&project.path("gate"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let (mut child, _events) = project.start_until(&["pipeline.yml"], "ready");
    child.kill().unwrap();
    child.wait().unwrap();
    project.executed();
    std::fs::remove_file(project.path("gate")).unwrap();
    assert_eq!(project.ran("second", &[]), ["it"]);
    assert!(project.ran("third", &[]).is_empty());
}

#[test]
fn an_asset_name_that_is_added_later_is_registered_from_what_is_there() {
    let project = three_steps();
    project.ran("first", &[]);
    project.change("pipeline.yml", "{model: {type: uri_file}}", "{model: {type: uri_file, name: net}}");
    assert!(project.ran("second", &[]).is_empty());
    let shown = project.json(&["job", "show", "-n", "second"]);
    assert_eq!(shown["jobs"]["train"]["assets"], json!(["net:1"]));
    // The same again makes no other version.
    assert!(project.ran("third", &[]).is_empty());
    let other = "    inputs: {m: {type: uri_file, path: \"azureml:net:2\"}}\n";
    project.write("use.yml", &pipeline(&(node("look", "cat ${{inputs.m}}") + other)));
    project.amlrun(&["run", "use.yml"]).ended(1);
    let input = "    inputs: {m: {type: uri_file, path: \"azureml:net:1\"}}\n";
    project.write("use.yml", &pipeline(&(node("look", "cat ${{inputs.m}}") + input)));
    project.amlrun(&["run", "use.yml", "--name", "use"]).ended(0);
    assert_eq!(project.amlrun(&["logs", "use", "look"]).ended(0).out, "1\n2\n0.1 slow\n");
}

#[test]
fn a_secret_is_seen_by_its_step_alone_whatever_it_is_called_on_the_way() {
    let project = Project::new();
    let step = node("use", "test ${{inputs.plain}} = $ALSO && echo used")
        + "    inputs: {plain: \"${{parent.inputs.api_key}}\"}\n    \
           environment_variables: {ALSO: \"${{parent.inputs.api_key}}\"}\n";
    project.write("pipeline.yml", &pipeline(&step).replace("jobs:", "inputs: {api_key: s3cr3t}\njobs:"));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("use"), "used\n");
    let other = pipeline(&step).replace("jobs:", "inputs: {api_key: 0th3r}\njobs:");
    project.write("pipeline.yml", &other);
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(0);
    assert!(planned.out.contains("plain changed") && planned.out.contains("ALSO changed"), "{}", planned.out);
    let seen = planned.out + &project.read(".amlrun/runs/r/events.jsonl") + &project.amlrun(&["why", "r"]).out;
    assert!(!seen.contains("s3cr3t") && !seen.contains("0th3r"), "{seen}");
    assert!(project.shown()["jobs"]["use"]["command"].as_str().unwrap().contains("test ******** = $ALSO"));
}
