//! Steps in real containers. `make test-containers` prepares podman and an image, and sets `AMLRUN_TEST_IMAGE`; without it
//! these tests do nothing and say so.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};
use std::sync::Once;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{PATIENCE, Project, Ran, pipeline, skipped};

/// A project whose steps run in containers of an image.
struct Containers {
    project: Project,
    image: String,
}

/// `None` where no containers are prepared.
fn containers() -> Option<Containers> {
    match std::env::var("AMLRUN_TEST_IMAGE") {
        Ok(image) => Some(Containers { project: Project::new(), image }),
        Err(_) => {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                skipped("real containers, and all tests beside this one: make test-containers runs them");
            });
            None
        }
    }
}

impl Containers {
    /// An inline node in the image. `more` is further fields, indented by four.
    fn node(&self, name: &str, command: &str, more: &str) -> String {
        let image = &self.image;
        format!("  {name}:\n    type: command\n    environment: {{image: {image}}}\n    command: {command:?}\n{more}")
    }

    fn write(&self, nodes: &str) {
        self.project.write("pipeline.yml", &pipeline(nodes));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.args(["--environment", "container"]).env("AMLRUN_CONTAINER_ENGINE", "podman");
        // scripts/containers.py removes images with this label.
        command.env("AMLRUN_BUILD_OPTIONS", "--label=amlrun.test=yes");
        // The storage of the user's images, which is not the tests' own.
        command.env("XDG_CACHE_HOME", self.project.path("cache"));
        command
    }

    fn run(&self, name: &str) -> Ran {
        Ran::of(self.command(&["run", "pipeline.yml", "--name", name]))
    }

    /// Starts the run `r` and waits until a step prints `ready`.
    fn start(&self) -> (std::process::Child, impl Iterator<Item = Value> + use<>) {
        self.project.start_with(self.command(&["run", "pipeline.yml", "--name", "r", "--output", "jsonl"]), "ready")
    }

