//! The executor of this machine: bash, as on Azure ML (reference, section 7.1).

use super::{Ending, Executor, Launch, LineSink, StopWatch, supervise};

/// Runs commands as processes of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProcess;

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
