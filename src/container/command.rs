//! The arguments of the engine's `run` for one step.

use std::path::{Path, PathBuf};

use super::engine::{Engine, Kind};
use super::script::is_name;
use crate::exec::{Access, Launch, Mount};
use crate::spec::component::ContainerSettings;

/// The size of the shared memory that Azure ML gives by default (reference, section 2.14).
const SHM_SIZE: &str = "2g";

/// The variable with the folder of the run, which no other run has.
const RUN_FOLDER: &str = "AMLRUN_RUN_FOLDER";

/// What decides about the container of a step beside its launch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The id of its image.
    pub image: String,
    /// What its file says about containers.
    pub settings: ContainerSettings,
    /// Whether it gets the GPUs of this machine.
    pub gpus: bool,
    /// The user and the group that run amlrun.
    pub user: (u32, u32),
}

/// The arguments for a step, without its name before them, and the image and its script after them.
#[must_use]
pub fn arguments(launch: &Launch, options: &Options, engine: &Engine) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|&word| word.to_owned()));
    // The log is written by amlrun, and the tracking server listens on this machine's loopback.
    add(&["--pull=never", "--log-driver=none", "--network=host", "--entrypoint=bash"]);
    // Without this, SELinux hides the files of the user.
    add(&["--security-opt=label=disable"]);
    let (user, group) = options.user;
    match engine.kind {
        // Root in the container is the user: only this mapping keeps the user's own id.
        Kind::Podman if engine.is_rootless => add(&["--userns=keep-id"]),
        Kind::Docker if engine.is_rootless => add(&["--user=0:0"]),
        _ => add(&[&format!("--user={user}:{group}")]),
    }
    add(&[&format!("--workdir={}", launch.cwd.display()), &format!("--label=amlrun.job={}", launch.marker.1)]);
    if let Some((_, folder)) = launch.variables.iter().find(|(name, _)| name == RUN_FOLDER) {
        add(&[&format!("--label=amlrun.run={folder}")]);
    }
    if launch.processes.len() > 1 {
        // The processes of one step share memory.
        add(&["--ipc=host"]);
    } else {
        add(&[&format!("--shm-size={}", options.settings.shm_size.as_deref().unwrap_or(SHM_SIZE))]);
    }
    if options.gpus {
        match engine.kind {
            Kind::Docker => add(&["--gpus=all"]),
            Kind::Podman => add(&["--device=nvidia.com/gpu=all"]),
        }
    }
    for mount in mounts(&launch.mounts) {
        add(&["--mount", &mount_option(&mount)]);
    }
    for (name, _) in launch.variables.iter().filter(|(name, _)| !is_name(name)) {
        add(&["--env", name]);
    }
    all.extend(options.settings.docker_args.iter().cloned());
    all
}

/// The mounts in the order of their paths: an inner one comes after the one around it. What is inside of another with the
/// same access is left out, and so is what does not exist.
fn mounts(all: &[Mount]) -> Vec<Mount> {
    let is_write = |mount: &Mount| mount.access == Access::Write;
    let mut sorted: Vec<Mount> = all.iter().filter(|mount| mount.path.exists()).cloned().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path).then(is_write(b).cmp(&is_write(a))));
    let mut kept: Vec<Mount> = Vec::new();
    for mount in sorted {
        let around = kept.iter().rev().find(|other| mount.path.starts_with(&other.path));
        let is_same = around.is_some_and(|around| around.path == mount.path || is_write(around) == is_write(&mount));
        if !is_same {
            kept.push(mount);
        }
    }
    kept
}

fn mount_option(mount: &Mount) -> String {
    let path = &mount.path;
    let fields = ["type=bind".to_owned(), field("source", path), field("target", path)];
    let read_only = (mount.access != Access::Write).then(|| "readonly".to_owned());
    fields.into_iter().chain(read_only).collect::<Vec<_>>().join(",")
}

