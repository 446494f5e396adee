//! The floor of the engine's bench: starts commands with bash, so many at once, and does nothing else.
//!
//! `make bench` builds it; `spawn WIDTH FILE`: each line of FILE is a command. With `--folders` it makes, for each command,
//! as many folders as a step of `amlrun` has, so that both ask the file system for the same.

#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Folders that a step has: its own, `wd`, `wd/outputs`, `wd/logs`, and the one of its output.
const FOLDERS: [&str; 5] = ["s", "s/wd", "s/wd/outputs", "s/wd/logs", "o"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [width, file, rest @ ..] = arguments.as_slice() else {
        eprintln!("spawn: WIDTH FILE [--folders]: a floor for other benches, nothing by itself");
        return;
    };
    let width: usize = width.parse().expect("a number");
    let commands = std::fs::read_to_string(file).expect("the file of commands");
    let folders = rest.iter().any(|a| a == "--folders").then(|| Path::new(file).with_extension("folders"));
    let mut running: Vec<Child> = Vec::new();
    for (number, command) in commands.lines().enumerate() {
        if running.len() == width {
            // The kernel gives no "any child" without unsafe code; in a steady stream the oldest ends first.
            let _ = running.remove(0).wait();
        }
        if let Some(folders) = &folders {
            for folder in FOLDERS {
                std::fs::create_dir_all(folders.join(number.to_string()).join(folder)).expect("a folder");
            }
        }
        let child = Command::new("/bin/bash").arg("-c").arg(command).stdin(Stdio::null()).spawn();
        running.push(child.expect("bash"));
    }
    for mut child in running {
        let _ = child.wait();
    }
}
