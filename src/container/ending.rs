//! How a container ended: what an engine says with its own exit codes, and what its record of a container has.

use serde::Deserialize;

use super::engine::Engine;
use super::image::Image;
use super::make::platform;
use crate::exec::Ending;

/// What the engine has recorded of a container. Podman and docker have the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    started_at: String,
}

impl State {
    /// The state of a container. `None` if the engine has no such container.
    pub(super) fn of(container: &str, engine: &Engine) -> Option<Self> {
        let text = engine.ask(&["container", "inspect", "--format", "{{json .State}}", container])?;
        serde_json::from_str(&text).ok()
    }

    /// The time of a container that never started is the year 1.
    fn is_started(&self) -> bool {
        !self.started_at.is_empty() && !self.started_at.starts_with("0001-")
    }
}

/// Whether an ending may be the engine's own, so that its record is needed to tell.
pub(super) fn needs_state(ending: &Ending) -> bool {
    matches!(ending, Ending::Exited(1 | 125..=127 | 137 | 255) | Ending::CommandNotFound(_))
}

/// How the step ended, from how the client ended. `printed` has the last lines of both.
pub(super) fn explain(
    ending: Ending,
    state: Option<&State>,
    printed: &[String],
    image: &Image,
    engine: &Engine,
) -> Ending {
    let says = |text: &str| printed.iter().any(|line| line.to_lowercase().contains(text));
    let own = platform();
    if needs_state(&ending) && says("exec format error") && image.platform != own {
        let made_for = &image.platform;
        return Ending::NotStarted(format!(
            "its image is made for {made_for}, and this machine is {own}: use an image for {own}, or install emulation \
             (qemu-user-static)"
        ));
    }
    match (ending, state) {
        (Ending::Exited(137), Some(State { oom_killed: true, .. })) => Ending::OutOfMemory,
        (Ending::Exited(125..=127) | Ending::CommandNotFound(_), state)
            if state.is_none_or(|state| !state.is_started()) =>
        {
            Ending::NotStarted(not_started(printed, engine))
        }
        (ending, _) => ending,
    }
}

/// Why the engine could not start a container.
fn not_started(printed: &[String], engine: &Engine) -> String {
    let name = engine.kind.name();
    let error = printed.iter().rev().find(|line| line.to_lowercase().contains("error"));
    let why = error.or(printed.last()).map_or("it printed nothing", |line| line.trim());
    let lacks_bash = why.contains("bash")
        && ["executable file", "no such file"].iter().any(|sign| why.to_lowercase().contains(sign));
    if lacks_bash {
        return "its image has no bash, in which steps run, as on Azure ML".to_owned();
    }
    format!("{name} cannot start its container: {}", why.trim_start_matches("Error: "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::engine::Kind;

    fn explained(ending: Ending, state: Option<&State>, printed: &str, platform: &str) -> Ending {
        let image = Image { id: "i".to_owned(), platform: platform.to_owned() };
        let engine = Engine { kind: Kind::Podman, program: "/bin/podman".into(), is_rootless: false };
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        explain(ending, state, &printed, &image, &engine)
    }

    fn state(started: bool, oom_killed: bool) -> Option<State> {
        let started_at = if started { "2026-01-01T00:00:00Z" } else { "0001-01-01T00:00:00Z" }.to_owned();
        Some(State { oom_killed, started_at })
    }

    #[test]
    fn the_codes_of_a_command_stay_its_own() {
        for code in [0, 1, 3, 125, 126, 127, 137] {
            assert_eq!(
                explained(Ending::Exited(code), state(true, false).as_ref(), "", &platform()),
                Ending::Exited(code)
            );
        }
        assert_eq!(
            explained(Ending::TimedOut(std::time::Duration::ZERO), None, "", &platform()),
            Ending::TimedOut(std::time::Duration::ZERO)
        );
    }

    #[test]
    fn what_the_engine_says_is_a_sentence() {
        let text = |ending| match ending {
            Ending::NotStarted(text) => text,
            other => panic!("{other:?}"),
        };
        let bash = "Error: crun: executable file `bash` not found in $PATH: No such file or directory";
        assert!(
            text(explained(Ending::Exited(127), state(false, false).as_ref(), bash, &platform()))
                .contains("has no bash")
        );
        let option = "Error: unknown flag: --gpu";
        assert_eq!(
            text(explained(Ending::Exited(125), None, option, &platform())),
            "podman cannot start its container: unknown flag: --gpu"
        );
        let format = "exec /bin/bash: exec format error";
        assert!(
            text(explained(Ending::Exited(1), state(true, false).as_ref(), format, "linux/riscv64"))
                .contains("linux/riscv64")
        );
        assert_eq!(explained(Ending::Exited(137), state(true, true).as_ref(), "", &platform()), Ending::OutOfMemory);
    }
}
