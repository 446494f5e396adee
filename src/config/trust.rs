//! Records whether a project has run on this machine before. Before that, commands that only inspect it send nothing.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Config;
use crate::secret::{random_token, write_file};
use crate::store::Home;

/// The proof that a project has run on this machine as it is now: a file outside of the workspace, because a stranger
/// may have made the workspace (`$XDG_STATE_HOME/amlrun/workspaces/…`, or else `~/.local/state/amlrun/workspaces/…`).
/// It has the content of `own`, which differs between any two workspaces, and the digest of `amlrun.toml`.
struct Mark {
    kept: PathBuf,
    own: PathBuf,
}

impl Mark {
    fn of(home: &Home) -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
        let root = home.root().canonicalize().ok()?;
        let name = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        Some(Self { kept: state.join("amlrun/workspaces").join(&name[..32]), own: root.join("workspace.id") })
    }

    fn text(id: &str, config: &Config) -> String {
        format!("{} {}\n", id.trim(), config.digest)
    }
}

/// Whether a project has run on this machine before, with its present `amlrun.toml`.
pub(crate) fn ran_here(home: &Home, config: &Config) -> bool {
    let read = |path: &Path| std::fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    Mark::of(home).is_some_and(|mark| match (read(&mark.own), read(&mark.kept)) {
        (Some(id), Some(kept)) => kept == Mark::text(&id, config),
        _ => false,
    })
}

/// Records that a project runs on this machine. A failure to record it does not prevent the run.
pub(crate) fn remember(home: &Home, config: &Config) {
    if ran_here(home, config) {
        return;
    }
    let Some(mark) = Mark::of(home) else { return };
    let made = || -> std::io::Result<()> {
        let id = random_token()?;
        write_file(&mark.own, &id)?;
        // Other users must not be able to write this record.
        let folder = mark.kept.parent().unwrap_or(&mark.kept);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        write_file(&mark.kept, &Mark::text(&id, config))
    };
    let _ = made();
}
