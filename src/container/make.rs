//! Makes the image of a container ready: it is pulled, built from a folder, or derived from another image.
//!
//! The engine's client runs under the same supervision as a step: it ends with the runner, on Ctrl-C as well.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::context::Context;
use super::engine::EngineError;
use super::image::{Image, qualified};
use super::images::Images;
use super::{derived, quoted};
use crate::digest::Digest;
use crate::environment::container::{Container, Packages, Source};
use crate::exec::process::LocalProcess;
use crate::exec::{Ending, Executor as _, LOG_LIMIT, Launch, Launcher, Observer, RankProcess, Shown, StopWatch};
use crate::handle::Handle;

/// The variable with more options for the engine's `build`, such as `--build-arg` or `--network=host`.
const BUILD_OPTIONS: &str = "AMLRUN_BUILD_OPTIONS";

/// Why an image is not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The registry does not answer.
    #[error("the registry cannot be reached: {why} (log: {log})")]
    Offline {
        /// The line that says so.
        why: String,
        /// What the engine printed.
        log: String,
    },
    /// The image does not exist for this machine.
    #[error("it has no variant for this machine, {platform} (log: {log})")]
    Platform {
        /// What this machine is.
        platform: String,
        /// What the engine printed.
        log: String,
    },
    /// The engine refused.
    #[error("{why} (log: {log})")]
    Failed {
        /// What it printed.
        why: String,
        /// All that it printed.
        log: String,
    },
    /// The run was asked to stop.
    #[error("it was stopped")]
    Stopped,
    /// A file or folder cannot be used.
    #[error("{0}")]
    Io(String),
}

/// Receives what is done.
pub struct MakeObserver {
    /// Called when an image is about to be pulled (`pull`) or built (`build`).
    pub started: Box<dyn Fn(&'static str) + Send + Sync>,
    /// Receives what the engine prints, and what is waited for.
    pub line: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Makes the image of a container ready: returns it at once if it is here. Another process that makes the same one is
/// waited for.
///
/// # Errors
/// [`ImageError`].
pub async fn ready(
    images: &Arc<Images>,
    container: &Container,
    processes: &Arc<LocalProcess>,
    observer: &MakeObserver,
    stop: StopWatch,
) -> Result<Image, ImageError> {
    let (all, wanted) = (images.clone(), container.clone());
    if let Some(image) = blocking(move || all.engine().cloned().map(|_| all.find(&wanted))).await?? {
        return Ok(image);
    }
    let work = Work { images, processes, observer, stop };
    let base = work.base(&container.source).await?;
    let Some(packages) = &container.packages else { return Ok(base) };
    work.derive(&base, packages).await
}

/// What all steps of making an image need.
struct Work<'a> {
    images: &'a Arc<Images>,
    processes: &'a Arc<LocalProcess>,
    observer: &'a MakeObserver,
    stop: StopWatch,
}

/// The folder in which an image is made. The right to make it ends when this is dropped, however the process ends.
struct Place {
    folder: PathBuf,
    _reserved: File,
}

impl Place {
    fn log(&self) -> PathBuf {
        self.folder.join("build.log")
    }

    /// An empty folder for the files of a build.
    fn context(&self) -> Result<PathBuf, ImageError> {
        let context = self.folder.join("context");
        remove(&context)?;
        fs::create_dir_all(&context).map_err(|error| ImageError::Io(error.to_string()))?;
        Ok(context)
    }
}

impl Work<'_> {
    async fn base(&self, source: &Source) -> Result<Image, ImageError> {
        let (images, wanted) = (self.images.clone(), source.clone());
        if let Some(image) = blocking(move || images.base(&wanted)).await? {
            return Ok(image);
        }
        match source {
            Source::Image(name) => self.pull(name).await,
            Source::Build { context, dockerfile } => {
                let (images, wanted) = (self.images.clone(), source.clone());
                let name = blocking(move || images.built_name(&wanted)).await?.map_err(ImageError::Io)?;
                let place = self.place(&name).await?;
                if let Some(image) = self.inspect(&name).await? {
                    return Ok(image);
                }
                (self.observer.started)("build");
                let files = place.context()?;
                let (from, file, to) = (context.clone(), dockerfile.clone(), files.clone());
                let laid = blocking(move || Context::read(&from, &file).and_then(|context| context.lay(&to)));
                laid.await?.map_err(ImageError::Io)?;
                self.build(&name, dockerfile, &files, &place).await
            }
        }
    }

