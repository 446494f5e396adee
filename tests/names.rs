//! Names that strangers chose: of files, of folders above a project, of blobs, of inputs and outputs. None of them is run
//! as a command, and none leads out of the folder that it belongs to.

use crate::cloud::{Cloud, job};
use crate::hostile_http::Hostile;
use crate::support::{Project, node, pipeline};

/// Commands hidden in names, each of which would leave a file called `pwned`.
const HOSTILE: [&str; 6] = [
    "a;touch pwned;.csv",
    "$(touch pwned).csv",
    "`touch pwned`.csv",
    "x & touch pwned &.csv",
    "o'n\"e\\.csv",
    "* ~ {a,b}.csv",
];

fn nothing_ran(project: &Project) {
    let found = std::process::Command::new("find").arg(project.path("")).args(["-name", "pwned*"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a name was run as a command");
}

#[test]
fn a_name_of_a_file_is_data_to_the_command_that_reads_it() {
    for (number, name) in HOSTILE.iter().enumerate() {
        let project = Project::new().with(name, "data\n");
        let path = serde_json::to_string(&format!("./{name}")).unwrap();
        let mut inputs = String::new();
        for mode in ["ro_mount", "download", "direct"] {
            inputs += &format!("  {mode}: {{type: uri_file, path: {path}, mode: {mode}}}\n");
        }
        let command = "cat ${{inputs.ro_mount}} ${{inputs.download}} ${{inputs.direct}} && cat $AZURE_ML_INPUT_ro_mount && \
                       for i in ${{inputs.ro_mount}}; do echo ${i##*.}; done";
        let text =
            format!("environment: azureml:any@latest\ncommand: {}\ninputs:\n{inputs}", serde_json::json!(command));
        project.write("job.yml", &text);
        project.amlrun(&["run", "job.yml", "--name", "r"]).ended(0);
        assert_eq!(project.log("main"), "data\ndata\ndata\ndata\ncsv\n", "{number}: {name}");
        nothing_ran(&project);
    }
}

#[test]
fn a_path_that_is_part_of_a_text_is_data_too() {
    let project = Project::new().with("a;touch pwned;.csv", "one\n").with("$(touch pwned).csv", "two\n");
    let mut text = "type: pipeline\ninputs:\n".to_owned();
    text += "  a: {type: uri_file, path: \"./a;touch pwned;.csv\"}\n  b: {type: uri_file, path: \"./$(touch pwned).csv\"}\n";
    text += "jobs:\n  say:\n    type: command\n    component: ./say.yml\n";
    text += "    inputs: {both: \"${{parent.inputs.a}}:${{parent.inputs.b}}\"}\n";
    text += "    environment_variables: {DATA: \"${{parent.inputs.b}}\"}\n";
    project.write("pipeline.yml", &text);
    let command = "cat $(echo ${{inputs.both}} | tr : ' '); eval cat $DATA";
    let component = "name: say\ntype: command\nenvironment: azureml:any@latest\ninputs: {both: {type: string}}\n";
    project.write("say.yml", &format!("{component}command: {command:?}\n"));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("say"), "one\ntwo\ntwo\n");
    nothing_ran(&project);
}

#[test]
fn a_folder_above_the_project_may_have_any_name() {
    let project = Project::named("it's $(touch pwned); `touch pwned` & \"co\"").with("data/a.csv", "data\n");
    project.write("code/say.sh", "cat $1/a.csv\n");
    let mut nodes = node(
        "first",
        "bash say.sh ${{inputs.d}} && cp ${{inputs.d}}/a.csv ${{outputs.o}} && cat ${{inputs.copy}}/a.csv",
    );
    nodes += "    code: ./code\n    inputs:\n      d: {type: uri_folder, path: ./data}\n";
    nodes += "      copy: {type: uri_folder, path: ./data, mode: download}\n    outputs: {o: {type: uri_file}}\n";
    nodes += &node("second", "cat ${{inputs.i}}");
    nodes += "    inputs: {i: {type: uri_file, path: \"${{parent.jobs.first.outputs.o}}\"}}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(0);
    assert_eq!((project.log("first"), project.log("second")), ("data\ndata\n".to_owned(), "data\n".to_owned()));
    nothing_ran(&project);
}

#[test]
fn the_name_of_a_remote_file_is_data() {
    let cloud = Cloud::new("hostile-names");
    cloud.put("in/a;touch pwned;.csv", "blob\n");
    let web = Hostile::start();
    web.serve("/$(touch%20pwned).csv", b"web\n", []);
    let store = "azureml://datastores/credit/paths";
    let inputs = format!(
        "blob: {{type: uri_file, path: \"{store}/in/a;touch pwned;.csv\"}}
        copy: {{type: uri_file, path: \"{store}/in/a;touch pwned;.csv\", mode: download}}
        glob: {{type: uri_folder, path: \"{store}/in/*pwned*\"}}
        web: {{type: uri_file, path: \"{}\"}}
        address: {{type: uri_file, path: \"{store}/in/a;touch pwned;.csv\", mode: direct}}
        direct: {{type: uri_file, path: \"{}\", mode: direct}}",
        web.url("/$(touch%20pwned).csv"),
        web.url("/$(touch pwned)&touch?a=1&sig=topsecretsignature")
    );
    let command = "cat ${{inputs.blob}} ${{inputs.copy}} ${{inputs.web}} && cat ${{inputs.glob}}/*.csv && \
                   echo ${{inputs.address}} && echo '${{inputs.direct}}' | grep -o '/%24.*?a=1'";
    cloud.project.write("job.yml", &job(command, &inputs, "o: {type: uri_folder}"));
    cloud.run("r").0.ended(0);
    let addresses =
        "azureml://datastores/credit/paths/in/a%3Btouch%20pwned%3B.csv\n/%24%28touch%20pwned%29%26touch?a=1\n";
    assert_eq!(cloud.project.log("main"), format!("blob\nblob\nweb\nblob\n{addresses}"));
    nothing_ran(&cloud.project);
}

/// Names that lead out of their folders, are no word, or are hidden.
const WRONG: [&str; 9] =
    ["x/../../../../../victim", "../x", "/tmp/x", "a/b", ".hidden", "..", "a;touch pwned", "a\\u001b[2J", "-rf"];

#[test]
fn names_of_inputs_and_outputs_lead_nowhere() {
    let long = "n".repeat(300);
    for name in WRONG.into_iter().chain([long.as_str()]) {
        let project = Project::new().with("victim/file", "precious\n").with("data.csv", "x\n");
        let outputs = format!("outputs: {{\"{name}\": {{type: uri_folder}}}}\n");
        let inputs = format!("inputs: {{\"{name}\": {{type: uri_file, path: ./data.csv, mode: download}}}}\n");
        let alone = "environment: azureml:any@latest\ncommand: echo hi\n";
        let inside = pipeline(&node("a", "echo hi")) + "    ";
        let texts =
            [alone.to_owned() + &outputs, alone.to_owned() + &inputs, inside.clone() + &outputs, inside + &inputs];
        for text in texts {
            project.write("job.yml", &text);
            let ran = project.amlrun(&["run", "job.yml", "--name", "r"]).ended(1);
            assert!(ran.err.contains("error[bad-name]"), "{text}\n{}", ran.err);
            assert!(!project.path(".amlrun/runs/r").exists());
            // Azure ML takes it.
            let azure = project.amlrun(&["validate", "--target", "azure", "job.yml"]);
            assert!(!azure.err.contains("error[bad-name]"), "{text}\n{}", azure.err);
        }
        let file = project.path("victim/file");
        assert!(!file.metadata().unwrap().permissions().readonly());
        nothing_ran(&project);
    }
}

#[test]
fn a_name_that_is_too_long_for_a_folder_is_told_before_anything_runs() {
    let project = Project::new();
    let step = "s".repeat(120);
    let output = "o".repeat(120);
    let text = pipeline(&node(&step, "echo hi")) + &format!("    outputs: {{{output}: {{type: uri_folder}}}}\n");
    project.write("pipeline.yml", &text);
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", &"r".repeat(100)]).ended(1);
    assert!(ran.err.contains("too long"), "{}", ran.err);
    assert!(!project.path(".amlrun/runs").read_dir().unwrap().any(|_| true));
    project.amlrun(&["run", "pipeline.yml", "--name", "r"]).ended(0);
}
