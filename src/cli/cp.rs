//! `amlrun cp SRC DST`: files and folders between this machine, datastores, blobs, assets and the web.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::config::Config;
use super::context::Context;
use super::error::Failed;
use super::exit::Exit;
use super::format::TextOr;
use super::places::{Place, Places};
use super::printer::Printer;
use super::road::Road;
use crate::spec::data_uri::DataUri;
use crate::store::remote::{Remote, RemoteFile, Trouble};
use crate::transfer::Transfer;
use crate::transfer::folder::{Offered, Wanted, below, receive_all, send_all};
use crate::transfer::look::{Shape, look};
use crate::transfer::progress::Figures;

/// Copy files and folders between this machine, datastores, blobs, assets and the web
///
/// Either side may be a local path, a blob's address (https, wasbs, abfss), azureml://datastores/NAME/paths/PATH, an
/// output of a run (azureml://jobs/RUN/outputs/NAME), an asset (azureml:NAME:VERSION), runs:/ or models:/; SRC may be any
/// web address. A file goes to DST, or into it when DST ends with / or is a folder. Of a folder the contents become the
/// contents of DST; SRC may have * and ** in its names.
///
/// What is there already with the same content is not moved again, and a copy that was broken off goes on where it was.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun cp data/ azureml://datastores/training/paths/credit/\n  \
    amlrun cp 'azureml://datastores/training/paths/credit/*.csv' data/\n  \
    amlrun cp https://example.com/iris.csv data/\n  \
    amlrun cp azureml:credit-data:3 ./credit")]
pub(super) struct Args {
    /// What to copy
    src: String,

    /// Where to
    dst: String,

    /// How many requests may be under way [default: found out by measuring]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    transfer_jobs: Option<u16>,

    #[command(flatten)]
    format: TextOr,
}

/// One side of a copy.
enum End {
    Local(PathBuf),
    Remote { remote: Arc<dyn Remote>, name: String },
}

pub(super) fn cp(args: &Args, context: &Context, printer: &Printer) -> Result<Exit, Failed> {
    if let Some(format) = args.format.asked() {
        format.check()?;
    }
    let config = Config::near(Path::new(""))?;
    let road = Arc::new(Road::new(config.limits(args.transfer_jobs))?);
    let places = Places::new(context.home(), &config);
    let from = end(&args.src, &places, &road)?;
    let to = end(&args.dst, &places, &road)?;
    road.hear_signals();
    let began = Instant::now();
    let drawing = printer.moving(road.transfer.progress.clone());
    let into = args.dst.ends_with('/');
    let copied = match (from, to) {
        (End::Local(from), End::Local(to)) => local(&from, &to, into, &road.transfer).map_err(Failed::from),
        (End::Remote { remote, name }, End::Local(to)) => {
            let transfer = road.transfer.clone();
            road.travel(async move { fetch(&transfer, &remote, &name, &to, into).await }).map_err(Failed::from)
        }
        (End::Local(from), End::Remote { remote, name }) => {
            if !from.exists() {
                return Err(Failed::not_found(format!("there is no file or folder '{}'", from.display())));
            }
            let transfer = road.transfer.clone();
            road.travel(async move { upload(&transfer, &remote, &from, &name).await }).map_err(Failed::from)
        }
        (End::Remote { remote, name }, End::Remote { remote: other, name: target }) => {
            through(&road, remote, name, other, target).map_err(Failed::from)
        }
    };
    drop(drawing);
    copied?;
    let figures = road.transfer.progress.figures();
    answer(&args.format, &figures, began.elapsed().as_secs_f64(), printer)?;
    Ok(Exit::Ok)
}

/// What one of the two texts leads to.
fn end(text: &str, places: &Places, road: &Road) -> Result<End, Failed> {
    let place = match DataUri::parse(text) {
        None => Place::Local(PathBuf::from(text.strip_prefix("file://").unwrap_or(text))),
        Some(Err(why)) => return Err(Failed::usage(why)),
        Some(Ok(uri)) => places.resolve(&uri).map_err(Failed::new)?,
    };
    Ok(match (road.reach(&place)?, place) {
        (Some((remote, name)), _) => End::Remote { remote, name },
        (None, Place::Local(path)) => End::Local(path),
        (None, _) => return Err(Failed::new(format!("'{text}' leads nowhere"))),
    })
}

/// From a remote place to this machine.
async fn fetch(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    name: &str,
    to: &Path,
    into: bool,
) -> Result<(), Trouble> {
    let shape = if name.contains("://") { Shape::File } else { Shape::Any };
    let found = look(transfer, remote, name, shape).await?;
    let wanted: Result<Vec<Wanted>, Trouble> = if found.is_file {
        let target = if into || to.is_dir() { to.join(found.file_name()) } else { to.to_owned() };
        found.files.into_iter().map(|file| Ok(Wanted { file, target: target.clone() })).collect()
    } else {
        let place = |file: RemoteFile| Ok(Wanted { target: below(to, &found.prefix, &file)?, file });
        found.files.into_iter().map(place).collect()
    };
    receive_all(transfer, remote, wanted?).await.map(drop)
}

