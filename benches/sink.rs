//! The floor of the transfer bench: Azure Blob Storage that does nothing, so that what is left is the client.
//!
//! `make bench` builds it; `sink serve` prints `listening on 127.0.0.1:PORT`. Bodies are read and forgotten, only names and
//! sizes are kept; what is downloaded is zeros. Nobody has to say who he is.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[path = "sink/clock.rs"]
mod clock;
#[path = "sink/listing.rs"]
mod listing;

use clock::now;
use listing::{block_ids, block_list, decoded, list};

const BUFFER: usize = 1 << 20;
static ZEROS: [u8; BUFFER] = [0; BUFFER];
/// Numbers of requests and of versions of blobs.
static NUMBER: AtomicU64 = AtomicU64::new(1);

fn main() -> std::io::Result<()> {
    if !std::env::args().any(|a| a == "serve") {
        eprintln!("sink serve: a floor for other benches, nothing by itself");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let store = Arc::new(Mutex::new(Store::default()));
    for stream in listener.incoming() {
        let (stream, store) = (stream?, Arc::clone(&store));
        // An error is a client that went away.
        std::thread::spawn(move || drop(Connection::new(stream).converse(&store)));
    }
    Ok(())
}

/// What is remembered: blobs and blocks by `container/name`.
#[derive(Default)]
struct Store {
    containers: HashMap<String, String>,
    blobs: BTreeMap<String, Blob>,
    blocks: HashMap<String, BTreeMap<String, u64>>,
}

#[derive(Clone, Default)]
struct Blob {
    size: u64,
    blocks: Vec<(String, u64)>,
    tag: String,
    date: String,
    /// `x-ms-meta-…` and the MD5 that the client gave.
    said: Vec<(String, String)>,
}

struct Request {
    method: String,
    container: String,
    /// `container/name`, or the container when there is no name.
    path: String,
    has_name: bool,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
}

/// Headers, and a body that is text or so many zeros.
struct Answer {
    status: u16,
    headers: String,
    text: String,
    zeros: u64,
    is_head: bool,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: vec![0; BUFFER], filled: 0 }
    }

    fn converse(mut self, store: &Mutex<Store>) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(request) = self.head()? {
            if request.header("expect") == "100-continue" {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let length = request.header("content-length").parse().unwrap_or(0);
            let keep = request.query("comp") == "blocklist";
            let body = self.body(length, keep)?;
            let answer = answer(&request, length, &body, &mut store.lock().unwrap());
            self.send(&request, &answer)?;
            if request.header("connection").eq_ignore_ascii_case("close") {
                break;
            }
        }
        Ok(())
    }

    /// The next request's head; None when the client has closed.
    fn head(&mut self) -> std::io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.buffer[..self.filled].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.copy_within(end + 4..self.filled, 0);
                self.filled -= end + 4;
                return Ok(Some(Request::read(&head)));
            }
            let read = self.stream.read(&mut self.buffer[self.filled..])?;
            if read == 0 {
                return Ok(None);
            }
            self.filled += read;
        }
    }

    /// Reads a body; forgets it unless it is to be kept.
    fn body(&mut self, length: u64, keep: bool) -> std::io::Result<Vec<u8>> {
        let mut kept = Vec::new();
        let early = self.filled.min(usize::try_from(length).unwrap_or(usize::MAX));
        if keep {
            kept.extend_from_slice(&self.buffer[..early]);
        }
        self.buffer.copy_within(early..self.filled, 0);
        self.filled -= early;
        let mut missing = length - early as u64;
        while missing > 0 {
            // Nothing is in the buffer as long as a body is missing.
            let most = usize::try_from(missing).unwrap_or(usize::MAX).min(BUFFER);
            let read = self.stream.read(&mut self.buffer[..most])?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if keep {
                kept.extend_from_slice(&self.buffer[..read]);
            }
            missing -= read as u64;
        }
        Ok(kept)
    }

    fn send(&mut self, request: &Request, answer: &Answer) -> std::io::Result<()> {
        let length = if answer.zeros > 0 { answer.zeros } else { answer.text.len() as u64 };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut head = format!("HTTP/1.1 {} Sink\r\nServer: sink\r\nDate: {}\r\n", answer.status, now());
        let version = request.headers.get("x-ms-version").map_or("2022-11-02", String::as_str);
        head += &format!("x-ms-version: {version}\r\nx-ms-request-id: 00000000-0000-4000-8000-{number:012x}\r\n");
        if let Some(id) = request.headers.get("x-ms-client-request-id") {
            head += &format!("x-ms-client-request-id: {id}\r\n");
        }
        if !answer.text.is_empty() {
            head += "Content-Type: application/xml\r\n";
        }
        if !answer.headers.contains("Content-Length: ") {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += &answer.headers;
        head += "\r\n";
        let mut bytes = head.into_bytes();
        if answer.is_head {
            return self.stream.write_all(&bytes);
        }
        bytes.extend_from_slice(answer.text.as_bytes());
        let mut missing = usize::try_from(answer.zeros).unwrap();
        let first = missing.min(64 << 10);
        bytes.extend_from_slice(&ZEROS[..first]);
        self.stream.write_all(&bytes)?;
        missing -= first;
        while missing > 0 {
            let part = missing.min(BUFFER);
            self.stream.write_all(&ZEROS[..part])?;
            missing -= part;
        }
        Ok(())
    }
}