/// A field of a mount, which is a line of CSV.
fn field(name: &str, path: &Path) -> String {
    let field = format!("{name}={}", path.display());
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

/// Whether containers can get GPUs: there is one, and the engine knows how.
#[must_use]
pub fn has_gpus(engine: &Engine) -> bool {
    let is_there = |path: &str| Path::new(path).exists();
    is_there("/dev/nvidiactl")
        && match engine.kind {
            Kind::Docker => crate::fs::program::on_path("nvidia-container-runtime", None).is_some(),
            Kind::Podman => ["/etc/cdi", "/var/run/cdi"].iter().any(|folder| {
                let files = std::fs::read_dir(PathBuf::from(folder)).into_iter().flatten().flatten();
                files.into_iter().any(|file| file.file_name().to_string_lossy().contains("nvidia"))
            }),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{LOG_LIMIT, Launcher, RankProcess};
    use std::sync::Arc;
    use std::time::Duration;

    fn launch(mounts: Vec<Mount>) -> Launch {
        Launch {
            command: "true".to_owned(),
            cwd: "/run/wd".into(),
            variables: vec![("KEY".to_owned(), "topsecret".to_owned()), ("a.b".to_owned(), "topsecret".to_owned())],
            hidden: Arc::new([]),
            mounts,
            marker: ("AZUREML_RUN_ID".to_owned(), "r-a".to_owned()),
            processes: vec![RankProcess::only("/run/log".into())],
            launcher: Launcher::Bash,
            log_limit: LOG_LIMIT,
            secrets: Arc::new([]),
            timeout: None,
            grace: Duration::ZERO,
        }
    }

    fn words(kind: Kind, is_rootless: bool, launch: &Launch, settings: ContainerSettings) -> Vec<String> {
        let options = Options { image: "id".to_owned(), settings, gpus: true, user: (1000, 100) };
        arguments(launch, &options, &Engine { kind, program: "/bin/x".into(), is_rootless })
    }

    #[test]
    fn outputs_belong_to_the_user_with_every_engine() {
        let has = |kind, is_rootless, word: &str| {
            words(kind, is_rootless, &launch(Vec::new()), ContainerSettings::default())
                .iter()
                .any(|other| other == word)
        };
        assert!(has(Kind::Podman, true, "--userns=keep-id") && !has(Kind::Podman, true, "--user=1000:100"));
        assert!(has(Kind::Podman, false, "--user=1000:100"));
        assert!(has(Kind::Docker, true, "--user=0:0"));
        assert!(has(Kind::Docker, false, "--user=1000:100"));
        assert!(has(Kind::Docker, false, "--gpus=all") && has(Kind::Podman, false, "--device=nvidia.com/gpu=all"));
    }

    #[test]
    fn no_value_of_a_variable_is_on_the_command_line() {
        let words = words(Kind::Podman, false, &launch(Vec::new()), ContainerSettings::default());
        assert!(!words.iter().any(|word| word.contains("topsecret")), "{words:?}");
        assert!(words.windows(2).any(|pair| pair == ["--env", "a.b"]), "{words:?}");
    }

    #[test]
    fn what_the_file_says_about_containers_comes_last() {
        let settings =
            ContainerSettings { shm_size: Some("8g".to_owned()), docker_args: vec!["--cap-add=X".to_owned()] };
        let words = words(Kind::Docker, false, &launch(Vec::new()), settings);
        assert!(words.contains(&"--shm-size=8g".to_owned()));
        assert_eq!(words.last().map(String::as_str), Some("--cap-add=X"));
    }

    #[test]
    fn mounts_are_nested_and_read_only_unless_they_are_written() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["store/run/step", "store/run/other", "data,1"] {
            std::fs::create_dir_all(path(folder)).unwrap();
        }
        let mount = |name: &str, access| Mount { path: path(name), access };
        let all = vec![
            mount("store/run/step", Access::Write),
            mount("store/run/other", Access::Read),
            mount("store", Access::Sealed),
            mount("data,1", Access::Read),
            mount("missing", Access::Write),
        ];
        let words = words(Kind::Docker, false, &launch(all), ContainerSettings::default());
        let found: Vec<&String> = words.iter().filter(|word| word.starts_with("type=bind")).collect();
        let (store, step, data) = (path("store"), path("store/run/step"), path("data,1"));
        let (store, step, data) = (store.display(), step.display(), data.display());
        assert_eq!(
            found,
            [
                &format!("type=bind,\"source={data}\",\"target={data}\",readonly"),
                &format!("type=bind,source={store},target={store},readonly"),
                &format!("type=bind,source={step},target={step}"),
            ]
        );
    }
}
