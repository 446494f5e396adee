//! Makes paths read-only for one command: a read-only mount over each, which no other process sees.
//!
//! This program is started in place of the command. It creates its own mount namespace, makes the mounts and then
//! becomes the command. The kernel may refuse that, as in most containers; then commands run without the mounts.
//! Without the right to mount, a user namespace is needed: other users and groups appear as nobody in it, and no
//! program gets more rights through its owner (`sudo`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The hidden command that makes the mounts.
pub const VERB: &str = "__read-only";

/// The arguments for this program that make read-only mounts over `paths`.
pub(super) fn trial(paths: &[PathBuf]) -> Vec<OsString> {
    let paths = paths.iter().flat_map(|path| ["--path".into(), path.into()]);
    std::iter::once(VERB.into()).chain(paths).collect()
}

/// The same, followed by a program to start and its arguments.
pub(super) fn arguments(paths: &[PathBuf], program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut all = trial(paths);
    all.extend(["--".into(), program.into()]);
    all.extend(arguments);
    all
}

/// Does what the hidden command asks for, if the words of this process's command line begin with it. It is not parsed like
/// the others: the variables of a step must not change what it means.
#[must_use]
pub fn requested(words: impl IntoIterator<Item = OsString>) -> Option<Result<(), String>> {
    let mut words = words.into_iter().skip(1);
    words.next().filter(|verb| verb == VERB)?;
    let mut paths = Vec::new();
    while words.next().is_some_and(|flag| flag == "--path") {
        paths.extend(words.next().map(PathBuf::from));
    }
    Some(run(&paths, &words.collect::<Vec<_>>()))
}

/// Makes the mounts and becomes the program. Returns if there is no program.
///
/// # Errors
/// A message, if there is no program and the kernel does not allow the mounts, or the program cannot be started.
#[cfg(target_os = "linux")]
fn run(paths: &[PathBuf], program: &[OsString]) -> Result<(), String> {
    use std::os::unix::process::CommandExt as _;
    let mounted = mounts::make(paths).map_err(|error| format!("cannot mount its inputs read-only: {error}"));
    // A step runs in any case: what cannot be mounted is still watched.
    let Some((program, arguments)) = program.split_first() else { return mounted };
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(format!("cannot start '{}': {error}", program.display()))
}

/// Read-only mounts are not supported on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
fn run(_: &[PathBuf], _: &[OsString]) -> Result<(), String> {
    Err("this system has no mounts that only one process sees".to_owned())
}

#[cfg(target_os = "linux")]
mod mounts {
    use std::io;
    use std::path::{Path, PathBuf};

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::statvfs::{FsFlags, statvfs};
    use nix::unistd::{getgid, getuid};

    const NONE: Option<&str> = None;

    pub(super) fn make(paths: &[PathBuf]) -> io::Result<()> {
        if unshare(CloneFlags::CLONE_NEWNS).is_err() {
            let (user, group) = (getuid(), getgid());
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
            // user_namespaces(7): a group may be mapped only after setgroups(2) is denied.
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        }
        // Mounts made here are not visible outside; later mounts from outside are visible here.
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
        // One that cannot be covered keeps none of the others from it.
        let covered: Vec<io::Result<()>> = paths.iter().map(|path| cover(path)).collect();
        covered.into_iter().collect()
    }

    /// Mounts a file or folder read-only over itself (mount(2): a bind mount gets its flags by a remount, which must
    /// keep the restrictions of the mount below).
    fn cover(path: &Path) -> io::Result<()> {
        mount(Some(path), path, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
        let flags = statvfs(path)?.flags();
        let forbidden = [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
            (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
        ];
        let kept = forbidden.iter().filter(|(has, _)| flags.contains(*has)).map(|(_, keep)| *keep);
        let flags = kept.fold(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, |all, flag| all | flag);
        mount(NONE, path, NONE, flags, NONE)?;
        Ok(())
    }
}
