//! Artifacts: `artifacts/list` of a run, and the proxy behind `mlflow-artifacts:` through which clients read and
//! write.
//!
//! Bytes are streamed in both directions, so memory does not limit the size. An upload is written beside its target
//! and renamed: a reader sees the old file or the new one, and an interrupted upload leaves nothing.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::fs::atomic::Temporary;
use crate::tracking::args::Args;
use crate::tracking::model::FileInfo;
use crate::tracking::route::{Router, ask, off_thread};
use crate::tracking::{Result, Tracking, TrackingError};

/// How much of a file is read at a time.
const CHUNK: usize = 256 << 10;

pub(super) fn routes() -> Router {
    Router::new().route("/artifacts/list", ask(list_of_run))
}

/// Everything below `/api/2.0/mlflow-artifacts`.
pub(in crate::tracking) fn proxy() -> Router {
    Router::new().route("/artifacts", ask(list)).route("/artifacts/{*path}", get(download).put(upload))
}

/// Paths are relative to the run's root.
fn list_of_run(tracking: &Tracking, args: &Args) -> Result<Value> {
    let run_id = args.run_id()?;
    let path = args.maybe_text("path")?.unwrap_or_default();
    let mut files = tracking.run_place(run_id, path)?.list()?;
    let folder = path.trim_end_matches('/');
    if !folder.is_empty() {
        for file in &mut files {
            file.path = format!("{folder}/{}", file.path);
        }
    }
    let mut answer = listing(&files);
    answer["root_uri"] = tracking.db.artifact_place(run_id)?.1.into();
    Ok(answer)
}

/// Paths are relative to the requested folder.
fn list(tracking: &Tracking, args: &Args) -> Result<Value> {
    Ok(listing(&tracking.place(args.maybe_text("path")?.unwrap_or_default())?.list()?))
}

fn listing(files: &[FileInfo]) -> Value {
    if files.is_empty() { json!({}) } else { json!({"files": files}) }
}

type UrlPathOrNot = Result<UrlPath<String>, PathRejection>;

fn readable(path: UrlPathOrNot) -> Result<String> {
    path.map(|UrlPath(path)| path).map_err(|error| TrackingError::Invalid(format!("Invalid path: {error}")))
}

async fn download(State(tracking): State<Arc<Tracking>>, path: UrlPathOrNot, headers: HeaderMap) -> Result<Response> {
    let path = readable(path)?;
    let path = off_thread(move || tracking.place(&path)?.existing()).await?;
    let io = |error| TrackingError::io(&path)(error);
    if path.is_dir() {
        return Err(TrackingError::Invalid(format!("'{}' is a folder; list it instead", file_name(&path))));
    }
    let mut file = File::open(&path).await.map_err(io)?;
    let size = file.metadata().await.map_err(io)?.len();
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range(text, size));
    let (status, first, length) = match range {
        None => (StatusCode::OK, 0, size),
        Some(Range::Part(first, last)) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Some(Range::Beyond) => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok((status, [(header::CONTENT_RANGE, format!("bytes */{size}"))]).into_response());
        }
    };
    file.seek(SeekFrom::Start(first)).await.map_err(io)?;
    let mut answer = Response::new(Body::from_stream(chunks(file.take(length))));
    *answer.status_mut() = status;
    let mut set = |name, text: String| {
        if let Ok(value) = text.parse() {
            answer.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    set(header::CONTENT_LENGTH, length.to_string());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", quotable(&file_name(&path))));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    if status == StatusCode::PARTIAL_CONTENT {
        set(header::CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1));
    }
    Ok(answer)
}

fn chunks(file: tokio::io::Take<File>) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold(file, async |mut file| {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await?;
        Ok((read > 0).then(|| (Bytes::from(chunk), file)))
    })
}

/// The result of a Range header.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// From the first byte to the last, both included.
    Part(u64, u64),
    /// Nothing of the file.
    Beyond,
}

/// Parses one range of bytes; anything else is ignored, as HTTP allows.
fn range(header: &str, size: u64) -> Option<Range> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = match (first.trim(), last.trim()) {
        ("", tail) => (size.checked_sub(tail.parse::<u64>().ok()?.min(size))?, size.checked_sub(1)),
        (first, "") => (first.parse().ok()?, size.checked_sub(1)),
        (first, last) => (first.parse().ok()?, Some(last.parse::<u64>().ok()?.min(size.saturating_sub(1)))),
    };
    match last {
        Some(last) if first <= last && first < size => Some(Range::Part(first, last)),
        _ => Some(Range::Beyond),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A name for a quoted header value.
fn quotable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' { c } else { '_' }).collect()
}

async fn upload(State(tracking): State<Arc<Tracking>>, path: UrlPathOrNot, body: Body) -> Result<Response> {
    let path = readable(path)?;
    let target = off_thread(move || tracking.place(&path)?.for_writing()).await?;
    // Removed if the client breaks off and the request is dropped.
    let new = Temporary::beside(&target);
    fill(new.path(), body).await?;
    off_thread(move || new.place().map_err(TrackingError::io(&target))).await?;
    Ok(StatusCode::OK.into_response())
}

async fn fill(path: &Path, body: Body) -> Result<()> {
    let io = |error| TrackingError::io(path)(error);
    let mut file = File::create_new(path).await.map_err(io)?;
    let mut body = body.into_data_stream();
    while let Some(chunk) = body.next().await {
        // If the client breaks off, this error prevents the rename, so that no partial file stays.
        let chunk = chunk.map_err(|error| TrackingError::Invalid(format!("The upload was interrupted: {error}")))?;
        file.write_all(&chunk).await.map_err(io)?;
    }
    file.flush().await.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        for (header, expected) in [
            ("bytes=0-3", Some(Range::Part(0, 3))),
            ("bytes=4-", Some(Range::Part(4, 9))),
            ("bytes=-3", Some(Range::Part(7, 9))),
            ("bytes=-30", Some(Range::Part(0, 9))),
            ("bytes=5-500", Some(Range::Part(5, 9))),
            ("bytes=10-", Some(Range::Beyond)),
            ("bytes=5-4", Some(Range::Beyond)),
            ("lines=1-2", None),
            ("bytes=x-2", None),
        ] {
            assert_eq!(range(header, 10), expected, "{header}");
        }
        assert_eq!(range("bytes=0-", 0), Some(Range::Beyond));
    }
}
