//! Paths that a command can read and cannot write to: a read-only mount over each, which nobody else sees.
//!
//! A process gets a view of the file system of its own from this very program, which is started in its place, makes the
//! mounts and then becomes the command. The kernel may refuse that, as in most containers and where it is set up so:
//! then commands run without. Without the right to mount, the view takes a user namespace: other users and groups are
//! nobody in it, and no program gets more rights by its owner (`sudo`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The hidden verb that makes this program the one that mounts.
pub const VERB: &str = "__read-only";

/// The arguments for this program that make read-only mounts over `paths`.
pub(super) fn trial(paths: &[PathBuf]) -> Vec<OsString> {
    let paths = paths.iter().flat_map(|path| ["--path".into(), path.into()]);
    std::iter::once(VERB.into()).chain(paths).collect()
}

/// The same for a program that is then started with its arguments.
pub(super) fn arguments(paths: &[PathBuf], program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut all = trial(paths);
    all.extend(["--".into(), program.into()]);
    all.extend(arguments);
    all
}

/// Makes the mounts and becomes the program. Comes back when there is none.
///
/// # Errors
/// A sentence, when the kernel does not allow it or the program cannot be started.
#[cfg(target_os = "linux")]
pub fn run(paths: &[PathBuf], program: &[OsString]) -> Result<(), String> {
    use std::os::unix::process::CommandExt as _;
    mounts::make(paths).map_err(|error| format!("cannot mount its inputs read-only: {error}"))?;
    let Some((program, arguments)) = program.split_first() else { return Ok(()) };
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(format!("cannot start '{}': {error}", program.display()))
}

/// There are no such mounts here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &[PathBuf], _: &[OsString]) -> Result<(), String> {
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
            // user_namespaces(7): a group may be mapped once nobody can drop one any more.
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        }
        // What is mounted here stays here; what others mount from now on is seen.
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
        paths.iter().try_for_each(|path| cover(path))
    }

    /// A mount over a file or folder that shows the same, read-only (mount(2): a bind takes its flags by a remount, which
    /// must not take away what the mount below forbids).
    fn cover(path: &Path) -> io::Result<()> {
        mount(Some(path), path, NONE, MsFlags::MS_BIND, NONE)?;
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
