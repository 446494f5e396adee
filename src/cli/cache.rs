//! `amlrun cache …`: shows the disk usage of the workspace, and removes what is not needed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::format::TextOr;
use super::printer::Printer;
use crate::clock::Timestamp;
use crate::environment::managed::store::{self, Store, Stored};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::fs::walk::size_on_disk;
use crate::history::leftovers::Leftovers;
use crate::history::record;
use crate::history::retention::{References, remove_run, remove_tree};
use crate::number::human_bytes;
use crate::reuse::Reuse;
use crate::runner::project::Project;
use crate::store::{Home, RunFolder};
use crate::transfer::cache::Cache;

/// Show the disk usage of the workspace and free disk space
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Show the disk usage of the workspace
    Du {
        #[command(flatten)]
        format: TextOr,
    },
    /// Remove files of the workspace that are no longer needed
    ///
    /// These are outputs that no run, asset or cache entry refers to, incomplete outputs and copies, the logs that
    /// were kept of deleted runs but are no longer needed, earlier versions of downloaded data, and environments whose
    /// build did not end.
    #[command(after_help = "Examples:\n  amlrun cache gc --dry-run\n  amlrun cache gc --older-than 30")]
    Gc {
        /// Show what would be removed, without removing it
        #[arg(long)]
        dry_run: bool,

        /// Also remove runs that ended and environments that were last used more than DAYS days ago; outputs that
        /// assets or later runs refer to are kept
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u64>,
    },
}

pub(super) fn execute(verb: &Verb, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let home = project.home();
    home.check()?;
    match verb {
        Verb::Du { format } => du(&home, format, printer),
        Verb::Gc { dry_run, older_than } => gc(&home, *dry_run, *older_than, printer),
    }
}

fn du(home: &Home, format: &TextOr, printer: &Printer) -> Result<Exit, Failed> {
    let places = [
        ("runs", home.root().join("runs"), "records, logs and working directories of runs"),
        ("outputs", home.outputs(), "outputs of steps"),
        ("logs", home.kept_logs(), "logs of deleted runs whose results are still in use"),
        ("models", home.models(), "registered models"),
        ("data", home.data(), "registered data"),
        ("datastores", home.datastores(), "local folders of datastores"),
        ("downloads", home.downloads(), "data downloaded from remote storage"),
        ("components", home.components(), "registered components"),
        ("environments", home.environments(), "registered environments"),
        ("reuse", home.reuse(), "cache entries of earlier results, and the checksum cache"),
    ];
    let rows: Vec<(&str, u64, u64, &str)> = places
        .iter()
        .map(|(name, path, what)| {
            let (files, bytes) = size_on_disk(path);
            (*name, files, bytes, *what)
        })
        .collect();
    let shared = Store::of_user().map(|store| {
        let (files, bytes) = size_on_disk(store.root());
        (store, files, bytes)
    });
    let shared = shared.filter(|(_, files, _)| *files > 0);
    if let Some(format) = format.asked() {
        let own = rows.iter().map(|(name, files, bytes, _)| (*name, *files, *bytes));
        let all = own.chain(shared.iter().map(|(_, files, bytes)| ("built environments", *files, *bytes)));
        let rows: Vec<Value> =
            all.map(|(name, files, bytes)| json!({"name": name, "files": files, "bytes": bytes})).collect();
        format.print(Value::Array(rows), printer)?;
        return Ok(Exit::Ok);
    }
    for (name, files, bytes, what) in &rows {
        printer.out(&format!("{:>10}  {files:>8} files  {name:10}  {what}\n", human_bytes(*bytes)));
    }
    let total = rows.iter().map(|row| row.2).sum();
    printer.out(&format!("{:>10}  in {}\n", human_bytes(total), crate::report::summary::shown(home.root())));
    if let Some((store, files, bytes)) = &shared {
        let what =
            format!("built environments, shared by all workspaces: {}", crate::report::summary::shown(store.root()));
        printer.out(&format!("{:>10}  {files:>8} files  {:10}  {what}\n", human_bytes(*bytes), "shared"));
    }
    Ok(Exit::Ok)
}

