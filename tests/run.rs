//! `amlrun run`: what steps see, what they hand on, what is kept.

use crate::support::{Project, Ran, node, pipeline};

#[test]
fn files_and_literals_go_from_step_to_step() {
    let project = Project::new()
        .with("data/in.csv", "1,2\n")
        .with(
            "pipeline.yml",
            "type: pipeline\n\
             inputs:\n  data: {type: uri_file, path: data/in.csv}\n  rate: 0.00001\n  flag: yes\n  words: two words\n\
             outputs:\n  final:\n    type: uri_file\n\
             jobs:\n  \
               first:\n    type: command\n    component: components/first.yml\n    \
                 inputs:\n      data: ${{parent.inputs.data}}\n      rate: ${{parent.inputs.rate}}\n      flag: ${{parent.inputs.flag}}\n  \
               second:\n    type: command\n    environment: azureml:any@latest\n    \
                 command: cat ${{inputs.folder}}/copy.csv > ${{outputs.result}} && echo '${{inputs.words}}' >> ${{outputs.result}}\n    \
                 inputs:\n      folder: ${{parent.jobs.first.outputs.folder}}\n      words: ${{parent.inputs.words}}\n    \
                 outputs:\n      result: ${{parent.outputs.final}}\n",
        )
        .with(
            "components/first.yml",
            "name: first\nversion: 1\ntype: command\nenvironment: azureml:any@latest\ncode: ./src\n\
             inputs:\n  data: {type: uri_file}\n  rate: {type: number}\n  flag: {type: boolean}\n  n: {type: integer, default: 7}\n  \
             extra: {type: string, optional: true}\n\
             outputs:\n  folder: {type: uri_folder}\n\
             command: bash go.sh ${{inputs.data}} ${{outputs.folder}} rate=${{inputs.rate}} on=${{inputs.flag}} n=${{inputs.n}} $[[extra=${{inputs.extra}}]]\n",
        )
        .with("components/src/go.sh", "cp \"$1\" \"$2/copy.csv\"; shift 2; echo \"$@\"\n");
    let ran = project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("first"), "rate=1e-05 on=True n=7\n", "literals are Python's str() of what PyYAML reads");
    let shown = project.shown();
    assert_eq!(shown["status"], "Completed");
    let result = shown["outputs"]["final"]["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(result).unwrap(), "1,2\ntwo words\n");
    assert!(std::fs::metadata(result).unwrap().permissions().readonly(), "a sealed output cannot be written");
    assert!(ran.out.contains("✓ first") && ran.out.contains("✓ second"), "{}", ran.out);
}

#[test]
fn a_step_finds_azure_ml_s_folders_and_variables() {
    let project = Project::new().with("code/keep.py", "").with("code/skip.log", "").with("code/.amlignore", "*.log\n");
    let script = "ls; test -d outputs && test -d logs && echo folders; echo $AZUREML_RUN_ID $MLFLOW_RUN_ID \
                  $AZUREML_ROOT_RUN_ID $AZUREML_PARAMETER_n ${{inputs.n}} $GREETING $MLFLOW_EXPERIMENT_NAME; \
                  test -d $AZURE_ML_OUTPUT_o && test $AZURE_ML_OUTPUT_o = ${{outputs.o}} && echo same; test ! -t 0 && echo no-input";
    project.write(
        "pipeline.yml",
        &(pipeline(&node("look", script)).replace("type: pipeline", "type: pipeline\nexperiment_name: trials")
            + "    code: code\n    inputs: {n: 5}\n    outputs: {o: }\n    environment_variables: {GREETING: hi, FLAG: true}\n"),
    );
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("look"), "keep.py\nlogs\noutputs\nfolders\nr-look r-look r 5 5 hi trials\nsame\nno-input\n");
    assert_eq!(std::fs::read_dir(project.path("code")).unwrap().count(), 3, "the source folder is left alone");
}