impl Request {
    fn read(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // The account comes first; it may have any name.
        let path = decoded(path.trim_start_matches('/').split_once('/').map_or("", |(_, rest)| rest));
        let (container, name) = path.split_once('/').unwrap_or((&path, ""));
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(key, value)| (key.to_owned(), decoded(value))).collect();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let (container, has_name) = (container.to_owned(), !name.is_empty());
        Self { method: method.to_owned(), container, path: path.clone(), has_name, query, headers }
    }

    fn query(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    fn header(&self, key: &str) -> &str {
        self.headers.get(key).map_or("", String::as_str)
    }

    /// What a blob is to remember of a request that writes it.
    fn said(&self) -> Vec<(String, String)> {
        let all = self.headers.iter().map(|(key, value)| match key.as_str() {
            "x-ms-blob-content-md5" => ("Content-MD5".to_owned(), value.clone()),
            _ => (key.clone(), value.clone()),
        });
        all.filter(|(key, _)| key.starts_with("x-ms-meta-") || key == "Content-MD5").collect()
    }
}

impl Answer {
    fn new(status: u16, headers: String) -> Self {
        Self { status, headers, text: String::new(), zeros: 0, is_head: false }
    }

    fn xml(text: &str) -> Self {
        Self { text: format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{text}"), ..Self::new(200, String::new()) }
    }

    fn error(status: u16, code: &str, is_head: bool) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, headers: format!("x-ms-error-code: {code}\r\n"), is_head, ..Self::xml(&text) }
    }

    fn written(status: u16, blob: &Blob) -> Self {
        let headers = format!("ETag: {}\r\nLast-Modified: {}\r\n", blob.tag, blob.date);
        Self::new(status, headers + "x-ms-request-server-encrypted: true\r\n")
    }
}

