//! `amlrun validate`: shows all mistakes in files before anything runs.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::check::{Checked, Target, check};
use super::chosen::{Chosen, choose, passed_over};
use super::explain::pages;
use super::printer::Printer;
use crate::config::Config;
use crate::diagnostic::{Finding, Severity, github, json::to_json, render, sarif};
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::runner::environments::Becomes;
use crate::runner::project::Project;
use crate::yaml::overrides::Override;

/// Check job, component and asset files without running them.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun validate pipeline.yml\n  \
    amlrun validate pipelines/                       all Azure ML files below a folder\n  \
    amlrun validate '**/*.yml' -o github             annotations in a GitHub workflow\n  \
    amlrun validate pipelines/ -o sarif > amlrun.sarif\n\n\
    Errors are shown with line and column. 'amlrun explain CODE' explains an error.\n\
    Jobs, components, environments, data assets, models and datastores are checked. Other documents of \
    Azure ML, such as endpoints, deployments, compute and schedules, are skipped and counted. In folders \
    and patterns, files that are not Azure ML documents are skipped too. Hidden and ignored files are not \
    read.\n\
    Something that is missing on this machine only (a registered asset, a datastore, a kind of step that \
    amlrun cannot run) is a warning, and with --target local an error, as in 'amlrun run'.\n\
    The exit code is 0 if all files are accepted, 1 if a file is refused, and 3 if a file does not exist.")]
pub(super) struct Args {
    /// Files, folders, and patterns such as '**/*.yml'
    #[arg(required = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,

    /// Override values of the files, for example inputs.epochs=5
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<Override>,

    /// Where the files must run [default: on a machine with everything that they refer to]
    #[arg(long, value_enum)]
    target: Option<Target>,

    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Text with excerpts of the files
    Text,
    /// One JSON object
    Json,
    /// GitHub workflow commands, shown as annotations
    Github,
    /// SARIF 2.1.0, for code scanning and editors
    Sarif,
}

pub(super) fn validate(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    let chosen = choose(&args.paths)?;
    if args.target == Some(Target::Local) {
        // A run reads the project's file first, and fails if that has a mistake.
        chosen.files.iter().try_for_each(|file| Config::near(file.parent().unwrap_or(file)).map(drop))?;
    }
    let checked = chosen.files.iter().map(PathBuf::as_path).zip(check_all(&chosen.files, args, project));
    let (others, checked): (Vec<_>, Vec<_>) = checked.partition(|(_, checked)| checked.is_passed_over);
    match args.output {
        Output::Text => text(&chosen, &checked, &others, printer),
        Output::Json => {
            let files: Vec<serde_json::Value> = checked.iter().map(|(file, checked)| as_json(file, checked)).collect();
            let unchecked =
                others.iter().map(|(file, other)| json!({ "path": file.display().to_string(), "kind": other.kind }));
            let answer = json!({ "files": files, "passed_over": unchecked.collect::<Vec<_>>() });
            let text = serde_json::to_string_pretty(&answer).unwrap_or_default();
            printer.data(&format!("{text}\n"));
        }
        Output::Github => {
            printer.out(&github::commands(&distinct(&checked).concat()));
            printer.err(&format!("{}\n", summary(&chosen, &checked, &others)));
        }
        Output::Sarif => {
            let log = sarif::log(&distinct(&checked).concat(), &|code| pages::page(code).map(|page| page.rule()));
            printer.data(&format!("{}\n", serde_json::to_string_pretty(&log).unwrap_or_default()));
        }
    }
    Ok(if checked.iter().any(|(_, checked)| checked.not_found) {
        Exit::NotFound
    } else if checked.iter().all(|(_, checked)| checked.accepted) {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Checks files on all cores. The results have the order of the files.
fn check_all(files: &[PathBuf], args: &Args, project: &Project) -> Vec<Checked> {
    let slots: Vec<OnceLock<Checked>> = files.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(files.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(file), Some(slot)) = (files.get(index), slots.get(index)) else { break };
                    slot.get_or_init(|| check(file, &args.set, args.target, project));
                }
            });
        }
    });
    slots.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// The diagnostics of each file, in the order of its text. A diagnostic that was shown before, because several files
