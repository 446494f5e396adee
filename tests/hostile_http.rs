//! An HTTP server that misbehaves as told: for each path a content and a queue of what happens to the next requests.
//!
//! A request takes one [`Act`] from the queue; when that is empty the server is an honest one that knows ranges. A HEAD
//! takes nothing. All that was asked is recorded.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::PATIENCE;

/// What happens to one request.
#[derive(Clone)]
pub enum Act {
    /// The content, or the range asked for, with ETag, Last-Modified and Content-Length.
    Plain,
    /// The connection is reset after so many bytes of the body.
    Reset(usize),
    /// The connection is reset before a byte of an answer.
    ResetAtOnce,
    /// After so many bytes of the body nothing more comes until the client closes.
    Stall(usize),
    /// No byte of an answer ever comes.
    Silent,
    /// A status with an empty body and these header lines.
    Status(u16, String),
    /// The body ends, in order, so many bytes before what Content-Length says.
    Short(usize),
    /// More bytes follow than Content-Length says: so many are cut off what it says.
    Long(usize),
    /// From now on the content, and with it the ETag, is another one.
    Changed(Vec<u8>),
    /// One byte at a time, with a moment between.
    Drip(Duration),
    /// 302 to that place.
    Redirect(String),
    /// Compressed, and said to be.
    Gzip,
    /// No Content-Length, in chunks.
    Chunked,
    /// Chunks that break off after so many bytes.
    ChunkedCut(usize),
    /// No Content-Length, no chunks: the end is where the connection closes.
    UntilClose,
    /// 200 with everything, whatever range was asked for.
    NoRange,
}

/// One request as it came.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

/// A running server.
pub struct Hostile {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Told of each request.
    arrived: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    contents: HashMap<String, Vec<u8>>,
    acts: HashMap<String, VecDeque<Act>>,
    always: HashMap<String, Act>,
    requests: Vec<Request>,
    is_over: bool,
}

impl Hostile {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let arrived = Arc::new(Condvar::new());
        let (shared, told) = (Arc::clone(&state), Arc::clone(&arrived));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if shared.lock().unwrap().is_over {
                    return;
                }
                let (shared, told) = (Arc::clone(&shared), Arc::clone(&told));
                // An error is the client that went away.
                thread::spawn(move || drop(converse(&connection, &shared, &told)));
            }
        });
        Self { address, state, arrived }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A path with its content and what happens to its first requests.
    pub fn serve(&self, path: &str, content: &[u8], acts: impl IntoIterator<Item = Act>) {
        let mut state = self.state.lock().unwrap();
        state.contents.insert(path.to_owned(), content.to_vec());
        state.acts.insert(path.to_owned(), acts.into_iter().collect());
    }

    /// A path where every request fares the same.
    pub fn always(&self, path: &str, content: &[u8], act: Act) {
        self.serve(path, content, []);
        self.state.lock().unwrap().always.insert(path.to_owned(), act);
    }

    /// Waits until there were so many requests with that method.
    pub fn wait_for(&self, method: &str, count: usize) {
        let are_missing = |state: &mut State| state.requests.iter().filter(|r| r.method == method).count() < count;
        let waited = self.arrived.wait_timeout_while(self.state.lock().unwrap(), PATIENCE, are_missing).unwrap();
        assert!(!waited.1.timed_out(), "fewer than {count} requests with {method}");
    }

    /// The requests with that method, in the order in which they came.
    pub fn requests(&self, method: &str) -> Vec<Request> {
        self.state.lock().unwrap().requests.iter().filter(|r| r.method == method).cloned().collect()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_over = true;
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection until one of them ends it.
fn converse(connection: &TcpStream, state: &Mutex<State>, arrived: &Condvar) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        let (act, content) = {
            let mut state = state.lock().unwrap();
            state.requests.push(request.clone());
            arrived.notify_all();
            let path = request.path.split('?').next().unwrap_or_default();
            let act = state.next(path, request.method == "HEAD");
            if let Act::Changed(content) = &act {
                state.contents.insert(path.to_owned(), content.clone());
            }
            (act, state.contents.get(path).cloned())
        };
        let act = if content.is_some() { act } else { Act::Status(404, String::new()) };
        if !answer(connection, &request, &act, &content.unwrap_or_default())? {
            return Ok(());
        }
    }
    Ok(())
}