fn answer(request: &Request, length: u64, body: &[u8], store: &mut Store) -> Answer {
    let is_head = request.method == "HEAD";
    let comp = request.query("comp");
    if !request.has_name {
        return of_container(request, comp, store);
    }
    match (request.method.as_str(), comp) {
        ("PUT", "block") => {
            store.blocks.entry(request.path.clone()).or_default().insert(request.query("blockid").to_owned(), length);
            Answer::new(201, "x-ms-request-server-encrypted: true\r\n".to_owned())
        }
        ("PUT", "metadata" | "properties") => match store.blobs.get_mut(&request.path) {
            Some(blob) => {
                blob.said = request.said();
                Answer::written(200, blob)
            }
            None => Answer::error(404, "BlobNotFound", false),
        },
        ("PUT", "" | "blocklist")
            if request.header("if-none-match") == "*" && store.blobs.contains_key(&request.path) =>
        {
            Answer::error(409, "BlobAlreadyExists", false)
        }
        ("PUT", "blocklist") => {
            let waiting = store.blocks.remove(&request.path).unwrap_or_default();
            let before = store.blobs.get(&request.path).map(|blob| blob.blocks.clone()).unwrap_or_default();
            let size_of = |id: &String| {
                waiting.get(id).copied().or_else(|| before.iter().find(|(b, _)| b == id).map(|(_, size)| *size))
            };
            let ids = block_ids(&String::from_utf8_lossy(body));
            let sizes: Option<Vec<_>> = ids.into_iter().map(|id| size_of(&id).map(|size| (id, size))).collect();
            match sizes {
                Some(blocks) => put(request, blocks.iter().map(|(_, size)| size).sum(), blocks, store),
                None => Answer::error(400, "InvalidBlockList", false),
            }
        }
        ("PUT", "") => put(request, length, Vec::new(), store),
        ("GET", "blocklist") => block_list(request, store),
        ("GET" | "HEAD", _) => match store.blobs.get(&request.path) {
            Some(blob) => read(request, blob),
            None => Answer::error(404, "BlobNotFound", is_head),
        },
        ("DELETE", _) => {
            store.blobs.remove(&request.path);
            Answer::new(202, String::new())
        }
        _ => Answer::error(501, "NotImplemented", is_head),
    }
}

fn of_container(request: &Request, comp: &str, store: &mut Store) -> Answer {
    let is_head = request.method == "HEAD";
    let stamp = |date: &str| format!("ETag: \"0x8DC000000000000\"\r\nLast-Modified: {date}\r\n");
    match (request.method.as_str(), comp) {
        ("GET", "list") if !request.container.is_empty() => list(request, store),
        ("PUT", "") if store.containers.contains_key(&request.container) => {
            Answer::error(409, "ContainerAlreadyExists", false)
        }
        ("PUT", "") => {
            store.containers.insert(request.container.clone(), now());
            Answer::new(201, stamp(&now()))
        }
        ("GET" | "HEAD", _) => match store.containers.get(&request.container) {
            Some(date) => Answer { is_head, ..Answer::new(200, stamp(date) + "x-ms-lease-status: unlocked\r\n") },
            None => Answer::error(404, "ContainerNotFound", is_head),
        },
        _ => Answer::error(501, "NotImplemented", is_head),
    }
}

fn put(request: &Request, size: u64, blocks: Vec<(String, u64)>, store: &mut Store) -> Answer {
    let tag = format!("\"0x8D{:013X}\"", NUMBER.fetch_add(1, Ordering::Relaxed));
    let blob = Blob { size, blocks, tag, date: now(), said: request.said() };
    let answer = Answer::written(201, &blob);
    store.blobs.insert(request.path.clone(), blob);
    answer
}

/// A blob's properties and, unless it is a HEAD, the zeros that were asked for.
fn read(request: &Request, blob: &Blob) -> Answer {
    let is_head = request.method == "HEAD";
    let mut headers = format!("ETag: {}\r\nLast-Modified: {1}\r\nx-ms-creation-time: {1}\r\n", blob.tag, blob.date);
    headers += "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\nx-ms-blob-type: BlockBlob\r\n";
    headers += "x-ms-lease-status: unlocked\r\nx-ms-lease-state: available\r\nx-ms-server-encrypted: true\r\n";
    for (key, value) in &blob.said {
        headers += &format!("{key}: {value}\r\n");
    }
    let asked = request.headers.get("x-ms-range").or_else(|| request.headers.get("range"));
    let Some((first, last)) = asked.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        headers += &format!("Content-Length: {}\r\n", blob.size);
        return Answer { zeros: blob.size, is_head, ..Answer::new(200, headers) };
    };
    let first: u64 = first.parse().unwrap_or(0);
    let end = last.parse().map_or(blob.size, |last: u64| blob.size.min(last + 1));
    if first >= end {
        let mut answer = Answer::error(416, "InvalidRange", is_head);
        answer.headers += &format!("Content-Range: bytes */{}\r\n", blob.size);
        return answer;
    }
    headers += &format!("Content-Range: bytes {first}-{}/{}\r\n", end - 1, blob.size);
    headers += &format!("Content-Length: {}\r\n", end - first);
    Answer { zeros: end - first, is_head, ..Answer::new(206, headers) }
}