/// name the same component or it was checked itself, is left out.
fn distinct<'a>(checked: &'a [(&'a Path, Checked)]) -> Vec<Vec<Finding<'a>>> {
    let mut told = HashSet::new();
    let mut fresh = |finding: &Finding<'_>| {
        let (path, span) = finding.place();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let place = span.map(|s| (s.line, s.column));
        told.insert((finding.diagnostic.code, finding.diagnostic.message.clone(), path, place))
    };
    checked
        .iter()
        .map(|(file, checked)| {
            let of = |diagnostic| Finding { diagnostic, sources: &checked.sources, file };
            // Notes are shown only in JSON.
            let told = checked.diagnostics.sorted().into_iter().filter(|d| d.severity != Severity::Note);
            told.map(of).filter(|finding| fresh(finding)).collect()
        })
        .collect()
}

type CheckedFile<'a> = (&'a Path, Checked);

/// Shows diagnostics on stderr, and one line for each file on stdout. A blank line separates the diagnostics of a file
/// from the output before them.
fn text(chosen: &Chosen, checked: &[CheckedFile<'_>], others: &[CheckedFile<'_>], printer: &Printer) {
    for (index, ((file, checked), findings)) in checked.iter().zip(distinct(checked)).enumerate() {
        if index > 0 && !findings.is_empty() {
            printer.err("\n");
        }
        for finding in &findings {
            printer.finding(finding);
        }
        let [errors, warnings, notes] = count(&findings);
        let counts = render::counts(errors, warnings, notes);
        if !chosen.many && !counts.is_empty() {
            printer.err(&format!("{counts}\n"));
        }
        let file = file.display();
        if checked.accepted {
            let aside = if warnings > 0 { format!(", {}", render::counts(0, warnings, 0)) } else { String::new() };
            printer.out(&format!("{file}: {}, accepted{aside}\n", checked.says));
            if !chosen.many {
                for (becomes, steps) in &checked.environments {
                    let steps =
                        if steps.concat().is_empty() { String::new() } else { format!("{}: ", steps.join(", ")) };
                    printer.out(&format!("  {steps}{}\n", becomes.sentence()));
                }
            }
        } else if chosen.many {
            let aside = if errors > 0 { format!("{counts}\n") } else { "for the reasons above\n".to_owned() };
            printer.out(&format!("{file}: {}, refused: {aside}", checked.says));
        }
    }
    if chosen.many {
        printer.out(&format!("{}\n", summary(chosen, checked, others)));
    } else if let [(file, other)] = others {
        printer.out(&format!("{}: {}, skipped: amlrun does not check it\n", file.display(), other.says));
    }
    let first = checked.iter().flat_map(|(_, c)| c.diagnostics.sorted()).find(|d| d.severity == Severity::Error);
    if let Some(error) = first {
        printer.more(error.code);
    }
}

/// `12 files: 10 accepted, 2 refused; 5 errors, 3 warnings; 1 of other kinds skipped (1 endpoint)`.
fn summary(chosen: &Chosen, checked: &[CheckedFile<'_>], others: &[CheckedFile<'_>]) -> String {
    let all = checked.len();
    let accepted = checked.iter().filter(|(_, checked)| checked.accepted).count();
    let mut parts = Vec::new();
    if accepted > 0 {
        parts.push(format!("{accepted} accepted"));
    }
    if accepted < all {
        parts.push(format!("{} refused", all - accepted));
    }
    let [errors, warnings, notes] = count(distinct(checked).iter().flatten());
    let files = match all {
        0 => "nothing to check".to_owned(),
        1 => format!("1 file: {}", parts.join(", ")),
        _ => format!("{all} files: {}", parts.join(", ")),
    };
    let parts =
        [files, render::counts(errors, warnings, notes), of_other_kinds(others), passed_over(chosen.passed_over)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// `3 of other kinds skipped (1 compute, 2 endpoint)`. Empty if there are none.
fn of_other_kinds(others: &[CheckedFile<'_>]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, other) in others {
        *kinds.entry(&other.says).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() {
        String::new()
    } else {
        format!("{} of other kinds skipped ({})", others.len(), kinds.join(", "))
    }
}

fn count<'a>(findings: impl IntoIterator<Item = &'a Finding<'a>>) -> [usize; 3] {
    findings.into_iter().fold([0; 3], |mut counts, finding| {
        counts[Severity::Error as usize - finding.diagnostic.severity as usize] += 1;
        counts
    })
}

fn environment((becomes, steps): &(Becomes, Vec<String>)) -> serde_json::Value {
    json!({
        "written": becomes.written,
        "becomes": becomes.kind,
        "name": becomes.name,
        "why": becomes.why,
        "steps": steps,
    })
}

fn as_json(file: &Path, checked: &Checked) -> serde_json::Value {
    json!({
        "path": file.display().to_string(),
        "kind": checked.kind,
        "accepted": checked.accepted,
        "diagnostics": to_json(&checked.diagnostics, &checked.sources),
        "environments": checked.environments.iter().map(environment).collect::<Vec<_>>(),
    })
}
