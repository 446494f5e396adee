//! A step cannot change the data that a `ro_mount` input names: on Azure ML the mount is read-only.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::support::{Project, node, pipeline, skipped};

const WARNED: &str = "it wrote to its input 'd'";

/// One step with the input `d`.
fn job(command: &str, kind: &str, path: &str) -> String {
    pipeline(&(node("a", command) + &format!("    inputs: {{d: {{type: {kind}, path: {path}}}}}\n")))
}

/// Every file of `data` with its text and mode, and every folder.
fn state(project: &Project) -> Vec<(String, String, u32)> {
    let mut found = Vec::new();
    let mut open = vec![project.path("data")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let about = entry.symlink_metadata().unwrap();
            let text = if about.is_file() { fs::read_to_string(&entry).unwrap() } else { String::new() };
            found.push((entry.display().to_string(), text, about.permissions().mode()));
            if about.is_dir() {
                open.push(entry);
            }
        }
    }
    found.sort();
    found
}

fn project() -> Project {
    let project = Project::new().with("data/x.csv", "1,2\n").with("data/sub/y.csv", "3\n").with("outside/z.csv", "4\n");
    fs::create_dir(project.path("data/empty")).unwrap();
    symlink("../outside/z.csv", project.path("data/link.csv")).unwrap();
    project
}

#[test]
fn what_a_step_writes_to_its_input_does_not_reach_the_users_data() {
    let file = "${{inputs.d}}";
    for (kind, path, command) in [
        ("uri_file", "data/x.csv", format!("echo more >> {file}")),
        ("uri_file", "data/x.csv", format!("sed -i s/1/9/ {file}")),
        ("uri_file", "data/x.csv", format!("rm {file}")),
        ("uri_file", "data/x.csv", format!("mv {file} {file}.bak")),
        ("uri_folder", "data", format!("echo new > {file}/new.csv")),
        ("uri_folder", "data", format!("echo 9 > {file}/sub/y.csv")),
        ("uri_folder", "data", format!("echo 9 > {file}/link.csv")),
        ("uri_folder", "data", format!("echo 9 > {file}/empty/new.csv")),
        ("uri_folder", "data", format!("rm -r {file}/sub")),
        ("uri_folder", "data", format!("chmod +x {file}/x.csv")),
        ("uri_folder", "data", format!("cd {file} && rm -rf ./*")),
    ] {
        let project = project();
        let before = state(&project);
        project.write("pipeline.yml", &job(&command, kind, path));
        let ran = project.run("pipeline.yml").ended(0);
        assert_eq!(state(&project), before, "{command}");
        assert_eq!(project.read("outside/z.csv"), "4\n", "{command}");
        assert!(ran.out.contains(WARNED) && ran.out.contains("on Azure ML"), "{command}: {}", ran.out);
        // The same happens again, and is said again.
        assert!(
            project.amlrun(&["run", "pipeline.yml"]).ended(0).out.contains(WARNED),
            "{command}: its result was reused"
        );
    }
}

