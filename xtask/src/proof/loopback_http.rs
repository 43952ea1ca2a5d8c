//! The client's side of HTTP/1.1: connections that are kept, requests, and answers that may break off.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// When nothing comes any more.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    reader: BufReader<TcpStream>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether its last byte came.
    pub(crate) is_whole: bool,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its JSON, or null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, token: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

impl Link {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends a request and reads the head of its answer and nothing more.
    pub(crate) fn begin(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.reader.get_mut().write_all(request)?;
        let mut head = String::new();
        loop {
            let before = head.len();
            if self.reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head.len() - before <= 2 {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok(Answer { status, head, body: Vec::new(), is_whole: false })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// When the connection breaks before the head of the answer has come.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut answer = self.begin(request)?;
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let read = match length {
            Some(length) => {
                answer.body.resize(length, 0);
                self.reader.read_exact(&mut answer.body)
            }
            None => self.chunks(&mut answer.body),
        };
        answer.is_whole = read.is_ok();
        Ok(answer)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let before = body.len();
            body.resize(before + length + 2, 0);
            self.reader.read_exact(&mut body[before..])?;
            body.truncate(before + length);
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    Link::open(address)?.ask(request)
}
