//! `openclaw models status --probe` through the built program, against servers that misbehave: every one ends in a
//! verdict, none is told more than its own key, nothing is written and no secret is printed.
//!
//! No verdict depends on the clock; `LIMIT` only ends a program that hangs.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its home has nothing to report")]

mod sandbox;
#[path = "probing/server.rs"]
mod server;
#[path = "probing/targets.rs"]
mod targets;
#[path = "probing/watched.rs"]
mod watched;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use sandbox::{Printed, Sandbox, from_now};
use serde_json::{Value, json};
use server::{Server, answer, error, read_request};

/// When a program hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// Looks like no known kind of key, so that only its being known hides it.
const KEY: &str = "Zq7vXw2LmN9pRt4KbY6sHd3F";
/// A deadline that no test waits for.
const FAR: &str = "60000";
const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"OK\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// The config with these providers; the first one's model is the default.
fn config(providers: &[(&str, Value)]) -> String {
    let primary = format!("{}/m1", providers[0].0);
    let entries: serde_json::Map<String, Value> =
        providers.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    json!({ "agents": { "defaults": { "model": { "primary": primary } } }, "models": { "providers": entries } })
        .to_string()
}

fn entry(url: &str) -> Value {
    json!({ "baseUrl": url, "api": "openai-completions", "models": [{ "id": "m1", "name": "M1" }] })
}

fn key(provider: &str, key: &str) -> Value {
    json!({ "type": "api_key", "provider": provider, "key": key })
}

fn store(profiles: &[(&str, Value)]) -> String {
    let profiles: serde_json::Map<String, Value> =
        profiles.iter().map(|(id, profile)| ((*id).to_owned(), profile.clone())).collect();
    json!({ "version": 1, "profiles": profiles }).to_string()
}

/// A home whose one key belongs to the provider at this address.
fn home(url: &str) -> Sandbox {
    Sandbox::new().config(&config(&[("acme", entry(url))])).profiles(store(&[("acme:a", key("acme", KEY))]))
}