impl State {
    fn next(&mut self, path: &str, is_head: bool) -> Act {
        let queue = self.acts.entry(path.to_owned()).or_default();
        let next =
            if is_head { queue.front().filter(|a| !matches!(a, Act::Changed(_))).cloned() } else { queue.pop_front() };
        next.or_else(|| self.always.get(path).cloned()).unwrap_or(Act::Plain)
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    Ok(Some(Request { method, path, headers }))
}

/// Does what was told; false when the connection is not to be used again.
fn answer(mut to: &TcpStream, request: &Request, act: &Act, content: &[u8]) -> std::io::Result<bool> {
    let is_head = request.method == "HEAD";
    let tag = format!("\"{}\"", blake3::hash(content).to_hex());
    let common = format!("ETag: {tag}\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n");
    if request.headers.get("if-match").is_some_and(|t| *t != tag && t != "*") {
        return status(to, 412, &common);
    }
    let asked = if matches!(act, Act::NoRange) { Asked::Whole } else { range(request, &tag, content.len()) };
    let (body, ranged) = match asked {
        Asked::Nothing => return status(to, 416, &format!("{common}Content-Range: bytes */{}\r\n", content.len())),
        Asked::Whole => (content, "HTTP/1.1 200 OK\r\n".to_owned()),
        Asked::Part(from, end) => {
            let lines = format!("Content-Range: bytes {from}-{}/{}\r\n", end - 1, content.len());
            (&content[from..end], format!("HTTP/1.1 206 Partial Content\r\n{lines}"))
        }
    };
    let head = |lines: &str| format!("{ranged}{common}{lines}\r\n");
    let long = |length: usize| head(&format!("Content-Length: {length}\r\n"));
    match act {
        Act::Status(code, lines) => return status(to, *code, lines),
        Act::Redirect(place) => return status(to, 302, &format!("Location: {place}\r\n")),
        Act::Gzip | Act::Chunked | Act::ChunkedCut(_) | Act::UntilClose if is_head => {
            to.write_all(head("").as_bytes())?;
        }
        _ if is_head => to.write_all(long(body.len()).as_bytes())?,
        Act::Plain | Act::NoRange | Act::Changed(_) => {
            to.write_all(long(body.len()).as_bytes())?;
            to.write_all(body)?;
        }
        Act::ResetAtOnce => return reset(to),
        Act::Reset(after) => {
            to.write_all(long(body.len()).as_bytes())?;
            to.write_all(&body[..*after.min(&body.len())])?;
            return reset(to);
        }
        Act::Silent => return wait_for_close(to),
        Act::Stall(after) => {
            to.write_all(long(body.len()).as_bytes())?;
            to.write_all(&body[..*after.min(&body.len())])?;
            return wait_for_close(to);
        }
        Act::Short(missing) => {
            to.write_all(long(body.len()).as_bytes())?;
            to.write_all(&body[..body.len().saturating_sub(*missing)])?;
            return Ok(false);
        }
        Act::Long(more) => {
            to.write_all(long(body.len().saturating_sub(*more)).as_bytes())?;
            to.write_all(body)?;
        }
        Act::Drip(moment) => {
            to.write_all(long(body.len()).as_bytes())?;
            for byte in body {
                thread::sleep(*moment);
                to.write_all(&[*byte])?;
            }
        }
        Act::Gzip => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(content)?;
            let packed = packed.finish()?;
            let lines = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
            to.write_all(format!("HTTP/1.1 200 OK\r\n{common}{lines}\r\n").as_bytes())?;
            to.write_all(&packed)?;
        }
        Act::Chunked => {
            to.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())?;
            chunks(to, body)?;
            to.write_all(b"0\r\n\r\n")?;
        }
        Act::ChunkedCut(after) => {
            to.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())?;
            chunks(to, &body[..*after.min(&body.len())])?;
            return Ok(false);
        }
        Act::UntilClose => {
            to.write_all(head("Connection: close\r\n").as_bytes())?;
            to.write_all(body)?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a request wants of the content.
enum Asked {
    Whole,
    /// From the first byte to behind the last.
    Part(usize, usize),
    /// A range that the content has nothing of.
    Nothing,
}

fn range(request: &Request, tag: &str, length: usize) -> Asked {
    let asked = request.headers.get("range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
    let is_outdated = request.headers.get("if-range").is_some_and(|t| t != tag);
    let Some((first, last)) = asked.filter(|_| !is_outdated) else { return Asked::Whole };
    let first = first.parse().unwrap_or(length);
    let end = last.parse().map_or(length, |last: usize| length.min(last + 1));
    if first < end { Asked::Part(first, end) } else { Asked::Nothing }
}

fn status(mut to: &TcpStream, code: u16, lines: &str) -> std::io::Result<bool> {
    to.write_all(format!("HTTP/1.1 {code} As Told\r\nContent-Length: 0\r\n{lines}\r\n").as_bytes())?;
    Ok(true)
}

fn reset(connection: &TcpStream) -> std::io::Result<bool> {
    // Closing is resetting when nothing may linger.
    socket2::SockRef::from(connection).set_linger(Some(Duration::ZERO))?;
    Ok(false)
}

fn wait_for_close(mut connection: &TcpStream) -> std::io::Result<bool> {
    while connection.read(&mut [0; 1024])? > 0 {}
    Ok(false)
}

fn chunks(mut to: &TcpStream, body: &[u8]) -> std::io::Result<()> {
    for chunk in body.chunks(10_000) {
        to.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        to.write_all(chunk)?;
        to.write_all(b"\r\n")?;
    }
    Ok(())
}
