//! A project of a stranger's: what its `amlrun.toml` names as secrets and hosts, and where signatures of addresses go.

use crate::between::{Act as Passing, Between};
use crate::hostile_http::{Act, Hostile};
use crate::support::{Project, Ran};

/// The signature that the stranger wants, with which every request of the server is searched.
const SECRET: &str = "wJalrXUtnFEMI-topsecret";

/// A project whose one input is in the account `acc`, reached at `endpoint` with a secret from there.
fn project(endpoint: &str, secret: &str) -> Project {
    let toml =
        format!("[accounts.acc]\nendpoint = \"{endpoint}\"\nsas_token = {secret}\n[transfer]\nretry_timeout = 1\n");
    let input = "d: {type: uri_file, path: \"https://acc.blob.core.windows.net/c/a\"}";
    Project::new().with("amlrun.toml", &toml).with("job.yml", &crate::cloud::job("cat ${{inputs.d}}", input, "o: {}"))
}

fn amlrun(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.env("AWS_SECRET_ACCESS_KEY", SECRET);
    Ran::of(command)
}

fn asked(server: &Hostile) -> usize {
    server.requests("GET").len() + server.requests("HEAD").len()
}

#[test]
fn a_look_at_a_project_that_never_ran_here_sends_nothing() {
    let server = Hostile::start();
    let project = project(&server.url("/acc"), "{ env = \"AWS_SECRET_ACCESS_KEY\" }");
    for verb in ["validate", "show", "graph", "plan"] {
        let ran = amlrun(&project, &[verb, "job.yml"]).ended(0);
        assert_eq!(asked(&server), 0, "{verb} asked");
        assert_eq!(ran.err.contains("its remote storage is not accessed"), verb == "plan", "{verb}: {}", ran.err);
    }
    // A workspace may come with the project.
    amlrun(&project, &["run", "job.yml", "--name", "r"]).ended(3);
    assert!(asked(&server) > 0, "a run asks a server of this machine");
    let copy = Project::new();
    for file in ["amlrun.toml", "job.yml"] {
        copy.write(file, &project.read(file));
    }
    copy.write(".amlrun/runs/r/plan.json", "{}");
    copy.write(".amlrun/workspace.id", &project.read(".amlrun/workspace.id"));
    let before = asked(&server);
    amlrun(&copy, &["plan", "job.yml"]).ended(0);
    assert_eq!(asked(&server), before);
    // Here it ran, and it is known again.
    let ran = amlrun(&project, &["plan", "job.yml"]).ended(1);
    assert!(asked(&server) > before && !ran.err.contains("nothing is asked"), "{}", ran.err);
    // Unless it is not what ran: what it names as secrets and hosts has changed, or it is another one at the same path.
    let before = asked(&server);
    let toml = project.read("amlrun.toml");
    project.write("amlrun.toml", &toml.replace("AWS_SECRET_ACCESS_KEY", "PATH"));
    amlrun(&project, &["plan", "job.yml"]).ended(0);
    project.write("amlrun.toml", &toml);
    std::fs::remove_dir_all(project.path(".amlrun")).unwrap();
    amlrun(&project, &["plan", "job.yml"]).ended(0);
    assert_eq!(asked(&server), before);
}

#[test]
fn a_secret_goes_to_no_host_that_only_the_project_names() {
    let proxy = Between::start("127.0.0.1:1");
    proxy.rule(|_| Passing::Status(404, "x-ms-error-code: ResourceNotFound\r\n"));
    let project = project("http://storage.example/acc", "{ env = \"AWS_SECRET_ACCESS_KEY\" }");
    let through = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("AWS_SECRET_ACCESS_KEY", SECRET).env("HTTP_PROXY", format!("http://{}", proxy.address));
        Ran::of(command)
    };
    for arguments in [&["run", "job.yml"][..], &["cp", "https://acc.blob.core.windows.net/c/a", "a"]] {
        let ran = through(arguments).ended(1);
        assert!(
            ran.err.contains("cannot be sent to storage.example") && ran.err.contains("trusted_hosts"),
            "{}",
            ran.err
        );
        assert!(!ran.err.contains(SECRET));
    }
    assert!(proxy.seen().is_empty());
    // The person may say so, once.
    let config = project.config();
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, "trusted_hosts = [\"storage.example\"]\n").unwrap();
    through(&["run", "job.yml"]).ended(3);
    assert!(!proxy.seen().is_empty());
    std::fs::write(&config, "trusted_host = 1\n").unwrap();
    let ran = through(&["run", "job.yml"]).ended(1);
    assert!(ran.err.contains("config.toml") && ran.err.contains("trusted_hosts = "), "{}", ran.err);
}

#[test]
fn an_address_in_disguise_gets_no_secret() {
    for disguise in ["http://localhost:x@storage.example/acc", "https://storage.example\\\\.core.windows.net"] {
        let proxy = Between::start("127.0.0.1:1");
        let project = project(disguise, "{ env = \"AWS_SECRET_ACCESS_KEY\" }");
        for arguments in [&["run", "job.yml"][..], &["cp", "https://acc.blob.core.windows.net/c/a", "a"]] {
            let mut command = project.command(arguments);
            command.env("AWS_SECRET_ACCESS_KEY", SECRET).env("HTTP_PROXY", format!("http://{}", proxy.address));
            let ran = Ran::of(command).ended(1);
            assert!(ran.err.contains("is not a valid URL for endpoint"), "{}", ran.err);
        }
        assert!(proxy.seen().is_empty());
    }
}

