//! `amlrun cp SRC DST`: copies files and folders between this machine, datastores, blobs, assets and the web.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::format::TextOr;
use super::printer::Printer;
use crate::again::amlrun;
use crate::config::Config;
use crate::data::copy::{self, End, local};
use crate::data::location::{Place, Places};
use crate::data::session::TransferSession;
use crate::error::Failed;
use crate::exit_status::Exit;
use crate::runner::project::Project;
use crate::spec::asset_ref::Reference;
use crate::spec::data_uri::DataUri;
use crate::spec::io::PortType;
use crate::transfer::progress::Figures;
use crate::transfer::web::file_name;

/// The valid forms of DST.
const DST: &str = "a local path, the URL of a blob (https, wasbs, abfss) or azureml://datastores/NAME/paths/PATH";

/// Copy files between this machine, datastores, blobs, assets and the web
///
/// SRC can be a local path, the URL of a blob (https, wasbs, abfss), azureml://datastores/NAME/paths/PATH, a data
/// asset or model (azureml:NAME:VERSION or azureml:NAME@LABEL), an output of a run (azureml://jobs/RUN/outputs/NAME),
/// runs:/…, models:/…, or any web address. DST can be a local path, the URL of a blob or a path of a datastore.
///
/// A file is copied to DST, or into DST if DST ends with / or is an existing local folder. If SRC is a folder, its
/// content is copied into DST. SRC can contain the wildcards * and **. If SRC ends with /, it is a folder.
///
/// Files that already have the same content at the destination are skipped. If a copy was interrupted, the same command
/// resumes it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    amlrun cp data/ azureml://datastores/training/paths/credit/\n  \
    amlrun cp 'azureml://datastores/training/paths/credit/*.csv' data/\n  \
    amlrun cp https://example.com/iris.csv data/\n  \
    amlrun cp azureml:credit-data:3 ./credit\n  \
    amlrun cp azureml://jobs/RUN/outputs/model azureml://datastores/training/paths/models/1/")]
pub(super) struct Args {
    /// File or folder to copy
    src: String,

    /// Destination
    dst: String,

    /// Maximum number of concurrent requests [default: adapts to the throughput]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    transfer_jobs: Option<u16>,

    #[command(flatten)]
    format: TextOr,
}

pub(super) fn cp(args: &Args, project: &Project, printer: &Printer) -> Result<Exit, Failed> {
    if let Some(format) = args.format.asked() {
        format.check()?;
    }
    let config = Config::near(Path::new(""))?;
    let session = Arc::new(TransferSession::new(config.limits(args.transfer_jobs))?);
    let places = Places::new(project.home(), &config);
    let to = destination(&args.dst, &places)?;
    let (from, kind) = source(&args.src, &places)?;
    if is_same(&from, &to) {
        return Err(Failed::usage(format!("'{}' and '{}' are the same location", args.src, args.dst)));
    }
    let (from, to) = (End::of(from, kind, &session)?, End::of(to, None, &session)?);
    session.hear_signals();
    let began = Instant::now();
    let drawing = printer.moving(session.transfer.progress.clone());
    let into = args.dst.ends_with('/');
    let transfer = session.transfer.clone();
    let all = session.transfer.clone();
    let copied = match (from, to) {
        (End::Local(from), End::Local(to)) => session
            .block_on(async move { local::copy(&transfer, &from, &to, into).await })
            .map(|()| all.progress.figures()),
        (End::Remote(from), End::Local(to)) => session
            .block_on(async move { copy::fetch(&transfer, &from, &to, into).await })
            .map(|_| all.progress.figures()),
        (End::Local(from), End::Remote(to)) => {
            session.block_on(async move { copy::send(&transfer, &from, &to).await }).map(|()| all.progress.figures())
        }
        (End::Remote(from), End::Remote(to)) => copy::through(&session, from, to),
    };
    drop(drawing);
    answer(&args.format, &copied?, began.elapsed().as_secs_f64(), printer)?;
    Ok(Exit::Ok)
}

/// The location of SRC, and its type if it is an asset.
fn source(text: &str, places: &Places) -> Result<(Place, Option<PortType>), Failed> {
    let uri = match (DataUri::parse(text), Reference::parse(text)) {
        (Some(uri), _) => uri.map_err(Failed::usage)?,
        (None, None) => return Ok((local_path(text), None)),
        (None, Some(reference)) => {
            let Reference::Workspace(reference) = reference.map_err(Failed::usage)? else {
                return Err(Failed::usage(format!("'{text}' is an asset in Azure ML, which amlrun cannot read"))
                    .hint("use azureml:NAME:VERSION for an asset of this workspace"));
            };
            let found = places.data_or_model(&reference).map_err(Failed::not_found)?;
            return Ok((found.place, Some(found.kind)));
        }
    };
    let kept = matches!(uri, DataUri::JobOutput { .. } | DataUri::RunArtifact { .. } | DataUri::Model { .. });
    let place = places.resolve(&uri).map_err(if kept { Failed::not_found } else { Failed::new })?;
    Ok((place, None))
}

/// The location of DST.
fn destination(text: &str, places: &Places) -> Result<Place, Failed> {
    let refused = |what: &str| Failed::usage(format!("cannot copy to {what}")).hint(format!("use {DST} as DST"));
    let asset = |noun: &str| {
        let create = amlrun(&format!("{noun} create -n NAME -p SRC"));
        Failed::usage("cannot copy to an asset: its versions cannot be changed")
            .hint(format!("use {DST} as DST, or register a new version: {create}"))
    };
    let place = match DataUri::parse(text) {
        None if text.starts_with("azureml:") => return Err(asset("data")),
        None => return Ok(local_path(text)),
        Some(Ok(DataUri::Model { .. })) => return Err(asset("model")),
        Some(Ok(DataUri::JobOutput { .. } | DataUri::RunArtifact { .. })) => {
            return Err(refused("an output or artifact of a run: it cannot be changed"));
        }
        Some(uri) => places.resolve(&uri.map_err(Failed::usage)?).map_err(Failed::new)?,
    };
    match place {
        Place::Web { .. } => Err(refused("a web address: it is read-only")),
        place => Ok(place),
    }
}

/// A local path.
fn local_path(text: &str) -> Place {
    Place::Local(PathBuf::from(text.strip_prefix("file://").unwrap_or(text)))
}

/// Whether both are the same remote location. For local files, the copy itself checks this.
fn is_same(from: &Place, to: &Place) -> bool {
    let (Place::Blob { uri: from, .. }, Place::Blob { uri: to, .. }) = (from, to) else { return false };
    let root = from.endpoint == to.endpoint && from.container == to.container;
    let into = to.path.is_empty() || to.path.ends_with('/');
    let same = from.path.trim_end_matches('/') == to.path.trim_end_matches('/');
    root && (same || into && format!("{}{}", to.path, file_name(&from.path)) == from.path)
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

/// `12 files, 3.4 MB in 0.8 s; 3 already up to date`
fn sentence(figures: &Figures, seconds: f64) -> String {
    let count = |n: u64| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
    let moved = format!(
        "{}, {} in {seconds:.1} s",
        count(figures.moved_files),
        crate::number::human_bytes(figures.moved_bytes)
    );
    match figures.skipped_files {
        0 => moved,
        same => format!("{moved}; {same} already up to date"),
    }
}
