//! Access control: a client needs the token, must be on this machine, and must not be a foreign web page.
//!
//! Any page in a browser can reach a loopback server. So the Host header must name this machine (a foreign name that
//! resolves to 127.0.0.1 is DNS rebinding), a request that changes something must not come from a foreign Origin, and
//! everything except `/health` and `/version` needs the token.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::{Result, TrackingError};

/// What a request must have.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// The hash of the token: comparing hashes takes the same time for every token.
    token: blake3::Hash,
    /// The address of the server, which a Host header may name even if it is not loopback.
    address: IpAddr,
}

impl Guard {
    pub(super) fn new(token: &str, address: IpAddr) -> Self {
        Self { token: blake3::hash(token.as_bytes()), address }
    }

    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let host = headers.get(header::HOST).map(|value| value.to_str().unwrap_or("?")).or_else(|| uri.host());
        if !host.is_some_and(|host| self.is_here(host)) {
            let message =
                format!("Invalid Host header '{}': this server answers to localhost only", host.unwrap_or(""));
            return Err(TrackingError::Denied(message));
        }
        if !method.is_safe()
            && let Some(origin) = headers.get(header::ORIGIN)
        {
            let origin = origin.to_str().unwrap_or("?");
            let host = origin.split_once("://").map_or("?", |(_, host)| host);
            if !self.is_here(host) {
                let message = format!(
                    "Cross-origin request blocked: '{origin}' is not allowed to change anything on this server"
                );
                return Err(TrackingError::Denied(message));
            }
        }
        let open = matches!(uri.path(), "/health" | "/version");
        if open || headers.get(header::AUTHORIZATION).is_some_and(|value| self.has_token(value.as_bytes())) {
            return Ok(());
        }
        let message = "You are not authenticated. Set MLFLOW_TRACKING_TOKEN to this server's token.";
        Err(TrackingError::Unauthenticated(message.to_owned()))
    }

    /// Whether `host[:port]` is this machine.
    fn is_here(&self, host: &str) -> bool {
        let (name, port) = match host.strip_prefix('[') {
            Some(v6) => match v6.split_once(']') {
                Some((name, "")) => (name, None),
                Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or("?"))),
                None => return false,
            },
            None => host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
        };
        if port.is_some_and(|port| port.parse::<u16>().is_err() || !port.bytes().all(|b| b.is_ascii_digit())) {
            return false;
        }
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback() || ip == self.address)
    }

    /// `Bearer <token>`, or `Basic` with the token as the password of any user.
    fn has_token(&self, authorization: &[u8]) -> bool {
        let Some(space) = authorization.iter().position(|byte| *byte == b' ') else { return false };
        let (scheme, credentials) = authorization.split_at(space);
        let credentials = credentials.trim_ascii();
        // An empty token, set by mistake, must not give access to everybody.
        let right = |secret: &[u8]| !secret.is_empty() && blake3::hash(secret) == self.token;
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return right(credentials);
        }
        let Ok(pair) = BASE64.decode(credentials) else { return false };
        let password = pair.iter().position(|byte| *byte == b':').map_or(&[][..], |colon| &pair[colon + 1..]);
        scheme.eq_ignore_ascii_case(b"basic") && right(password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str, headers: &[(header::HeaderName, &str)]) -> u16 {
        let map = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let guard = Guard::new("s3cret", IpAddr::from([127, 0, 0, 1]));
        guard.check(method, &path.parse().unwrap(), &map).map_or_else(|error| error.status(), |()| 200)
    }

    const HOST: (header::HeaderName, &str) = (header::HOST, "127.0.0.1:4711");
    const TOKEN: (header::HeaderName, &str) = (header::AUTHORIZATION, "Bearer s3cret");

    #[test]
    fn the_token_opens_as_bearer_and_as_password() {
        assert_eq!(status(&Method::GET, "/x", &[HOST, TOKEN]), 200);
        let basic = format!("Basic {}", BASE64.encode("anyone:s3cret"));
        assert_eq!(status(&Method::GET, "/x", &[HOST, (header::AUTHORIZATION, &basic)]), 200);
        for wrong in ["Bearer s3cre", "Bearer s3crets", "Bearer", "s3cret", "Basic s3cret", "Basic czNjcmV0"] {
            assert_eq!(status(&Method::GET, "/x", &[HOST, (header::AUTHORIZATION, wrong)]), 401, "{wrong}");
        }
        assert_eq!(status(&Method::GET, "/x", &[HOST]), 401);
        assert_eq!(status(&Method::GET, "/health", &[HOST]), 200);
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let guard = Guard::new("", IpAddr::from([127, 0, 0, 1]));
        for empty in ["Bearer ", "Basic Og==", "Basic "] {
            assert!(!guard.has_token(empty.as_bytes()), "{empty:?}");
        }
    }

    #[test]
    fn only_this_machine_s_names_are_answered() {
        for here in ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "127.9.9.9"] {
            assert_eq!(status(&Method::GET, "/x", &[(header::HOST, here), TOKEN]), 200, "{here}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "",
            "[::1]evil.com",
            "[::1]evil.com:80",
            "[::1]:80evil.com",
            "[::1",
            "[127.0.0.1].evil.com",
            "localhost:evil.com",
            "127.0.0.1:80@evil.com",
            "127.0.0.1:+80",
            "localhost:",
        ] {
            assert_eq!(status(&Method::GET, "/x", &[(header::HOST, foreign), TOKEN]), 403, "{foreign}");
        }
        assert_eq!(status(&Method::GET, "/health", &[]), 403);
    }

    #[test]
    fn a_foreign_page_changes_nothing() {
        let from = |method: Method, origin| status(&method, "/x", &[HOST, TOKEN, (header::ORIGIN, origin)]);
        assert_eq!(from(Method::POST, "https://evil.example"), 403);
        assert_eq!(from(Method::DELETE, "null"), 403);
        assert_eq!(from(Method::GET, "https://evil.example"), 200);
        assert_eq!(from(Method::POST, "http://localhost:3000"), 200);
    }
}