#[test]
fn independent_steps_run_at_the_same_time() {
    let project = Project::new();
    let gate = |name: &str| project.path(name).display().to_string();
    for name in ["a", "b"] {
        nix::unistd::mkfifo(&project.path(name), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    }
    // Each opens its own gate only while the other one stands at it: one after the other would never end.
    let left = format!("echo go > {} && read x < {} && echo $x", gate("a"), gate("b"));
    let right = format!("read x < {} && echo go > {} && echo $x", gate("a"), gate("b"));
    project.write("pipeline.yml", &pipeline(&(node("left", &left) + &node("right", &right))));
    project.amlrun(&["run", "pipeline.yml", "--name", "r", "--jobs", "2"]).ended(0);
    assert_eq!((project.log("left"), project.log("right")), ("go\n".to_owned(), "go\n".to_owned()));
}

#[test]
fn one_job_at_a_time_runs_in_the_order_of_the_file() {
    let project = Project::new();
    let note = format!("echo $AZUREML_RUN_ID >> {}", project.path("order").display());
    let nodes: String = ["c", "a", "b"].iter().map(|name| node(name, &note)).collect();
    project.write("pipeline.yml", &pipeline(&nodes));
    project.amlrun(&["run", "pipeline.yml", "--name", "r", "--jobs", "1"]).ended(0);
    assert_eq!(project.read("order"), "r-c\nr-a\nr-b\n");
}

#[test]
fn a_failed_step_skips_what_needs_it_and_spares_the_rest() {
    let project = Project::new();
    let mut nodes = node("bad", "echo about to fail; exit 3") + "    outputs: {o: }\n";
    nodes += &(node("needs_bad", "true") + "    inputs: {i: \"${{parent.jobs.bad.outputs.o}}\"}\n");
    nodes += &node("other", "true");
    project.write("pipeline.yml", &pipeline(&nodes));
    let ran = project.run("pipeline.yml").ended(1);
    for part in
        ["step 'bad' failed: exit code 3", "| about to fail", "steps/bad/user_logs/std_log.txt", "depends on 'bad'"]
    {
        assert!(ran.out.contains(part), "missing {part:?} in\n{}", ran.out);
    }
    let shown = project.shown();
    let status = |step: &str| shown["jobs"][step]["status"].as_str().unwrap().to_owned();
    assert_eq!(shown["status"], "Failed");
    assert_eq!([status("bad"), status("needs_bad"), status("other")], ["Failed", "Canceled", "Completed"]);
}

#[test]
fn without_continue_on_step_failure_the_rest_is_not_started() {
    let project = Project::new();
    let text = pipeline(&(node("bad", "false") + &node("later", "true")))
        .replace("type: pipeline", "type: pipeline\nsettings: {continue_on_step_failure: false}");
    project.write("pipeline.yml", &text);
    project.amlrun(&["run", "pipeline.yml", "--name", "r", "--jobs", "1"]).ended(1);
    let shown = project.shown();
    assert_eq!(shown["jobs"]["bad"]["error"], "exit code 1");
    assert_eq!(shown["jobs"]["later"]["status"], "Canceled");
    assert!(shown["jobs"]["later"]["error"].as_str().unwrap().contains("continue_on_step_failure is false"));
}

#[test]
fn an_output_that_somebody_waits_for_must_be_written() {
    let project = Project::new();
    let mut nodes = node("lazy", "true") + "    outputs: {o: {type: uri_file}}\n";
    nodes += &(node("reader", "cat ${{inputs.i}}") + "    inputs: {i: \"${{parent.jobs.lazy.outputs.o}}\"}\n");
    project.write("pipeline.yml", &pipeline(&nodes));
    let ran = project.run("pipeline.yml").ended(1);
    assert!(ran.out.contains("did not write its output 'o'"), "{}", ran.out);
}

#[test]
fn a_step_that_takes_too_long_is_stopped() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&(node("slow", "sleep 600") + "    limits: {timeout: 1}\n")));
    let ran = project.run("pipeline.yml").ended(1);
    assert!(ran.out.contains("the timeout of 1 s (limits.timeout)"), "{}", ran.out);
}

