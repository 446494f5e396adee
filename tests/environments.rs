//! Environments that are built from what a file names. Packages come from wheels that the tests make, and from a package
//! index on loopback, so nothing is fetched from outside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::support::{Project, Ran, SmallDisk, node, pipeline};

/// Makes the wheel of a package `tool` whose module prints its version.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
folder, version = sys.argv[1:]
with zipfile.ZipFile(f"{folder}/tool-{version}-py3-none-any.whl", "w") as wheel:
    info = f"tool-{version}.dist-info"
    files = {
        "tool.py": f"VERSION = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tool\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    for name, text in files.items():
        wheel.writestr(name, text)
"#;

pub fn wheel(project: &Project, version: &str) {
    std::fs::create_dir_all(project.path("wheels")).unwrap();
    let mut make = Command::new("python3");
    make.args(["-c", MAKE_WHEEL]).arg(project.path("wheels")).arg(version);
    assert!(make.status().unwrap().success());
}

pub fn conda(version: &str, options: &str) -> String {
    format!("name: tools\ndependencies:\n- python\n- pip:\n{options}  - tool=={version}\n")
}

/// A project whose conda file takes `tool` from the folder `wheels`.
pub fn project(version: &str) -> Project {
    let project = Project::new();
    wheel(&project, version);
    project.write("conda.yml", &conda(version, "  - --no-index\n  - --find-links ./wheels\n"));
    project
}

pub fn step(name: &str) -> String {
    let command = "python -c 'import tool; print(tool.VERSION)' > ${{outputs.r}}";
    let node = node(name, command).replace("azureml:any@latest", "{image: python, conda_file: ./conda.yml}");
    format!("{node}    outputs: {{r: {{type: uri_file}}}}\n")
}

/// `amlrun` with environments that are built, as by default, and a cache folder of the project's own.
pub fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env("XDG_CACHE_HOME", project.path("cache")).env_remove("AMLRUN_ENVIRONMENT");
    command
}

pub fn run(project: &Project, name: &str) -> Ran {
    Ran::of(command(project, &["run", "pipeline.yml", "--name", name]))
}

/// What a step of a run wrote.
pub fn written(project: &Project, name: &str, step: &str) -> String {
    let shown: Value = serde_json::from_str(&project.amlrun(&["job", "show", "-n", name]).ended(0).out).unwrap();
    std::fs::read_to_string(shown["jobs"][step]["outputs"]["r"]["path"].as_str().unwrap()).unwrap()
}

#[test]
fn a_step_gets_the_packages_of_its_conda_file_and_they_decide_about_reuse() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    let plan = Ran::of(command(&project, &["plan", "pipeline.yml"])).ended(0);
    assert!(plan.out.contains("environment 'tools' (conda file): 1 step, to be built"), "{}", plan.out);
    let first = run(&project, "one").ended(0);
    assert!(first.out.contains("building the environment 'tools' (conda file)"), "{}", first.out);
    assert_eq!(written(&project, "one", "a"), "1.0\n");
    let second = run(&project, "two").ended(0);
    assert!(second.out.contains("a reused from one-a"), "{}", second.out);
    assert!(!second.out.contains("building"), "{}", second.out);
    // Built again with the same versions, it is the same.
    std::fs::remove_dir_all(project.path("cache")).unwrap();
    let rebuilt = run(&project, "rebuilt").ended(0);
    assert!(rebuilt.out.contains("building") && rebuilt.out.contains("a reused from one-a"), "{}", rebuilt.out);
    wheel(&project, "1.1");
    project.write("conda.yml", &conda("1.1", "  - --no-index\n  - --find-links ./wheels\n"));
    run(&project, "three").ended(0);
    assert_eq!(written(&project, "three", "a"), "1.1\n");
    // On this machine itself the step is another one, too.
    let plan = project.amlrun(&["plan", "pipeline.yml"]).ended(0);
    assert!(plan.out.contains("1 to run"), "{}", plan.out);
}

