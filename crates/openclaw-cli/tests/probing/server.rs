//! A server on loopback that says exactly what it is told to, byte for byte, also what no server should say.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Request line and headers.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The bytes of a header; names are compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.head.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let is_it = line[..colon].eq_ignore_ascii_case(name.as_bytes());
            is_it.then(|| line[colon + 1..].trim_ascii().to_vec())
        })
    }

    /// The credential of an `authorization: Bearer` header.
    pub(crate) fn bearer(&self) -> String {
        let value = String::from_utf8_lossy(&self.header("authorization").unwrap_or_default()).into_owned();
        value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
    }
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    sent: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    more: Condvar,
}

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    seen: Arc<Seen>,
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.seen.sent.fetch_add(count, Ordering::SeqCst);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Link {
    /// Reads one request and keeps it.
    pub(crate) fn request(&mut self) -> io::Result<Asked> {
        let asked = read_request(&mut self.stream)?;
        self.keep(&asked);
        Ok(asked)
    }

    pub(crate) fn keep(&self, asked: &Asked) {
        self.seen.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        self.seen.more.notify_all();
    }

    /// Says nothing more until the other side goes away.
    pub(crate) fn wait_for_end(&mut self) -> io::Result<()> {
        io::copy(&mut self.stream, &mut io::sink()).map(|_| ())
    }

    /// Repeats a text until the other side goes away.
    pub(crate) fn repeat(&mut self, text: &[u8]) -> io::Result<()> {
        let block = text.repeat(65536 / text.len() + 1);
        loop {
            self.write_all(&block)?;
        }
    }
}

pub(crate) fn read_request(stream: &mut impl Read) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut asked = Asked { head, body: Vec::new() };
    let length = asked.header("content-length").and_then(|text| String::from_utf8_lossy(&text).parse().ok());
    asked.body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut asked.body)?;
    Ok(asked)
}

/// A running server. It ends with the process of the tests.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl Server {
    /// Starts a server; every connection has a thread that runs `serve` and then closes.
    pub(crate) fn start(serve: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", serve).unwrap()
    }

    /// The same at an address; fails when this machine does not have it.
    pub(crate) fn on(
        address: &str,
        serve: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (seen, serve): (Arc<Seen>, _) = (Arc::default(), Arc::new(serve));
        let server = Self { address, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                // Every piece goes out as it is written.
                let _ = stream.set_nodelay(true);
                let (mut link, serve) = (Link { stream, seen: Arc::clone(&seen) }, Arc::clone(&serve));
                // A client that goes away is part of what is tested.
                std::thread::spawn(move || serve(&mut link));
            }
        });
        Ok(server)
    }

    /// A server that reads the request and gives this answer.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |link| {
            link.request()?;
            link.write_all(&answer)
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many bytes the kernel has taken for the other side.
    pub(crate) fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests have arrived.
    pub(crate) fn wait_for(&self, count: usize) {
        let asked = self.seen.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.seen.more.wait_timeout_while(asked, super::LIMIT, |asked| asked.len() < count);
        assert!(!waited.unwrap().1.timed_out(), "the requests did not arrive");
    }
}

/// A whole answer with its length, after which the connection ends.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A refusal as providers word it.
pub(crate) fn error(status: &str, message: &str) -> Vec<u8> {
    let body = serde_json::json!({ "error": { "message": message } }).to_string();
    answer(status, "content-type: application/json\r\n", body)
}
