//! The transport for the crate's requests: the client of `transfer`, which reuses connections and has timeouts.
//!
//! A response that is not a success becomes a [`TransferError`] here, where its status and headers are available.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::headers::{HeaderName, HeaderValue, Headers};
use azure_core::{Body, ClientOptions, Context, HttpClient, Policy, Response, RetryOptions, StatusCode};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use reqwest::header::HeaderMap;
use reqwest::{Method, Request, Url};

use super::blob;
use crate::store::remote::{Chunks, TransferError};
use crate::transfer::http::{self, Http};

/// How much of a server's error message is read, in bytes.
const SAID: usize = 16 << 10;

/// How many characters of a crate's error message are shown.
const SHOWN: usize = 200;

/// Azurite's response to requests for checksums that it does not support.
const UNSUPPORTED: &str = "FeatureNotSupported";
/// Azure's error code for a container that does not exist.
const NO_CONTAINER: &str = "ContainerNotFound";
/// The header with which the crate requests a checksum of the content.
pub(super) const WANTS_CRC: &str = "x-ms-range-get-content-crc64";

/// The transport for the crate.
#[derive(Debug)]
struct Transport(Http);

#[async_trait]
impl HttpClient for Transport {
    async fn execute_request(&self, asked: &azure_core::Request) -> azure_core::Result<Response> {
        let (request, body) = convert(asked)?;
        let address = shown(request.url());
        let answer = self.0.send(request, body).await.map_err(wrap)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        if !answer.status().is_success() {
            let said = said(&headers, self.0.body(answer)).await;
            // A 500 that is not transient: the server will never support it.
            if said.starts_with(UNSUPPORTED) {
                return Err(wrap(TransferError::Permanent(format!("{address}: {said}"))));
            }
            // A blob that does not exist and a container that does not exist need different fixes.
            if said.starts_with(NO_CONTAINER) {
                return Err(wrap(TransferError::NotFound(format!("the container of {address}"))));
            }
            let trouble = http::classify_status(status, &headers, &address, &said);
            return Err(wrap(trouble.unwrap_or_else(|| TransferError::Permanent(format!("{address}: HTTP {status}")))));
        }
        let status = StatusCode::try_from(status)
            .map_err(|_| wrap(TransferError::Permanent(format!("{address}: invalid HTTP status {status}"))))?;
        let mut chunks = self.0.body(answer);
        if is_list(asked.url()) {
            chunks = blob::with_spaces(chunks).await.map_err(wrap)?;
        }
        let body = Box::pin(Shareable(Mutex::new(chunks)));
        Ok(Response::new(status, convert_headers(&headers), body))
    }
}

/// A body in the type that the crate needs: the crate requires `Sync`, but never shares it between threads.
struct Shareable(Mutex<Chunks>);

impl Stream for Shareable {
    type Item = azure_core::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        let chunks = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        chunks.as_mut().poll_next(context).map(|item| item.map(|chunk| chunk.map_err(wrap)))
    }
}

fn convert(request: &azure_core::Request) -> azure_core::Result<(Request, Bytes)> {
    let broken = |e: &dyn std::fmt::Display| Error::message(ErrorKind::Other, format!("cannot make the request: {e}"));
    let method = Method::from_bytes(request.method().as_ref().as_bytes()).map_err(|e| broken(&e))?;
    let mut made = Request::new(method, request.url().clone());
    for (name, value) in request.headers().iter() {
        let name = reqwest::header::HeaderName::from_bytes(name.as_str().as_bytes()).map_err(|e| broken(&e))?;
        let value = reqwest::header::HeaderValue::from_str(value.as_str()).map_err(|e| broken(&e))?;
        made.headers_mut().insert(name, value);
    }
    match request.body() {
        Body::Bytes(bytes) => Ok((made, bytes.clone())),
        Body::SeekableStream(_) => Err(broken(&"streams are not supported")),
    }
}

fn convert_headers(headers: &HeaderMap) -> Headers {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?.to_owned();
        Some((HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value)))
    });
    Headers::from(pairs.collect::<std::collections::HashMap<_, _>>())
}

fn is_list(url: &Url) -> bool {
    url.query_pairs().any(|(name, value)| name == "comp" && value == "list")
}

/// An address without its query, which may contain a signature.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let text = url.to_string();
    percent_encoding::percent_decode_str(&text).decode_utf8().map_or(text.clone(), std::borrow::Cow::into_owned)
}