#[test]
fn the_content_of_the_users_own_files_decides() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    wheel(&project, "1.1");
    project.write("pins.txt", "tool==1.0\n");
    // Paths start at the conda file, with or without a dot before them.
    let options = "  - --no-index\n  - --find-links wheels\n  - -c pins.txt\n";
    project.write("conda.yml", &conda("1.0", options).replace("tool==1.0", "tool"));
    run(&project, "one").ended(0);
    assert_eq!(written(&project, "one", "a"), "1.0\n");
    project.write("pins.txt", "tool==1.1\n");
    let plan = Ran::of(command(&project, &["plan", "pipeline.yml"])).ended(0);
    assert!(plan.out.contains("a  run       its environment 'tools' is not built yet\n"), "{}", plan.out);
    run(&project, "two").ended(0);
    assert_eq!(written(&project, "two", "a"), "1.1\n");
    // Another file with the same version is another environment, too.
    let mut make = Command::new("python3");
    let text = MAKE_WHEEL.replace("VERSION = '{version}'", "VERSION = 'new'");
    make.args(["-c", &text]).arg(project.path("wheels")).arg("1.1");
    assert!(make.status().unwrap().success());
    run(&project, "three").ended(0);
    assert_eq!(written(&project, "three", "a"), "new\n");
}

#[test]
fn steps_and_runs_share_one_environment_that_is_built_once() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&format!("{}{}{}", step("a"), step("b"), step("c"))));
    let other = Project::new().with("pipeline.yml", &pipeline(&step("d")));
    // The same content from another workspace: absolute paths make it the same definition.
    let wheels = format!("  - --no-index\n  - --find-links {}\n", project.path("wheels").display());
    project.write("conda.yml", &conda("1.0", &wheels));
    other.write("conda.yml", &conda("1.0", &wheels));
    let mut beside = command(&other, &["run", "pipeline.yml", "--name", "beside"]);
    let beside = beside.env("XDG_CACHE_HOME", project.path("cache")).stdout(Stdio::piped()).spawn().unwrap();
    let own = run(&project, "own").ended(0);
    let beside = beside.wait_with_output().unwrap();
    assert!(beside.status.success());
    let builds = |text: &str| text.matches("building the environment").count();
    assert_eq!(builds(&own.out) + builds(&String::from_utf8(beside.stdout).unwrap()), 1);
    for step in ["a", "b", "c"] {
        assert_eq!(written(&project, "own", step), "1.0\n");
    }
}

#[test]
fn an_environment_that_cannot_be_built_fails_its_steps_and_no_others() {
    let project = project("1.0");
    project.write("conda.yml", &conda("9.9", "  - --no-index\n  - --find-links ./wheels\n"));
    let free = node("free", "echo ran");
    project.write("pipeline.yml", &pipeline(&format!("{}{}{free}", step("a"), step("b"))));
    let ran = run(&project, "r").ended(1);
    assert_eq!(ran.out.matches("building the environment").count(), 1, "the second step does not try again");
    assert!(ran.out.contains("free | ran"), "{}", ran.out);
    for part in ["the environment 'tools' (conda file) cannot be built", "tool==9.9", "build.log"] {
        assert!(ran.out.contains(part), "{}", ran.out);
    }
    assert!(!ran.out.contains("a | "), "{}", ran.out);
}

#[test]
fn a_package_that_only_conda_has_is_named_before_anything_is_built() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    project.write("conda.yml", "dependencies: [python, r-base=4.1]\n");
    let ran = run(&project, "r").ended(1);
    assert!(ran.err.contains("the step 'a' cannot run") && ran.err.contains("r-base=4.1"), "{}", ran.err);
    assert!(!project.path(".amlrun/runs/r").exists());
}

#[test]
fn the_project_can_say_what_a_name_stands_for() {
    let project = project("1.0");
    project.write("requirements.txt", "--no-index\n--find-links ./wheels\ntool==1.0\n");
    project.write("amlrun.toml", "[environments.\"my-tools\"]\nrequirements = \"requirements.txt\"\n");
    let command = "python -c 'import tool; print(tool.VERSION)'";
    project.write("pipeline.yml", &pipeline(&format!("{}    environment: azureml:my-tools:3\n", node("a", command))));
    let mut run = project.command(&["run", "pipeline.yml"]);
    run.env("XDG_CACHE_HOME", project.path("cache"));
    let ran = Ran::of(run).ended(0);
    assert!(ran.out.contains("'my-tools' (amlrun.toml)") && ran.out.contains("a | 1.0"), "{}", ran.out);
}

