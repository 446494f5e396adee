//! Commands that messages tell, with `--home` where it was given: each runs when it is pasted into a shell.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Project, Ran, node, pipeline};

/// A workspace whose path needs quotes.
const HOME: &str = "my workspace";
const SAY: &str = "name: say\ntype: command\nenvironment: azureml:any@latest\ncommand: echo said\n";
const SAY_ALL: &str = "name: say_all\ntype: pipeline\njobs:\n  a:\n    type: command\n    component: ./say.yml\n";
const STORE: &str = "name: training\ntype: azure_blob\naccount_name: account\ncontainer_name: box\n\
                     credentials: {account_key: TOPSECRET==}\n";

fn amlrun(project: &Project, arguments: &[&str]) -> Ran {
    project.amlrun(&[&["--home", HOME], arguments].concat())
}

/// The commands in what was printed: up to the end of a line, or to the parenthesis that they are in.
#[track_caller]
fn told(ran: &Ran) -> Vec<String> {
    let text = format!("{}{}", ran.out, ran.err);
    let mut commands = Vec::new();
    for (at, _) in text.match_indices("amlrun --home ") {
        let line = text[at..].lines().next().unwrap();
        let is_inside = text[..at].ends_with('(');
        commands.push(line.split(')').next().filter(|_| is_inside).unwrap_or(line).to_owned());
    }
    for verb in ["run", "job", "logs", "step", "data", "model", "component", "datastore"] {
        assert!(!text.contains(&format!("amlrun {verb} ")), "a command without --home:\n{text}");
    }
    commands
}

/// Pastes every command that was told, with `words` for what a person has to fill in.
#[track_caller]
fn paste(project: &Project, ran: &Ran, verbs: &[&str], words: &[(&str, &str)]) {
    let commands = told(ran);
    let verbs: Vec<_> = verbs.iter().map(|verb| format!("amlrun --home '{HOME}' {verb}")).collect();
    let is_so = commands.len() == verbs.len() && commands.iter().zip(&verbs).all(|(told, verb)| told.starts_with(verb));
    assert!(is_so, "{commands:?}\n{}{}", ran.out, ran.err);
    for mut command in commands {
        for (placeholder, word) in words {
            command = command.replace(placeholder, word);
        }
        let amlrun = project.command(&[]);
        let program = std::path::Path::new(amlrun.get_program());
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(project.path(""));
        for (name, value) in amlrun.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            shell.env(name, value);
        }
        let pasted = Ran::of({
            shell.env("PATH", path).env_remove("AMLRUN_HOME");
            shell
        });
        assert_eq!(pasted.code, 0, "{command}\n{}{}", pasted.out, pasted.err);
    }
}

#[test]
fn commands_about_runs_can_be_pasted() {
    let project = Project::named("my project");
    let fixed = project.path("fixed");
    let jobs = node("first", &format!("[ -e '{}' ]", fixed.display()))
        + "    outputs: {o: }\n"
        + &node("second", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.first.outputs.o}}\"}\n";
    project.write("pipeline.yml", &pipeline(&jobs));

    let none = amlrun(&project, &["logs"]).ended(3);
    project.write("fixed", "");
    paste(&project, &none, &["run pipeline.yml"], &[]);

    let run = |name: &str| {
        std::fs::remove_file(&fixed).unwrap();
        amlrun(&project, &["run", "pipeline.yml", "--name", name, "--force-rerun"]).ended(1)
    };
    run("q");
    let blocked = amlrun(&project, &["step", "rerun", "q", "second"]).ended(1);
    project.write("fixed", "");
    paste(&project, &blocked, &["run --resume q"], &[]);
    let failed = run("r");
    project.write("fixed", "");
    paste(&project, &failed, &["logs r first", "job show -n r", "run --resume r"], &[]);
    let complete = amlrun(&project, &["run", "--resume", "r"]).ended(1);
    paste(&project, &complete, &["step rerun r STEP"], &[("STEP", "first")]);
    let alone = amlrun(&project, &["logs", "first"]).ended(3);
    paste(&project, &alone, &["job list", "logs r first"], &[]);
    let unknown = amlrun(&project, &["job", "show", "-n", "nothing-like-it"]).ended(3);
    paste(&project, &unknown, &["job list"], &[]);
}

#[test]
fn a_run_that_goes_on_is_stopped_by_the_command_that_is_told() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("long", "echo ready; exec sleep 1000")));
    for verb in [&["job", "delete", "-n", "r"][..], &["run", "--resume", "r"]] {
        let (mut child, events) = project.start_until(&["--home", HOME, "pipeline.yml"], "ready");
        let refused = amlrun(&project, verb).ended(1);
        paste(&project, &refused, &["job cancel -n r"], &[]);
        drop(events);
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
        child.wait().unwrap();
        amlrun(&project, &["job", "delete", "-n", "r"]).ended(0);
    }
}

#[test]
fn commands_about_assets_can_be_pasted() {
    let project = Project::named("my project").with("say.yml", SAY).with("all.yml", SAY_ALL).with("data/x", "1");
    project.write("store.yml", STORE);
    let refused = |jobs: &str| {
        project.write("pipeline.yml", &pipeline(jobs));
        amlrun(&project, &["run", "pipeline.yml"]).ended(1)
    };
    let reads = |path: &str| {
        node("a", "ls ${{inputs.i}}") + &format!("    inputs: {{i: {{type: uri_folder, path: '{path}'}}}}\n")
    };
    let create = [("FILE", "say.yml")];
    let component = refused("  a: {type: command, component: 'azureml:say:1'}\n");
    paste(&project, &component, &["component create -f FILE", "component list"], &create);
    project.write("pipeline.yml", "type: pipeline\ncomponent: azureml:say_all:1\n");
    let whole = amlrun(&project, &["run", "pipeline.yml"]).ended(1);
    paste(&project, &whole, &["component create -f FILE"], &[("FILE", "all.yml")]);

    paste(&project, &refused(&reads("azureml:credit:1")), &["data list"], &[]);
    let store = "azureml://datastores/training/paths/in";
    paste(&project, &refused(&reads(store)), &["datastore create -f FILE"], &[("FILE", "store.yml")]);
    std::fs::remove_file(project.credentials()).unwrap();
    paste(&project, &refused(&reads(store)), &["datastore create -f FILE"], &[("FILE", "store.yml")]);
    let copied = amlrun(&project, &["cp", "data", "azureml:credit:1"]).ended(2);
    paste(&project, &copied, &["data create -n NAME -p SRC"], &[("NAME", "credit"), ("SRC", "data")]);
}

#[test]
fn commands_about_models_can_be_pasted() {
    let project = Project::named("my project");
    for name in ["trap.pth", "state.pth"] {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch/");
        std::fs::copy(format!("{fixture}{name}"), project.path(&format!("my {name}"))).unwrap();
    }
    let trap = amlrun(&project, &["model", "create", "-n", "trap", "-p", "my trap.pth"]).ended(1);
    paste(&project, &trap, &["model inspect FILE"], &[("FILE", "'my trap.pth'")]);
    let tensor = amlrun(&project, &["model", "extract", "my state.pth", "nothing-like-it", "x.npy"]).ended(3);
    paste(&project, &tensor, &["model inspect --all 'my state.pth'"], &[]);
    let select = ["model", "convert", "my state.pth", "x.safetensors", "--select", "nothing-like-it"];
    paste(&project, &amlrun(&project, &select).ended(1), &["model inspect --all 'my state.pth'"], &[]);
}