#[test]
fn a_named_output_becomes_an_asset_that_another_file_can_read() {
    let project = Project::new();
    let output = "    outputs:\n      o: {type: custom_model, name: my-model}\n";
    project.write("make.yml", &pipeline(&(node("make", "echo weights > ${{outputs.o}}/w") + output)));
    let ran = project.run("make.yml").ended(0);
    assert!(ran.out.contains("registered my-model:1"), "{}", ran.out);
    // The same again makes nothing new: the asset is there.
    project.amlrun(&["run", "make.yml", "-q"]).ended(0);
    let version = project.amlrun(&["model", "show", "-n", "my-model", "--query", "version", "-o", "tsv"]).ended(0);
    assert_eq!(version.out, "1\n");
    project.amlrun(&["run", "make.yml", "-q", "--force-rerun"]).ended(0);
    let version = project.amlrun(&["model", "show", "-n", "my-model", "--query", "version", "-o", "tsv"]).ended(0);
    assert_eq!(version.out, "2\n");
    let input = "    inputs:\n      m: {type: custom_model, path: \"azureml:my-model@latest\"}\n";
    project.write("use.yml", &pipeline(&(node("look", "cat ${{inputs.m}}/w") + input)));
    project.amlrun(&["run", "use.yml", "--name", "second"]).ended(0);
    assert_eq!(project.read(".amlrun/runs/second/steps/look/user_logs/std_log.txt"), "weights\n");
    project.write("wrong.yml", &pipeline(&(node("look", "true") + &input.replace("my-model", "my-modle"))));
    let refused = project.amlrun(&["run", "wrong.yml"]).ended(1);
    assert!(refused.err.contains("wrong.yml:8:37") && refused.err.contains("my-model"), "{}", refused.err);
}

#[test]
fn a_download_is_a_private_copy() {
    let project = Project::new().with("data/in.txt", "original\n");
    let input = "    inputs:\n      d: {type: uri_folder, path: data, mode: download}\n";
    project.write("pipeline.yml", &pipeline(&(node("change", "echo changed > ${{inputs.d}}/in.txt") + input)));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.read("data/in.txt"), "original\n");
}

#[test]
fn a_standalone_command_job_runs_too() {
    let project = Project::new().with(
        "job.yml",
        "command: echo ${{inputs.greeting}} $AZUREML_RUN_ID > ${{outputs.o}}/said\nenvironment: azureml:any@latest\n\
         inputs: {greeting: hello}\noutputs: {o: {type: uri_folder}}\n",
    );
    project.run("job.yml").ended(0);
    let shown = project.shown();
    assert_eq!((shown["type"].as_str(), shown["status"].as_str()), (Some("command"), Some("Completed")));
    let folder = shown["outputs"]["o"]["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(format!("{folder}/said")).unwrap(), "hello r\n");
}

#[test]
fn values_can_be_set_on_the_command_line() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&(node("say", "echo ${{inputs.n}}") + "    inputs: {n: 1}\n")));
    project.amlrun(&["run", "pipeline.yml", "--name", "r", "--set", "jobs.say.inputs.n=1e-5"]).ended(0);
    assert_eq!(project.log("say"), "1e-5\n");
    let wrong = project.amlrun(&["run", "pipeline.yml", "--set", "jobs.say.command.x=1"]).ended(1);
    assert!(wrong.err.contains("--set:1:1"), "{}", wrong.err);
}

#[test]
fn a_folder_with_spaces_in_its_name_does_not_split_words() {
    let project = Project::named("my own work").with("some data/in put.txt", "x\n");
    let mut nodes =
        node("first", "cp -r ${{inputs.d}}/. ${{outputs.o}}/ && ls ${{outputs.o}}") + "    outputs: {o: }\n";
    nodes += "    inputs:\n      d: {type: uri_folder, path: some data}\n";
    nodes += &(node("second", "ls ${{inputs.i}}") + "    inputs: {i: \"${{parent.jobs.first.outputs.o}}\"}\n");
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("second"), "in put.txt\n");
}

