//! What the user allows all projects to do, in a file outside of all projects. A project's `amlrun.toml` may come from
//! a stranger, and names hosts and secrets.
//!
//! ```toml
//! # $AMLRUN_CONFIG, else $XDG_CONFIG_HOME/amlrun/config.toml, else ~/.config/amlrun/config.toml
//! trusted_hosts = ["storage.example.com", "10.0.0.5:10000"]   # may get secrets that a project names
//! trusted_files = ["~/keys"]                                  # files, or folders of files, that a project may name
//! ```
//!
//! Azure's own hosts and loopback need no entry, nor do files in the project or in the folder of this file.
//! [`super::trust`] records which workspaces have run on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Failed;

/// What the user allows all projects to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserConfig {
    /// Hosts, optionally with a port.
    pub trusted_hosts: Vec<String>,
    /// Files and folders.
    pub trusted_files: Vec<PathBuf>,
    /// The path of the file, whether it exists or not.
    #[serde(skip)]
    place: PathBuf,
}

impl UserConfig {
    /// The user's file. If it does not exist, nothing is allowed.
    ///
    /// # Errors
    /// A message, when the file cannot be read or has invalid content.
    pub(crate) fn load() -> Result<Self, Failed> {
        let Some(place) = place(&|name| std::env::var_os(name)) else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failed::new(format!("cannot read {}: {error}", place.display()))),
        };
        let read: Result<Self, _> = toml::from_str(&text);
        let read = read.map_err(|error| {
            Failed::new(format!("{}: {}", place.display(), error.message()))
                .hint("use trusted_hosts = [\"HOST\"] and trusted_files = [\"PATH\"]")
        })?;
        Ok(Self { place, ..read })
    }

    /// Whether a host, given as `name` or `name:port`, may receive secrets that a project names.
    pub(crate) fn trusts_host(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        self.trusted_hosts.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name))
    }

    /// Checks whether a project in that folder may use a file as a secret. Links are followed: the target decides.
    ///
    /// # Errors
    /// A message that says what to do.
    pub(crate) fn may_read(&self, project: &Path, file: &Path) -> Result<(), String> {
        // A missing file is reported when it is read.
        let Ok(real) = file.canonicalize() else { return Ok(()) };
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let trusted = self.trusted_files.iter().map(|path| match path.strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => path.clone(),
        });
        // The file with the secrets of all datastores is for amlrun alone.
        let is_ours = real.file_name().is_some_and(|name| name == "credentials.json");
        // With `AMLRUN_CONFIG=~/amlrun.toml`, the folder of the file may contain anything, so it is not allowed as a
        // whole.
        let own = self.place.ends_with("amlrun/config.toml").then(|| self.place.parent()).flatten();
        let own = own.filter(|_| !is_ours).map(Path::to_owned);
        let allowed = trusted.chain(own).chain([project.to_owned()]).filter_map(|path| path.canonicalize().ok());
        if !allowed.into_iter().any(|path| real.starts_with(path)) {
            return Err(format!(
                "uses {}, which is outside the project: to allow this, add trusted_files = [\"{}\"] to {}",
                file.display(),
                real.display(),
                self.shown()
            ));
        }
        if real.is_file() { Ok(()) } else { Err(format!("uses {}, which is not a file", file.display())) }
    }

    /// The path of the file, for messages.
    pub(crate) fn shown(&self) -> String {
        if self.place.as_os_str().is_empty() {
            return "the file in AMLRUN_CONFIG".to_owned();
        }
        self.place.display().to_string()
    }
}

fn place(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = variable("AMLRUN_CONFIG") {
        return Some(std::path::absolute(&file).unwrap_or(file));
    }
    let config = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    Some(config.or_else(|| Some(variable("HOME")?.join(".config")))?.join("amlrun/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_project_may_be_named_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("project");
        std::fs::create_dir_all(project.join("keys")).unwrap();
        for file in ["project/keys/own", "id_rsa", "key"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("../id_rsa", project.join("link")).unwrap();
        let user = UserConfig { trusted_files: vec![root.path().join("key")], ..UserConfig::default() };
        let may = |file: &str| user.may_read(&project, &project.join(file));
        assert_eq!(may("keys/own"), Ok(()));
        assert_eq!(may("../key"), Ok(()));
        for foreign in ["../id_rsa", "link", "/etc/passwd"] {
            assert!(may(foreign).unwrap_err().contains("outside the project"), "{foreign}");
        }
        assert!(may("keys").unwrap_err().contains("not a file"));
    }

    #[test]
    fn hosts_are_trusted_by_name_or_with_their_port() {
        let user =
            UserConfig { trusted_hosts: vec!["a.example".into(), "b.example:1".into()], ..UserConfig::default() };
        for host in ["a.example", "A.example:80", "b.example:1"] {
            assert!(user.trusts_host(host), "{host}");
        }
        for host in ["b.example", "b.example:2", "x.a.example", "a.example.evil"] {
            assert!(!user.trusts_host(host), "{host}");
        }
    }
}
