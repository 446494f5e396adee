//! The executor of this machine: bash, as on Azure ML (reference, section 7.1).

use super::{Ending, Executor, Launch, LineSink, StopWatch, strays, supervise};

/// Runs commands as processes of this machine.
#[derive(Debug)]
pub struct LocalProcess {
    /// Children that were there before: `server & exec amlrun run …` is the shape of many an image's entry point.
    spared: Vec<i32>,
}

impl LocalProcess {
    /// An executor; one is enough for a runner.
    #[must_use]
    pub fn new() -> Self {
        let spared = strays::children();
        strays::adopt();
        Self { spared }
    }

    /// Ends whatever the commands left behind that could not be found by their marks: every child of this process that
    /// there still is. To be called when no command runs any more.
    pub fn end_strays(&self) {
        strays::end_all(&self.spared);
    }
}

impl Default for LocalProcess {
    fn default() -> Self {
        Self::new()
    }
}

/// The kernel takes no single argument longer than 128 KiB; longer scripts go through a file.
const LONGEST_ARGUMENT: usize = 120 * 1024;

impl Executor for LocalProcess {
    async fn run(&self, launch: Launch, lines: LineSink, stop: StopWatch) -> Ending {
        let mut arguments = vec!["bash".to_owned()];
        if launch.command.len() < LONGEST_ARGUMENT {
            arguments.extend(["-c".to_owned(), launch.command.clone()]);
        } else {
            let script = launch.log.with_file_name("command.sh");
            if let Err(error) = std::fs::write(&script, &launch.command) {
                return Ending::NotStarted(format!("cannot write {}: {error}", script.display()));
            }
            arguments.push(script.display().to_string());
        }
        supervise::run(&arguments, launch, lines, stop).await
    }
}
