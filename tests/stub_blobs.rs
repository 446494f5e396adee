//! A blob service that has what it is told to have: many small blobs in pages, and perhaps a door that wants a token.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The most blobs on a page, as Azure has it.
const PAGE: usize = 5000;
const DATE: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

/// A running service. Blobs are named `d/00000.txt` and so on, and each has its number as content.
pub struct Stub {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    blobs: usize,
    /// The size that lists tell of each.
    size: u64,
    token: Option<String>,
    /// First lines of requests, each with its `Authorization`.
    seen: Vec<(String, Option<String>)>,
    /// What every page of a list names as the next one, if all lists are to have no end.
    next: Option<fn(usize) -> String>,
    is_over: bool,
}

impl Stub {
    /// So many blobs; whoever brings no `token` is told that there is nothing.
    pub fn start(blobs: usize, token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { blobs, size: 5, token: token.map(str::to_owned), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.lock().unwrap().is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                // An error is a client that went away.
                thread::spawn(move || drop(converse(&client, &shared)));
            }
        });
        Self { address, state }
    }

    /// From now on lists say that each blob has so many bytes.
    pub fn claims(&self, size: u64) {
        self.state.lock().unwrap().size = size;
    }

    /// From now on each page of a list names another one, the n-th `next(n)`.
    pub fn never_ends(&self, next: fn(usize) -> String) {
        self.state.lock().unwrap().next = Some(next);
    }

    /// The first lines of requests, each with its `Authorization`.
    pub fn seen(&self) -> Vec<(String, Option<String>)> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How many pages were listed.
    pub fn pages(&self) -> usize {
        self.seen().iter().filter(|(line, _)| line.contains("comp=list")).count()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(client: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from = BufReader::new(client);
    loop {
        let (mut first, mut token, mut line) = (String::new(), None, String::new());
        if from.read_line(&mut first)? == 0 {
            return Ok(());
        }
        while from.read_line(&mut line)? > 2 {
            let pair = line.split_once(':');
            if let Some((_, value)) = pair.filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
                token = Some(value.trim().to_owned());
            }
            line.clear();
        }
        let (blobs, size, wanted, next) = {
            let mut state = state.lock().unwrap();
            state.seen.push((first.clone(), token.clone()));
            (state.blobs, state.size, state.token.clone(), state.next.map(|next| next(state.seen.len())))
        };
        let is_welcome = wanted.is_none_or(|wanted| token == Some(format!("Bearer {wanted}")));
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (status, headers, mut body) = if is_welcome { answer(target, blobs, size) } else { nothing() };
        if let Some(next) = next {
            body = body.replace("<NextMarker/>", &format!("<NextMarker>{next}</NextMarker>"));
        }
        let length = body.len();
        let mut head = format!("HTTP/1.1 {status} Stub\r\nDate: {DATE}\r\nx-ms-version: 2022-11-02\r\n{headers}");
        head += "x-ms-request-id: 00000000-0000-4000-8000-000000000000\r\nx-ms-request-server-encrypted: true\r\n";
        head += &format!("Content-Length: {length}\r\n\r\n");
        if !first.starts_with("HEAD ") {
            head += &body;
        }
        (&mut &*client).write_all(head.as_bytes())?;
    }
}

fn nothing() -> (u16, String, String) {
    let code = "ResourceNotFound";
    (404, format!("x-ms-error-code: {code}\r\n"), format!("<Error><Code>{code}</Code></Error>"))
}

fn answer(target: &str, blobs: usize, size: u64) -> (u16, String, String) {
    let query = |name: &str| target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if query("comp") == Some("list") {
        let is_theirs = matches!(query("prefix"), None | Some("" | "d" | "d%2F"));
        let blobs = if is_theirs { blobs } else { 0 };
        return (200, String::new(), page(query("marker").and_then(|at| at.parse().ok()).unwrap_or(0), blobs, size));
    }
    let name = target.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    match name.trim_end_matches(".txt").parse::<usize>().ok().filter(|number| *number < blobs && name.len() == 9) {
        Some(number) => {
            let stamp = format!("ETag: \"0x{number:X}\"\r\nLast-Modified: {DATE}\r\nx-ms-creation-time: {DATE}\r\n");
            let kind = "x-ms-blob-type: BlockBlob\r\nx-ms-server-encrypted: true\r\nAccept-Ranges: bytes\r\n";
            (200, format!("{stamp}{kind}"), format!("{number:05}"))
        }
        None => nothing(),
    }
}

fn page(from: usize, blobs: usize, size: u64) -> String {
    let to = (from + PAGE).min(blobs);
    let rows = (from..to).map(|number| {
        format!(
            "<Blob><Name>d/{number:05}.txt</Name><Properties><Creation-Time>{DATE}</Creation-Time><Last-Modified>{DATE}\
             </Last-Modified><Etag>0x{number:X}</Etag><Content-Length>{size}</Content-Length>\
             <Content-Type>text/plain</Content-Type><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier>\
             <AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus>\
             <LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><Metadata/></Blob>"
        )
    });
    let next = if to < blobs { format!("<NextMarker>{to}</NextMarker>") } else { "<NextMarker/>".to_owned() };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://stub/\" \
         ContainerName=\"c\"><Blobs>{}</Blobs>{next}</EnumerationResults>",
        rows.collect::<String>()
    )
}