#[test]
fn a_resumed_run_keeps_its_environments() {
    let project = project("1.0");
    let ready = project.path("ready");
    let fails = format!("python -c 'import tool; print(tool.VERSION)' && test -e {}", ready.display());
    let environment = "    environment: {image: python, conda_file: ./conda.yml}\n";
    project.write("pipeline.yml", &pipeline(&format!("{}{environment}", node("a", &fails))));
    run(&project, "r").ended(1);
    std::fs::write(ready, "").unwrap();
    // The project's setting is another one meanwhile.
    project.write("amlrun.toml", "[environments]\ndefault = \"host\"\n");
    let ran = Ran::of(command(&project, &["run", "--resume", "r"])).ended(0);
    assert!(ran.out.contains("a | 1.0"), "{}", ran.out);
}

/// A package index on loopback. The first request is not answered: it shows that a build is under way, and its end.
struct Index {
    address: String,
    first: mpsc::Receiver<TcpStream>,
}

impl Index {
    fn of(project: &Project) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let file = "tool-1.0-py3-none-any.whl";
        let wheel = std::fs::read(project.path("wheels").join(file)).unwrap();
        let (send, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut held = false;
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if !std::mem::replace(&mut held, true) {
                    send.send(stream).unwrap();
                    continue;
                }
                let mut header = String::new();
                while reader.read_line(&mut header).is_ok_and(|read| read > 2) {
                    header.clear();
                }
                let page = format!("<a href=\"/{file}\">{file}</a>").into_bytes();
                let (kind, body) =
                    if line.contains(".whl") { ("application/zip", &wheel) } else { ("text/html", &page) };
                let length = body.len();
                let mut stream = stream;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            }
        });
        Self { address, first }
    }
}

#[test]
fn a_build_ends_with_its_runner_and_is_made_again() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    let index = Index::of(&project);
    let options = format!("  - --index-url http://{}/simple\n", index.address);
    project.write("conda.yml", &conda("1.0", &options));
    let mut runner = command(&project, &["run", "pipeline.yml", "--name", "killed"]).spawn().unwrap();
    let mut request = index.first.recv().unwrap();
    runner.kill().unwrap();
    runner.wait().unwrap();
    // The installer is gone when its end of the connection is closed.
    let mut rest = Vec::new();
    let _ = request.read_to_end(&mut rest);
    run(&project, "again").ended(0);
    assert_eq!(written(&project, "again", "a"), "1.0\n");
    // What was built needs no index any more.
    let removed = project.path("wheels");
    std::fs::remove_dir_all(removed).unwrap();
    let offline = Ran::of(command(&project, &["run", "pipeline.yml", "--name", "offline", "--force-rerun"])).ended(0);
    assert!(!offline.out.contains("building"), "{}", offline.out);
    assert_eq!(written(&project, "offline", "a"), "1.0\n");
}

#[test]
fn without_a_network_the_error_says_so() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    // Nobody listens on a port that was just given back.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    project.write("conda.yml", &conda("1.0", &format!("  - --index-url http://{address}/simple\n")));
    let mut command = command(&project, &["run", "pipeline.yml", "--name", "r"]);
    command.env("PIP_RETRIES", "1").env("UV_HTTP_RETRIES", "0");
    let ran = Ran::of(command).ended(1);
    assert!(ran.out.contains("the package index cannot be reached"), "{}", ran.out);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_the_reason_that_is_shown_and_what_was_built_is_removed() {
    let project = project("1.0").with("pipeline.yml", &pipeline(&step("a")));
    let Some(_disk) = SmallDisk::mount(&project) else { return };
    let mut full = command(&project, &["run", "pipeline.yml", "--name", "full"]);
    let ran = Ran::of(full.env("XDG_CACHE_HOME", project.path("disk"))).ended(1);
    assert!(ran.out.contains("cannot be built: the disk is full"), "{}", ran.out);
    let mut built = walkdir::WalkDir::new(project.path("disk/amlrun/environments")).into_iter().flatten();
    assert!(built.all(|entry| entry.file_name() != "env"));
    run(&project, "r").ended(0);
    assert_eq!(written(&project, "r", "a"), "1.0\n");
}
