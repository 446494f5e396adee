//! A proxy between `amlrun` and a server: it counts what passes, and a rule says what happens to each request.
//!
//! It stands in for the server (its address is given as the account's endpoint), or is a proxy as browsers have it
//! (`HTTP_PROXY`): then requests name their server themselves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What happens to a request.
pub enum Act {
    /// It goes to the server, and the answer comes back.
    Pass,
    /// The connection is closed, and the server hears nothing of it.
    Cut,
    /// The server gets it; of the answer's body so many bytes come back before the connection is closed.
    CutAnswer(usize),
    /// The proxy answers itself, with a status and header lines.
    Status(u16, &'static str),
    /// No answer until the client goes away.
    Hold,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub head: String,
    /// Kept of short ones.
    pub body: Vec<u8>,
}

impl Seen {
    /// Whether it hands over a block of a blob, with no checksum that Azurite refuses.
    pub fn is_block(&self) -> bool {
        let is_block = self.target.contains("comp=block") && !self.target.contains("comp=blocklist");
        self.method == "PUT" && is_block && !self.head.contains("x-ms-content-crc64")
    }

    /// The metadata that it gives a blob.
    pub fn metadata(&self) -> Vec<(&str, &str)> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(name, _)| name.starts_with("x-ms-meta-")).collect()
    }

    /// Whether it reads the content of a blob, and does not ask for a checksum of it, which Azurite refuses.
    pub fn is_read(&self) -> bool {
        let asks = self.head.contains("x-ms-range-get-content-crc64");
        self.method == "GET" && !self.target.contains("comp=") && !asks
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Act + Send>;

#[derive(Default)]
struct State {
    connections: usize,
    seen: Vec<Seen>,
    rule: Option<Arc<Mutex<Rule>>>,
    is_over: bool,
}

/// A running proxy.
pub struct Between {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Between {
    /// In front of the server at `HOST:PORT`.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, server) = (Arc::clone(&state), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                {
                    let mut state = shared.lock().unwrap();
                    if state.is_over {
                        return;
                    }
                    state.connections += 1;
                }
                let (shared, server) = (Arc::clone(&shared), server.clone());
                // An error is a side that went away.
                thread::spawn(move || drop(converse(&client, &server, &shared)));
            }
        });
        Self { address, state }
    }

    /// From now on this happens to requests, and counting begins anew.
    pub fn rule(&self, rule: impl FnMut(&Seen) -> Act + Send + 'static) {
        let rule: Rule = Box::new(rule);
        let mut state = self.state.lock().unwrap();
        (state.rule, state.connections) = (Some(Arc::new(Mutex::new(rule))), 0);
        state.seen.clear();
    }

    /// How many requests there were of a kind.
    pub fn count(&self, kind: impl Fn(&Seen) -> bool) -> usize {
        self.state.lock().unwrap().seen.iter().filter(|seen| kind(seen)).count()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        let _ = TcpStream::connect(self.address);
    }
}

/// The head of a message, with its empty line; `None` when the other side has closed.
fn head(from: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if head[before..].trim_end().is_empty() {
            return Ok(Some(head));
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn converse(client: &TcpStream, server: &str, state: &Mutex<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut upstream: Option<BufReader<TcpStream>> = None;
    while let Some(mut head) = head(&mut from_client)? {
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut body = vec![0; header(&head, "content-length").map_or(0, |n| n.parse().unwrap())];
        from_client.read_exact(&mut body)?;
        let short = if body.len() < 10_000 { body.clone() } else { Vec::new() };
        let seen = Seen { method: method.clone(), target: target.clone(), head: head.clone(), body: short };
        let rule = {
            let mut state = state.lock().unwrap();
            state.seen.push(seen.clone());
            state.rule.clone()
        };
        let act = rule.map_or(Act::Pass, |rule| rule.lock().unwrap()(&seen));
        let most = match act {
            Act::Cut => return Ok(()),
            Act::Hold => return from_client.read_exact(&mut [0]),
            Act::Status(code, lines) => {
                write!(&mut &*client, "HTTP/1.1 {code} As Told\r\nContent-Length: 0\r\n{lines}\r\n")?;
                continue;
            }
            Act::Pass => usize::MAX,
            Act::CutAnswer(most) => most,
        };
        let mut to = server.to_owned();
        if let Some(rest) = target.strip_prefix("http://") {
            let (host, path) = rest.split_once('/').unwrap();
            head = head.replacen(&target, &format!("/{path}"), 1);
            host.clone_into(&mut to);
        }
        let answer = {
            let server = match &mut upstream {
                Some(server) => server,
                none => none.insert(BufReader::new(TcpStream::connect(&to)?)),
            };
            server.get_mut().set_nodelay(true)?;
            server.get_mut().write_all(head.as_bytes())?;
            server.get_mut().write_all(&body)?;
            self::head(server)?
        };
        let (Some(answer), Some(server)) = (answer, &mut upstream) else { return Ok(()) };
        (&mut &*client).write_all(answer.as_bytes())?;
        let empty = method == "HEAD" || answer.contains(" 204 ") || answer.contains(" 304 ");
        if !empty && pass(server, &answer, &mut &*client, most)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Passes a body on; true when it was cut.
fn pass(
    from: &mut BufReader<TcpStream>,
    head: &str,
    to: &mut impl std::io::Write,
    most: usize,
) -> std::io::Result<bool> {
    let mut left = most;
    let mut some = |from: &mut BufReader<TcpStream>, length: usize| {
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        to.write_all(&bytes[..length.min(left)])?;
        left = left.saturating_sub(length);
        Ok::<_, std::io::Error>(left == 0)
    };
    if header(head, "transfer-encoding").is_none() {
        let mut length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
        while length > 0 {
            let piece = length.min(64 << 10);
            if some(from, piece)? {
                return Ok(true);
            }
            length -= piece;
        }
        return Ok(false);
    }
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        from.read_exact(&mut chunk)?;
        if left < size {
            to.write_all(line.as_bytes())?;
            to.write_all(&chunk[..left])?;
            return Ok(true);
        }
        left -= size;
        to.write_all(line.as_bytes())?;
        to.write_all(&chunk)?;
        if size == 0 {
            return Ok(false);
        }
    }
}