/// From this machine to a remote place.
pub(super) async fn upload(
    transfer: &Transfer,
    remote: &Arc<dyn Remote>,
    from: &Path,
    name: &str,
) -> Result<(), Trouble> {
    let read = |e: std::io::Error| Trouble::Final(format!("cannot read {}: {e}", from.display()));
    let size = |path: &Path| std::fs::metadata(path).map(|m| m.len());
    if from.is_file() {
        let own = from.file_name().unwrap_or_default().to_string_lossy();
        let name = if name.is_empty() || name.ends_with('/') { format!("{name}{own}") } else { name.to_owned() };
        // Nobody may be allowed to look; then it is simply sent.
        let there = crate::transfer::patience::patiently(&transfer.limits, || remote.describe(&name)).await.ok();
        let there = there.map(|file| (name.clone(), file)).into_iter().collect();
        let offered = Offered { from: from.to_owned(), size: size(from).map_err(read)?, name };
        return send_all(transfer, remote, vec![offered], there).await;
    }
    let prefix = if name.is_empty() || name.ends_with('/') { name.to_owned() } else { format!("{name}/") };
    let files = crate::digest::files_below(from).map_err(read)?;
    let mut offered = Vec::with_capacity(files.len());
    for file in files {
        let path = from.join(&file);
        let Some(inner) = file.to_str() else {
            return Err(Trouble::Final(format!("{}: its name is not Unicode, and those of blobs are", path.display())));
        };
        offered.push(Offered { size: size(&path).map_err(read)?, name: format!("{prefix}{inner}"), from: path });
    }
    let there = match look(transfer, remote, &prefix, Shape::Folder).await {
        Ok(found) => found.files.into_iter().map(|file| (file.name.clone(), file)).collect(),
        Err(Trouble::Stopped) => return Err(Trouble::Stopped),
        Err(_) => HashMap::new(),
    };
    send_all(transfer, remote, offered, there).await
}

/// Between two remote places, through a folder of this machine.
fn through(
    road: &Road,
    from: Arc<dyn Remote>,
    name: String,
    to: Arc<dyn Remote>,
    target: String,
) -> Result<(), Trouble> {
    let between = std::env::temp_dir().join(format!("amlrun-cp-{:016x}", fastrand::u64(..)));
    let (transfer, folder) = (road.transfer.clone(), between.clone());
    let copied = road.travel(async move {
        let apart = transfer.counted_within(&Arc::default());
        let shape = if name.contains("://") { Shape::File } else { Shape::Any };
        let is_file = look(&apart, &from, &name, shape).await?.is_file;
        fetch(&apart, &from, &name, &folder, true).await?;
        let only = std::fs::read_dir(&folder).ok().and_then(|mut all| all.next()?.ok()).filter(|_| is_file);
        upload(&transfer, &to, only.map_or(folder, |only| only.path()).as_path(), &target).await
    });
    let _ = std::fs::remove_dir_all(&between);
    copied
}

/// On this machine.
fn local(from: &Path, to: &Path, into: bool, transfer: &Transfer) -> Result<(), Trouble> {
    let trouble = |what: &str, path: &Path, e: &std::io::Error| {
        let sentence = format!("cannot {what} {}: {e}", path.display());
        if e.kind() == std::io::ErrorKind::NotFound {
            Trouble::NotFound(path.display().to_string())
        } else {
            Trouble::Final(sentence)
        }
    };
    let files = if from.is_file() {
        let name = from.file_name().unwrap_or_default();
        vec![(from.to_owned(), if into || to.is_dir() { to.join(name) } else { to.to_owned() })]
    } else {
        let below = crate::digest::files_below(from).map_err(|e| trouble("read", from, &e))?;
        below.into_iter().map(|file| (from.join(&file), to.join(&file))).collect()
    };
    for (from, to) in files {
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|e| trouble("make the folder", folder, &e))?;
        }
        let bytes = std::fs::copy(&from, &to).map_err(|e| trouble("copy", &from, &e))?;
        transfer.progress.expect(1, bytes);
        transfer.progress.moved(bytes);
        transfer.progress.file_moved();
    }
    Ok(())
}

fn answer(format: &TextOr, figures: &Figures, seconds: f64, printer: &Printer) -> Result<(), Failed> {
    if let Some(format) = format.asked() {
        return format.print(json_of(figures, seconds), printer);
    }
    printer.out(&format!("{}\n", sentence(figures, seconds)));
    Ok(())
}

fn json_of(figures: &Figures, seconds: f64) -> Json {
    json!({
        "files": figures.files,
        "bytes": figures.bytes,
        "transferred_files": figures.moved_files,
        "transferred_bytes": figures.moved_bytes,
        "skipped_files": figures.skipped_files,
        "seconds": (seconds * 1000.0).round() / 1000.0,
    })
}

/// `12 files, 3.4 MB in 0.8 s; 3 were there already`
fn sentence(figures: &Figures, seconds: f64) -> String {
    let count = |n: u64| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
    let moved = format!(
        "{}, {} in {seconds:.1} s",
        count(figures.moved_files),
        crate::report::moving::human_bytes(figures.moved_bytes)
    );
    match figures.skipped_files {
        0 => moved,
        1 => format!("{moved}; 1 was there already"),
        many => format!("{moved}; {many} were there already"),
    }
}