#[test]
fn json_lines_are_the_record() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "echo hello")));
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "r", "--output", "jsonl"]).ended(0);
    let (lines, events): (Vec<&str>, Vec<&str>) = ran.out.lines().partition(|l| l.contains("\"event\":\"line\""));
    assert_eq!(lines, [r#"{"event":"line","step":"say","text":"hello"}"#]);
    // Only that the record has paths relative to the workspace.
    let root = project.path("").display().to_string();
    let events: Vec<String> =
        events.iter().map(|line| line.replace(&format!("{root}.amlrun/"), "./").replace(&root, "../")).collect();
    assert_eq!(events, project.read(".amlrun/runs/r/events.jsonl").lines().collect::<Vec<_>>());
}

#[test]
fn a_run_name_is_given_once() {
    let project = Project::new();
    project.write("pipeline.yml", &pipeline(&node("say", "true")));
    project.run("pipeline.yml").ended(0);
    let again = project.run("pipeline.yml").ended(1);
    assert!(again.err.contains("'r' already exists"), "{}", again.err);
    let climbing = project.amlrun(&["run", "pipeline.yml", "--name", "../x"]).ended(2);
    assert!(climbing.err.contains("is not a valid name for a job"), "{}", climbing.err);
}

#[test]
fn a_step_can_log_to_the_tracking_server_and_only_with_the_token() {
    let script = r#"
import json, os, urllib.error, urllib.request
uri, run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
def post(path, body, token):
    request = urllib.request.Request(uri + "/api/2.0/mlflow/" + path, json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + token})
    return json.load(urllib.request.urlopen(request))
metric = {"run_id": run, "key": "loss", "value": 0.25, "timestamp": 1, "step": 1}
post("runs/log-metric", metric, os.environ["MLFLOW_TRACKING_TOKEN"])
try:
    post("runs/log-metric", metric, "wrong")
except urllib.error.HTTPError as error:
    print(error.code)
"#;
    let project = Project::new().with("src/log.py", script);
    project.write("pipeline.yml", &pipeline(&(node("log", "python3 log.py") + "    code: src\n")));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("log"), "401\n");
    assert_eq!(project.shown()["jobs"]["log"]["metrics"]["loss"], 0.25);
    let secret_free = project.read(".amlrun/runs/r/events.jsonl") + &project.read(".amlrun/runs/r/plan.json");
    assert!(!secret_free.contains("TOKEN"));
}

#[test]
fn nothing_is_written_into_the_source_tree() {
    let project = Project::new().with("src/a.py", "");
    project.write("pipeline.yml", &pipeline(&(node("say", "touch made; ls") + "    code: src\n")));
    project.run("pipeline.yml").ended(0);
    let names = |folder: &str| {
        let mut names: Vec<_> =
            std::fs::read_dir(project.path(folder)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("src"), ["a.py"]);
    assert_eq!(names("."), [".amlrun", "amlrun.toml", "pipeline.yml", "src"]);
    assert_eq!(project.read(".amlrun/.gitignore"), "*\n", "the workspace ignores itself");
}

#[test]
fn an_output_called_artifacts_is_all_that_the_job_leaves() {
    let project = Project::new();
    let nodes = node("a", "echo hello; echo world > outputs/world.txt")
        + "    outputs: {artifacts: }\n"
        + &node("b", "cat ${{inputs.w}}/outputs/world.txt ${{inputs.w}}/user_logs/std_log.txt")
        + "    inputs: {w: \"${{parent.jobs.a.outputs.artifacts}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("b"), "world\nhello\n");
}

#[test]
fn the_code_of_a_whole_project_does_not_hold_its_earlier_runs() {
    let project = Project::new().with("a.py", "");
    project.write("pipeline.yml", &pipeline(&(node("look", "ls -A") + "    code: .\n")));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("look"), "a.py\namlrun.toml\nlogs\noutputs\npipeline.yml\n");
}

#[test]
fn what_a_step_links_into_its_output_stays_the_user_s() {
    let project = Project::new().with("data/in.txt", "1");
    let input = "    inputs: {d: {type: uri_folder, path: data}}\n    outputs: {o: }\n";
    let link = "ln -s ${{inputs.d}} ${{outputs.o}}/data; ln ${{inputs.d}}/in.txt ${{outputs.o}}/one.txt";
    project.write("pipeline.yml", &pipeline(&(node("link", link) + input)));
    project.run("pipeline.yml").ended(0);
    assert!(!std::fs::metadata(project.path("data/in.txt")).unwrap().permissions().readonly());
}

