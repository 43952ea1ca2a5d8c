//! Servers of a case: each answers from its routes and keeps what arrived.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) server: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: String,
}

/// Everything that arrived at the servers of a case, in order.
pub(crate) type Log = Arc<Mutex<Vec<Arrived>>>;

/// A running server. It ends with the process of the tests.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server; its routes are filled in when all servers are known.
    pub(crate) fn start(name: &str, routes: Arc<Mutex<Value>>, log: &Log) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (name, log) = (name.to_owned(), Arc::clone(log));
        let used: Arc<Mutex<HashMap<usize, u64>>> = Arc::default();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (name, routes, log, used) =
                    (name.clone(), Arc::clone(&routes), Arc::clone(&log), Arc::clone(&used));
                std::thread::spawn(move || {
                    // A client that goes away is part of what is tested.
                    let _ = serve(&stream, &name, &routes, &log, &used);
                });
            }
        });
        Ok(Self { address })
    }
}

fn serve(
    stream: &TcpStream,
    name: &str,
    routes: &Mutex<Value>,
    log: &Log,
    used: &Mutex<HashMap<usize, u64>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Map::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((key, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(key.to_lowercase(), Value::from(value.trim()));
        }
        let length = headers.get("content-length").and_then(Value::as_str).and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let request = Arrived { server: name.to_owned(), method, path, headers, body };
        let route = {
            let routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
            let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
            let route = route_for(&routes, &request, &mut used);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            route
        };
        answer(stream, &route)?;
    }
}

fn route_for(routes: &Value, request: &Arrived, used: &mut HashMap<usize, u64>) -> Value {
    let routes = routes.get("routes").and_then(Value::as_array).into_iter().flatten().enumerate();
    for (at, route) in routes {
        let text = |name: &str| route.get(name).and_then(Value::as_str);
        let path = text("path").unwrap_or("*");
        let fits = match path.strip_suffix('*') {
            Some(start) => request.path.starts_with(start),
            None => request.path == path || request.path.split('?').next() == Some(path),
        };
        let wanted = route.get("headers").and_then(Value::as_object).into_iter().flatten();
        let headers = wanted.into_iter().all(|(key, value)| request.headers.get(&key.to_lowercase()) == Some(value));
        let count = used.entry(at).or_default();
        let spent = route.get("times").and_then(Value::as_u64).is_some_and(|times| *count >= times);
        let method = text("method").is_none_or(|method| method == request.method);
        if fits && headers && !spent && method && text("body_has").is_none_or(|part| request.body.contains(part)) {
            *count += 1;
            return route.clone();
        }
    }
    serde_json::json!({ "status": 404, "json": { "error": { "message": "no route in the case" } } })
}

fn answer(mut stream: &TcpStream, route: &Value) -> io::Result<()> {
    if let Some(ms) = route.get("delay_ms").and_then(Value::as_u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }
    let (kind, body) = match (route.get("sse"), route.get("text")) {
        (Some(events), _) => ("text/event-stream", events.as_array().into_iter().flatten().map(event).collect()),
        (None, Some(text)) => ("text/plain", text.as_str().unwrap_or_default().to_owned()),
        (None, None) => ("application/json", route.get("json").unwrap_or(&Value::Object(Map::new())).to_string()),
    };
    let status = route.get("status").and_then(Value::as_u64).unwrap_or(200);
    let mut head = format!("HTTP/1.1 {status} Case\r\ncontent-length: {}\r\n", body.len());
    let given = route.get("reply_headers").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        let _ = write!(head, "{name}: {}\r\n", value.as_str().unwrap_or_default());
    }
    if given.is_none_or(|given| !given.keys().any(|name| name.eq_ignore_ascii_case("content-type"))) {
        let _ = write!(head, "content-type: {kind}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())
}

fn event(event: &Value) -> String {
    match (event.get("$event").and_then(Value::as_str), event) {
        (Some(name), _) => format!("event: {name}\ndata: {}\n\n", event["data"]),
        (None, Value::String(text)) => format!("data: {text}\n\n"),
        (None, other) => format!("data: {other}\n\n"),
    }
}