    async fn pull(&self, name: &str) -> Result<Image, ImageError> {
        let full = qualified(name).unwrap_or_else(|| name.to_owned());
        let place = self.place(&full).await?;
        if let Some(image) = self.inspect(&full).await? {
            return Ok(image);
        }
        (self.observer.started)("pull");
        self.run(&format!("pull {}", quoted(&full)), &place).await?;
        self.made(&full, &place).await
    }

    async fn derive(&self, base: &Image, packages: &Packages) -> Result<Image, ImageError> {
        let name = derived::name(base, packages).map_err(ImageError::Io)?;
        let place = self.place(&name).await?;
        if let Some(image) = self.inspect(&name).await? {
            return Ok(image);
        }
        (self.observer.started)("build");
        let files = place.context()?;
        let (from, more, to) = (base.clone(), packages.clone(), files.clone());
        blocking(move || derived::write(&from, &more, &to)).await?.map_err(ImageError::Io)?;
        let (engine, id, tag) = (self.images.engine()?.clone(), base.id.clone(), derived::base_name(base));
        blocking(move || engine.ask(&["tag", &id, &tag])).await?;
        self.build(&name, "Dockerfile", &files, &place).await
    }

    async fn build(&self, name: &str, dockerfile: &str, files: &Path, place: &Place) -> Result<Image, ImageError> {
        let options = std::env::var(BUILD_OPTIONS).unwrap_or_default();
        let file = quoted(&files.join(dockerfile).display().to_string());
        let (name_word, files_word) = (quoted(name), quoted(&files.display().to_string()));
        let command =
            format!("build --label amlrun=environment --file {file} --tag {name_word} {options} {files_word}");
        let ran = self.run(&command, place).await;
        remove(files)?;
        ran?;
        self.made(name, place).await
    }

    /// Runs the engine's client.
    async fn run(&self, command: &str, place: &Place) -> Result<(), ImageError> {
        let engine = self.images.engine()?;
        let command = format!("exec {} {command}", quoted(&engine.program.display().to_string()));
        let last = Arc::new(Mutex::new(Vec::new()));
        let lines = {
            let (last, observed) = (last.clone(), self.observer.line.clone());
            move |shown| {
                let (Shown::Line(line) | Shown::Progress(line)) = shown;
                observed(line.trim());
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                last.push(line);
                if last.len() > KEPT_LINES {
                    last.remove(0);
                }
            }
        };
        let (processes, cleanup) = (self.processes.clone(), Arc::new(OnceLock::new()));
        let kept = cleanup.clone();
        let started = move |Handle::ProcessGroups(groups): Handle| {
            let _ = kept.set(groups.first().and_then(|group| processes.clean_up(&orderly_end(*group))));
        };
        let observer = Observer { started: Arc::new(started), lines: Arc::new(lines) };
        let ended = self.processes.run(launch(command, &place.folder, place.log()), observer, self.stop.clone()).await;
        let printed = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match ended.ending {
            Ending::Exited(0) => Ok(()),
            Ending::Stopped => Err(ImageError::Stopped),
            Ending::NotStarted(why) => Err(ImageError::Io(why)),
            _ => Err(failed(&printed, &place.log())),
        }
    }

    /// The image that was just made.
    async fn made(&self, name: &str, place: &Place) -> Result<Image, ImageError> {
        let missing = || ImageError::Failed {
            why: format!("the engine does not show the image {name}"),
            log: place.log().display().to_string(),
        };
        self.inspect(name).await?.ok_or_else(missing)
    }

    async fn inspect(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let (images, name) = (self.images.clone(), name.to_owned());
        blocking(move || images.inspect(&name)).await
    }

    /// Takes the right to make an image: however many runs need it, it is made once.
    async fn place(&self, name: &str) -> Result<Place, ImageError> {
        let none = || ImageError::Io("there is no cache folder: HOME is not set".to_owned());
        let root = crate::fs::user::cache_folder().ok_or_else(none)?.join("images");
        let short = Digest::of(name.as_bytes()).short().to_owned();
        let folder = root.join(&short);
        fs::create_dir_all(&folder).map_err(|error| ImageError::Io(crate::fs::at(&folder, &error).to_string()))?;
        let path = root.join(format!("{short}.lock"));
        let file = File::create(&path).map_err(|error| ImageError::Io(crate::fs::at(&path, &error).to_string()))?;
        if file.try_lock().is_err() {
            (self.observer.line)("waits until another step or run has made it");
        }
        let reserved = blocking(move || file.lock().map(|()| file)).await?;
        let reserved = reserved.map_err(|error| ImageError::Io(error.to_string()))?;
        Ok(Place { folder, _reserved: reserved })
    }
}

