//! A client of MLflow's REST API: one server, its credentials, and calls that are retried when that is safe.
//!
//! It knows routes and JSON, but must not know models or runs. Calls that are safe to repeat are retried a few times
//! with increasing delays. Calls that create something are retried only if the request did not reach the server.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use ureq::http;

/// Errors with the server.
#[derive(Debug, thiserror::Error)]
pub enum MlflowError {
    /// No server is configured.
    #[error("MLFLOW_TRACKING_URI is not set: set it to the MLflow server, for example http://localhost:5000")]
    NoServer,
    /// The URI is not that of a supported server.
    #[error("MLFLOW_TRACKING_URI '{0}' is not supported: use http://, https:// or azureml://")]
    Unsupported(String),
    /// The server did not respond.
    #[error("the MLflow server {server} did not respond: {reason}")]
    Unreachable {
        /// The server, without credentials.
        server: String,
        /// The network error.
        reason: String,
    },
    /// The server returned an error.
    #[error("the MLflow server refused {call}: {status} {code}{message}")]
    Refused {
        /// Method and route.
        call: String,
        /// The HTTP status.
        status: u16,
        /// MLflow's `error_code`, or empty.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The artifacts are in a store that this program cannot access.
    #[error("{0}")]
    Artifacts(String),
    /// The response is not valid.
    #[error("the response of the MLflow server has no {0}")]
    Answer(&'static str),
}

impl MlflowError {
    /// Whether the server returned this `error_code`.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

/// The body of a request.
pub enum Payload<'a> {
    /// An empty body.
    None,
    /// JSON.
    Json(&'a Value),
    /// The content of a file, streamed.
    File(&'a std::path::Path),
}

/// Whether a call may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The call is idempotent.
    Safe,
    /// Each call creates something new.
    MakesNew,
    /// The result is not worth waiting for.
    Never,
}

/// A server and its credentials.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(120);
/// The timeout for calls that are not worth waiting for: a server that hangs must not delay training.
const SHORT_ANSWER: Duration = Duration::from_secs(10);

impl Client {
    /// The server in the environment. `None` if none is configured.
    ///
    /// # Errors
    /// When the URI is not that of an HTTP server.
    pub fn from_environment() -> Result<Option<Self>, MlflowError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(uri) = variable("MLFLOW_TRACKING_URI") else { return Ok(None) };
        let user = variable("MLFLOW_TRACKING_USERNAME").zip(variable("MLFLOW_TRACKING_PASSWORD"));
        Self::new(&uri, user, variable("MLFLOW_TRACKING_TOKEN")).map(Some)
    }

    /// A server by its URI. A user (or one in the URI) takes precedence over a token, as in MLflow's own client.
    ///
    /// # Errors
    /// When the URI is not that of an HTTP server.
    pub fn new(uri: &str, user: Option<(String, String)>, token: Option<String>) -> Result<Self, MlflowError> {
        let (base, in_uri) = split_credentials(uri)?;
        let authorization = match (user.or(in_uri), token) {
            (Some((name, password)), _) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
            (None, Some(token)) => Some(format!("Bearer {token}")),
            (None, None) => None,
        };
        let local = ["http://localhost", "http://127.", "http://[::1]"].iter().any(|here| base.starts_with(here));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("amlrun-stage/", env!("CARGO_PKG_VERSION")));
        // A proxy cannot reach this machine's loopback.
        let config = if local { config.proxy(None) } else { config };
        Ok(Self { agent: config.build().into(), base, authorization })
    }

    /// The server, without credentials.
    pub fn server(&self) -> &str {
        &self.base
    }

    /// GET of an MLflow route, such as `runs/get`.
    ///
    /// # Errors
    /// When the server does not respond, or returns an error.
    pub fn get(&self, route: &str, query: &[(&str, &str)]) -> Result<Value, MlflowError> {
        let bytes = self.call("GET", &api(route), query, &Payload::None, Repeat::Safe)?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// POST of an MLflow route, such as `runs/create`.
    ///
    /// # Errors
    /// When the server does not respond, or returns an error.
    pub fn post(&self, route: &str, body: &Value, repeat: Repeat) -> Result<Value, MlflowError> {
        let bytes = self.call("POST", &api(route), &[], &Payload::Json(body), repeat)?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Makes any call; `path` begins with `/`. Returns the bytes of the response.
    ///
    /// # Errors
    /// When the server does not respond, or returns an error.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        payload: &Payload<'_>,
        repeat: Repeat,
    ) -> Result<Vec<u8>, MlflowError> {
        let mut pauses = PAUSES.iter();
        loop {
            let outcome = self.call_once(method, path, query, payload, repeat);
            let again = match &outcome {
                Ok((status, _)) => repeat == Repeat::Safe && matches!(status, 429 | 500 | 502 | 503 | 504),
                Err(error) => match repeat {
                    Repeat::Safe => true,
                    Repeat::MakesNew => never_arrived(error),
                    Repeat::Never => false,
                },
            };
            if again && let Some(pause) = pauses.next() {
                std::thread::sleep(*pause);
                continue;
            }
            return match outcome {
                Ok((status, body)) if (200..300).contains(&status) => Ok(body),
                Ok((status, body)) => Err(refused(method, path, status, &body)),
                Err(error) => Err(MlflowError::Unreachable { server: self.base.clone(), reason: error.to_string() }),
            };
        }
    }

    fn call_once(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        payload: &Payload<'_>,
        repeat: Repeat,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let mut uri = format!("{}{path}", self.base);
        for (index, (key, value)) in query.iter().enumerate() {
            uri.push_str(&format!("{}{key}={}", if index == 0 { '?' } else { '&' }, percent_encode(value, false)));
        }
        let mut request = http::Request::builder().method(method).uri(&uri);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let wait = if repeat == Repeat::Never { SHORT_ANSWER } else { ANSWER };
        let mut response = match payload {
            Payload::None => self.send(request.body(())?, wait)?,
            Payload::Json(value) => {
                self.send(request.header("Content-Type", "application/json").body(value.to_string())?, wait)?
            }
            Payload::File(path) => {
                let file = std::fs::File::open(path)?;
                self.send(request.header("Content-Type", "application/octet-stream").body(file)?, wait)?
            }
        };
        let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
        Ok((response.status().as_u16(), body))
    }

    fn send(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        wait: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request).timeout_recv_response(Some(wait)).build())
    }
}

