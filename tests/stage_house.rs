//! A folder with small data in it, and the real `amlrun-stage` run there as a step would. For the other `stage_` files.

#![allow(clippy::unwrap_used)] // only tests call this

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::Ran;

/// A folder of its own with `train.csv` and `test.csv`: three features, and a class that they decide.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.write("train.csv", &table(0, 60));
        bench.write("test.csv", &table(60, 30));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// The command, ready to be changed before it runs; it knows no MLflow server.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun-stage"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("MLFLOW_") || name.starts_with("AZUREML_") || name.to_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a stage with words that hold no spaces.
    pub fn stage(&self, arguments: &str) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Trains into `checkpoint`, with more options.
    pub fn train(&self, checkpoint: &str, more: &str) -> Ran {
        self.stage(&format!("train --data train.csv --label kind --checkpoint {checkpoint} {more}"))
    }

    /// A file of the checkpoint that is whole.
    pub fn checkpoint(&self, folder: &str, file: &str) -> Vec<u8> {
        let latest = self.text(&format!("{folder}/latest"));
        self.read(&format!("{folder}/{}/{file}", latest.trim()))
    }

    /// Fails with one line on standard error that says all of this, and no panic.
    #[track_caller]
    pub fn fails(&self, arguments: &str, says: &[&str]) {
        let ran = self.stage(arguments).ended(1);
        assert_eq!(ran.err.trim_end().lines().count(), 1, "one line: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
        for words in says {
            assert!(ran.err.contains(words), "'{words}' is not in: {}", ran.err);
        }
    }
}

/// Rows from a formula, so that no two test runs differ: the sign of a sum decides, with a gap around zero.
fn table(first: usize, rows: usize) -> String {
    let mut text = "x,y,z,kind\n".to_owned();
    for row in first..first + rows {
        let value = |factor: usize| ((row * factor + 7) % 23) as f64 / 11.0 - 1.0;
        let (x, y, z) = (value(5), value(7), value(11) * 100.0);
        let kind = if x + y > 0.0 { "up" } else { "down" };
        text.push_str(&format!("{x:.3},{y:.3},{z:.3},{kind}\n"));
    }
    text
}
