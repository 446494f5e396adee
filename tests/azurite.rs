//! Azurite, the emulator of Azure Blob Storage, for tests of transfers: started, asked past `amlrun`, and ended.
//!
//! [`Azurite::shared`] is one for all tests that leave it running; give each test a container of its own. A test that
//! stops it has its own by [`Azurite::start`].

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The account that every Azurite has, and its well-known key.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const VERSION: &str = "2022-11-02";
const EXPIRY: &str = "2099-01-01T00:00:00Z";

/// Waits for a word on its standard input. When that closes without one, for whatever reason the test ended, it kills
/// Azurite and removes the folder. Its own standard output is closed: the end of that pipe is Azurite's end.
const KEEPER: &str = r#"
"$1" --blobPort "$2" --location "$3" $4 --disableTelemetry --skipApiVersionCheck --silent &
echo "process $!"
exec >&-
read -r word && exit
kill -9 $!
wait
rm -rf "$3"
"#;

/// A running Azurite with a folder of its own; both are gone when it is dropped.
pub struct Azurite {
    folder: PathBuf,
    port: u16,
    running: Mutex<Option<Running>>,
}

struct Running {
    keeper: Child,
    azurite: Pid,
    lines: BufReader<ChildStdout>,
}

/// What Azurite answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Azurite {
    /// The one for all tests.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Azurite> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One for a single test.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("amlrun-azurite-").tempdir().unwrap().keep();
        let (running, port) = Running::start(&folder, 0);
        Self { folder, port, running: Mutex::new(Some(running)) }
    }

    /// `http://127.0.0.1:PORT/devstoreaccount1`.
    pub fn url(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address())
    }

    /// `127.0.0.1:PORT`, as a datastore's `endpoint`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends Azurite; what it has acknowledged is kept (it would forget some seconds of it if it were killed).
    pub fn stop(&self) {
        let Some(mut running) = self.running.lock().unwrap().take() else { return };
        kill(running.azurite, Signal::SIGTERM).unwrap();
        std::io::copy(&mut running.lines, &mut std::io::sink()).unwrap();
        running.keeper.stdin.take().unwrap().write_all(b"keep\n").unwrap();
        running.keeper.wait().unwrap();
    }

    /// Starts Azurite again at the same port with the same data.
    pub fn start_again(&self) {
        let mut running = self.running.lock().unwrap();
        assert!(running.is_none(), "stop it first");
        *running = Some(Running::start(&self.folder, self.port).0);
    }

    /// Starts Azurite again with TLS and tokens of Entra ID, for this machine's name `127.0.0.1`. Gives the file with the
    /// certificate that whoever comes must trust. Nothing can be asked past `amlrun` then.
    pub fn start_again_secure(&self) -> PathBuf {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (self.folder.join("cert.pem"), self.folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let more = format!("--oauth basic --cert {} --key {}", cert.display(), key.display());
        let mut running = self.running.lock().unwrap();
        assert!(running.is_none(), "stop it first");
        *running = Some(Running::start_with(&self.folder, self.port, &more).0);
        cert
    }

    /// Creates a container, which must not be there yet.
    pub fn container(&self, name: &str) {
        self.send("PUT", &format!("{name}?restype=container"), &[], b"").is(201);
    }

    pub fn put(&self, container: &str, blob: &str, bytes: &[u8]) {
        self.send("PUT", &in_url(container, blob), &[("x-ms-blob-type", "BlockBlob")], bytes).is(201);
    }

    /// Puts a block that no list commits, as an upload that broke off leaves it; `id` is the decoded one.
    pub fn put_block(&self, container: &str, blob: &str, id: &str, bytes: &[u8]) {
        let id = encoded(&BASE64.encode(id));
        self.send("PUT", &format!("{}?comp=block&blockid={id}", in_url(container, blob)), &[], bytes).is(201);
    }

    pub fn get(&self, container: &str, blob: &str) -> Vec<u8> {
        self.send("GET", &in_url(container, blob), &[], b"").is(200).body
    }

    /// The properties and metadata (`x-ms-meta-…`) of a blob.
    pub fn head(&self, container: &str, blob: &str) -> Answer {
        self.send("HEAD", &in_url(container, blob), &[], b"").is(200)
    }

    /// The names of all blobs of a container, in Azure's order.
    pub fn list(&self, container: &str) -> Vec<String> {
        let (mut names, mut marker) = (Vec::new(), String::new());
        loop {
            let page = self.send("GET", &format!("{container}?restype=container&comp=list&marker={marker}"), &[], b"");
            let page = String::from_utf8(page.is(200).body).unwrap();
            names.extend(elements(&page, "Name"));
            match elements(&page, "NextMarker").pop() {
                Some(next) if !next.is_empty() => marker = encoded(&next),
                _ => return names,
            }
        }
    }

    /// A service SAS for a container, such as `sas("c", "rl")`: what follows the `?` of a URL.
    pub fn sas(&self, container: &str, permissions: &str) -> String {
        self.sas_until(container, permissions, EXPIRY)
    }

    /// One that is good until then.
    pub fn sas_until(&self, container: &str, permissions: &str, expiry: &str) -> String {
        let resource = format!("/blob/{ACCOUNT}/{container}");
        let rest = "\n".repeat(7);
        let text = format!("{permissions}\n\n{expiry}\n{resource}\n\n\n\n{VERSION}\nc{rest}");
        format!("sv={VERSION}&sr=c&sp={permissions}&se={}&sig={}", encoded(expiry), signature(&text))
    }

    /// Any request: the path is below the account, with its query, already encoded.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let text = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{EXPIRY}\n\n\n{VERSION}\n\n");
        let sas = format!("sv={VERSION}&ss=b&srt=sco&sp=rwdlac&se={}&sig={}", encoded(EXPIRY), signature(&text));
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut head = format!("{method} /{ACCOUNT}/{path}{mark}{sas} HTTP/1.1\r\nHost: {}\r\n", self.address());
        head += &format!("Connection: close\r\nx-ms-version: {VERSION}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        connection.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        connection.write_all(body).unwrap();
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).unwrap();
        Answer::read(&bytes)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match running {
            Some(mut running) => {
                drop(running.keeper.stdin.take());
                let _ = running.keeper.wait();
            }
            None => drop(std::fs::remove_dir_all(&self.folder)),
        }
    }
}

