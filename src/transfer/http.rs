//! The HTTP client for all requests: it reuses connections, takes proxies from the environment, and has a timeout for
//! everything.
//!
//! A request fails when it transfers almost nothing for a while, in either direction. A limit on the total time would
//! be wrong for large transfers or slow connections. A limit on the time without any byte would let a server block us
//! with one byte at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Body, Request, Response, Url, header};

use crate::diagnostic::article::with_article;
use crate::secret::signatures;
use crate::store::remote::{Chunks, TransferError};

/// The timeout for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Fewer bytes in a second do not count as progress.
const LEAST: u64 = 32;
/// The body of a request is sent in pieces of this size, so that progress is visible.
const PIECE: usize = 256 << 10;
/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// The client of one command.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    stall: Duration,
}

impl Http {
    /// A client that follows redirects to other web addresses, or none at all.
    ///
    /// # Errors
    /// A message, if the system's certificates or proxies cannot be used.
    pub fn new(stall: Duration, redirects: bool) -> Result<Self, String> {
        let redirects = if redirects { Policy::custom(follow) } else { Policy::none() };
        let client = reqwest::Client::builder()
            .user_agent(concat!("amlrun/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(redirects)
            // The original address may contain a signature.
            .referer(false)
            .build()
            .map_err(|e| format!("cannot set up HTTP: {}", chain(&e.without_url())))?;
        Ok(Self { client, stall })
    }

    /// Sends a request, with its body in pieces, and waits for the head of the response.
    ///
    /// # Errors
    /// [`TransferError::Transient`] when the network fails or the request stalls.
    pub async fn send(&self, mut request: Request, body: Bytes) -> Result<Response, TransferError> {
        let host = host(request.url());
        let moved = Arc::new(AtomicU64::new(0));
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
            *request.body_mut() = Some(Body::wrap_stream(pieces(body, moved.clone())));
        }
        let mut sent = std::pin::pin!(self.client.execute(request));
        let mut seen = 0;
        loop {
            match tokio::time::timeout(self.stall, &mut sent).await {
                Ok(answer) => return answer.map_err(|e| failed(&host, e)),
                Err(_) => {
                    let now = moved.load(Relaxed);
                    if now < seen + self.least() {
                        return Err(self.stalled(&host));
                    }
                    seen = now;
                }
            }
        }
    }

    /// The body of a response as a stream. It ends with an error if the connection breaks or stalls.
    pub fn body(&self, answer: Response) -> Chunks {
        struct State<S> {
            chunks: S,
            since: tokio::time::Instant,
            moved: u64,
            over: bool,
        }
        let (stall, least, host) = (self.stall, self.least(), host(answer.url()));
        let chunks = Box::pin(answer.bytes_stream());
        let state = State { chunks, since: tokio::time::Instant::now(), moved: 0, over: false };
        let http = self.clone();
        Box::pin(stream::unfold((state, http, host), move |(mut state, http, host)| async move {
            if state.over {
                return None;
            }
            let item = match tokio::time::timeout_at(state.since + stall, state.chunks.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(bytes))) => {
                    state.moved += bytes.len() as u64;
                    if state.moved >= least {
                        (state.since, state.moved) = (tokio::time::Instant::now(), 0);
                    }
                    Ok(bytes)
                }
                Ok(Some(Err(error))) => Err(failed(&host, error)),
                Err(_) => Err(http.stalled(&host)),
            };
            state.over = item.is_err();
            Some((item, (state, http, host)))
        }))
    }

    /// How many bytes must be transferred before a request counts as stalled.
    fn least(&self) -> u64 {
        (LEAST * self.stall.as_secs()).max(1)
    }

    fn stalled(&self, host: &str) -> TransferError {
        TransferError::transient(format!("{host} transferred almost no data for {} s", self.stall.as_secs_f32()))
    }
}

