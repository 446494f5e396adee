//! What strangers wrote (names, tags, messages, what a step prints) on a terminal: colours, and nothing else that it obeys.

use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Project, node, pipeline};

/// What a terminal gets from a command, and the exit code.
fn on_terminal(mut command: Command, asks: bool) -> (String, i32) {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let stdin = if asks { Stdio::from(terminal.slave.try_clone().unwrap()) } else { Stdio::null() };
    command.env_remove("NO_COLOR").env("TERM", "xterm").stdin(stdin);
    command.stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
    let mut child = command.spawn().unwrap();
    // Its copies of the other end.
    drop(command);
    let (mut seen, mut some) = (Vec::new(), [0; 4096]);
    let mut master = std::fs::File::from(terminal.master);
    while let Ok(read @ 1..) = master.read(&mut some) {
        seen.extend_from_slice(&some[..read]);
    }
    (String::from_utf8_lossy(&seen).into_owned(), child.wait().unwrap().code().unwrap())
}

/// What is obeyed in a text beside colours, the cursor moves of a progress display and line ends.
fn obeyed(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for after in text.split('\x1b').skip(1) {
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| at + 1);
        let sequence = &after[..end];
        // Bold, dim, underlined and colours, and none of them hides anything.
        let own = ["[0m", "[1m", "[2m", "[4m", "[1;31m"].contains(&sequence)
            || sequence.starts_with("[3")
            || sequence.starts_with("[9");
        // Lines that are drawn again, by the view of a run.
        let redraws = ["[2K", "[1A", "[1B", "[?25l", "[?25h", "[0J", "[J", "[1G"].contains(&sequence);
        if !(own && sequence.ends_with('m') || redraws) {
            found.push(sequence.to_owned());
        }
    }
    let odd = |c: char| c.is_control() && !"\n\r\t\x1b".contains(c) || ('\u{202a}'..='\u{202e}').contains(&c);
    found.extend(text.chars().filter(|c| odd(*c)).map(|c| format!("{c:?}")));
    found
}

const HOSTILE: &str = "x\\e]52;c;cHduZWQ=\\a\\e[2J\\e]0;title\\a\\e[8mhidden\\e[31mRED\\u202Eevil\\x9B31mC1";

fn project() -> Project {
    let command =
        r"printf '\033]52;c;cHduZWQ=\007\033[5A\033]0;owned\007\033[32mgreen\033[0m\n\033[8mhidden\n'; exit 3";
    let text = format!(
        "type: command\ndisplay_name: \"{HOSTILE}\"\ntags: {{\"{HOSTILE}\": \"{HOSTILE}\"}}\ndescription: \"{HOSTILE}\"\n\
         experiment_name: \"{HOSTILE}\"\nenvironment: azureml:any@latest\ncommand: {}\n",
        serde_json::json!(command)
    );
    Project::new().with("job.yml", &text)
}

#[test]
fn no_terminal_obeys_what_strangers_wrote() {
    let project = project();
    let (seen, code) = on_terminal(project.command(&["run", "job.yml", "--name", "r"]), false);
    assert_eq!((code, obeyed(&seen)), (1, vec![]), "{seen:?}");
    assert!(seen.contains("\x1b[32mgreen"), "what a step prints keeps its colours: {seen:?}");
    assert!(!seen.contains("\x1b[31mRED"), "{seen:?}");
    for arguments in [
        &["logs", "r"][..],
        &["logs", "r", "main"],
        &["job", "stream", "-n", "r"],
        &["metrics", "r", "--plot"],
        &["logs", "-f", "r"],
        &["job", "show", "-n", "r"],
        &["job", "show", "-n", "r", "-o", "jsonc"],
        &["job", "show", "-n", "r", "-o", "table"],
        &["job", "show", "-n", "r", "-o", "yaml"],
        &["job", "show", "-n", "r", "-o", "tsv"],
        &["job", "list", "-o", "table"],
        &["job", "list", "-o", "tsv", "--query", "[].tags"],
        &["graph", "job.yml"],
        &["graph", "job.yml", "--format", "dot"],
        &["graph", "job.yml", "--format", "mermaid"],
        &["show", "job.yml"],
        &["show", "job.yml", "-o", "json"],
        &["validate", "job.yml"],
        &["validate", "job.yml", "-o", "json"],
        &["plan", "job.yml"],
        &["why", "r"],
        &["job", "create", "-f", "job.yml", "--dry-run"],
        &["run", "job.yml", "--resume", "\x1b[2J"],
        &["run", "job.yml", "--set", "\x1b]0;x\x07=1"],
        &["--\x1b[2J"],
        &["logs", "\x1b[2J"],
        &["cp", "no\x1b[2Jne", "x"],
        &["data", "create", "-n", "x\x1b[2J", "-p", "job.yml"],
    ] {
        let (seen, _) = on_terminal(project.command(arguments), false);
        assert_eq!(obeyed(&seen), Vec::<String>::new(), "{arguments:?}: {seen:?}");
        assert!(!seen.contains("\x1b[31mRED") && !seen.contains("\x1b[8m"), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn names_of_files_are_shown_and_not_obeyed() {
    let folder = "d\x1b[31m\u{202e}";
    let project = Project::new();
    for (name, text) in
        [("q\x1b[2J.yml", "type: command\n"), ("r\x1b]0;x\x07.yml", "type: pipeline\njobs:\n  \"a\\e[2J\": 1\n")]
    {
        project.write(&format!("{folder}/{name}"), text);
    }
    let missing = format!("{folder}/none\x1b[2J.yml");
    for arguments in [&["validate", "."][..], &["validate", &missing], &["run", &missing], &["graph", &missing]] {
        let (seen, _) = on_terminal(project.command(arguments), false);
        assert_eq!(obeyed(&seen), Vec::<String>::new(), "{arguments:?}: {seen:?}");
        let ran = project.amlrun(arguments);
        assert!(!(ran.out + &ran.err).contains('\x1b'), "nor in a pipe");
    }
}

#[test]
fn in_files_and_pipes_a_log_is_what_the_step_printed() {
    let project = project();
    project.amlrun(&["run", "job.yml", "--name", "r"]).ended(1);
    let log = project.log("main");
    assert!(log.starts_with("\x1b]52;c;cHduZWQ=\x07"), "{log:?}");
    let printed = project.amlrun(&["logs", "r", "main"]).ended(0);
    assert_eq!(printed.out, log);
    // Programs get names as they are written.
    let shown = project.shown();
    let name = shown["display_name"].as_str().unwrap();
    assert!(name.contains('\x1b') && name.contains('\u{202e}') && name.contains('\u{9b}'), "{name:?}");
}

#[test]
fn nobody_is_asked_in_a_build() {
    let project = Project::new().with("pipeline.yml", &pipeline(&node("bad", "exit 3")));
    let mut command = project.command(&["run", "pipeline.yml"]);
    command.env("CI", "true");
    let (seen, code) = on_terminal(command, true);
    assert!(code == 1 && !seen.contains("open a shell"), "{seen}");
}