    /// The containers of the run `r` that are there, running or not.
    fn left(&self) -> Vec<String> {
        let label = format!("label=amlrun.run={}", self.project.path(".amlrun/runs/r").display());
        // It fails when a container is removed while it looks.
        let list = || Command::new("podman").args(["ps", "--all", "--quiet", "--filter", &label]).output().unwrap();
        let listed = (0..20).map(|_| list()).find(|listed| listed.status.success()).unwrap();
        String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until no container is left.
    fn until_none_is_left(&self) {
        let since = std::time::Instant::now();
        while !self.left().is_empty() {
            assert!(since.elapsed() < PATIENCE, "a container is left: {:?}", self.left());
        }
    }

    /// What a step of a run wrote to its output `r`.
    fn written(&self, name: &str, step: &str) -> String {
        let shown: Value =
            serde_json::from_str(&self.project.amlrun(&["job", "show", "-n", name]).ended(0).out).unwrap();
        std::fs::read_to_string(shown["jobs"][step]["outputs"]["r"]["path"].as_str().unwrap()).unwrap()
    }
}

fn podman(arguments: &[&str]) -> String {
    let ran = Command::new("podman").args(arguments).output().unwrap();
    assert!(ran.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn a_step_gets_its_image_its_files_and_its_variables_only() {
    let Some(containers) = containers() else { return };
    let first = "test -z \"$OF_THE_HOST\" && test \"$PASSED\" = yes && test \"$(readlink /proc/1/exe)\" != '' && id -u > ${{outputs.r}} && \
                 mkdir ${{outputs.d}}/deep && echo $KEY > ${{outputs.d}}/deep/file && cat ${{inputs.data}}";
    let more = "    environment_variables: {KEY: \"it's \\\"odd\\\" $HOME\"}\n\
                \x20   inputs: {data: {type: uri_folder, path: ./data}}\n\
                \x20   outputs: {r: {type: uri_file}, d: {type: uri_folder}}\n";
    let second = "cat ${{inputs.d}}/deep/file; touch ${{inputs.d}}/more || echo read-only";
    let reads = "    inputs: {d: {type: uri_folder, path: \"${{parent.jobs.first.outputs.d}}\"}}\n";
    containers.write(
        &(containers.node("first", &first.replace("data}}", "data}}/a"), more)
            + &containers.node("second", second, reads)),
    );
    containers.project.write("data/a", "from the host\n");
    containers.project.write("amlrun.toml", "pass_variables = [\"PASSED\"]\n");
    let mut run = containers.command(&["run", "pipeline.yml", "--name", "r"]);
    run.env("OF_THE_HOST", "1").env("PASSED", "yes");
    let ran = Ran::of(run).ended(0);
    for line in ["first  | from the host", "second | it's \"odd\" $HOME", "second | read-only"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    let own = nix::unistd::getuid().as_raw();
    assert_eq!(containers.written("r", "first"), format!("{own}\n"));
    let store = containers.project.path(".amlrun/store");
    for entry in walkdir::WalkDir::new(store).into_iter().flatten() {
        assert_eq!(entry.metadata().unwrap().uid(), own, "{}", entry.path().display());
    }
    assert_eq!(containers.left(), [""; 0]);
    let mut again = containers.command(&["run", "pipeline.yml"]);
    again.env("PASSED", "yes");
    let again = Ran::of(again).ended(0);
    assert!(again.out.contains("reused from r-first"), "{}", again.out);
}

#[test]
fn a_step_reaches_the_tracking_server() {
    let Some(containers) = containers() else { return };
    let script = "import json, os, urllib.request as r\n\
        url = os.environ['MLFLOW_TRACKING_URI'] + '/api/2.0/mlflow/runs/log-metric'\n\
        body = json.dumps({'run_id': os.environ['MLFLOW_RUN_ID'], 'key': 'loss', 'value': 0.5, 'timestamp': 1})\n\
        head = {'Content-Type': 'application/json', 'Authorization': 'Bearer ' + os.environ['MLFLOW_TRACKING_TOKEN']}\n\
        r.urlopen(r.Request(url, body.encode(), head)).read()\n";
    containers.project.write("code/log.py", script);
    containers.write(&containers.node("a", "python3 log.py", "    code: ./code\n"));
    containers.run("r").ended(0);
    assert_eq!(containers.project.shown()["jobs"]["a"]["metrics"]["loss"], 0.5);
}

#[test]
fn no_secret_is_on_a_command_line() {
    let Some(containers) = containers() else { return };
    let secret = format!("topsecret-{}", std::process::id());
    let more = format!("    environment_variables: {{PASSWORD: {secret}}}\n");
    containers.write(
        &containers
            .node("a", "echo ready; test -n \"$PASSWORD\" && read x < gate", &more)
            .replace("read x < gate", "mkfifo gate && read x < gate"),
    );
    let (mut child, events) = containers.start();
    let lines = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let shown: Vec<String> = lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    events.for_each(drop);
    child.wait().unwrap();
    assert!(shown.iter().any(|line| line.contains("podman")), "the client is there");
    assert!(!shown.iter().any(|line| line.contains(&secret)));
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn a_timeout_ends_the_container() {
    let Some(containers) = containers() else { return };
    containers.write(&containers.node("a", "sleep 1000; echo never", "    limits: {timeout: 2}\n"));
    let ran = containers.run("r").ended(1);
    assert!(ran.out.contains("stopped after the timeout of 2 s") && !ran.out.contains("never"), "{}", ran.out);
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn ctrl_c_lets_every_process_of_a_step_clean_up() {
    let Some(containers) = containers() else { return };
    // The child of a shell in a script of several commands.
    let child = "trap 'echo tidied; exit' TERM; echo ready; while :; do sleep 0.02; done";
    containers.write(&containers.node("a", &format!("bash -c \"{child}\"; echo never"), ""));
    let (mut child, events) = containers.start();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    events.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let log = containers.project.log("a");
    assert!(log.contains("tidied") && !log.contains("never"), "{log}");
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn what_ignores_term_is_killed_after_the_grace_period() {
    let Some(containers) = containers() else { return };
    containers.write(&containers.node("a", "trap '' TERM; echo ready; while :; do sleep 0.02; done", ""));
    let mut command = containers.command(&["run", "pipeline.yml", "--name", "r", "--output", "jsonl", "--grace", "1"]);
    command.stdout(Stdio::piped());
    let (mut child, events) = containers.project.start_with(command, "ready");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    events.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn no_container_outlives_a_runner_or_a_client_that_was_killed() {
    let Some(containers) = containers() else { return };
    containers.write(&containers.node("a", "echo ready; sleep 1000", ""));
    let (mut child, events) = containers.start();
    assert_eq!(containers.left().len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(events);
    containers.until_none_is_left();
    // Only the client: the step has failed then.
    let more = Containers { project: Project::new(), image: containers.image.clone() };
    more.write(&more.node("a", "echo ready; sleep 1000", ""));
    let (mut child, events) = more.start();
    let shown: Value =
        serde_json::from_str(&more.project.amlrun(&["job", "show", "-n", "r", "-o", "json"]).ended(0).out).unwrap();
    let group = shown["jobs"]["a"]["process_groups"][0].as_i64().unwrap();
    kill(Pid::from_raw(i32::try_from(group).unwrap()), Signal::SIGKILL).unwrap();
    events.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(more.left(), [""; 0]);
}

#[test]
fn what_the_engine_refuses_is_told_in_a_sentence() {
    let Some(containers) = containers() else { return };
    let argument = |text: &str| format!("    resources: {{docker_args: \"{text}\"}}\n");
    let nodes = [
        containers.node("option", "true", &argument("--no-such-option")),
        containers.node("memory", "python3 -c 'x = bytearray(300 << 20)'", &argument("--memory 40m --memory-swap 40m")),
        containers.node("own", "exit 126", ""),
        containers.node("missing", "no-such-tool --help", ""),
    ];
    containers.write(&nodes.concat());
    let ran = containers.run("r").ended(1);
    let shown = containers.project.shown();
    let error = |step: &str| shown["jobs"][step]["error"].as_str().unwrap_or_default().to_owned();
    assert!(
        error("option").contains("podman cannot start its container: unknown flag: --no-such-option"),
        "{}",
        ran.out
    );
    assert!(error("memory").contains("out of memory"), "{}", ran.out);
    assert!(error("own").contains("exit code 126"), "{}", ran.out);
    assert!(error("missing").contains("'no-such-tool' was not found"), "{}", ran.out);
    assert_eq!(containers.left(), [""; 0]);
}

/// Makes an image with one file, for another processor if one is named.
fn import(folder: &std::path::Path, file: &str, name: &str, architecture: Option<&str>) {
    let archive = folder.join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).arg("-cf").arg(&archive).arg(file);
    assert!(tar.status().unwrap().success());
    let archive = archive.display().to_string();
    let mut arguments = ["import", "--quiet", "--change=LABEL amlrun.test=yes"].map(str::to_owned).to_vec();
    arguments.extend(architecture.map(|architecture| format!("--arch={architecture}")));
    arguments.extend([archive, name.to_owned()]);
    podman(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_image_without_bash_or_for_another_processor_is_told_in_a_sentence() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(containers) = containers() else { return };
    let folder = containers.project.path("image");
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    containers.project.write("image/empty", "");
    import(&folder, "empty", "localhost/amlrun-test/empty:1", None);
    // The head of a program for RISC-V.
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(64, 0);
    (head[16], head[18], head[20]) = (2, 0xf3, 1);
    std::fs::write(folder.join("bin/bash"), head).unwrap();
    std::fs::set_permissions(folder.join("bin/bash"), std::fs::Permissions::from_mode(0o755)).unwrap();
    import(&folder, "bin", "localhost/amlrun-test/riscv:1", Some("riscv64"));
    let node = |name: &str, image: &str| {
        containers.node(name, "true", "").replace(&containers.image, &format!("localhost/amlrun-test/{image}:1"))
    };
    containers.write(&(node("empty", "empty") + &node("other", "riscv")));
    let ran = containers.run("r").ended(1);
    assert!(ran.out.contains("its image has no bash, in which steps run"), "{}", ran.out);
    assert!(ran.out.contains("its image is made for linux/riscv64, and this machine is linux/"), "{}", ran.out);
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn a_registry_that_does_not_answer_is_named_and_other_steps_continue() {
    let Some(containers) = containers() else { return };
    // Nobody listens on a port that was just given back.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let missing = containers.node("a", "true", "").replace(&containers.image, &format!("{address}/none:1"));
    containers.write(&(missing + &containers.node("b", "echo ran", "")));
    let ran = containers.run("r").ended(1);
    assert!(ran.out.contains("pulling the image of the environment"), "{}", ran.out);
    assert!(ran.out.contains("the registry cannot be reached") && ran.out.contains("b | ran"), "{}", ran.out);
}

/// A registry on loopback that has one image, as `podman save --format docker-dir` writes it.
fn registry(folder: std::path::PathBuf) -> std::net::SocketAddr {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |mut stream: std::net::TcpStream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut request = String::new();
        while reader.read_line(&mut request).is_ok_and(|read| read > 2) {}
        let path = request.split(' ').nth(1).unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        let file = if path.contains("/manifests/") { "manifest.json" } else { last.trim_start_matches("sha256:") };
        let found = if path == "/v2/" { Ok(b"{}".to_vec()) } else { std::fs::read(folder.join(file)) };
        let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

#[test]
fn an_image_that_is_not_here_is_pulled_with_progress() {
    let Some(containers) = containers() else { return };
    let saved = containers.project.path("saved");
    podman(&["save", "--quiet", "--format", "docker-dir", "--output", &saved.display().to_string(), &containers.image]);
    let address = registry(saved);
    let image = format!("{address}/tools:1");
    let insecure = format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n");
    containers.project.write("registries.conf", &insecure);
    containers.write(&containers.node("a", "echo ran", "").replace(&containers.image, &image));
    let with = |arguments: &[&str]| {
        let mut command = containers.command(arguments);
        command.env("CONTAINERS_REGISTRIES_CONF", containers.project.path("registries.conf"));
        Ran::of(command).ended(0)
    };
    let plan = with(&["plan", "pipeline.yml"]);
    assert!(plan.out.contains("to be pulled") && plan.out.contains("1 to run"), "{}", plan.out);
    let ran = with(&["run", "pipeline.yml", "--name", "r", "--output", "jsonl"]);
    podman(&["rmi", &image]);
    for part in ["\"how\":\"pull\"", "image_ready", "ran"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let logs = walkdir::WalkDir::new(containers.project.path("cache")).into_iter().flatten();
    let logs = logs.filter(|entry| entry.file_name() == "build.log").map(|log| std::fs::read_to_string(log.path()));
    assert!(logs.flatten().any(|log| log.contains("Copying blob")));
}

#[test]
fn a_conda_file_becomes_an_image_that_is_built_once() {
    let Some(containers) = containers() else { return };
    crate::environments::wheel(&containers.project, "1.0");
    let conda =
        "name: tools\ndependencies:\n- python\n- pip:\n  - --no-index\n  - --find-links ./wheels\n  - tool==1.0\n";
    containers
        .project
        .write("conda.yml", &format!("{conda}  - ./wheels/tool-1.0-py3-none-any.whl\n# {}\n", std::process::id()));
    let image = &containers.image;
    let with = |name: &str| {
        let more = "    outputs: {r: {type: uri_file}}\n";
        let node = containers.node(name, "python -c 'import tool; print(tool.VERSION)' > ${{outputs.r}}", more);
        node.replace(&format!("{{image: {image}}}"), &format!("{{image: {image}, conda_file: ./conda.yml}}"))
    };
    containers.write(&[with("a"), with("b"), with("c")].concat());
    let plan = Ran::of(containers.command(&["plan", "pipeline.yml"])).ended(0);
    assert!(plan.out.contains("(image with a conda file): 3 steps, to be built"), "{}", plan.out);
    let mut beside = containers.command(&["run", "pipeline.yml", "--name", "beside"]);
    let beside = beside.stdout(Stdio::piped()).spawn().unwrap();
    let own = containers.run("r").ended(0);
    let beside = String::from_utf8(beside.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!((own.out + &beside).matches("building the image").count(), 1, "{beside}");
    for step in ["a", "b", "c"] {
        assert_eq!(containers.written("r", step), "1.0\n");
    }
    let again = containers.run("again").ended(0);
    assert!(again.out.contains("a reused from") && !again.out.contains("building"), "{}", again.out);
}

#[test]
fn a_build_context_becomes_an_image_and_its_files_decide() {
    let Some(containers) = containers() else { return };
    let image = &containers.image;
    containers.project.write(
        "env/Dockerfile",
        &format!("FROM {image}\nCOPY tool /usr/local/bin/\nRUN chmod +x /usr/local/bin/tool\n"),
    );
    let tool = |text: &str| format!("#!/bin/sh\necho {text} {}\n", std::process::id());
    containers.project.write("env/tool", &tool("one"));
    let node = containers.node("a", "tool", "").replace(&format!("{{image: {image}}}"), "{build: {path: ./env}}");
    containers.write(&node);
    let ran = containers.run("one").ended(0);
    assert!(
        ran.out.contains("building the image of the environment 'env'") && ran.out.contains("a | one"),
        "{}",
        ran.out
    );
    let again = containers.run("again").ended(0);
    assert!(again.out.contains("a reused from one-a") && !again.out.contains("building"), "{}", again.out);
    containers.project.write("env/tool", &tool("two"));
    let changed = containers.run("two").ended(0);
    assert!(changed.out.contains("a | two"), "{}", changed.out);
}

#[test]
fn a_step_of_several_processes_gets_a_container_for_each() {
    let Some(containers) = containers() else { return };
    let more = "    distribution: {type: pytorch, process_count_per_instance: 2}\n    resources: {instance_count: 1}\n";
    containers.write(&containers.node("a", "echo rank $RANK of $WORLD_SIZE", more));
    let ran = containers.run("r").ended(0);
    for line in ["rank 0 of 2", "rank 1 of 2"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn resources_and_the_projects_own_image_are_used() {
    let Some(containers) = containers() else { return };
    let image = &containers.image;
    containers.project.write("amlrun.toml", &format!("[environments.my-tools]\nimage = \"{image}\"\n"));
    let node =
        containers.node("a", "df -k --output=size /dev/shm | tail -1; cat /proc/1/comm; ls -d /of-the-image", "");
    let node = node.replace(&format!("{{image: {image}}}"), "azureml:my-tools:3");
    containers.write(&(node + "    resources: {shm_size: 96m, docker_args: [\"--tmpfs\", \"/of-the-image\"]}\n"));
    // A definition of the project needs no option.
    let mut run = containers.project.command(&["run", "pipeline.yml", "--name", "r"]);
    run.env("AMLRUN_CONTAINER_ENGINE", "podman");
    let ran = Ran::of(run).ended(0);
    for line in ["98304", "a | bash", "a | /of-the-image"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
}

/// Answers as docker does, and has podman do the work: its options are those of docker, except for `rm`.
const DOCKER: &str = r#"#!/bin/sh
case "$1 $2 $3" in
    info*) echo "28.0 [name=seccomp,profile=builtin]" ;;
    "rm --force --volumes") shift 3; exec podman rm --force --volumes --time=0 "$@" ;;
    *) exec podman "$@" ;;
esac
"#;

#[test]
fn the_command_line_of_docker_is_used_in_the_same_way() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(containers) = containers() else { return };
    let docker = containers.project.path("bin/docker");
    containers.project.write("bin/docker", DOCKER);
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let more = "    outputs: {r: {type: uri_file}}\n    resources: {docker_args: --no-such-option}\n";
    containers.write(
        &(containers.node("a", "id -u > ${{outputs.r}}", "    outputs: {r: {type: uri_file}}\n")
            + &containers.node("b", "true", more)),
    );
    let mut run = containers.command(&["run", "pipeline.yml", "--name", "r"]);
    run.env("AMLRUN_CONTAINER_ENGINE", docker);
    let ran = Ran::of(run).ended(1);
    assert!(ran.out.contains("docker cannot start its container: unknown flag"), "{}", ran.out);
    assert_eq!(containers.written("r", "a"), format!("{}\n", nix::unistd::getuid()));
    assert_eq!(containers.left(), [""; 0]);
}

#[test]
fn without_an_engine_the_error_says_what_to_do() {
    let project = Project::new();
    let node = "  a:\n    type: command\n    environment: {image: python}\n    command: echo\n";
    project.write("pipeline.yml", &pipeline(node));
    let mut run = project.command(&["run", "pipeline.yml", "--environment", "container"]);
    run.env("AMLRUN_CONTAINER_ENGINE", "no-such-engine");
    let ran = Ran::of(run).ended(1);
    assert!(ran.out.contains("no-such-engine is not installed"), "{}", ran.out);
}
