//! A web server as remote storage: one file at each address.
//!
//! Its headers are used as far as they go. `ETag`, or else `Last-Modified`, identifies a version. Without
//! `Accept-Ranges` a file is read from its beginning each time. A `Content-MD5` is verified.

use std::io::Write as _;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response, Url};

use super::http::{self, Http};
use crate::store::remote::{Answer, Checksums, Chunks, Remote, RemoteFile, TransferError};

/// The web. The names of its files are full addresses.
pub struct Web {
    http: Http,
}

impl Web {
    /// The web, through a client that follows redirects.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Response, TransferError> {
        let url = Url::parse(name).map_err(|e| TransferError::Permanent(format!("{}: {e}", self.address(name))))?;
        let mut request = Request::new(method, url);
        // Content without compression: compressed content could not be read in parts, nor be compared with its size.
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (header, value) in headers {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(header, value);
            }
        }
        let answer = self.http.send(request, Bytes::new()).await?;
        match http::classify_status(answer.status().as_u16(), answer.headers(), &self.address(name), "") {
            None => Ok(answer),
            Some(trouble) => Err(trouble),
        }
    }
}

impl Remote for Web {
    fn address(&self, name: &str) -> String {
        let mut name = name.to_owned();
        crate::secret::mask_signatures(&mut name);
        name
    }