/// The server of an address, for messages.
fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or("the server");
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// The error for a response that is not a success; `None` for a success. `address` is shown in messages, `detail` is
/// the server's explanation.
#[must_use]
pub fn classify_status(status: u16, headers: &header::HeaderMap, address: &str, detail: &str) -> Option<TransferError> {
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    Some(match status {
        200..=299 => return None,
        404 | 410 => TransferError::NotFound(address.to_owned()),
        401 | 403 | 407 => TransferError::Denied(format!("access to {address} is denied: HTTP {status}{detail}")),
        300..=399 => {
            let to = headers.get(header::LOCATION).and_then(|to| to.to_str().ok()?.split_once(':'));
            let to = to
                .map(|(scheme, _)| format!(" to {}", with_article(&format!("'{scheme}:' address"))))
                .unwrap_or_default();
            TransferError::Permanent(format!("{address}: HTTP {status}: a redirect{to} is not followed"))
        }
        412 => TransferError::Changed(address.to_owned()),
        408 | 429 | 500 | 502 | 503 | 504 => {
            let why = format!("{address}: HTTP {status}{detail}");
            TransferError::Transient { why, after: retry_after(headers, SystemTime::now()) }
        }
        _ => TransferError::Permanent(format!("{address}: HTTP {status}{detail}")),
    })
}

/// The value of `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). Azure has milliseconds in a separate
/// header.
fn retry_after(headers: &header::HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(millis) = text("x-ms-retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text("retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(&text.replace("GMT", "+0000")).ok()?;
    let now = jiff::Timestamp::try_from(now).ok()?;
    let wait = date.timestamp().duration_since(now);
    Some(Duration::try_from(wait).unwrap_or_default())
}

/// Follows redirects only to web addresses, and never from a secure connection to an insecure one.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().last().map(|url| url.scheme().to_owned());
    let to = attempt.url().scheme().to_owned();
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if !matches!(to.as_str(), "http" | "https") {
        return attempt.error(format!("a redirect to {} is not followed", with_article(&format!("'{to}:' address"))));
    }
    if from.as_deref() == Some("https") && to == "http" {
        return attempt.error("a redirect from https to http is not followed");
    }
    if carries_signature(attempt.previous(), attempt.url()) {
        return attempt.error("a redirect that would send the SAS to another host is not followed");
    }
    attempt.follow()
}

/// Whether an address on another host contains the signature of an address before it.
fn carries_signature(before: &[Url], next: &Url) -> bool {
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let whole = plain(next.as_str());
    before.iter().filter(|url| url.origin() != next.origin()).any(|url| {
        let query = format!("?{}", url.query().unwrap_or_default());
        // A shorter signature protects nothing, and would match everywhere.
        signatures(&query).into_iter().any(|signature| signature.len() >= 8 && whole.contains(&plain(signature)))
    })
}

/// An error of the client. It does not contain the address, which may contain a signature.
fn failed(host: &str, error: reqwest::Error) -> TransferError {
    let error = error.without_url();
    if error.is_redirect() || error.is_builder() {
        return TransferError::Permanent(format!("{host}: {}", chain(&error)));
    }
    let why = chain(&error);
    // The client reports this only in its message.
    if error.is_connect() && why.contains("dns error") {
        return TransferError::NoHost(format!("the host {host} was not found: {why}"));
    }
    TransferError::transient(format!("{host}: {why}"))
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        let more = this.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = this.source();
    }
    text
}

fn pieces(body: Bytes, moved: Arc<AtomicU64>) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold((body, moved), |(mut rest, moved)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        moved.fetch_add(piece.len() as u64, Relaxed);
        Some((Ok(piece), (rest, moved)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_when_to_come_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = |name: &'static str, value: &'static str| {
            header::HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )])
        };
        let after = |name, value| retry_after(&headers(name, value), now);
        assert_eq!(after("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(after("x-ms-retry-after-ms", "20"), Some(Duration::from_millis(20)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:40:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after", "soon"), None);
    }

    #[test]
    fn trouble_is_sorted() {
        let sort = |status| classify_status(status, &header::HeaderMap::new(), "x", "why");
        assert_eq!(sort(206), None);
        assert!(matches!(sort(404), Some(TransferError::NotFound(_))));
        assert!(matches!(sort(403), Some(TransferError::Denied(why)) if why.contains("(why)")));
        assert!(matches!(sort(503), Some(TransferError::Transient { after: None, .. })));
        assert!(matches!(sort(412), Some(TransferError::Changed(_))));
        assert!(matches!(sort(418), Some(TransferError::Permanent(_))));
    }
}