#[test]
fn a_step_sees_its_input_as_it_is_and_leaves_no_copy_behind() {
    let project = project();
    let command = "cd ${{inputs.d}} && cat x.csv sub/y.csv link.csv && ls -d empty && basename $PWD";
    project.write("pipeline.yml", &job(command, "uri_folder", "data"));
    let ran = project.run("pipeline.yml").ended(0);
    assert!(!ran.out.contains(WARNED), "{}", ran.out);
    assert_eq!(project.log("a"), "1,2\n3\n4\nempty\ndata\n");
    let left = Command::new("find").arg(project.path(".amlrun")).args(["-name", "x.csv"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn outputs_may_link_to_an_input_and_a_copy_has_the_times_of_the_files() {
    let project = project().with("data/new.ckpt", "n");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(project.path("data/x.csv")).unwrap().set_modified(old).unwrap();
    let link = "ln -s ${{inputs.d}}/x.csv ${{outputs.o}}/soft; ln ${{inputs.d}}/sub/y.csv ${{outputs.o}}/hard; \
                cd ${{inputs.d}}; test new.ckpt -nt x.csv";
    let steps = node("a", link)
        + "    inputs: {d: {type: uri_folder, path: data}}\n    outputs: {o: }\n"
        + &node("b", "cat ${{inputs.o}}/soft ${{inputs.o}}/hard")
        + "    inputs: {o: '${{parent.jobs.a.outputs.o}}'}\n";
    project.write("pipeline.yml", &pipeline(&steps));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("b"), "1,2\n3\n");
    project.amlrun(&["run", "pipeline.yml", "--name", "second"]).ended(0);
    let shown = project.amlrun(&["logs", "second", "b"]).ended(0);
    assert!(shown.out.contains("1,2\n3\n"), "{}", shown.out);
}

#[test]
fn names_that_are_listed_in_another_form_are_as_they_are_for_a_step() {
    let project = project().with("data/a\\b", "odd");
    project.write("pipeline.yml", &job("cd ${{inputs.d}} && ls a*", "uri_folder", "data"));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "a\\b\n");
}

#[test]
fn what_a_step_writes_beside_its_input_is_reported() {
    let project = project();
    let command = "echo side > $(dirname ${{inputs.d}})/side.txt";
    project.write("pipeline.yml", &job(command, "uri_file", "data/x.csv"));
    assert!(project.run("pipeline.yml").ended(0).out.contains(WARNED));
    assert!(!project.path("data/side.txt").exists());
}

#[test]
fn byte_code_of_python_in_an_input_is_no_change() {
    let project = project().with("data/helper.py", "VALUE = 1\n");
    let command = "mkdir ${{inputs.d}}/__pycache__ && echo x > ${{inputs.d}}/__pycache__/helper.pyc";
    project.write("pipeline.yml", &job(command, "uri_folder", "data"));
    let ran = project.run("pipeline.yml").ended(0);
    assert!(!ran.out.contains(WARNED), "{}", ran.out);
    assert!(project.amlrun(&["plan", "pipeline.yml"]).ended(0).out.contains("reuse"));
    assert!(!project.path("data/__pycache__").exists());
}

#[test]
fn another_try_gets_the_data_that_the_one_before_spoilt() {
    let project = project().with("amlrun.toml", "[steps.a]\nretries = 1\n");
    let command = "cat ${{inputs.d}}; echo spoilt > ${{inputs.d}}; test -e ../second || { touch ../second; exit 1; }";
    project.write("pipeline.yml", &job(command, "uri_file", "data/x.csv"));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "1,2\n");
    assert_eq!(project.read("data/x.csv"), "1,2\n");
}

#[test]
fn who_looks_at_a_step_cannot_change_its_input_either() {
    let project = project();
    project.write("pipeline.yml", &job("cat ${{inputs.d}}", "uri_file", "data/x.csv"));
    project.command(&["run", "pipeline.yml", "--name", "one"]).status().unwrap();
    let ran = project.amlrun(&["shell", "one", "a", "-c", "echo spoilt > $AZURE_ML_INPUT_d"]);
    ran.ended(0);
    assert_eq!(project.read("data/x.csv"), "1,2\n");
}

#[test]
fn a_folder_that_holds_the_workspace_can_be_an_input() {
    let project = project();
    project.write("pipeline.yml", &job("cat ${{inputs.d}}/data/x.csv; echo made > outputs/o", "uri_folder", "."));
    project.run("pipeline.yml").ended(0);
    assert_eq!(project.log("a"), "1,2\n");
}

/// Files that are too large for a copy: where the kernel gives no view of the file system to a process of its own, they are
/// watched.
#[test]
fn a_large_input_is_read_only_where_the_kernel_allows_it_and_watched_where_it_does_not() {
    for (kind, path, file) in [("uri_folder", "data", "/x.csv"), ("uri_file", "data/large.bin", "")] {
        let project = project();
        let hard = "    environment_variables: {AMLRUN_HOME: \"\", CLICOLOR: x}\n";
        let large = project.path("data/large.bin");
        fs::File::create(&large).unwrap().set_len(64 << 20).unwrap();
        let mut trial = project.command(&["__read-only", "--path"]);
        let mounts = trial.arg(project.path("data")).output().unwrap().status.success();
        let command = format!("echo ran > outputs/o; echo spoilt >> ${{{{inputs.d}}}}{file}");
        project.write("pipeline.yml", &(job(&command, kind, path) + hard));
        let before = (project.read("data/x.csv"), large.metadata().unwrap().len());
        let ran = project.run("pipeline.yml");
        if mounts {
            ran.ended(1);
            assert!(project.log("a").contains("Read-only file system"), "{}", project.log("a"));
            assert_eq!((project.read("data/x.csv"), large.metadata().unwrap().len()), before);
        } else {
            skipped("no read-only mount can be made here");
            assert!(ran.ended(0).out.contains("its input 'd' changed while it ran"));
        }
        // Nobody else is hindered.
        fs::write(project.path("data/x.csv"), "5\n").unwrap();
    }
}
