//! Logs of steps whose run was deleted while others still use their results: bounded copies.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{StoreError, at};
use crate::fs::atomic::Temporary;

/// How much of the beginning and of the end of a log is kept, in bytes.
const HEAD: u64 = 256 << 10;
const TAIL: u64 = 768 << 10;

/// The logs of a step's processes in a folder, the first process's first. Logs of earlier attempts are not included.
#[must_use]
pub fn logs_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut logs: Vec<PathBuf> = entries.filter(|path| file_name(path).starts_with("std_log")).collect();
    // The tenth process comes after the second.
    logs.sort_by_key(|path| (file_name(path).len(), file_name(path)));
    logs
}

/// Copies the logs of a step into a folder. Of a long log, only the beginning and the end are copied.
///
/// # Errors
/// When one cannot be read or written.
pub fn keep_logs(user_logs: &Path, to: &Path) -> Result<(), StoreError> {
    // The folder shows that the step's logs are known, even if it printed nothing.
    fs::create_dir_all(to).map_err(at("create the folder", to))?;
    for log in logs_in(user_logs) {
        let kept = to.join(file_name(&log));
        copy(&log, &kept).map_err(at("copy the log", &log))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let new = Temporary::beside(to);
    let (mut from, mut to) = (File::open(from)?, new.create()?);
    let size = from.metadata()?.len();
    let left_out = size.saturating_sub(HEAD + TAIL);
    if left_out > 0 {
        io::copy(&mut (&from).take(HEAD), &mut to)?;
        writeln!(to, "\n[amlrun: {left_out} bytes were removed here when the run was deleted]")?;
        from.seek(SeekFrom::Start(HEAD + left_out))?;
    }
    io::copy(&mut from, &mut to)?;
    new.place()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("user_logs");
        fs::create_dir(&logs).unwrap();
        fs::write(logs.join("std_log.txt"), format!("first\n{}last\n", "x\n".repeat(2 << 20))).unwrap();
        fs::write(logs.join("attempt_1_std_log.txt"), "earlier").unwrap();
        let to = root.path().join("kept");
        keep_logs(&logs, &to).unwrap();
        let text = fs::read_to_string(to.join("std_log.txt")).unwrap();
        assert!(text.starts_with("first\n") && text.ends_with("last\n") && text.contains("bytes were removed here"));
        assert!((text.len() as u64) < HEAD + TAIL + 200);
        assert_eq!(logs_in(&to).len(), 1);
    }
}