    fn describe<'a>(&'a self, name: &'a str) -> Answer<'a, RemoteFile> {
        Box::pin(async move {
            let answer = match self.ask(Method::HEAD, name, &[]).await {
                // Some servers do not support HEAD or fail on it, and signed addresses may allow only GET.
                Err(TransferError::Permanent(_) | TransferError::Denied(_) | TransferError::Transient { .. }) => {
                    self.ask(Method::GET, name, &[]).await?
                }
                answer => answer?,
            };
            let headers = answer.headers();
            let encoded = is_gzip(headers);
            let size = text(headers, &header::CONTENT_LENGTH).and_then(|n| n.parse().ok());
            Ok(RemoteFile {
                name: name.to_owned(),
                size: size.filter(|_| !encoded),
                version: version(headers),
                checksums: Checksums { md5: md5(headers).filter(|_| !encoded), crc64: None },
                ranges: !encoded && text(headers, &header::ACCEPT_RANGES).is_some_and(|t| t.contains("bytes")),
            })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<RemoteFile>> {
        let why = format!(
            "{} is a web address, and its files cannot be listed: use the URL of one file",
            self.address(prefix)
        );
        Box::pin(async move { Err(TransferError::Permanent(why)) })
    }

    fn read<'a>(&'a self, file: &'a RemoteFile, part: Option<Range<u64>>) -> Answer<'a, Chunks> {
        Box::pin(async move {
            let mut headers = Vec::new();
            if let Some(part) = &part {
                headers.push((header::RANGE, format!("bytes={}-{}", part.start, part.end - 1)));
                // A weak `ETag` says nothing about bytes, and `If-Match` would always fail with it (RFC 9110, section
                // 13.1.1).
                if file.version.starts_with('"') {
                    headers.push((header::IF_MATCH, file.version.clone()));
                }
            }
            let answer = match self.ask(Method::GET, &file.name, &headers).await {
                // It is shorter now than it was.
                Err(TransferError::Permanent(_)) if part.as_ref().is_some_and(|part| part.start > 0) => {
                    return Err(TransferError::Changed(self.address(&file.name)));
                }
                answer => answer?,
            };
            let now = version(answer.headers());
            if !file.version.is_empty() && now != file.version {
                return Err(TransferError::Changed(self.address(&file.name)));
            }
            let gzip = is_gzip(answer.headers());
            let whole = answer.status().as_u16() != 206;
            let chunks = self.http.body(answer);
            if gzip {
                return Ok(unpacked(chunks));
            }
            Ok(match part {
                // The server sends the whole file for every request.
                Some(part) if whole => cut(chunks, part),
                _ => chunks,
            })
        })
    }
}

/// The local name of a file at an address, or of a blob with that name.
#[must_use]
pub fn file_name(name: &str) -> String {
    let path = match name.split_once("://") {
        Some((_, rest)) => {
            let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
            let path = path.split_once('/').map_or("", |(_, path)| path);
            percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
        }
        None => name.to_owned(),
    };
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if matches!(last, "" | "." | "..") || last.contains('\0') { "data".to_owned() } else { last.to_owned() }
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn version(headers: &HeaderMap) -> String {
    let tag = text(headers, &header::ETAG).or_else(|| text(headers, &header::LAST_MODIFIED));
    tag.unwrap_or_default().to_owned()
}

fn is_gzip(headers: &HeaderMap) -> bool {
    text(headers, &header::CONTENT_ENCODING).is_some_and(|coding| matches!(coding.trim(), "gzip" | "x-gzip"))
}

/// `Content-MD5`, as Azure and others send it, or the header of Google's storage.
fn md5(headers: &HeaderMap) -> Option<[u8; 16]> {
    let own = headers.get("content-md5").and_then(|value| value.to_str().ok());
    let google = || {
        let hashes = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
        hashes.flat_map(|value| value.split(',')).find_map(|hash| hash.trim().strip_prefix("md5="))
    };
    STANDARD.decode(own.or_else(google)?.trim()).ok()?.try_into().ok()
}

/// Only a part of the stream.
fn cut(chunks: Chunks, part: Range<u64>) -> Chunks {
    Box::pin(stream::unfold((chunks, 0u64), move |(mut chunks, mut at)| {
        let part = part.clone();
        async move {
            while at < part.end {
                match chunks.next().await? {
                    Err(trouble) => return Some((Err(trouble), (chunks, part.end))),
                    Ok(bytes) => {
                        let (from, to) = (at, at + bytes.len() as u64);
                        at = to;
                        let start = usize::try_from(part.start.clamp(from, to) - from).unwrap_or(0);
                        let end = usize::try_from(part.end.clamp(from, to) - from).unwrap_or(0);
                        if start < end {
                            return Some((Ok(bytes.slice(start..end)), (chunks, at)));
                        }
                    }
                }
            }
            None
        }
    }))
}

/// Content without its gzip encoding. A truncated encoding is an error, like a truncated body.
fn unpacked(chunks: Chunks) -> Chunks {
    let decoder = flate2::write::GzDecoder::new(Vec::new());
    Box::pin(stream::unfold(Some((chunks, decoder)), |state| async move {
        let (mut chunks, mut decoder) = state?;
        let broken =
            |e: &std::io::Error| TransferError::transient(format!("the response is not complete gzip data: {e}"));
        loop {
            let done = match chunks.next().await {
                Some(Err(trouble)) => return Some((Err(trouble), None)),
                Some(Ok(bytes)) => decoder.write_all(&bytes).map(|()| false),
                None => decoder.try_finish().map(|()| true),
            };
            match done {
                Err(e) => return Some((Err(broken(&e)), None)),
                Ok(done) => {
                    let out = Bytes::from(std::mem::take(decoder.get_mut()));
                    if done {
                        return Some((Ok(out), None));
                    }
                    if !out.is_empty() {
                        return Some((Ok(out), Some((chunks, decoder))));
                    }
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(parts: &[&'static [u8]]) -> Chunks {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        Box::pin(stream::iter(parts))
    }

    async fn collect(mut chunks: Chunks) -> Result<Vec<u8>, TransferError> {
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_part_is_cut_out_of_the_whole() {
        for (part, wanted) in [(0..2, "ab"), (2..5, "cde"), (1..9, "bcdefg"), (5..6, "f")] {
            let cut = collect(cut(chunks(&[b"abc", b"", b"de", b"fg"]), part)).await;
            assert_eq!(cut.as_deref(), Ok(wanted.as_bytes()));
        }
    }

    #[tokio::test]
    async fn gzip_that_ends_early_is_trouble() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"hello hello").unwrap();
        let packed: &'static [u8] = Vec::leak(encoder.finish().unwrap());
        let whole = collect(unpacked(chunks(&[&packed[..7], &packed[7..]]))).await;
        assert_eq!(whole.as_deref(), Ok(&b"hello hello"[..]));
        assert!(collect(unpacked(chunks(&[&packed[..packed.len() - 9]]))).await.is_err());
    }

    #[test]
    fn files_are_called_as_their_address_ends() {
        assert_eq!(file_name("https://x.org/a/b%20c.csv?v=/1#x"), "b c.csv");
        assert_eq!(file_name("https://x.org"), "data");
        assert_eq!(file_name("https://x.org/a/%2e%2e"), "data");
        assert_eq!(file_name("folder/what? #1.csv"), "what? #1.csv");
    }

    #[test]
    fn checksums_of_servers_are_found() {
        let md5_of = |name: &'static str, value: &'static str| {
            md5(&HeaderMap::from_iter([(header::HeaderName::from_static(name), HeaderValue::from_static(value))]))
        };
        let wanted = Some(super::super::checksum::md5(b""));
        assert_eq!(md5_of("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), wanted);
        assert_eq!(md5_of("x-goog-hash", "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg=="), wanted);
        assert_eq!(md5_of("content-md5", "abc"), None);
    }
}