#[test]
fn a_pipe_among_the_code_is_told_and_not_waited_for() {
    let project = Project::new().with("src/a.py", "");
    nix::unistd::mkfifo(&project.path("src/pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    project.write("pipeline.yml", &pipeline(&(node("a", "true") + "    code: src\n")));
    let ran = project.run("pipeline.yml").ended(1);
    assert!(ran.out.contains("src/pipe: neither a file nor a folder"), "{}", ran.out);
}

#[test]
fn a_person_s_own_mlflow_server_is_not_the_step_s() {
    let project = Project::new();
    let show =
        "echo [$MLFLOW_TRACKING_USERNAME] [$MLFLOW_REGISTRY_URI] $NO_PROXY; echo $MLFLOW_TRACKING_URI | cut -c1-17";
    project.write("pipeline.yml", &pipeline(&node("show", show)));
    let mut command = project.command(&["run", "pipeline.yml", "--name", "r"]);
    command.env("MLFLOW_TRACKING_USERNAME", "u").env("MLFLOW_REGISTRY_URI", "http://elsewhere").env("NO_PROXY", "x");
    command.env("MLFLOW_TRACKING_URI", "http://elsewhere");
    Ran::of(command).ended(0);
    assert_eq!(project.log("show"), "[] [] x,127.0.0.1,localhost\nhttp://127.0.0.1:\n");
}

#[test]
fn a_count_of_instances_has_an_effect_and_is_not_said_to_have_none() {
    let project = Project::new();
    let counted = |more: &str| node("a", "true") + &format!("    resources: {{instance_count: 2{more}}}\n");
    project.write("counted.yml", &pipeline(&counted("")));
    let ran = project.run("counted.yml").ended(0);
    assert!(!ran.out.contains("no effect"), "{}", ran.out);
    project.write("sized.yml", &pipeline(&counted(", instance_type: big, shm_size: 16g")));
    let ran = project.amlrun(&["run", "sized.yml"]).ended(0);
    for name in ["resources.instance_type", "resources.shm_size"] {
        assert!(ran.out.contains(&format!("{name} has no effect here")), "{}", ran.out);
    }
}

#[test]
fn a_script_with_the_line_ends_of_windows_is_told_before_it_runs() {
    let step = node("a", "bash run.sh && bash fine.sh").replace("    command", "    code: ./src\n    command");
    let project = Project::new().with("pipeline.yml", &pipeline(&step));
    project.write("src/run.sh", "echo hi\r\n");
    project.write("src/fine.sh", "echo hi\n");
    for arguments in [&["plan", "pipeline.yml"][..], &["run", "pipeline.yml"]] {
        let ran = project.amlrun(arguments).ended(0);
        let said = ran.out.clone() + &ran.err;
        assert!(said.contains("runs run.sh, which has Windows line endings"), "{said}");
        assert!(!said.contains("fine.sh, which"), "{said}");
    }
}

#[test]
fn commands_that_are_told_name_the_workspace_that_was_given() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("a", "false")));
    let ran = project.amlrun(&["--home", "my ws", "run", "pipeline.yml", "--name", "r"]).ended(1);
    for told in [
        "a failed: exit code 1",
        "details: amlrun --home 'my ws' job show -n r",
        "amlrun --home 'my ws' run --resume r",
    ] {
        assert!(ran.out.contains(told), "{}", ran.out);
    }
    let mut command = project.command(&["run", "pipeline.yml", "--name", "s"]);
    command.env("AMLRUN_HOME", project.path("other"));
    let ran = Ran::of(command).ended(1);
    assert!(ran.out.contains("a failed: exit code 1"), "{}", ran.out);
    assert!(ran.out.contains("details: amlrun job show -n s"), "the environment still says it: {}", ran.out);
}

#[test]
fn a_module_that_is_missing_is_told_with_what_to_do() {
    let command = "echo \"ModuleNotFoundError: No module named 'lightgbm'\"; exit 1";
    let project =
        Project::new().with("pipeline.yml", &pipeline(&node("a", command).replace("command: ", "command: >-\n      ")));
    let ran = project.run("pipeline.yml").ended(1);
    assert!(ran.out.contains("has no module 'lightgbm': install it"), "{}", ran.out);
}