impl Running {
    /// Azurite at a port (0: any that is free), once it listens there.
    fn start(folder: &Path, port: u16) -> (Self, u16) {
        Self::start_with(folder, port, "")
    }

    #[allow(clippy::zombie_processes)] // whoever has a `Running` waits for its keeper
    fn start_with(folder: &Path, port: u16, more: &str) -> (Self, u16) {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join(".azurite/run");
        assert!(run.exists(), "Azurite is not here; run make azurite");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "keeper"]).arg(run).arg(port.to_string()).arg(folder).arg(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut keeper = command.spawn().unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap());
        let (mut process, mut said) = (None, String::new());
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "Azurite ended before it listened:\n{said}");
            said += &line;
            if let Some(id) = line.trim().strip_prefix("process ") {
                process = Some(Pid::from_raw(id.parse().unwrap()));
            }
            if let Some((_, at)) =
                line.trim().replace("https:", "http:").split_once("successfully listens on http://127.0.0.1:")
            {
                return (Self { keeper, azurite: process.unwrap(), lines }, at.parse().unwrap());
            }
        }
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = joined(&answer.body);
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// The bytes of a chunked body.
fn joined(mut chunked: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let line = chunked.windows(2).position(|two| two == b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&chunked[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return bytes;
        }
        bytes.extend(&chunked[line + 2..line + 2 + size]);
        chunked = &chunked[line + 2 + size + 2..];
    }
}

/// The texts of all elements of a name, in XML without attributes.
fn elements(xml: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let texts = xml.split(&begin).skip(1).filter_map(|part| Some(part.split_once(&end)?.0));
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    texts.map(|text| entities.iter().fold(text.to_owned(), |t, (from, to)| t.replace(from, to))).collect()
}

fn in_url(container: &str, blob: &str) -> String {
    let parts: Vec<String> = blob.split('/').map(encoded).collect();
    format!("{container}/{}", parts.join("/"))
}

/// Percent-encoded, all but the unreserved characters.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What goes into `sig=`.
fn signature(text: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&BASE64.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    encoded(&BASE64.encode(mac.finalize().into_bytes()))
}

#[test]
fn a_blob_that_is_put_is_listed_and_got() {
    let azurite = Azurite::shared();
    azurite.container("support");
    let names = ["ein schöner Name & mehr.txt", "empty", "folder/50% <off>.csv"];
    for name in names {
        azurite.put("support", name, if name == "empty" { b"" } else { name.as_bytes() });
    }
    azurite.put_block("support", "begun", "0001", b"not committed");
    assert_eq!(azurite.list("support"), names);
    assert_eq!(azurite.get("support", names[2]), names[2].as_bytes());
    assert_eq!(azurite.head("support", "empty").header("content-length"), Some("0"));
}

#[test]
fn a_sas_opens_its_container_only() {
    let azurite = Azurite::shared();
    azurite.container("open");
    azurite.container("closed");
    for (container, status) in [("open", "200"), ("closed", "403")] {
        let path = format!("/{ACCOUNT}/{container}?restype=container&comp=list&{}", azurite.sas("open", "rl"));
        let mut connection = TcpStream::connect(azurite.address()).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", azurite.address()).unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).unwrap();
        assert_eq!(line.split(' ').nth(1), Some(status), "{container}: {line}");
    }
}

#[test]
fn stopped_and_started_again_it_has_its_data_at_the_same_place() {
    let azurite = Azurite::start();
    let (url, folder) = (azurite.url(), azurite.folder.clone());
    azurite.container("kept");
    azurite.put("kept", "blob", b"bytes");
    azurite.stop();
    assert!(TcpStream::connect(azurite.address()).is_err());
    azurite.start_again();
    assert_eq!((azurite.url(), azurite.get("kept", "blob")), (url, b"bytes".to_vec()));
    drop(azurite);
    assert!(!folder.exists());
}