/// Work that blocks: reading folders, and asking the engine.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ImageError::Io(error.to_string()))
}

fn remove(folder: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ImageError::Io(crate::fs::at(folder, &error).to_string()))
        }
        _ => Ok(()),
    }
}

/// How many of the last lines are kept for an error message.
const KEPT_LINES: usize = 60;

/// The command that ends a build in order: a client that is killed leaves what it runs in the image.
fn orderly_end(group: i32) -> Vec<String> {
    let alive = format!("kill -0 -- -{group} 2>/dev/null");
    let script = format!("kill -TERM -- -{group}; for _ in {{1..50}}; do {alive} || exit; sleep 0.1; done");
    ["bash", "-c", &script].map(str::to_owned).into()
}

/// The longest that a pull or a build may take.
const TIMEOUT: Duration = Duration::from_secs(4 * 60 * 60);

fn launch(command: String, folder: &Path, log: PathBuf) -> Launch {
    Launch {
        command,
        cwd: folder.to_owned(),
        variables: Vec::new(),
        hidden: Arc::new([]),
        mounts: Vec::new(),
        marker: ("AMLRUN_IMAGE_BUILD".to_owned(), format!("{}-{}", std::process::id(), folder.display())),
        processes: vec![RankProcess::only(log)],
        launcher: Launcher::Bash,
        log_limit: LOG_LIMIT,
        secrets: Arc::new([]),
        timeout: Some(TIMEOUT),
        grace: Duration::from_secs(5),
    }
}

/// What clients print when a registry does not answer.
const OFFLINE: [&str; 8] = [
    "no such host",
    "Temporary failure in name resolution",
    "server misbehaving",
    "network is unreachable",
    "connection refused",
    "i/o timeout",
    "TLS handshake timeout",
    "context deadline exceeded",
];

/// What they print when an image has no variant for this machine.
const PLATFORM: [&str; 3] = [
    "no image found in image index for architecture",
    "no matching manifest for",
    "does not match the specified platform",
];

/// The error of a client that failed, from the last lines that it printed.
fn failed(printed: &[String], log: &Path) -> ImageError {
    let log = log.display().to_string();
    let with = |signs: &[&str]| printed.iter().rev().find(|line| signs.iter().any(|sign| line.contains(sign)));
    if with(&PLATFORM).is_some() {
        return ImageError::Platform { platform: platform(), log };
    }
    if let Some(line) = with(&OFFLINE) {
        return ImageError::Offline { why: line.trim().to_owned(), log };
    }
    let is_error = |line: &&String| line.to_lowercase().contains("error");
    let marked: Vec<&str> = printed.iter().filter(is_error).rev().take(2).map(|line| line.trim()).collect();
    let mut why =
        if marked.is_empty() { printed.iter().rev().take(3).map(|line| line.trim()).collect() } else { marked };
    why.reverse();
    ImageError::Failed { why: why.join("; "), log }
}

/// This machine in the words of the engines.
pub(super) fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_prints_becomes_a_sentence() {
        let why =
            |text: &str| failed(&text.lines().map(str::to_owned).collect::<Vec<_>>(), Path::new("/log")).to_string();
        let offline = "Trying to pull a\nError: initializing source: dial tcp: lookup a.example: no such host";
        assert!(why(offline).starts_with("the registry cannot be reached: Error: initializing"), "{}", why(offline));
        let platform = "Error: choosing an image: no image found in image index for architecture arm64";
        assert!(why(platform).starts_with("it has no variant for this machine, linux/"), "{}", why(platform));
        let refused = "STEP 1\nERROR: the image has no conda and no Python ==3.7.*\nError: exit status 1";
        assert_eq!(
            why(refused),
            "ERROR: the image has no conda and no Python ==3.7.*; Error: exit status 1 (log: /log)"
        );
    }
}
