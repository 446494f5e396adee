//! The host of an address as the HTTP client reads it. A decision about a secret must be about the host that gets it,
//! however the text of the address looks.

use std::net::IpAddr;

use azure_core::Url;

/// The host to which requests for an address go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name or IP address.
    pub name: String,
    /// The same with a port, unless it is the default of the scheme.
    pub shown: String,
    /// Whether the name itself means this machine, regardless of DNS.
    pub is_loopback: bool,
}

impl Host {
    /// The host of a web address. `None` for text that clients parse differently (RFC 3986, section 7.6): with a user
    /// name, a backslash, a space or a control character in it.
    #[must_use]
    pub fn of(address: &str) -> Option<Self> {
        if address.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
            return None;
        }
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let authority = address.split_once("://")?.1.split(['/', '?', '#']).next()?;
        if authority.contains('@') {
            return None;
        }
        let name = url.host_str()?.to_owned();
        let ip = name.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_loopback = name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        let shown = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        Some(Self { name, shown, is_loopback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_one_that_is_asked() {
        let host = |address: &str| Host::of(address).map(|host| (host.shown, host.is_loopback));
        assert_eq!(host("https://A.blob.core.windows.net/x"), Some(("a.blob.core.windows.net".into(), false)));
        assert_eq!(host("http://127.0.0.1:10000/acc"), Some(("127.0.0.1:10000".into(), true)));
        assert_eq!(host("http://[::1]:1/"), Some(("[::1]:1".into(), true)));
        assert_eq!(host("http://localhost.example"), Some(("localhost.example".into(), false)));
        for text in [
            "http://localhost:x@evil.example/acc",
            "http://localhost@evil.example",
            r"https://evil.example\.core.windows.net",
            "https://evil.example\t.core.windows.net",
            "file:///etc/passwd",
            "localhost",
            "http://",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