/// Whether the request certainly did not reach the server.
fn never_arrived(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

fn api(route: &str) -> String {
    format!("/api/2.0/mlflow/{route}")
}

/// MLflow's error if the body has one, or else the start of a plain text. HTML pages are not shown.
fn refused(method: &str, path: &str, status: u16, body: &[u8]) -> MlflowError {
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let plain = String::from_utf8_lossy(body);
    let plain = plain.trim();
    let message = text("message").or_else(|| (!plain.is_empty() && !plain.starts_with('<')).then(|| plain.to_owned()));
    let message: String = message.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    MlflowError::Refused {
        call: format!("{method} {path}"),
        status,
        code: text("error_code").unwrap_or_default(),
        message: if message.is_empty() {
            message
        } else {
            format!(": {}", message.chars().take(500).collect::<String>())
        },
    }
}

/// The server's address without the user, and the user. `azureml://` means HTTPS.
fn split_credentials(uri: &str) -> Result<(String, Option<(String, String)>), MlflowError> {
    let hidden = || MlflowError::Unsupported(uri.rsplit_once('@').map_or(uri, |(_, rest)| rest).to_owned());
    let (scheme, rest) = uri.split_once("://").ok_or_else(hidden)?;
    let scheme = match scheme {
        "azureml" => "https",
        "http" | "https" => scheme,
        _ => return Err(hidden()),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user.split_once(':'), host),
        None => (None, authority),
    };
    let user = user.map(|(name, password)| (percent_decode(name), percent_decode(password)));
    Ok((format!("{scheme}://{host}{}", path.trim_end_matches('/')), user))
}

/// Percent-encodes all but unreserved characters. If `path` is true, `/` is kept.
pub fn percent_encode(text: &str, path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes percent-encoding. Invalid escapes are kept.
pub fn percent_decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escape =
            (byte == b'%').then(|| text.as_bytes().get(text.len() - bytes.len()..text.len() - bytes.len() + 2));
        let value = escape
            .flatten()
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match value {
            Some(value) => {
                out.push(value);
                let _ = bytes.by_ref().nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_leave_the_address() {
        let (base, user) = split_credentials("https://me:s%40cret@host:5000/base/").unwrap();
        assert_eq!(base, "https://host:5000/base");
        assert_eq!(user, Some(("me".to_owned(), "s@cret".to_owned())));
        assert_eq!(split_credentials("azureml://r.example/mlflow/v1.0").unwrap().0, "https://r.example/mlflow/v1.0");
        let error = split_credentials("ftp://me:secret@host").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_user_goes_before_a_token() {
        let user = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        let client = Client::new("http://h", user, Some("t".to_owned())).unwrap();
        assert_eq!(client.authorization.as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        let client = Client::new("http://h", None, Some("t".to_owned())).unwrap();
        assert_eq!(client.authorization.as_deref(), Some("Bearer t"));
    }

    #[test]
    fn the_servers_own_words_are_shown_on_one_line() {
        let body =
            br#"{"error_code":"RESOURCE_ALREADY_EXISTS","message":"Registered Model\n (name=m) already exists."}"#;
        let error = refused("POST", "/x", 400, body);
        assert!(error.is("RESOURCE_ALREADY_EXISTS"));
        assert_eq!(
            error.to_string(),
            "the MLflow server refused POST /x: 400 RESOURCE_ALREADY_EXISTS: Registered Model (name=m) already exists."
        );
        assert_eq!(
            refused("GET", "/x", 404, b"<html>lots</html>").to_string(),
            "the MLflow server refused GET /x: 404 "
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in ".{0,30}") {
            prop_assert_eq!(percent_decode(&percent_encode(&text, false)), text.clone());
            prop_assert_eq!(percent_decode(&percent_encode(&text, true)), text);
        }
    }
}