/// Runs to the end and sees to it that there is one.
fn finish(mut child: Child) -> Printed {
    let drain = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let stdout = drain(Box::new(child.stdout.take().unwrap()));
    let stderr = drain(Box::new(child.stderr.take().unwrap()));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let is_hanging = start.elapsed() > LIMIT;
        if is_hanging {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(!is_hanging, "the program hangs");
        thread::sleep(Duration::from_millis(5));
    };
    let text = |bytes: thread::JoinHandle<std::io::Result<Vec<u8>>>| {
        String::from_utf8(bytes.join().unwrap().unwrap()).unwrap()
    };
    Printed { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(home: &Sandbox, arguments: &[&str]) -> Printed {
    let printed = finish(spawn(&mut home.command(arguments)));
    quiet(&printed, KEY);
    printed
}

/// `Printed::check` for exit codes of probes, and for parts of the secret.
fn quiet(printed: &Printed, secret: &str) {
    let both = format!("{}{}", printed.stdout, printed.stderr);
    assert!(!both.contains("panicked"), "{both}");
    assert!([0, 1, 2, 3, 130].contains(&printed.code), "exit code {}\n{both}", printed.code);
    let secret: Vec<char> = secret.chars().collect();
    for part in secret.windows(10.min(secret.len())) {
        let part: String = part.iter().collect();
        assert!(!both.contains(&part), "shows a part of a secret\n{both}");
    }
}

fn rows_of(printed: &Printed) -> Vec<Value> {
    let document: Value = serde_json::from_str(&printed.stdout).unwrap_or_default();
    assert!(document.is_object(), "{}{}", printed.stdout, printed.stderr);
    document["auth"]["probes"]["results"].as_array().unwrap().clone()
}

fn rows(home: &Sandbox, timeout: &str, more: &[&str]) -> Vec<Value> {
    let arguments = [&["models", "status", "--probe", "--json", "--probe-timeout", timeout], more].concat();
    let printed = run(home, &arguments);
    assert_eq!(printed.code, 0, "{}{}", printed.stdout, printed.stderr);
    rows_of(&printed)
}

/// The one row for a server, with a deadline.
fn row_within(server: &Server, timeout: &str) -> Value {
    let rows = rows(&home(&server.url()), timeout, &[]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

fn row(server: &Server) -> Value {
    row_within(server, FAR)
}

/// Status and reason.
fn verdict(row: &Value) -> (&str, &str) {
    (row["status"].as_str().unwrap(), row["reason"].as_str().unwrap_or_default())
}

fn good() -> Vec<u8> {
    answer("200 OK", "content-type: text/event-stream\r\n", format!("{STREAM}{LAST}"))
}

/// A head after which the body goes on until the end of the connection.
const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[test]
fn silence_ends_at_the_deadline() {
    for (name, server) in [
        ("says nothing", Server::start(|link| link.request().and_then(|_| link.wait_for_end()))),
        (
            "reads nothing",
            Server::start(|_| {
                thread::sleep(LIMIT);
                Ok(())
            }),
        ),
        (
            "stops in the headers",
            Server::start(|link| {
                link.request()?;
                link.write_all(b"HTTP/1.1 200 OK\r\ncontent-")?;
                link.wait_for_end()
            }),
        ),
        (
            "stops in the body",
            Server::start(|link| {
                link.request()?;
                link.write_all(format!("{OPEN}{STREAM}").as_bytes())?;
                link.wait_for_end()
            }),
        ),
    ] {
        let row = row_within(&server, "700");
        assert_eq!(verdict(&row), ("timeout", "timeout"), "{name}: {row}");
        assert!(row["latencyMs"].as_u64().unwrap() >= 700, "{name}: {row}");
        assert_eq!(server.connections(), 1, "{name}: it was asked again");
    }
}

#[test]
fn a_deadline_is_for_the_whole_answer_however_many_bytes_come() {
    for (name, start, piece) in [
        ("headers", "HTTP/1.1 200 OK\r\n", "x-a: b\r\n"),
        ("interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("comments", OPEN, ": keep-alive\n\n"),
        ("an endless word", OPEN, "d"),
    ] {
        let server = Server::start(move |link| {
            link.request()?;
            link.write_all(start.as_bytes())?;
            for byte in piece.bytes().cycle() {
                link.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        });
        let row = row_within(&server, "700");
        assert_eq!(verdict(&row), ("timeout", "timeout"), "{name}: {row}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let whole = format!("{STREAM}{LAST}");
    for (name, bytes) in [
        ("at the end of an event", format!("{OPEN}{STREAM}")),
        ("in an event", format!("{OPEN}{}", &STREAM[..30])),
        ("at once", OPEN.to_owned()),
        ("before its length", format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{STREAM}", whole.len())),
        ("in a chunk", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n{STREAM}")),
        ("in JSON", answered("{\"choices\":[{\"message\":{\"content\":\"O")),
        ("with nonsense for a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc".to_owned()),
    ] {
        let row = row(&Server::saying(bytes));
        assert_eq!(verdict(&row), ("format", "invalid_response"), "{name}: {row}");
        assert_eq!(row["httpStatus"], 200, "{name}: {row}");
    }
    // Before the status there is no answer at all.
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-le", "SSH-2.0-OpenSSH_9.7\r\n"] {
        let row = row(&Server::saying(bytes));
        assert_eq!(verdict(&row), ("timeout", "network"), "{bytes}: {row}");
    }
}

fn answered(body: &str) -> String {
    String::from_utf8(answer("200 OK", "", body)).unwrap()
}

/// What is read of an endless answer is bounded, and so is the memory for it.
#[test]
fn endless_answers_are_cut() {
    // All that is on its way between two ends of a connection, and what is read; far below what memory allows.
    let most = 48 << 20;
    for (name, start, text, mode, wanted) in [
        ("a stream", OPEN, STREAM, "live", ("format", "invalid_response")),
        ("comments", OPEN, ": x\n\n", "live", ("format", "invalid_response")),
        ("blank lines", OPEN, "\n", "live", ("format", "invalid_response")),
        ("one line", OPEN, "data: aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "live", ("format", "invalid_response")),
        ("JSON", "HTTP/1.1 200 OK\r\n\r\n{\"a\":[", "[[", "live", ("format", "invalid_response")),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "5\r\n: x\n\n\r\n",
            "live",
            ("format", "invalid_response"),
        ),
        (
            "as announced",
            "HTTP/1.1 200 OK\r\ncontent-length: 9000000000000000000\r\n\r\n",
            ": x\n",
            "live",
            ("format", "invalid_response"),
        ),
        ("a list", "HTTP/1.1 200 OK\r\n\r\n{\"data\":[", "0,", "free", ("format", "invalid_response")),
        ("a refusal", "HTTP/1.1 401 No\r\n\r\n{\"error\":\"", "no ", "live", ("auth", "auth")),
        ("a free refusal", "HTTP/1.1 401 No\r\n\r\n", "no ", "free", ("auth", "auth")),
        ("a limit", "HTTP/1.1 429 No\r\nretry-after: 7\r\n\r\n", "x", "live", ("rate_limit", "rate_limit")),
    ] {
        let server = Server::start(move |link| {
            link.request()?;
            link.write_all(start.as_bytes())?;
            link.repeat(text.as_bytes())
        });
        let home = home(&server.url());
        let plain = home.command(&["models", "status", "--probe", "--json", "--probe-timeout", FAR]);
        // With an address space in which the answer has no room.
        let mut bounded = Command::new("/bin/sh");
        bounded.args(["-c", "ulimit -v 524288; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
        bounded.args(["--probe-mode", mode]).env_clear().current_dir(home.path(""));
        bounded.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        let printed = finish(spawn(&mut bounded));
        quiet(&printed, KEY);
        let row = rows_of(&printed).remove(0);
        assert_eq!(verdict(&row), wanted, "{name}: {row}");
        assert!(row["error"].as_str().unwrap().chars().count() <= 600, "{name}: {row}");
        assert!(server.sent() < most, "{name}: {} bytes were taken", server.sent());
        assert_eq!(server.connections(), 1, "{name}: it was asked again");
    }
}

#[test]
fn a_redirect_is_named_and_not_followed() {
    for status in [300, 301, 302, 303, 307, 308] {
        let other = Server::saying(good());
        let target = format!("http://localhost:{}/v1/chat/completions", other.address.port());
        let server = Server::saying(answer(&format!("{status} Go"), &format!("location: {target}\r\n"), ""));
        let row = row(&server);
        assert_eq!(verdict(&row), ("unknown", "redirect_refused"), "{row}");
        assert_eq!(row["httpStatus"], status, "{row}");
        assert!(row["error"].as_str().unwrap().contains("localhost"), "{row}");
        assert_eq!((server.connections(), other.connections()), (1, 0), "{status}: the redirect was followed");
    }
    // On the same server, to nowhere, to nothing that is an address, and with the key in it.
    let quoting = format!("location: https://{KEY}.example.com/?k={KEY}\r\n");
    for headers in ["location: /v2/chat\r\n", "", "location: \u{1}::://\r\n", quoting.as_str()] {
        let server = Server::saying(answer("307 Go", headers, ""));
        let row = row(&server);
        assert!(["redirect_refused", "network"].contains(&verdict(&row).1), "{headers}: {row}");
        assert_eq!(server.connections(), 1);
    }
}

/// A gzip file that holds this ASCII text, every character in the fixed code of deflate.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    // The last block, fixed codes; then eight bits for each character, and seven for the end.
    let mut bits = vec![true, true, false];
    for byte in text {
        let code = 0x30 + byte;
        bits.extend((0..8).rev().map(|at| code >> at & 1 == 1));
    }
    bits.extend([false; 7]);
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))));
    let last = bits.len() % 8;
    assert!(last == 2, "the last byte has two bits, and they are zero");
    file.extend((!crc).to_le_bytes());
    file.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    file
}

#[test]
fn what_is_no_answer_of_an_api_is_said_to_be_none() {
    let zipped = gzip(format!("{STREAM}{LAST}").as_bytes());
    for (name, bytes) in [
        ("a page", answer("200 OK", "content-type: text/html\r\n", "<!doctype html><title>Welcome</title>")),
        ("a page of another name", answer("200 OK", "content-type: text/event-stream\r\n", "\n\n <html></html>")),
        ("gzip", answer("200 OK", "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", &zipped)),
        ("other JSON", answer("200 OK", "", "{\"status\":\"up\"}")),
        ("nothing", answer("200 OK", "", "")),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("zeros", answer("200 OK", "", vec![0; 4096])),
        ("no UTF-8", answer("200 OK", "", b"data: {\"choices\":[{\"delta\":\"\xff\xfe\"}]}\n\n")),
        ("deep JSON", answer("200 OK", "", "[".repeat(200_000))),
    ] {
        let server = Server::saying(bytes);
        let row = row(&server);
        assert_eq!(verdict(&row), ("format", "invalid_response"), "{name}: {row}");
        // Nothing is asked for that would have to be unpacked.
        assert_eq!(server.asked()[0].header("accept-encoding"), None);
    }
}

#[test]
fn floods_of_headers_end_in_a_verdict() {
    let mut many = String::from("HTTP/1.1 200 OK\r\n");
    for n in 0..10_000 {
        let _ = write!(many, "x-flood-{n}: {n}\r\n");
    }
    many.push_str("\r\n");
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "a".repeat(1 << 20));
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n", "a".repeat(1 << 20));
    for bytes in [many, long, reason] {
        let row = row(&Server::saying(format!("{bytes}{STREAM}{LAST}")));
        let found = verdict(&row);
        assert!([("timeout", "network"), ("format", "invalid_response")].contains(&found), "{row}");
    }
    for piece in ["x-a: b\r\n", "x", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let server = Server::start(move |link| {
            link.request()?;
            link.write_all(if piece.starts_with('H') { b"" } else { b"HTTP/1.1 200 OK\r\n" })?;
            link.repeat(piece.as_bytes())
        });
        // Interim answers are small each, and only the deadline ends them.
        let row = row_within(&server, "1500");
        assert_eq!(row["status"], "timeout", "{row}");
    }
}

#[test]
fn older_and_odder_ways_to_answer_are_understood() {
    let body = STREAM.replace("OK", "gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f389}") + LAST;
    let bytes = body.clone();
    let chunks = Server::start(move |link| {
        link.request()?;
        link.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for byte in bytes.bytes() {
            link.write_all(&[b"1\r\n", &[byte][..], b"\r\n"].concat())?;
        }
        link.write_all(b"0\r\n\r\n")
    });
    assert_eq!(row(&chunks)["status"], "ok");
    for bytes in [
        format!("HTTP/1.0 200 OK\r\n\r\n{body}"),
        format!("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: {}\r\n\r\n{body}", body.len()),
        format!("HTTP/1.1 200\r\n\r\n{}", body.replace('\n', "\r\n")),
        format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{OPEN}{body}"),
        answered("{\"choices\":[{\"message\":{\"content\":\"OK\"},\"finish_reason\":\"stop\"}]}"),
    ] {
        let row = row(&Server::saying(bytes.clone()));
        assert_eq!(verdict(&row), ("ok", ""), "{bytes}: {row}");
        assert_eq!(row.get("error"), None);
    }
    // It is certain long before the end, which never comes.
    let server = Server::start(|link| {
        link.request()?;
        link.write_all(format!("{OPEN}{STREAM}{LAST}").as_bytes())?;
        link.wait_for_end()
    });
    assert_eq!(row(&server)["status"], "ok");
}

#[test]
fn tls_to_a_port_without_tls_ends_in_a_verdict() {
    for reply in ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "220 mail.example.org ESMTP\r\n", ""] {
        let server = Server::start(move |link| {
            let _ = link.read(&mut [0; 64])?;
            link.write_all(reply.as_bytes())
        });
        let row = rows(&home(&server.url().replace("http:", "https:")), FAR, &[]).remove(0);
        assert!([("timeout", "network"), ("unknown", "tls")].contains(&verdict(&row)), "{reply}: {row}");
        assert!(server.asked().is_empty());
    }
    // One that waits for a line that never comes.
    let server = Server::start(|link| link.request().map(|_| ()));
    let row = rows(&home(&server.url().replace("http:", "https:")), "700", &[]).remove(0);
    assert_eq!(verdict(&row), ("timeout", "timeout"), "{row}");
}

/// A server with a certificate of an authority of its own, and that authority in PEM.
fn with_certificate(name: &str, is_over: bool) -> (Server, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let server_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if is_over {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let certificate = params.signed_by(&server_key, &Issuer::new(authority, authority_key)).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(server_key.serialize_der()).into();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let server = Server::start(move |link| {
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let asked = {
            let mut stream = rustls::Stream::new(&mut session, link);
            let asked = read_request(&mut stream)?;
            stream.write_all(&good())?;
            asked
        };
        session.send_close_notify();
        session.write_tls(link)?;
        link.keep(&asked);
        Ok(())
    });
    (server, pem)
}

#[test]
fn a_certificate_counts_only_when_it_is_trusted() {
    let (server, authority) = with_certificate("127.0.0.1", false);
    let url = server.url().replace("http:", "https:");
    let refused = rows(&home(&url), FAR, &[]).remove(0);
    assert_eq!(verdict(&refused), ("unknown", "tls"), "{refused}");
    assert!(server.asked().is_empty(), "the key went to a server that is not trusted");

    let trusting = home(&url).file("ca.pem", &authority);
    let path = trusting.path("ca.pem").display().to_string();
    let trusting = trusting.env("NODE_EXTRA_CA_CERTS", &path);
    let row = rows(&trusting, FAR, &[]).remove(0);
    assert_eq!(verdict(&row), ("ok", ""), "{row}");
    assert_eq!(server.asked()[0].bearer(), KEY);

    // There is no way to switch it off.
    let mut careless = entry(&url);
    careless["request"] = json!({ "tls": { "insecureSkipVerify": true } });
    let careless = home(&url).config(&config(&[("acme", careless)])).env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    let rows = rows(&careless, FAR, &[]);
    assert!(rows.iter().all(|row| row["status"] != "ok"), "{rows:?}");

    for (name, is_over) in [("provider.example.com", false), ("127.0.0.1", true)] {
        let (server, authority) = with_certificate(name, is_over);
        let trusting = home(&server.url().replace("http:", "https:")).file("ca.pem", &authority);
        let path = trusting.path("ca.pem").display().to_string();
        let row = self::rows(&trusting.env("NODE_EXTRA_CA_CERTS", &path), FAR, &[]).remove(0);
        assert_eq!(verdict(&row), ("unknown", "tls"), "{name}: {row}");
        assert!(server.asked().is_empty(), "{name}");
    }
}

#[test]
fn the_same_request_is_sent_once() {
    let server = Server::saying(error("402 Payment Required", "no credit"));
    let home = Sandbox::new()
        .config(&config(&[("acme", entry(&server.url()))]))
        // The third is the same key with blanks around it.
        .profiles(store(&[
            ("acme:b", key("acme", KEY)),
            ("acme:a", key("acme", "another-key-of-the-same-account")),
            ("acme:c", key("acme", &format!(" {KEY}\n"))),
        ]));
    for concurrency in ["1", "8"] {
        let before = server.asked().len();
        let rows = rows(&home, FAR, &["--probe-concurrency", concurrency]);
        let ids: Vec<&str> = rows.iter().map(|row| row["profileId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["acme:b", "acme:a", "acme:c"]);
        assert!(rows.iter().all(|row| verdict(row) == ("billing", "billing")), "{rows:?}");
        let mut keys: Vec<String> = server.asked()[before..].iter().map(server::Asked::bearer).collect();
        keys.sort();
        assert_eq!(keys, [KEY, "another-key-of-the-same-account"]);
    }
}

/// A server may end a connection that waits at any moment. That says nothing about the next key, which is not asked
/// about twice either.
#[test]
fn the_end_of_an_earlier_connection_is_no_verdict() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}";
    let server = Server::start(move |link| {
        link.request()?;
        link.write_all(refusal.as_bytes())?;
        // The next request meets the end.
        let _ = link.read(&mut [0; 1])?;
        Ok(())
    });
    let home = Sandbox::new()
        .config(&config(&[("acme", entry(&server.url()))]))
        .profiles(store(&[("acme:a", key("acme", KEY)), ("acme:b", key("acme", "another-key-of-the-same-account"))]));
    let rows = rows(&home, FAR, &["--probe-concurrency", "1"]);
    assert!(rows.iter().all(|row| verdict(row) == ("auth", "auth")), "{rows:?}");
}

#[test]
fn a_key_is_sent_as_headers_can_hold_it() {
    let stored = format!("  {}\r\n{}\u{2014}\u{1f600}\u{e9}\n ", &KEY[..12], &KEY[12..]);
    let sent = format!("{KEY}\u{e9}");
    for status in ["200 OK", "401 Unauthorized"] {
        let server = Server::start(move |link| {
            let asked = link.request()?;
            let quoted = asked.header("authorization").unwrap_or_default();
            let body = [b"no: ", &quoted[..], b" ", sent_as_text(&quoted).as_bytes()].concat();
            link.write_all(&if status == "200 OK" { good() } else { answer(status, "", body) })
        });
        let home = Sandbox::new()
            .config(&config(&[("acme", entry(&server.url()))]))
            .profiles(store(&[("acme:a", key("acme", &stored))]));
        let printed = run(&home, &["models", "status", "--probe", "--json"]);
        quiet(&printed, &sent);
        let wanted = [b"Bearer ", KEY.as_bytes(), b"\xe9"].concat();
        assert_eq!(server.asked()[0].header("authorization"), Some(wanted));
        let body: Value = serde_json::from_slice(&server.asked()[0].body).unwrap();
        assert_eq!(body["model"], "m1");
        assert_eq!(rows_of(&printed)[0]["status"], if status == "200 OK" { "ok" } else { "auth" });
    }
}

/// Latin-1 as text.
fn sent_as_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Every way to print, for a server that says everything it was told.
fn prints(home: &Sandbox, secrets: &[&str]) {
    for form in [
        &["models", "status", "--probe"][..],
        &["models", "status", "--probe", "--json"],
        &["--log-level", "trace", "models", "status", "--probe", "--probe-concurrency", "9"],
        &["--log-level", "trace", "models", "status", "--probe", "--json"],
        &["models", "status", "--probe", "--probe-mode", "free", "--json"],
    ] {
        let printed = run(home, form);
        for secret in secrets {
            quiet(&printed, secret);
        }
        let both = format!("{}{}", printed.stdout, printed.stderr);
        assert!(both.chars().all(|c| c == '\n' || !c.is_control()), "{both:?}");
    }
}

#[test]
fn an_answer_that_quotes_the_key_does_not_show_it() {
    let part = &KEY[5..15];
    let quotes = [
        error("401 Unauthorized", &format!("Incorrect API key provided: {KEY}. It has {part} in it. \u{1b}[2J\u{7}")),
        error("400 Bad Request", &format!("{}{KEY}", "x".repeat(590))),
        error("500 Oops", &format!("x{part}y, {KEY}{KEY}, {}-{}", &KEY[..11], &KEY[11..])),
        answer("403 Forbidden", "", format!("{}{KEY} and more", "<".repeat(585))),
        answer("200 OK", "", json!({ "error": { "code": KEY, "message": part, "type": KEY } }).to_string()),
        answer("200 OK", "", format!("event: error\ndata: \"no, {KEY}\"\n\n")),
        answer("200 OK", "", format!("{KEY}: {KEY}\ndata: {{\"{KEY}\"\n\n")),
        answer("302 Go", &format!("location: http://{KEY}/\r\n"), ""),
        format!("HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n").into_bytes(),
        format!("{KEY}\r\n\r\n").into_bytes(),
    ];
    for bytes in quotes {
        prints(&home(&Server::saying(bytes).url()), &[]);
    }
}

/// What stands in a row beside the error comes from the other side too.
#[test]
fn headers_that_quote_the_key_do_not_show_it() {
    for header in ["x-request-id", "request-id", "x-ratelimit-account", "anthropic-ratelimit-requests-remaining"] {
        let headers = format!("{header}: for {KEY}\r\n");
        for bytes in [answer("401 No", &headers, "{}"), answer("200 OK", &headers, format!("{STREAM}{LAST}"))] {
            prints(&home(&Server::saying(bytes).url()), &[]);
        }
    }
}

/// One provider may know what another one is told: both may be behind the same proxy.
#[test]
fn no_other_secret_is_shown_either() {
    let secrets = [
        ("the key of a profile that is not asked", "Jt5hWc8QnB3xVd6ZyKfM"),
        ("a header of the config", "Pw2sGk9DrT4mXv7LbHjC"),
        ("a variable of a provider", "Nf6zYq3RkS8cWt5BxJpV"),
        ("a key of the config that a profile hides", "Xd4vMh7TbL2gQs9KwZrN"),
        ("the value of a reference of a profile that is not asked", "Bk8nRf5WyC3jTz6HvPqG"),
        ("a login that is not asked", "Ls3tVx9PdM5wGb7NkYhR"),
        ("what renews that login", "Hc7qZj2KsF4yXn8VtBwD"),
    ];
    let mut shown_ones = Vec::new();
    for (name, secret) in secrets {
        let server = Server::saying(error("400 Bad Request", &format!("I also know {secret}")));
        let mut acme = entry(&server.url());
        acme["apiKey"] = json!(secrets[3].1);
        acme["headers"] = json!({ "X-Team": secrets[1].1 });
        let home = Sandbox::new()
            .config(&config(&[("acme", acme), ("beta", entry("http://127.0.0.1:9"))]))
            .profiles(store(&[
                ("acme:a", key("acme", KEY)),
                ("beta:a", key("beta", secrets[0].1)),
                (
                    "beta:b",
                    json!({ "type": "api_key", "provider": "beta",
                        "keyRef": { "source": "env", "provider": "default", "id": "BETA_KEY" } }),
                ),
                (
                    "beta:c",
                    json!({ "type": "oauth", "provider": "beta", "access": secrets[5].1, "refresh": secrets[6].1,
                        "expires": from_now(90_000) }),
                ),
            ]))
            .env("OPENAI_API_KEY", secrets[2].1)
            .env("BETA_KEY", secrets[4].1);
        let printed = run(&home, &["models", "status", "--probe", "--json", "--probe-provider", "acme"]);
        assert_eq!(rows_of(&printed).len(), 1);
        let shown = rows_of(&printed)[0]["error"].as_str().unwrap().to_owned();
        if shown.contains(&secret[..8]) || shown.contains(&secret[10..]) {
            shown_ones.push(name);
        }
    }
    assert!(shown_ones.is_empty(), "shown: {shown_ones:?}");
}

#[test]
fn nothing_is_written() {
    for bytes in [
        good(),
        error("401 Unauthorized", "no"),
        error("402 Payment Required", "no credit"),
        error("429 Too Many Requests", "slow down"),
        error("500 Oops", "sorry"),
        error("404 Not Found", "model not found"),
        answer("200 OK", "", "<html>"),
        Vec::new(),
    ] {
        let server = Server::saying(bytes);
        let mut settings: Value = serde_json::from_str(&config(&[("acme", entry(&server.url()))])).unwrap();
        settings["agents"]["defaults"]["model"]["fallbacks"] = json!(["acme/m2"]);
        let mut stored: Value =
            serde_json::from_str(&store(&[("acme:a", key("acme", KEY)), ("acme:b", key("acme", "of-another-one"))]))
                .unwrap();
        stored["lastGood"] = json!({ "acme": "acme:b" });
        stored["usageStats"] =
            json!({ "acme:a": { "cooldownUntil": from_now(600), "errorCount": 2, "lastUsed": from_now(-900) } });
        let home = Sandbox::new().config(&settings.to_string()).profiles(stored.to_string());
        let before = home.tree();
        run(&home, &["models", "status", "--probe", "--json"]);
        run(&home, &["models", "status", "--probe", "--check", "--probe-strict"]);
        run(&home, &["models", "status", "--probe", "--probe-mode", "free"]);
        assert!(home.tree() == before, "a probe changed something");
    }
}

#[test]
fn loopback_is_asked_directly_whatever_proxies_are_set() {
    let proxy = Server::saying(error("401 Unauthorized", "of the proxy"));
    let proxied = |home: Sandbox| {
        let url = format!("http://{}", proxy.address);
        ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"]
            .into_iter()
            .fold(home, |home, name| home.env(name, &url))
    };
    let server = Server::saying(good());
    let port = server.address.port();
    let mut urls = vec![
        format!("http://127.0.0.1:{port}/v1"),
        format!("http://localhost:{port}/v1"),
        format!("http://LOCALHOST:{port}"),
        format!("http://127.1:{port}/v1"),
        format!("http://0x7f000001:{port}/v1"),
    ];
    let six = Server::on("[::1]:0", |link| {
        link.request()?;
        link.write_all(&good())
    });
    if let Ok(six) = &six {
        urls.push(format!("http://[::1]:{}/v1", six.address.port()));
        urls.push(format!("http://[0:0:0:0:0:0:0:1]:{}/v1", six.address.port()));
    }
    let wrong = |url: &str, expected: &str| {
        let before = proxy.connections();
        let row = rows(&proxied(home(url)), FAR, &[]).remove(0);
        let is_through = proxy.connections() > before;
        (row["status"] != expected || is_through == (expected == "ok")).then(|| format!("{url}: {row}"))
    };
    let mut found: Vec<String> = urls.iter().filter_map(|url| wrong(url, "ok")).collect();
    // What is elsewhere goes through it, also when it only begins like loopback.
    let hosts = ["provider.invalid", "127.0.0.1.provider.invalid", "localhost.invalid"];
    found.extend(hosts.iter().filter_map(|host| wrong(&format!("http://{host}/v1"), "auth")));
    assert!(found.is_empty(), "{found:#?}");
}

/// A small container has no certificates; servers without TLS, and the report, do not need any.
#[test]
fn a_machine_without_certificates_can_be_asked_about() {
    let server = Server::saying(good());
    let (secure, authority) = with_certificate("127.0.0.1", false);
    let secure = secure.url().replace("http:", "https:");
    let bare = |url: &str| {
        let home = home(url).file("none.pem", "").file("none/readme", "").file("ca.pem", &authority);
        let (file, dir) = (home.path("none.pem").display().to_string(), home.path("none").display().to_string());
        home.env("SSL_CERT_FILE", &file).env("SSL_CERT_DIR", &dir)
    };
    assert_eq!(rows(&bare(&server.url()), FAR, &[])[0]["status"], "ok");
    assert_eq!(verdict(&rows(&bare(&secure), FAR, &[])[0]), ("unknown", "tls"));
    let trusting = bare(&secure);
    let path = trusting.path("ca.pem").display().to_string();
    assert_eq!(rows(&trusting.env("NODE_EXTRA_CA_CERTS", &path), FAR, &[])[0]["status"], "ok");
}

#[test]
fn what_is_under_way_is_cancelled_when_the_user_says_so() {
    for form in ["--json", "--no-color"] {
        let quick = Server::saying(good());
        let slow = Server::start(|link| link.request().and_then(|_| link.wait_for_end()));
        let providers = [("acme", entry(&quick.url())), ("beta", entry(&slow.url())), ("gamma", entry(&slow.url()))];
        let home = Sandbox::new().config(&config(&providers)).profiles(store(&[
            ("acme:a", key("acme", KEY)),
            ("beta:a", key("beta", "a-key-of-beta-0001")),
            ("gamma:a", key("gamma", "a-key-of-gamma-0001")),
        ]));
        let before = home.tree();
        let arguments = ["models", "status", "--probe", form, "--probe-timeout", "600000", "--probe-concurrency", "1"];
        let child = spawn(&mut home.command(&arguments));
        slow.wait_for(1);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let printed = finish(child);
        quiet(&printed, KEY);
        assert_eq!(printed.code, 130, "{}{}", printed.stdout, printed.stderr);
        assert_eq!(slow.asked().len(), 1);
        assert!(home.tree() == before);
        if form == "--json" {
            let rows = rows_of(&printed);
            let found: Vec<_> = rows.iter().map(verdict).collect();
            assert_eq!(found, [("ok", ""), ("unknown", "cancelled"), ("unknown", "cancelled")], "{rows:?}");
        } else {
            assert_eq!(printed.stdout.matches("cancelled").count(), 2, "{}", printed.stdout);
        }
    }
}

#[test]
fn a_strict_probe_and_a_check_share_the_exit_code() {
    let good = Server::saying(good());
    let bad = Server::saying(error("401 Unauthorized", "no"));
    let token = |expires: i64| json!({ "type": "token", "provider": "acme", "token": KEY, "expires": expires });
    let fine = key("acme", KEY);
    // Exit codes for: nothing more, --check, --probe-strict, both.
    for (name, server, profile, codes) in [
        ("all is well", &good, fine.clone(), [0, 0, 0, 0]),
        ("refused", &bad, fine, [0, 0, 3, 3]),
        ("ends soon", &good, token(from_now(3600)), [0, 2, 0, 2]),
        ("ends soon and refused", &bad, token(from_now(3600)), [0, 2, 3, 3]),
        ("has ended", &good, token(from_now(-3600)), [0, 1, 3, 1]),
    ] {
        let home =
            Sandbox::new().config(&config(&[("acme", entry(&server.url()))])).profiles(store(&[("acme:a", profile)]));
        let both = ["--check", "--probe-strict"];
        for (more, code) in [&[][..], &both[..1], &both[1..], &both].into_iter().zip(codes) {
            let arguments = [&["models", "status", "--probe", "--json"], more].concat();
            assert_eq!(run(&home, &arguments).code, code, "{name}: {more:?}");
        }
    }
    // One that an order leaves out is not held against it; a profile of which nothing is known is.
    let mut stored: Value = serde_json::from_str(&store(&[
        ("acme:a", key("acme", KEY)),
        ("acme:b", json!({ "type": "api_key", "provider": "acme" })),
    ]))
    .unwrap();
    let home =
        |stored: &Value| Sandbox::new().config(&config(&[("acme", entry(&good.url()))])).profiles(stored.to_string());
    assert_eq!(run(&home(&stored), &["models", "status", "--probe", "--probe-strict"]).code, 3);
    stored["order"] = json!({ "acme": ["acme:a"] });
    assert_eq!(run(&home(&stored), &["models", "status", "--probe", "--probe-strict"]).code, 0);
}

/// All are under way at once, and answer in the opposite order.
#[test]
fn rows_keep_the_order_of_the_plan() {
    const COUNT: usize = 20;
    // How many have arrived, and how many are still to be answered.
    let state = Arc::new((Mutex::new((0, COUNT)), Condvar::new()));
    let servers: Vec<Server> = (0..4)
        .map(|_| {
            let state = Arc::clone(&state);
            Server::start(move |link| {
                let asked = link.request()?;
                let me: usize = asked.bearer()[KEY.len()..].parse().unwrap();
                let (numbers, changed) = &*state;
                let mut numbers = numbers.lock().unwrap();
                numbers.0 += 1;
                changed.notify_all();
                let mut numbers =
                    changed.wait_while(numbers, |(arrived, left)| *arrived < COUNT || *left != me + 1).unwrap();
                let bytes = match me % 4 {
                    0 => good(),
                    1 => error("401 Unauthorized", &format!("row {me}")),
                    2 => error("429 Too Many Requests", &format!("row {me}")),
                    _ => error("500 Oops", &format!("row {me}")),
                };
                let done = link.write_all(&bytes);
                numbers.1 -= 1;
                changed.notify_all();
                done
            })
        })
        .collect();
    let names = ["p1", "p2", "p3", "p4"];
    let providers: Vec<(&str, Value)> =
        names.iter().zip(&servers).map(|(name, server)| (*name, entry(&server.url()))).collect();
    // In the store they stand neither sorted nor together.
    let mut profiles = Vec::new();
    for letter in ["e", "b", "d", "a", "c"] {
        for name in names.iter().rev() {
            profiles.push((format!("{name}:{letter}"), (*name).to_owned()));
        }
    }
    let mut wanted: Vec<String> = profiles.iter().map(|(id, _)| id.clone()).collect();
    wanted.sort_by_key(|id| id[..2].to_owned());
    let profiles: Vec<(&str, Value)> = profiles
        .iter()
        .map(|(id, name)| {
            let at = wanted.iter().position(|other| other == id).unwrap();
            (id.as_str(), key(name, &format!("{KEY}{at:02}")))
        })
        .collect();
    let home = Sandbox::new().config(&config(&providers)).profiles(store(&profiles));
    let printed = run(
        &home,
        &["models", "status", "--probe", "--json", "--probe-concurrency", "20", "--probe-timeout", "600000"],
    );
    let rows = rows_of(&printed);
    let ids: Vec<&str> = rows.iter().map(|row| row["profileId"].as_str().unwrap()).collect();
    assert_eq!(ids, wanted);
    for (at, row) in rows.iter().enumerate() {
        let status = ["ok", "auth", "rate_limit", "timeout"][at % 4];
        assert_eq!(row["status"], status, "{row}");
        assert!(at % 4 == 0 || row["error"].as_str().unwrap().ends_with(&format!("row {at}")), "{at}: {row}");
    }
    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(document["auth"]["probes"]["totalTargets"], COUNT);
}

#[test]
fn a_profile_that_waits_but_works_says_how_to_end_the_wait() {
    for (field, kind, words) in
        [("cooldownUntil", "cooldown", "in cooldown"), ("disabledUntil", "disabled", "is disabled")]
    {
        let until = from_now(3600);
        for (bytes, works) in [(good(), true), (error("401 Unauthorized", "no"), false)] {
            let server = Server::saying(bytes);
            let mut stored: Value = serde_json::from_str(&store(&[("acme:a", key("acme", KEY))])).unwrap();
            stored["usageStats"] = json!({ "acme:a": { field: until, "errorCount": 1 } });
            let home = home(&server.url()).profiles(stored.to_string());
            let row = rows(&home, FAR, &[]).remove(0);
            assert_eq!((&row["unusableKind"], &row["unusableUntil"]), (&json!(kind), &json!(until)), "{row}");
            let page = run(&home, &["models", "status", "--probe"]).stdout;
            let section = page.split("Auth probes").nth(1).unwrap();
            let advice = section.contains("openclaw models auth clear-cooldown acme:a") && section.contains(words);
            assert_eq!(advice, works, "{page}");
        }
    }
}

/// Spec 03 section 5.6: seconds or a date; and `retry-after-ms`.
#[test]
fn when_to_come_back_is_understood_in_every_form() {
    for (header, wanted) in [
        ("retry-after: 7", Some(7000)),
        ("retry-after-ms: 1500", Some(1500)),
        ("retry-after: Tue, 31 Dec 2199 23:59:59 GMT", None),
    ] {
        let server = Server::saying(answer("429 Too Many Requests", &format!("{header}\r\n"), "{}"));
        let row = row(&server);
        let found = row["retryAfterMs"].as_u64();
        assert!(found.is_some() && wanted.is_none_or(|ms| found == Some(ms)), "{header}: {row}");
    }
}

/// Spec 03 section 7.1.
#[test]
fn an_error_has_at_most_600_characters() {
    let server = Server::saying(error("404 Not Found", &format!("model not found {}", "x y ".repeat(1000))));
    // A model of the table, so that something is added to the error.
    let groq = json!({ "baseUrl": server.url(), "api": "openai-completions" });
    for entry in [
        json!({ "baseUrl": server.url(), "api": "openai-completions", "models": [{ "id": "m1", "name": "M1" }] }),
        groq,
    ] {
        let text = json!({ "models": { "providers": { "groq": entry } } }).to_string();
        let home = Sandbox::new().config(&text).profiles(store(&[("groq:a", key("groq", KEY))]));
        let printed = run(&home, &["models", "status", "--probe", "--json"]);
        let row = rows_of(&printed).remove(0);
        let shown = row["error"].as_str().unwrap().chars().count();
        assert_eq!(verdict(&row), ("unknown", "model_not_found"), "{row}");
        assert!(shown <= 600, "{shown} characters: {row}");
    }
}

/// Spec 03 section 10: advice for a network failure names host and port.
#[test]
fn a_closed_port_is_named() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let home = home(&format!("http://127.0.0.1:{port}/v1"));
    let row = rows(&home, FAR, &[]).remove(0);
    assert_eq!(verdict(&row), ("timeout", "network"), "{row}");
    assert_eq!(row.get("httpStatus"), None, "{row}");
    let page = run(&home, &["models", "status", "--probe"]).stdout;
    let section = page.split("Auth probes").nth(1).unwrap();
    assert!(section.contains(&format!("127.0.0.1:{port}")), "{section}");
}

/// Spec 03 section 5.6: to one host at most 8 at once; another one's turn comes meanwhile.
#[test]
fn a_host_is_asked_by_a_few_at_once_and_holds_up_no_other() {
    const MOST: usize = 8;
    // How many are under way to the first host, the most there were, and whether the second host was asked.
    let state = Arc::new((Mutex::new((0, 0, false)), Condvar::new()));
    let busy = {
        let state = Arc::clone(&state);
        Server::start(move |link| {
            link.request()?;
            let (numbers, changed) = &*state;
            let mut numbers = numbers.lock().unwrap();
            numbers.0 += 1;
            numbers.1 = numbers.0.max(numbers.1);
            changed.notify_all();
            // Nobody is answered until as many are there as may be, and the other host was asked.
            let mut numbers = changed.wait_while(numbers, |(_, most, other)| *most < MOST || !*other).unwrap();
            numbers.0 -= 1;
            drop(numbers);
            link.write_all(&good())
        })
    };
    let other = {
        let state = Arc::clone(&state);
        Server::start(move |link| {
            link.request()?;
            state.0.lock().unwrap().2 = true;
            state.1.notify_all();
            link.write_all(&good())
        })
    };
    let profiles: Vec<(String, Value)> =
        (0..30).map(|n| (format!("acme:{n}"), key("acme", &format!("{KEY}{n:02}")))).collect();
    let mut profiles: Vec<(&str, Value)> =
        profiles.iter().map(|(id, profile)| (id.as_str(), profile.clone())).collect();
    profiles.push(("beta:a", key("beta", KEY)));
    let home = Sandbox::new()
        .config(&config(&[("acme", entry(&busy.url())), ("beta", entry(&other.url()))]))
        .profiles(store(&profiles));
    let rows = rows(&home, FAR, &["--probe-concurrency", "32"]);
    assert!(rows.len() == 31 && rows.iter().all(|row| row["status"] == "ok"), "{rows:?}");
    assert_eq!(state.0.lock().unwrap().1, MOST);
    assert_eq!(busy.connections(), 30);
}
