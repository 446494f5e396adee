//! Finds a container engine: docker or podman, whichever works here. Only their command lines are used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::ask::{self, Reply};
use crate::fs::program::on_path;

/// The variable that chooses an engine.
pub const VARIABLE: &str = "AMLRUN_CONTAINER_ENGINE";

/// How long an engine may take to answer. A daemon may be started by the question.
const LIMIT: Duration = Duration::from_secs(30);

/// A container engine that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Which one it is.
    pub kind: Kind,
    /// Its command line.
    pub program: PathBuf,
    /// Whether it runs without root's rights: then root in a container is the user.
    pub is_rootless: bool,
}

/// The kinds of engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Docker, and what has its command line.
    Docker,
    /// Podman.
    Podman,
}

/// Why there is no engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// None of the engines works.
    #[error("no container engine works here: {0}; install podman, start docker, or use --environment host")]
    None(String),
    /// The chosen one does not work.
    #[error("the container engine that {VARIABLE} or amlrun.toml chooses does not work: {0}")]
    Chosen(String),
}

impl Kind {
    /// The name of its command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Asks whether the engine itself answers: a client alone prints its own version, and fails.
    fn question(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}"],
            Self::Podman => &["version", "--format", "{{.Client.Version}}"],
        }
    }

    fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains("podman") { Self::Podman } else { Self::Docker }
    }
}

impl Engine {
    /// Finds an engine: the one that the variable or the project chooses, otherwise docker or podman.
    ///
    /// # Errors
    /// When none works.
    pub fn find(configured: Option<&str>) -> Result<Self, EngineError> {
        let variable = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        if let Some(chosen) = variable.as_deref().or(configured) {
            return Self::try_one(chosen).map_err(EngineError::Chosen);
        }
        let mut why = Vec::new();
        for kind in [Kind::Docker, Kind::Podman] {
            match Self::try_one(kind.name()) {
                Ok(engine) => return Ok(engine),
                Err(error) => why.push(error),
            }
        }
        Err(EngineError::None(why.join(", ")))
    }

    /// The engine with that name or path.
    fn try_one(name: &str) -> Result<Self, String> {
        let program = on_path(name, None).ok_or_else(|| format!("{name} is not installed"))?;
        let kind = Kind::of(&program);
        let Reply::Printed(answer) = ask::ask(&program, kind.question(), Path::new("/"), LIMIT) else {
            return Err(format!("{name} does not answer"));
        };
        let is_rootless = match kind {
            Kind::Docker => String::from_utf8_lossy(&answer).contains("rootless"),
            Kind::Podman => !nix::unistd::geteuid().is_root(),
        };
        Ok(Self { kind, program, is_rootless })
    }

    /// What the engine prints for a command that only asks. `None` if it fails.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Option<String> {
        match ask::ask(&self.program, arguments, Path::new("/"), LIMIT) {
            Reply::Printed(text) => Some(String::from_utf8_lossy(&text).trim().to_owned()),
            Reply::Failed | Reply::None => None,
        }
    }

    /// The command that ends and removes a container, whatever its state. It succeeds when there is none.
    #[must_use]
    pub fn removal(&self, container: &str) -> Vec<String> {
        let options: &[&str] = match self.kind {
            Kind::Docker => &["rm", "--force", "--volumes"],
            // Otherwise it waits ten seconds for a container that ignores SIGTERM.
            Kind::Podman => &["rm", "--force", "--ignore", "--volumes", "--time=0"],
        };
        let words = [self.program.display().to_string()].into_iter().chain(options.iter().map(|&word| word.to_owned()));
        words.chain([container.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn script(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn an_engine_counts_only_when_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let client = script(folder.path(), "docker", "echo 'Client: 28'; exit 1");
        assert_eq!(Engine::try_one(&client), Err(format!("{client} does not answer")));
        let rootless = script(folder.path(), "other-docker", "echo '28 [name=seccomp name=rootless]'");
        let engine = Engine::try_one(&rootless).unwrap();
        assert_eq!((engine.kind, engine.is_rootless), (Kind::Docker, true));
        let podman = script(folder.path(), "podman", "echo 4.3.1");
        let engine = Engine::try_one(&podman).unwrap();
        assert_eq!((engine.kind, engine.is_rootless), (Kind::Podman, !nix::unistd::geteuid().is_root()));
        assert_eq!(Engine::try_one("no-such-engine"), Err("no-such-engine is not installed".to_owned()));
    }

    #[test]
    fn a_container_is_removed_at_once() {
        let engine = Engine { kind: Kind::Podman, program: "/bin/podman".into(), is_rootless: false };
        assert_eq!(engine.removal("c").join(" "), "/bin/podman rm --force --ignore --volumes --time=0 c");
    }
}
