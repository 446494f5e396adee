//! What is known of an interpreter's packages: where there may be some, and that nobody runs a project's code to find out.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::reuse_exact::{step, venv, with_venv};
use crate::support::{Project, Ran, node, pipeline};

fn run(project: &Project, name: &str) -> String {
    let mut command = with_venv(project, &["run", "pipeline.yml", "--name", name, "--quiet"]);
    command.env("HOME", project.path("home"));
    Project::result_of(command);
    project.written(name)
}

#[test]
fn the_first_package_of_the_user_counts() {
    let project = Project::new();
    let site = venv(&project);
    // An environment that looks into the system's and the user's packages as well.
    let settings = project.read("venv/pyvenv.cfg").replace("= false", "= true");
    project.write("venv/pyvenv.cfg", &settings);
    project.write("home/x", "");
    let command = "python -c 'import importlib.util as u; print(u.find_spec(\"of_the_user\") is not None)'";
    project.write("pipeline.yml", &step(command, ""));
    assert_eq!(run(&project, "one"), "False\n");
    assert_eq!(run(&project, "same"), "False\n");
    assert!(project.was_reused("same"));
    let version = site.parent().unwrap().file_name().unwrap().to_owned();
    let packages = project.path("home/.local/lib").join(version).join("site-packages");
    std::fs::create_dir_all(&packages).unwrap();
    std::fs::write(packages.join("of_the_user.py"), "").unwrap();
    assert_eq!(run(&project, "installed"), "True\n");
}

#[test]
fn a_package_counts_for_the_steps_that_find_its_interpreter() {
    let project = Project::new();
    let packages = venv(&project);
    let elsewhere = project.path("elsewhere").display().to_string();
    let own = format!("    environment_variables: {{PATH: \"{elsewhere}:/usr/bin:/bin\"}}\n");
    let other = format!("{}{own}", node("other", "echo 1"));
    project.write("pipeline.yml", &pipeline(&format!("{}{other}", node("usual", "echo 1"))));
    let run = |name: &str| Ran::of(with_venv(&project, &["run", "pipeline.yml", "--name", name])).ended(0).out;
    run("one");
    let again = run("again");
    assert!(again.contains("usual reused") && again.contains("other reused"), "{again}");
    std::fs::create_dir(packages.join("click-8.1.7.dist-info")).unwrap();
    let info = "Metadata-Version: 2.1\nName: click\nVersion: 8.1.7\n";
    std::fs::write(packages.join("click-8.1.7.dist-info/METADATA"), info).unwrap();
    let installed = run("installed");
    assert!(installed.contains("usual started") && installed.contains("other reused"), "{installed}");
}

#[test]
fn an_edit_behind_a_linked_package_counts() {
    let project = Project::new();
    let packages = venv(&project);
    project.write("home/x", "");
    project.write("elsewhere/pkg/inner/value.py", "V=1\n");
    project.write("elsewhere/pkg/__init__.py", "");
    project.write("elsewhere/pkg/inner/__init__.py", "");
    symlink(project.path("elsewhere/pkg"), packages.join("pkg")).unwrap();
    // In a circle, and still read to its end.
    symlink(project.path("elsewhere/pkg"), project.path("elsewhere/pkg/again")).unwrap();
    project.write("pipeline.yml", &step("python -c 'from pkg.inner.value import V; print(V)'", ""));
    assert_eq!(run(&project, "one"), "1\n");
    assert_eq!(run(&project, "same"), "1\n");
    assert!(project.was_reused("same"));
    project.write("elsewhere/pkg/inner/value.py", "V=22\n");
    assert_eq!(run(&project, "edited"), "22\n");
}

#[test]
fn nothing_of_the_project_is_imported_for_a_look() {
    let project = Project::new();
    let packages = venv(&project);
    project.write("home/x", "");
    std::fs::write(packages.join("pkg.py"), "V=1\n").unwrap();
    for module in ["json", "calendar", "os", "site", "importlib"] {
        let mark = project.path("was-run");
        project.write(&format!("{module}.py"), &format!("open({mark:?}, 'w')\n"));
    }
    project.write("pipeline.yml", &step("cd /; python -c 'import pkg; print(pkg.V)'", "    code: ./src\n"));
    project.write("src/x", "");
    assert_eq!(run(&project, "one"), "1\n");
    assert!(!project.path("was-run").exists());
    assert_eq!(run(&project, "same"), "1\n");
    assert!(project.was_reused("same"));
    std::fs::write(packages.join("pkg.py"), "V=22\n").unwrap();
    assert_eq!(run(&project, "edited"), "22\n");
}

#[test]
fn no_program_of_a_strangers_project_is_started_for_a_look() {
    let project = Project::new();
    let mark = project.path("was-run");
    project.write("bin/python3", &format!("#!/bin/sh\ntouch {}\nexec /usr/bin/env python3 \"$@\"\n", mark.display()));
    std::fs::set_permissions(project.path("bin/python3"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // It comes with a workspace, as one that ran does.
    project.write(".amlrun/reuse/v1/x", "");
    let absolute = project.path("bin").display().to_string();
    for (command, path) in [
        ("python3 -c pass", Some("bin")),
        ("python3 -c pass", Some(absolute.as_str())),
        ("/proc/self/cwd/bin/python3", None),
    ] {
        let variables = path.map(|path| format!("    environment_variables: {{PATH: \"{path}\"}}\n"));
        project.write("pipeline.yml", &step(command, &variables.unwrap_or_default()));
        let plan = Ran::of(project.command(&["plan", "pipeline.yml"])).ended(0);
        assert!(plan.out.contains("1 to run"), "{}", plan.out);
        assert!(!mark.exists(), "{command} with {path:?}");
    }
}

#[test]
fn an_interpreter_that_says_nothing_of_use_has_no_results() {
    let project = Project::new();
    venv(&project);
    project.write("home/x", "");
    project.write("pipeline.yml", &step("echo 1", ""));
    let python = project.path("venv/bin/python");
    std::fs::remove_file(&python).unwrap();
    std::fs::write(&python, "#!/bin/sh\necho nonsense\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&project, "one"), "1\n");
    assert_eq!(run(&project, "again"), "1\n");
    assert!(!project.was_reused("again"), "what it has is not known");
    // One that cannot be started gives nothing to steps either.
    std::fs::write(&python, "#!/bin/sh\nexit 127\n").unwrap();
    run(&project, "broken");
    run(&project, "still");
    assert!(project.was_reused("still"));
}
