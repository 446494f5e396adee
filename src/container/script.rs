//! The script that is the first process of a step's container.
//!
//! It sets the variables: so they are on no command line, keep every character, and the image's own stay. It passes
//! SIGTERM on to all processes of the step, and waits for them: the first process of a container would ignore the signal,
//! and the children of a shell would not get it.

use super::quoted;
use crate::exec::{Launcher, ranks};

/// What a script does.
pub(super) struct Script<'a> {
    /// The variables.
    pub variables: &'a [(String, String)],
    /// The command for bash.
    pub command: &'a str,
    /// The file that has the command, if it is too long for an argument.
    pub file: Option<&'a str>,
    /// What starts it.
    pub launcher: Launcher,
}

/// Runs `step` in a process group of its own. A group has members after its first process ended: in a script of several
/// commands the shell ends at once, and its child is the one that needs the time.
const SUPERVISE: &str = r#"pid= stopped=
trap 'stopped=1; [ -z "$pid" ] || kill -TERM -- "-$pid"' TERM
set -m
step &
pid=$!
set +m
exec 2>/dev/null
[ -z "$stopped" ] || kill -TERM -- "-$pid"
while wait "$pid"; code=$?; kill -0 "$pid"; do :; done
while [ -n "$stopped" ] && kill -0 -- "-$pid" && sleep 0.05; do :; done
exit "$code"
"#;

impl Script<'_> {
    /// The text for bash.
    pub(super) fn text(&self) -> String {
        let set = |(name, value): &(String, String)| {
            if is_name(name) { format!("export {name}={}\n", quoted(value)) } else { String::new() }
        };
        let variables: String = self.variables.iter().map(set).collect();
        format!("{variables}step() {{ {}; }}\n{SUPERVISE}", self.start())
    }

    /// The command that becomes the step.
    fn start(&self) -> String {
        let Launcher::Mpirun { ranks, per_node } = self.launcher else {
            return match self.file {
                Some(file) => format!("exec bash {}", quoted(file)),
                None => format!("exec bash -c {}", quoted(self.command)),
            };
        };
        // Only Open MPI and its relatives need the options; Hydra does not know them.
        let command = quoted(&format!("{}{}", ranks::mpi_preamble(per_node), self.command));
        format!(
            "case \"$(mpirun --version 2>/dev/null)\" in *'Open MPI'*|*OpenRTE*|*PRRTE*) \
             set -- --allow-run-as-root --oversubscribe;; *) set --;; esac; \
             exec mpirun -n {ranks} \"$@\" bash -c {command}"
        )
    }
}

/// Whether a shell can have a variable with that name. Others are given to the engine.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::process::LocalProcess;
    use crate::exec::{Ending, Executor as _, LOG_LIMIT, Launch, Observer, RankProcess, Stop};
    use std::sync::Arc;
    use std::time::Duration;

    /// How the script ends for a command, and what it prints.
    async fn run(variables: &[(&str, &str)], command: &str) -> (Ending, String) {
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let script = Script { variables: &variables, command, file: None, launcher: Launcher::Bash }.text();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let launch = Launch {
            command: script,
            cwd: folder.path().to_owned(),
            variables: Vec::new(),
            hidden: Arc::new([]),
            mounts: Vec::new(),
            marker: ("AMLRUN_TEST".to_owned(), folder.path().display().to_string()),
            processes: vec![RankProcess::only(log.clone())],
            launcher: Launcher::Bash,
            log_limit: LOG_LIMIT,
            secrets: Arc::new([]),
            timeout: None,
            grace: Duration::ZERO,
        };
        let observer = Observer { started: Arc::new(|_| {}), lines: Arc::new(|_| {}) };
        let (_stop, watch) = tokio::sync::watch::channel(Stop::None);
        let ended = LocalProcess::new().run(launch, observer, watch).await;
        (ended.ending, std::fs::read_to_string(log).unwrap())
    }

    #[tokio::test]
    async fn the_exit_code_the_output_and_the_variables_are_those_of_the_command() {
        let odd = "a 'b' \"c\"\n$(d)\\";
        let (ending, text) = run(&[("ODD", odd)], "printf '%s\\n' \"$ODD\"; exit 7").await;
        assert_eq!((ending, text), (Ending::Exited(7), format!("{odd}\n")));
        let (ending, text) = run(&[], "no-such-command-here").await;
        assert_eq!(ending, Ending::CommandNotFound("no-such-command-here".to_owned()), "{text}");
        let (ending, text) = run(&[("not.a.name", "x")], "echo a >&2; echo b").await;
        assert_eq!((ending, text.as_str()), (Ending::Exited(0), "a\nb\n"));
    }
}