#[test]
fn the_signature_of_an_address_does_not_follow_a_project_elsewhere() {
    let proxy = Between::start("127.0.0.1:1");
    let project = project("http://storage.example/acc", "{ env = \"AWS_SECRET_ACCESS_KEY\" }");
    let signed = format!("https://acc.blob.core.windows.net/c/a?sv=2024-01-01&sig={SECRET}");
    let mut command = project.command(&["cp", &signed, "a"]);
    command.env("HTTP_PROXY", format!("http://{}", proxy.address));
    let ran = Ran::of(command).ended(1);
    assert!(ran.err.contains("cannot be sent to storage.example") && !ran.err.contains(SECRET), "{}", ran.err);
    assert!(proxy.seen().is_empty());
}

#[test]
fn a_project_names_no_file_outside_of_it_as_a_secret() {
    for named in ["../id_rsa", "link"] {
        let server = Hostile::start();
        let project = project(&server.url("/acc"), &format!("{{ file = \"{named}\" }}"));
        let outside = project.path("../id_rsa");
        std::fs::write(&outside, SECRET).unwrap();
        std::os::unix::fs::symlink("../id_rsa", project.path("link")).unwrap();
        let ran = amlrun(&project, &["run", "job.yml"]).ended(1);
        assert!(ran.err.contains("outside the project") && ran.err.contains("trusted_files"), "{}", ran.err);
        assert!(!ran.err.contains(SECRET) && asked(&server) == 0);
        let config = project.config();
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        let root = outside.parent().unwrap().canonicalize().unwrap();
        std::fs::write(&config, format!("trusted_files = [{:?}]\n", root.join("id_rsa"))).unwrap();
        let ran = amlrun(&project, &["run", "job.yml"]);
        assert!(!ran.err.contains("outside the project"), "{}", ran.err);
    }
}

#[test]
fn a_pipe_that_a_project_names_as_a_secret_is_not_waited_for() {
    let project = project("http://127.0.0.1:1/acc", "{ file = \"pipe\" }");
    nix::unistd::mkfifo(&project.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for verb in ["validate", "show", "plan"] {
        amlrun(&project, &[verb, "job.yml"]).ended(0);
    }
    let ran = amlrun(&project, &["run", "job.yml"]).ended(1);
    assert!(ran.err.contains("which is not a file"), "{}", ran.err);
}

#[test]
fn nobody_else_reads_what_may_hold_secrets() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let mode = |project: &Project, path: &str| project.path(path).metadata().unwrap().permissions().mode() & 0o777;
    let set = |path: &std::path::Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let job =
        "environment: azureml:any@latest\ncommand: echo hi\nenvironment_variables: {DB_PASSWORD: hunter2hunter2}\n";
    for owner in [None, Some(65534)] {
        let project = Project::new().with("job.yml", job).with(".amlrun/.gitignore", "*\n");
        let home = project.path(".amlrun");
        set(&home, 0o777);
        if owner.is_some() && chown(&home, owner, None).is_err() {
            // Only root can make a folder somebody else's.
            continue;
        }
        let run = project.command(&["run", "job.yml", "--name", "r"]);
        // Whoever runs it keeps nothing from anybody.
        let open = format!("umask 000; exec {} \"$@\"", run.get_program().display());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &open, "sh"]).args(run.get_args()).current_dir(project.path(""));
        shell.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(shell).ended(0);
        assert_eq!(mode(&project, ".amlrun"), 0o700);
        for file in ["plan.json", "job.yml", "events.jsonl"] {
            assert_eq!(mode(&project, &format!(".amlrun/runs/r/{file}")), 0o600, "{file}");
        }
        assert!(project.read(".amlrun/runs/r/plan.json").contains("hunter2hunter2"), "the steps need it");
    }
}

#[test]
fn a_signature_stays_with_the_host_that_it_is_for() {
    let (from, to) = (Hostile::start(), Hostile::start());
    let project = Project::new();
    let signed = format!("{}?sv=1&sig={SECRET}", from.url("/signed"));
    to.serve("/leak", b"x", []);
    from.always("/signed", b"x", Act::Redirect(to.url("/leak")));
    amlrun(&project, &["cp", &signed, "o"]).ended(0);
    let seen = [to.requests("HEAD"), to.requests("GET")].concat();
    assert!(!seen.is_empty());
    for request in &seen {
        assert!(!request.headers.contains_key("referer") && !format!("{:?}", request.headers).contains(SECRET));
    }
    // Nor when the server hands the query on.
    let before = seen.len();
    from.always("/signed", b"x", Act::Redirect(to.url(&format!("/leak?sv=1&sig={SECRET}"))));
    let ran = amlrun(&project, &["cp", &signed, "p"]).ended(1);
    assert!(ran.err.contains("send the SAS") && !ran.err.contains(SECRET), "{}", ran.err);
    assert_eq!([to.requests("HEAD"), to.requests("GET")].concat().len(), before);
    // A signature of the other host's own is what such redirects are for.
    from.always("/signed", b"x", Act::Redirect(to.url("/leak?sig=another-signature")));
    amlrun(&project, &["cp", &signed, "q"]).ended(0);
    // On the same host it goes along, and its address is told to nobody.
    from.serve("/next", b"x", []);
    from.always("/signed", b"x", Act::Redirect(from.url(&format!("/next?sig={SECRET}"))));
    amlrun(&project, &["cp", &signed, "s"]).ended(0);
    assert!(from.requests("GET").iter().all(|request| !request.headers.contains_key("referer")));
}
