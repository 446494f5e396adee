//! Reuse is never wrong: a result is filed under what its step was really given, and whatever a step can see counts.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Project, Ran, node, pipeline};

/// A named pipe that a step reads from until the test writes to it.
fn gate(project: &Project) -> PathBuf {
    let gate = project.path("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    gate
}

fn open(gate: &Path) {
    std::fs::File::options().write(true).open(gate).unwrap().write_all(b"\n").unwrap();
}

/// One step that says what it does into its output `r`.
pub fn step(command: &str, more: &str) -> String {
    pipeline(&(node("a", &format!("{command} > ${{{{outputs.r}}}}")) + "    outputs: {r: {type: uri_file}}\n" + more))
}

impl Project {
    /// Runs the pipeline and gives what the step `a` wrote, or what the reused result holds.
    fn result(&self, name: &str) -> String {
        Self::result_of(self.command(&["run", "pipeline.yml", "--name", name, "--quiet"]));
        self.written(name)
    }

    pub fn result_of(command: Command) {
        Ran::of(command).ended(0);
    }

    pub fn written(&self, name: &str) -> String {
        let shown: Value = serde_json::from_str(&self.amlrun(&["job", "show", "-n", name]).ended(0).out).unwrap();
        let path = shown["jobs"]["a"]["outputs"]["r"]["path"].as_str().unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    pub fn was_reused(&self, name: &str) -> bool {
        let shown: Value = serde_json::from_str(&self.amlrun(&["job", "show", "-n", name]).ended(0).out).unwrap();
        !shown["jobs"]["a"]["reused_from"].is_null()
    }

    /// Starts a run and reads its JSON lines up to the first that `is` says yes of.
    fn start_to(&self, name: &str, is: impl Fn(&Value) -> bool) -> (std::process::Child, Lines) {
        let arguments = ["run", "pipeline.yml", "--name", name, "--output", "jsonl"];
        let mut child = self.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let mut lines: Lines = Box::new(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()));
        assert!(lines.by_ref().any(|line| is(&line)), "it never came so far");
        (child, lines)
    }
}

type Lines = Box<dyn Iterator<Item = Value>>;

#[test]
fn an_input_that_is_edited_while_its_step_runs_is_filed_under_what_the_step_was_given() {
    for mode in ["download", "ro_mount", "eval_download", "eval_mount"] {
        let project = Project::new();
        let gate = gate(&project);
        let table = mode.starts_with("eval");
        project.write("data/x.txt", "old");
        if table {
            project.write("data/MLTable", "paths: [{file: ./x.txt}]\n");
        }
        let kind = if table { "mltable" } else { "uri_folder" };
        let input = format!("    inputs: {{d: {{type: {kind}, path: ./data, mode: {mode}}}}}\n");
        let command = format!("echo ready >&2; read -r < {}; cat ${{{{inputs.d}}}}/x.txt", gate.display());
        project.write("pipeline.yml", &step(&command, &input));
        let (mut child, rest) = project.start_to("one", |line| line["text"] == "ready");
        project.write("data/x.txt", "new");
        open(&gate);
        rest.for_each(drop);
        assert!(child.wait().unwrap().success());
        assert_eq!(project.written("one"), "old", "{mode}");
        let opener = std::thread::spawn({
            let gate = gate.clone();
            move || open(&gate)
        });
        let second = project.result("two");
        assert_eq!(second, "new", "{mode}: a result of other bytes was reused");
        opener.join().unwrap();
    }
}

#[test]
fn an_input_that_is_edited_while_its_digest_is_still_to_be_read_is_not_filed_under_the_new_bytes() {
    let project = Project::new().with("data/x.txt", "old");
    let large = std::fs::File::create(project.path("large")).unwrap();
    // Read first: it keeps the thread that reads digests busy for a while.
    large.set_len(1 << 30).unwrap();
    let read = "cat ${{inputs.d}}/x.txt > ${{outputs.r}}";
    let nodes = node("z", "true")
        + "    inputs: {d: {type: uri_file, path: ./large}}\n"
        + &node("a", read)
        + "    inputs: {d: {type: uri_folder, path: ./data}, after: \"${{parent.jobs.z.outputs.o}}\"}\n"
        + "    outputs: {r: {type: uri_file}}\n";
    let nodes = nodes.replace("path: ./large}}\n", "path: ./large}}\n    outputs: {o: {type: uri_folder}}\n");
    project.write("pipeline.yml", &pipeline(&nodes));
    let (mut child, rest) = project.start_to("one", |line| line["event"] == "step_finished" && line["step"] == "a");
    project.write("data/x.txt", "new");
    rest.for_each(drop);
    assert!(child.wait().unwrap().success());
    assert_eq!(project.result("two"), "new");
}

/// What is changed, and how.
type Edit = (&'static str, fn(&Path));

#[test]
fn whatever_a_step_can_see_of_its_input_tells_two_trees_apart() {
    let edits: [Edit; 7] = [
        ("a program", |data| std::fs::set_permissions(data.join("x"), PermissionsExt::from_mode(0o755)).unwrap()),
        ("an empty folder", |data| std::fs::create_dir(data.join("empty")).unwrap()),
        ("a link", |data| symlink("x", data.join("link")).unwrap()),
        ("a link that points elsewhere", |data| {
            std::fs::remove_file(data.join("link")).unwrap();
            symlink("y", data.join("link")).unwrap();
        }),
        ("a name that is not Unicode", |data| {
            std::fs::rename(data.join("y"), data.join(std::ffi::OsStr::from_bytes(b"\xff"))).unwrap();
            std::fs::remove_file(data.join("link")).unwrap();
        }),
        ("another such name", |data| {
            let name = |bytes| data.join(std::ffi::OsStr::from_bytes(bytes));
            std::fs::rename(name(b"\xff"), name(b"\xfe")).unwrap();
        }),
        ("a backslash", |data| {
            std::fs::create_dir(data.join("b")).unwrap();
            std::fs::rename(data.join("x"), data.join("b/x")).unwrap();
        }),
    ];
    let project = Project::new().with("data/x", "1").with("data/y", "1");
    let command = "cd ${{inputs.d}}; LC_ALL=C ls -lRb --time-style=+ . | sed 's/^\\(..........\\).*  /\\1 /'";
    let input = "    inputs: {d: {type: uri_folder, path: ./data}}\n";
    project.write("pipeline.yml", &step(command, input));
    let mut before = project.result("r0");
    for (number, (what, edit)) in edits.into_iter().enumerate() {
        edit(&project.path("data"));
        let now = project.result(&format!("r{}", number + 1));
        assert_ne!(now, before, "{what} was not told apart");
        before = now;
    }
    std::fs::write(project.path("data/b\\c"), "1").unwrap();
    let with_backslash = project.result("backslash");
    std::fs::remove_file(project.path("data/b\\c")).unwrap();
    std::fs::write(project.path("data/b/c"), "1").unwrap();
    assert_ne!(project.result("folder"), with_backslash);
    assert!(project.result("again") == project.written("folder") && project.was_reused("again"));
}

#[test]
fn code_that_becomes_executable_is_other_code() {
    let project = Project::new().with("src/tool.sh", "#!/bin/sh\necho ran\n");
    project.write("pipeline.yml", &step("(./tool.sh || echo not executable) 2>/dev/null", "    code: ./src\n"));
    assert_eq!(project.result("one"), "not executable\n");
    std::fs::set_permissions(project.path("src/tool.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(project.result("two"), "ran\n");
    let why = project.amlrun(&["why", "two", "a"]).ended(0).out;
    assert!(why.contains("tool.sh of its code changed from not executable to executable"), "{why}");
}

#[test]
fn what_an_ignore_file_names_is_not_followed() {
    let project = Project::new().with("src/.amlignore", "venv/\n").with("src/x", "1");
    std::fs::create_dir_all(project.path("src/venv/bin")).unwrap();
    symlink("/no/such/python", project.path("src/venv/bin/python")).unwrap();
    project.write("pipeline.yml", &step("cat x", "    code: ./src\n"));
    assert_eq!(project.result("one"), "1");
}

/// Makes a virtual environment in the project and gives the folder of its packages.
pub fn venv(project: &Project) -> PathBuf {
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--without-pip", "venv"]).current_dir(project.path(""));
    assert!(make.status().unwrap().success());
    let lib = std::fs::read_dir(project.path("venv/lib")).unwrap().flatten().next().unwrap().path();
    lib.join("site-packages")
}

pub fn with_venv(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", project.path("venv/bin").display()));
    command
}

#[test]
fn packages_are_part_of_what_decides_a_result_also_where_the_command_names_no_python() {
    let project = Project::new().with("src/main.sh", "python -c 'import pkg; print(pkg.V)'\n");
    let packages = venv(&project);
    let install = |version: &str, value: &str| {
        for entry in std::fs::read_dir(&packages).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
            std::fs::remove_dir_all(entry.path()).unwrap();
        }
        let info = packages.join(format!("pkg-{version}.dist-info"));
        std::fs::create_dir_all(packages.join("pkg")).unwrap();
        std::fs::create_dir_all(&info).unwrap();
        std::fs::write(packages.join("pkg/__init__.py"), format!("V={value}\n")).unwrap();
        std::fs::write(info.join("METADATA"), format!("Metadata-Version: 2.1\nName: pkg\nVersion: {version}\n"))
            .unwrap();
    };
    project.write("pipeline.yml", &step("bash main.sh", "    code: ./src\n"));
    let run = |name: &str| {
        Project::result_of(with_venv(&project, &["run", "pipeline.yml", "--name", name, "--quiet"]));
        project.written(name)
    };
    install("1.0", "1");
    assert_eq!(run("one"), "1\n");
    assert_eq!(run("same"), "1\n");
    assert!(project.was_reused("same"));
    install("2.0", "2");
    assert_eq!(run("newer"), "2\n");
    let why = Ran::of(with_venv(&project, &["why", "newer", "a"])).ended(0).out;
    assert!(why.contains("the package pkg changed from 1.0 to 2.0"), "{why}");
    std::fs::write(packages.join("pkg/__init__.py"), "V=33\n").unwrap();
    assert_eq!(run("edited"), "33\n");
    let why = Ran::of(with_venv(&project, &["why", "edited", "a"])).ended(0).out;
    assert!(why.contains("an installed file of"), "{why}");
    // Outside of the environment it is another Python.
    assert_ne!(project.amlrun(&["run", "pipeline.yml", "--name", "outside", "--quiet"]).code, 0);
}

#[test]
fn a_package_that_is_installed_while_a_step_runs_is_not_what_its_result_is_filed_under() {
    let project = Project::new();
    let packages = venv(&project);
    let gate = gate(&project);
    std::fs::write(packages.join("pkg.py"), "V=1\n").unwrap();
    let command = format!("echo ready >&2; read -r < {}; python -c 'import pkg; print(pkg.V)'", gate.display());
    project.write("pipeline.yml", &step(&command, ""));
    let arguments = ["run", "pipeline.yml", "--name", "one", "--output", "jsonl"];
    let mut child = with_venv(&project, &arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(lines.by_ref().any(|line| line["text"] == "ready"));
    // Of another length: Python takes byte code of the same second and size for that of the new source.
    std::fs::write(packages.join("pkg.py"), "V=22\n").unwrap();
    open(&gate);
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    std::fs::write(packages.join("pkg.py"), "V=1\n").unwrap();
    let opener = std::thread::spawn(move || open(&gate));
    Project::result_of(with_venv(&project, &["run", "pipeline.yml", "--name", "two", "--quiet"]));
    assert_eq!(project.written("two"), "1\n");
    opener.join().unwrap();
}

#[test]
fn a_program_on_the_search_path_is_part_of_what_decides_a_result() {
    let project = Project::new();
    let tool = |text: &str| {
        project.write("bin/tool", &format!("#!/bin/sh\necho {text}\n"));
        std::fs::set_permissions(project.path("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    };
    let run = |name: &str| {
        let mut command = project.command(&["run", "pipeline.yml", "--name", name, "--quiet"]);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", project.path("bin").display()));
        Project::result_of(command);
        project.written(name)
    };
    project.write("pipeline.yml", &step("tool", ""));
    tool("v1");
    assert_eq!((run("one"), run("same"), project.was_reused("same")), ("v1\n".into(), "v1\n".into(), true));
    tool("v2");
    assert_eq!(run("two"), "v2\n");
    let why = project.amlrun(&["why", "two", "a"]).ended(0).out;
    assert!(why.contains("the program tool changed"), "{why}");
    // By way of a script that the command's script names.
    project.write("src/main.sh", ". ./parts/more.sh\n");
    project.write("src/parts/more.sh", "tool\n");
    project.write("pipeline.yml", &step("bash main.sh", "    code: ./src\n"));
    assert_eq!((run("script"), run("again"), project.was_reused("again")), ("v2\n".into(), "v2\n".into(), true));
    tool("v3");
    assert_eq!(run("newer"), "v3\n");
}

#[test]
fn a_program_that_is_replaced_while_a_step_runs_is_not_what_its_result_is_filed_under() {
    let project = Project::new();
    let gate = gate(&project);
    let tool = |text: &str| {
        project.write("bin/tool", &format!("#!/bin/sh\necho {text}\n"));
        std::fs::set_permissions(project.path("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    };
    project.write("pipeline.yml", &step(&format!("(tool; echo ready >&2; read -r < {})", gate.display()), ""));
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").unwrap());
    for (number, forced) in [&[][..], &["--force-rerun"]].into_iter().enumerate() {
        tool("v1");
        let name = format!("first{number}");
        let mut command = project.command(&["run", "pipeline.yml", "--output", "jsonl", "--name", &name]);
        let mut child = command.args(forced).env("PATH", &path).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        assert!(lines.by_ref().any(|line| line["text"] == "ready"));
        tool("v2");
        open(&gate);
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        let opener = std::thread::spawn({
            let gate = gate.clone();
            move || open(&gate)
        });
        let name = format!("second{number}");
        let mut command = project.command(&["run", "pipeline.yml", "--quiet", "--name", &name]);
        command.env("PATH", &path);
        Project::result_of(command);
        assert_eq!(project.written(&name), "v2\n", "{forced:?}");
        opener.join().unwrap();
        std::fs::remove_dir_all(project.path(".amlrun")).unwrap();
    }
}

#[test]
fn a_step_inherits_a_documented_list_of_variables_and_those_that_decide_count() {
    let project = Project::new();
    project.write("pipeline.yml", &step("echo \"seed=$SEED path=$PYTHONPATH tz=$TZ\"", ""));
    let run = |name: &str, variables: &[(&str, &str)]| {
        let mut command = project.command(&["run", "pipeline.yml", "--name", name]);
        command.env_remove("TZ").envs(variables.iter().copied());
        let ran = Ran::of(command).ended(0);
        (project.written(name), ran.out + &ran.err)
    };
    let (text, said) = run("one", &[("SEED", "1"), ("PYTHONPATH", "/x"), ("TZ", "UTC")]);
    assert_eq!(text, "seed= path= tz=UTC\n");
    assert!(said.contains("'a' uses $SEED, which is set in this shell but not passed to steps"), "{said}");
    run("two", &[("SEED", "2"), ("TZ", "UTC")]);
    assert!(project.was_reused("two"), "what a step does not see does not count");
    assert_eq!(run("three", &[("TZ", "CET")]).0, "seed= path= tz=CET\n");
    let why = project.amlrun(&["why", "three", "a"]).ended(0).out;
    assert!(why.contains("the shell variable TZ changed from UTC to CET"), "{why}");
    project.write("amlrun.toml", "pass_variables = [\"SEED\"]\n");
    assert_eq!(run("four", &[("SEED", "3"), ("TZ", "CET")]).0, "seed=3 path= tz=CET\n");
    assert_eq!(run("five", &[("SEED", "4"), ("TZ", "CET")]).0, "seed=4 path= tz=CET\n");
    let why = project.amlrun(&["why", "five", "a"]).ended(0).out;
    assert!(why.contains("the shell variable SEED changed") && !why.contains('4'), "{why}");
}

#[test]
fn a_step_that_waits_for_a_digest_hears_that_the_run_shall_stop() {
    let project = Project::new();
    // So large that reading it would take hours, and no byte of it is on the disk.
    let nodes = node("big", "truncate -s ${{inputs.size}} ${{outputs.o}}/big")
        + "    inputs: {size: \"1\"}\n    outputs: {o: {type: uri_folder}}\n"
        + &node("a", "ls ${{inputs.d}}")
        + "    inputs: {d: \"${{parent.jobs.big.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&nodes));
    project.amlrun(&["run", "pipeline.yml", "--name", "seed", "--quiet"]).ended(0);
    // Where a second signal shall end it, the grace time would not.
    for (name, size, signals, code, grace) in [
        ("int", "7T", &[Signal::SIGINT, Signal::SIGINT][..], 130, "100000"),
        ("term", "6T", &[Signal::SIGTERM, Signal::SIGTERM][..], 143, "100000"),
        ("once", "5T", &[Signal::SIGINT][..], 130, "1"),
    ] {
        let set = format!("jobs.big.inputs.size={size}");
        let arguments = ["run", "pipeline.yml", "--name", name, "--output", "jsonl", "--set", &set, "--grace", grace];
        let mut child = project.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        assert!(lines.by_ref().any(|line| line["event"] == "step_finished" && line["step"] == "big"));
        let id = Pid::from_raw(child.id().cast_signed());
        let mut last = Vec::new();
        for (number, signal) in signals.iter().enumerate() {
            kill(id, *signal).unwrap();
            // One after the other: the system counts two that come at once as one.
            if number == 0 {
                last.extend(lines.by_ref().take_while(|line| line["event"] != "cancel_requested"));
            }
        }
        last.extend(lines);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        assert!(last.iter().any(|line| line["status"] == "Canceled"), "{name}: {last:?}");
    }
}
