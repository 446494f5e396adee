//! What is recorded of a step: its processes while it runs, its command when it could not start, and what a rerun of a
//! step with a substitute does.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Project, Ran, node, pipeline};

#[test]
fn the_process_groups_of_a_running_step_are_shown() {
    let command = "type: command\ncommand: echo begun; sleep 600; true\nenvironment: azureml:e:1\n";
    let project = Project::new().with("command.yml", command);
    let (mut runner, rest) = project.start_until(&["command.yml"], "begun");
    let groups = project.shown()["process_groups"].clone();
    let group: i32 = serde_json::from_value(groups[0].clone()).unwrap();
    // Whoever sends a signal there reaches the step.
    killpg(Pid::from_raw(group), Signal::SIGTERM).unwrap();
    let ended = rest.last().unwrap();
    assert_eq!(ended["event"], "run_finished");
    assert!(!runner.wait().unwrap().success());
    assert_eq!(project.shown()["process_groups"], Value::Null);
}

#[test]
fn a_step_that_cannot_start_keeps_its_command_in_the_record() {
    let long = "x".repeat(200_000);
    let variable = format!("    environment_variables: {{LONG: {long}}}\n");
    let project = Project::new().with("pipeline.yml", &pipeline(&format!("{}{variable}", node("a", "echo never"))));
    project.run("pipeline.yml").ended(1);
    let step = &project.shown()["jobs"]["a"];
    assert_eq!(step["command"], "echo never");
    assert!(step["start_time"].is_string(), "{step}");
    assert!(step["error"].as_str().unwrap().contains("cannot start"), "{step}");
}

#[test]
fn a_rerun_of_a_step_with_a_substitute_runs_its_command() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("a", "echo ran")));
    project.write("amlrun.toml", "[steps.a]\npolicy = \"skip\"\n");
    project.run("pipeline.yml").ended(0);
    let ran = project.amlrun(&["step", "rerun", "r", "a"]).ended(0);
    assert!(ran.out.contains("a | ran"), "{}", ran.out);
}

#[test]
fn scripts_find_python_where_only_python3_is_installed() {
    let project = Project::new().with("src/run.sh", "#!/bin/bash\npython -c 'print(6 * 7)'\n");
    std::fs::set_permissions(project.path("src/run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let scripted = format!("{}    code: ./src\n", node("b", "./run.sh"));
    project.write("pipeline.yml", &pipeline(&format!("{}{scripted}", node("a", "python -c 'print(1)'"))));
    std::fs::create_dir(project.path("bin")).unwrap();
    let search = std::env::var_os("PATH").unwrap();
    for program in ["bash", "env"] {
        let found = std::env::split_paths(&search).map(|folder| folder.join(program)).find(|path| path.is_file());
        symlink(found.unwrap(), project.path("bin").join(program)).unwrap();
    }
    // Not a version manager's script, which needs more programs than these.
    let mut ask = std::process::Command::new("python3");
    ask.args(["-c", "import sys; print(sys.executable)"]);
    symlink(Ran::of(ask).ended(0).out.trim(), project.path("bin/python3")).unwrap();
    let mut command = project.command(&["run", "pipeline.yml"]);
    command.env("PATH", project.path("bin"));
    let ran = Ran::of(command).ended(0);
    assert!(ran.out.contains("b | 42"), "{}", ran.out);
}
