//! What a run looks like while it goes on and when it ends: on narrow terminals, without UTF-8, with stand-ins.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Project, Ran, node, pipeline};

/// A node that a laptop does not run, one that reads what it makes, and one that is left out.
fn stands_in() -> Project {
    let spark = "  score:\n    type: spark\n    code: src\n    entry: {file: score.py}\n    args: ${{outputs.o}}\n\
                 \x20   resources: {instance_type: standard_e4s_v3, runtime_version: '3.4'}\n\
                 \x20   conf: {spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, \
                 spark.executor.memory: 1g, spark.executor.instances: 1}\n    outputs: {o: {type: uri_folder, mode: direct}}\n";
    let nodes = spark.to_owned()
        + &node("use", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.score.outputs.o}}\"}\n"
        + &node("left", "true");
    let rules = "[steps.score]\npolicy = \"stub\"\noutputs = { o = \"samples\" }\n[steps.left]\npolicy = \"skip\"\n";
    let project =
        Project::new().with("pipeline.yml", &pipeline(&nodes)).with("samples/a", "1").with("src/score.py", "");
    project.with("amlrun.toml", rules)
}

#[test]
fn a_step_that_samples_stand_in_for_does_not_look_as_if_it_had_run() {
    let project = stands_in();
    let planned = project.amlrun(&["plan", "pipeline.yml"]).ended(0).out;
    assert!(planned.contains("score  stub      samples are used instead\n"), "{planned}");
    for (name, from) in [("r", ""), ("again", ", the same as for r-score")] {
        let ran = project.amlrun(&["run", "pipeline.yml", "--name", name]).ended(0).out;
        let lines = ran.lines().filter(|line| line.contains("✓ score")).collect::<Vec<_>>();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("stubbed from samples")), "{ran}");
        assert!(ran.contains(": 1 completed, 1 replaced by samples, 1 skipped\n"), "{ran}");
        let why = project.amlrun(&["why", name, "score"]).ended(0).out;
        let expected = "score did not run: stubbed from samples (policy \"stub\" in amlrun.toml)";
        assert_eq!(why, format!("{expected}{from}\n"));
        let logs = project.amlrun(&["logs", name, "score"]).ended(3).err;
        assert!(logs.contains("stubbed from samples"), "{logs}");
    }
    let shown = project.shown();
    let step = |name: &str| [&shown["jobs"][name]["type"], &shown["jobs"][name]["substitute"]];
    assert_eq!(step("score"), [&json!("spark"), &json!("stub")]);
    assert_eq!(step("left"), [&json!("command"), &json!("skip")]);
    assert_eq!(step("use"), [&json!("command"), &Value::Null]);
}

#[test]
fn a_replayed_step_says_so() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("make", "echo made")));
    project.run("pipeline.yml").ended(0);
    project.write("amlrun.toml", "[steps.make]\npolicy = \"replay\"\n");
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "again"]).ended(0).out;
    assert!(ran.contains("✓ make  Completed  reused from r-make  policy \"replay\""), "{ran}");
    let why = project.amlrun(&["why", "again"]).ended(0).out;
    assert_eq!(why, "make did not run: its outputs are those of r-make (policy \"replay\" in amlrun.toml)\n");
}

#[test]
fn the_failure_and_the_counts_come_last() {
    let nodes = node("bad", "exit 3")
        + "    outputs: {o: }\n"
        + &node("after", "ls ${{inputs.i}}")
        + "    inputs: {i: \"${{parent.jobs.bad.outputs.o}}\"}\n"
        + &(0..42).map(|number| node(&format!("good{number}"), "true")).collect::<String>();
    let project = Project::new().with("pipeline.yml", &pipeline(&nodes));
    let ran = project.amlrun(&["run", "pipeline.yml", "--name", "r", "--quiet"]).ended(1).out;
    let end: Vec<&str> = ran.lines().rev().take(5).collect();
    assert_eq!([end[4], end[3]], ["✗ bad failed: exit code 3", "  log: amlrun logs r bad"], "{ran}");
    assert!(end[2].starts_with("Failed in ") && end[2].ends_with(": 42 completed, 1 failed, 1 skipped"), "{ran}");
}

#[test]
fn long_names_leave_room_for_what_steps_print() {
    let long = "a_very_long_name_of_a_step_that_nobody_can_read_at_a_glance";
    let project = Project::new().with("pipeline.yml", &pipeline(&node(long, "echo printed")));
    let ran = project.run("pipeline.yml").ended(0).out;
    let line = ran.lines().find(|line| line.ends_with("| printed")).expect("the line that it printed");
    assert!(line.chars().count() <= 24 + "| printed".len() + 1, "{ran}");
    assert!(line.starts_with("a_very") && line.contains("glance"), "{ran}");
}

#[test]
fn a_locale_without_utf8_gets_ascii() {
    let nodes = node("good", "true") + &node("bad", "exit 3");
    let project = Project::new().with("pipeline.yml", &pipeline(&nodes));
    let in_c = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("LC_ALL", "C");
        let ran = Ran::of(command);
        assert!(ran.out.is_ascii() && ran.err.is_ascii(), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.out
    };
    let ran = in_c(&["run", "pipeline.yml", "--name", "r"]);
    assert!(ran.contains("+ good") && ran.contains("x bad"), "{ran}");
    in_c(&["plan", "pipeline.yml"]);
    in_c(&["graph", "pipeline.yml"]);
    in_c(&["why", "r"]);
    in_c(&["job", "list", "-o", "table"]);
}

/// What a terminal of that many columns gets of a command up to a text, and then to its end after `then`.
fn on_terminal(project: &Project, arguments: &[&str], until: &str, then: impl FnOnce()) -> String {
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(Some(&size), None).unwrap();
    let mut command = project.command(arguments);
    command.env("TERM", "xterm").env("CI", "true").stdin(Stdio::null());
    command.stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut seen, mut some, mut then) = (String::new(), [0; 4096], Some(then));
    let mut master = std::fs::File::from(terminal.master);
    while let Ok(read @ 1..) = master.read(&mut some) {
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
        if seen.contains(until)
            && let Some(then) = then.take()
        {
            then();
        }
    }
    child.wait().unwrap();
    seen
}

#[test]
fn a_progress_bar_of_a_tool_is_seen_while_it_is_drawn() {
    let command = "printf '10%%\\r50%% of it\\r'; read -r line < ../../../../../../go; printf '100%%\\n'";
    let project = Project::new().with("pipeline.yml", &pipeline(&node("bar", command)));
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let go = project.path("go");
    let seen = on_terminal(&project, &["run", "pipeline.yml", "--name", "r"], "50% of it", || {
        std::fs::write(go, "go\n").unwrap();
    });
    assert!(seen.contains("100%") && seen.contains("Completed in"), "{seen}");
}

#[test]
fn a_step_that_is_ready_and_has_no_place_is_queued() {
    let blocks = "echo begun; read -r line < ../../../../../../go";
    let nodes = node("first", blocks) + &node("second", "true");
    let project = Project::new().with("pipeline.yml", &pipeline(&nodes));
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let go = project.path("go");
    let seen = on_terminal(&project, &["run", "pipeline.yml", "--name", "r", "--jobs", "1"], "Queued", || {
        std::fs::write(go, "go\n").unwrap();
    });
    assert!(seen.contains("Completed in"), "{seen}");
    let record = project.read(".amlrun/runs/r/events.jsonl");
    assert!(record.contains("\"event\":\"step_queued\",\"step\":\"second\""), "{record}");
}