/// The code and the first line of the message in Azure's error response.
async fn said(headers: &HeaderMap, mut body: Chunks) -> String {
    let mut text = Vec::new();
    while text.len() < SAID
        && let Some(Ok(chunk)) = body.next().await
    {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let between = |from: &str, to: &str| {
        let at = text.find(from)? + from.len();
        Some(text[at..at + text[at..].find(to)?].to_owned())
    };
    let code = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
    let code = code.or_else(|| between("<Code>", "</Code>")).unwrap_or_default();
    let message = between("<Message>", "</Message>").unwrap_or_default();
    let first = message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    match (code.is_empty(), first.is_empty()) {
        (false, false) => format!("{code}: {first}"),
        _ => format!("{code}{first}"),
    }
}

/// A [`TransferError`] as an error of the crate.
fn wrap(trouble: TransferError) -> Error {
    Error::new(ErrorKind::Io, trouble)
}

/// An error of the crate as a [`TransferError`]: one that came through the transport is unwrapped, any other is
/// permanent.
pub(super) fn unwrap(error: &Error, address: &str) -> TransferError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(trouble) = this.downcast_ref::<TransferError>() {
            return trouble.clone();
        }
        cause = this.source();
    }
    if *error.kind() == ErrorKind::Credential {
        return TransferError::Denied(format!("{address}: no access: {error}"));
    }
    // The crate shows the whole text that it cannot parse: a list has five thousand blobs.
    let text = error.to_string();
    let first: String = text.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
    if *error.kind() == ErrorKind::DataConversion {
        return TransferError::Permanent(format!("{address}: the response is not from Azure Blob Storage ({first})"));
    }
    TransferError::Permanent(format!("{address}: {first}"))
}

/// The options of a pipeline with this transport, and without the crate's own retries.
pub(super) fn options(http: Http, checks: Arc<Checks>) -> ClientOptions {
    let transport = azure_core::TransportOptions::new(Arc::new(Transport(http)));
    ClientOptions::new(transport).retry(RetryOptions::none()).per_call_policies(vec![checks as Arc<dyn Policy>])
}

/// Whether a server supports CRC64, as Azure does and Azurite does not. The crate requests it for every small read.
/// If the server does not support it, the header is removed before the request is signed.
#[derive(Debug, Default)]
pub(super) struct Checks {
    unknown: AtomicBool,
}

impl Checks {
    /// Whether checksums can be requested.
    pub(super) fn are_known(&self) -> bool {
        !self.unknown.load(Ordering::Relaxed)
    }

    /// Learns from an error. True if the request must be repeated without checksums.
    pub(super) fn learn(&self, trouble: &TransferError) -> bool {
        // The name of the feature may be missing in the message, but everything else that is requested here is
        // supported.
        let about = matches!(trouble, TransferError::Permanent(why) if why.contains(UNSUPPORTED));
        // Several requests may be under way when the first of them learns this.
        self.unknown.fetch_or(about, Ordering::Relaxed);
        about
    }
}

#[async_trait]
impl Policy for Checks {
    async fn send(
        &self,
        context: &Context,
        request: &mut azure_core::Request,
        next: &[Arc<dyn Policy>],
    ) -> azure_core::PolicyResult {
        let asks = |headers: &Headers| headers.iter().any(|(name, _)| name.as_str() == WANTS_CRC);
        if self.are_known() || !asks(request.headers()) {
            return next[0].send(context, request, &next[1..]).await;
        }
        let mut without = azure_core::Request::new(request.url().clone(), *request.method());
        for (name, value) in request.headers().iter().filter(|(name, _)| name.as_str() != WANTS_CRC) {
            without.insert_header(name.clone(), value.clone());
        }
        without.set_body(request.body().clone());
        next[0].send(context, &mut without, &next[1..]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_comes_back_out_of_the_crates_errors() {
        let trouble = TransferError::NotFound("x".into());
        assert_eq!(unwrap(&wrap(trouble.clone()), "y"), trouble);
        let context = Error::full(ErrorKind::Other, wrap(trouble.clone()), "while doing something");
        assert_eq!(unwrap(&context, "y"), trouble);
        let other = Error::message(ErrorKind::DataConversion, "no such header");
        let told = "y: the response is not from Azure Blob Storage (no such header)";
        assert_eq!(unwrap(&other, "y"), TransferError::Permanent(told.into()));
        let long = Error::message(ErrorKind::Other, format!("{}\nmore", "x".repeat(5000)));
        assert!(unwrap(&long, "y").to_string().len() < 300);
    }

    #[test]
    fn signatures_are_not_shown() {
        let url = Url::parse("https://a.blob.core.windows.net/c/x%20y?sig=abc").unwrap();
        assert_eq!(shown(&url), "https://a.blob.core.windows.net/c/x y");
    }
}