fn gc(home: &Home, dry_run: bool, older_than: Option<u64>, printer: &Printer) -> Result<Exit, Failed> {
    let mut freed = 0;
    let verb = if dry_run { "would free" } else { "freed" };
    let mut say = |bytes: u64, what: &str| {
        freed += bytes;
        printer.out(&format!("{verb} {:>9}  {what}\n", human_bytes(bytes)));
    };
    let mut old: Vec<RunFolder> = Vec::new();
    if let Some(days) = older_than {
        let limit = self::days(days);
        for run in home.runs()? {
            let Ok(view) = record::view(&run) else { continue };
            let is_old = view.ended.or(view.started).is_some_and(|then| Timestamp::now().since(then) > limit);
            if is_old && !run.is_live() {
                old.push(run);
            }
        }
    }
    let gone: HashSet<String> = old.iter().map(|run| run.name.to_string()).collect();
    let references = References::of(home, &gone)?;
    for run in old {
        let (_, bytes) = size_on_disk(&run.path);
        if !dry_run {
            references.keep_logs(home, &run)?;
            remove_run(home, &run)?;
        }
        say(bytes, &format!("run {}", run.name));
    }
    for log in references.stale_logs(home) {
        let (_, bytes) = size_on_disk(&log);
        if !dry_run {
            remove_tree(&log)?;
        }
        say(bytes, &format!("log of {}", name(&log)));
    }
    let entries = std::fs::read_dir(home.outputs()).into_iter().flatten().flatten();
    let mut removed: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let tree = entry.path();
        if references.holds(&tree) {
            continue;
        }
        let (_, bytes) = size_on_disk(&tree);
        if !dry_run {
            remove_tree(&tree)?;
        }
        say(bytes, &format!("output {}", name(&tree)));
        removed.push(tree);
    }
    if !dry_run && let Some(reuse) = Reuse::open_existing(&home.reuse(), home.root())? {
        reuse.forget_paths(&removed)?;
        reuse.prune()?;
    }
    let leftovers = Leftovers::of(home)?;
    for path in &leftovers.paths {
        let (_, bytes) = size_on_disk(path);
        if !dry_run {
            remove_tree(path)?;
        }
        say(bytes, &format!("incomplete {}", name(path)));
    }
    drop(leftovers);
    // A run may be reading the fetched data.
    if !home.runs()?.iter().any(RunFolder::is_live) {
        for old in Cache::at(home.downloads()).old(older_than.map(days)) {
            let (_, bytes) = size_on_disk(&old.path);
            if !dry_run {
                remove_tree(&old.path)?;
            }
            say(bytes, &format!("download {}", name(&old.path)));
        }
    }
    for stored in unneeded(older_than.map(days)) {
        let Ok(Some(_taken)) = stored.take() else { continue };
        // A run may have built or used it since it was listed.
        if !is_unneeded(&stored.again(), older_than.map(days)) {
            continue;
        }
        let (_, bytes) = size_on_disk(&stored.folder);
        if !dry_run {
            store::remove(&stored.folder).map_err(|error| Failed::new(error.to_string()))?;
        }
        let named = stored
            .lock
            .as_ref()
            .map_or_else(|| "incomplete environment".to_owned(), |lock| format!("environment {}", lock.name));
        say(bytes, &named);
    }
    printer.out(&format!("{verb} {} in total\n", human_bytes(freed)));
    Ok(Exit::Ok)
}

/// The built environments that no run needs: those whose build did not end, and those that were not used for so long.
/// Other workspaces may use them, so all others stay.
fn unneeded(age: Option<Duration>) -> Vec<Stored> {
    let all = Store::of_user().map(|store| store.list()).unwrap_or_default();
    all.into_iter().filter(|stored| is_unneeded(stored, age)).collect()
}

fn is_unneeded(stored: &Stored, age: Option<Duration>) -> bool {
    let unused = stored.used.and_then(|used| used.elapsed().ok());
    let is_old = age.is_some_and(|age| unused.is_none_or(|unused| unused > age));
    stored.lock.is_none() || is_old
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(24 * 60 * 60))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
