//! Who may come in, and what is refused before anything is asked (spec 07 section 12.1).

use std::io::{Read, Write};

use serde_json::json;

use super::gateway::{Gateway, TOKEN, chat_request, head, read_answer};
use super::sandbox::Sandbox;
use super::{GOOD, hi, home, provider};

#[test]
fn only_the_right_secret_opens() {
    let server = provider();
    let gateway = Gateway::owning(home(&server), &[]);
    for headers in [
        String::new(),
        "Authorization: Basic eDp5\r\n".to_owned(),
        format!("X-Api-Key: {TOKEN}\r\n"),
        "Authorization: Bearer wrong\r\n".to_owned(),
    ] {
        for (method, path) in
            [("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("GET", "/metrics"), ("GET", "/status.json")]
        {
            let refused = gateway.raw(&head(method, path, &headers, Some("{}")));
            assert_eq!(
                (refused.status, refused.body.as_str()),
                (401, "{\"error\":{\"message\":\"Unauthorized\",\"type\":\"unauthorized\"}}"),
                "{path} {headers}"
            );
        }
    }
    assert_eq!(gateway.get("/v1/models").status, 200);
    assert_eq!(gateway.raw(&head("GET", "/healthz", "", None)).json()["ok"], true);
    assert_eq!(server.connections(), 0);
}

#[test]
fn guessing_locks_the_address() {
    let gateway = Gateway::owning(home(&provider()), &[]);
    let guess = || gateway.raw(&head("GET", "/v1/models", "Authorization: Bearer wrong\r\n", None));
    for _ in 0..10 {
        assert_eq!(guess().status, 401);
    }
    let locked = guess();
    assert_eq!(locked.status, 429);
    assert_eq!(locked.json()["error"]["message"], "Too many failed authentication attempts. Please try again later.");
    let seconds: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&seconds));
    // The right one is not looked at either: whoever guesses learns nothing.
    assert_eq!(gateway.get("/v1/models").status, 429);
    assert_eq!(gateway.raw(&head("GET", "/healthz", "", None)).status, 200);
}

#[test]
fn requests_that_were_meant_for_another_host_are_refused() {
    let gateway = Gateway::owning(home(&provider()), &[]);
    let with = |host: &str, more: &str| {
        let request = format!(
            "GET /v1/models HTTP/1.1\r\n{host}Connection: close\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n"
        );
        gateway.raw(&request).status
    };
    assert_eq!(with("Host: localhost:1\r\n", ""), 200);
    assert_eq!(with("Host: [::1]\r\n", "Origin: http://localhost:3000\r\n"), 200);
    assert_eq!(with("Host: rebound.example\r\n", ""), 403);
    assert_eq!(with("Host: localhost\r\n", "Origin: https://evil.example\r\n"), 403);
    assert_eq!(with("Host: localhost\r\n", "Origin: null\r\n"), 403);
    assert!([400, 403].contains(&with("", "")));
    let absolute = format!(
        "GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    assert_eq!(gateway.raw(&absolute).status, 403);
}

#[test]
fn methods_and_paths_that_are_not_there() {
    let gateway = Gateway::owning(home(&provider()), &[]);
    let wrong = gateway.get("/v1/chat/completions");
    assert_eq!((wrong.status, wrong.header("allow"), wrong.body.as_str()), (405, Some("POST"), "Method Not Allowed"));
    assert_eq!(gateway.get("/v1/nothing").status, 404);
    assert_eq!(gateway.get("/v1/models/openclaw%2Fops").json()["id"], "openclaw/ops");
    assert_eq!(gateway.get("/v1/models/openclaw/zz").status, 404);
    assert_eq!(gateway.get("/v1/models/gpt-5").json()["error"]["message"], "Invalid model id.");
}

#[test]
fn bodies_that_are_too_large_or_too_slow() {
    let server = provider();
    let gateway = Gateway::owning(home(&server), &[]);
    let large = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        (20 << 20) + 1
    );
    let refused = gateway.raw(&large);
    assert_eq!((refused.status, refused.json()["error"]["message"].as_str()), (413, Some("Payload too large")));
    let mut chunked = gateway.send(&format!("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let block = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let mut sent = 0;
    // The other side may hang up before everything is sent.
    while sent < 24 && chunked.write_all(block.as_bytes()).is_ok() {
        sent += 1;
    }
    let refused = read_answer(&mut chunked);
    assert!(refused.status == 413 || refused.head.is_empty(), "{refused:?}");
    let gateway = Gateway::owning(home(&server), &["--body-timeout-ms", "100"]);
    let slow = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 10\r\n\r\n{{"
    );
    let refused = gateway.raw(&slow);
    assert_eq!((refused.status, refused.json()["error"]["message"].as_str()), (408, Some("Request body timeout")));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let gateway = Gateway::owning(home(&provider()), &["--head-timeout-ms", "100"]);
    let mut stream = gateway.send("GET /healthz HTTP/1.1\r\nHost: local");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    assert_eq!(gateway.raw(&head("GET", "/healthz", "", None)).status, 200);
}

#[test]
fn bad_json_is_told_in_words() {
    let server = provider();
    let gateway = Gateway::owning(home(&server), &[]);
    for body in [
        "",
        "{",
        "[]",
        "{\"messages\":[]}",
        "{\"model\":\"gpt-5\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
    ] {
        let refused = gateway.raw(&chat_request("", body));
        assert_eq!(
            (refused.status, refused.json()["error"]["type"].as_str()),
            (400, Some("invalid_request_error")),
            "{body}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn too_many_turns_at_once_are_refused() {
    let server = super::server::Server::start(|link| {
        link.request()?;
        link.wait_for_end()
    });
    let gateway = Gateway::owning(home(&server), &["--max-turns", "1"]);
    let _waiting = gateway.send(&chat_request("", &hi().to_string()));
    server.wait_for(1);
    let refused = gateway.chat(&hi());
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
}

#[test]
fn the_switch_of_the_config_counts_for_the_gateway() {
    let server = provider();
    let sandbox = home(&server);
    let blocked = sandbox.run(&["gateway", "run", "--port", "0"]);
    assert_eq!(blocked.code, 1);
    assert!(
        blocked.stderr.contains("gateway.mode")
            && blocked.stderr.contains("Run: openclaw gateway run --allow-unconfigured"),
        "{}",
        blocked.stderr
    );
    let arguments = ["gateway", "--allow-unconfigured", "run", "--port", "0", "--json"];
    let off = Gateway::command(&sandbox, &arguments);
    assert_eq!(off.get("/v1/models").status, 404);
    assert_eq!(off.chat(&hi()).status, 404);
    assert_eq!(off.raw(&head("GET", "/healthz", "", None)).status, 200);
    drop(off);
    let on = Gateway::command(&sandbox, &[&arguments[..], &["--openai"]].concat());
    assert_eq!(on.chat(&hi()).json()["choices"][0]["message"]["content"], "pong");
}

#[test]
fn what_cannot_be_started_says_why() {
    let server = provider();
    let sandbox = home(&server);
    for (arguments, text) in [
        (vec!["--bind", "0.0.0.0"], "listens on loopback only"),
        (vec!["--bind", "lan"], "listens on loopback only"),
        (vec!["--auth", "magic"], "--auth must be"),
        (vec!["--auth", "password"], "no password is configured"),
        (vec!["--password-file", "/nonexistent"], "cannot read"),
    ] {
        let printed = sandbox.run(&[&["models", "serve", "--port", "0"], &arguments[..]].concat());
        assert_eq!(printed.code, 1, "{arguments:?}");
        assert!(printed.stderr.contains(text), "{arguments:?}: {}", printed.stderr);
        printed.check(GOOD);
    }
    let gateway = Gateway::start(&sandbox, &[]);
    let port = gateway.address.port().to_string();
    let printed = sandbox.run(&["models", "serve", "--port", &port]);
    assert_eq!(printed.code, 1);
    assert!(
        printed.stderr.contains("is in use") && printed.stderr.contains("Run: openclaw models serve --port "),
        "{}",
        printed.stderr
    );
}

#[test]
fn a_token_is_made_kept_and_never_shown() {
    let sandbox = home(&provider());
    let gateway = Gateway::command(
        &sandbox.env("OPENCLAW_GATEWAY_TOKEN", ""),
        &["models", "serve", "--port", "0", "--json", "--auth", "none"],
    );
    // An open port was asked for: nothing is made.
    assert_eq!(gateway.raw(&head("GET", "/v1/models", "", None)).status, 200);
    drop(gateway);
    let sandbox = home(&provider());
    let mut child = sandbox
        .command(&["models", "serve", "--port", "0", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let config = super::read_json(&sandbox.path(".openclaw/openclaw.json"));
    let token = config["gateway"]["auth"]["token"].as_str().unwrap();
    assert!(token.len() == 48 && token.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("gateway.auth.token") && !stderr.contains(token) && !line.contains(token), "{stderr}");
    assert_eq!(json!(config["gateway"]["auth"].as_object().unwrap().len()), 1);
}

#[test]
fn secrets_of_the_command_line_and_of_a_file_open_and_are_not_shown() {
    let server = provider();
    let secret = "sk-test-argument-Vb6Nm3Qw8Er";
    let sandbox = home(&server).file("password", format!("{secret}\n"));
    let file = sandbox.path("password").display().to_string();
    for (arguments, warns) in [
        (vec!["--token", secret], true),
        (vec!["--auth", "password", "--password", secret], true),
        (vec!["--password-file", file.as_str()], false),
    ] {
        // Ours, although another program is named.
        let config = std::fs::read(sandbox.path(".openclaw/openclaw.json")).unwrap();
        let home = Sandbox::new().env("OPENCLAW_UPSTREAM", "/bin/false").file(".openclaw/openclaw.json", config);
        let gateway = Gateway::owning(home, &arguments);
        let with = |secret: &str| {
            gateway.raw(&head("GET", "/v1/models", &format!("Authorization: Bearer {secret}\r\n"), None)).status
        };
        assert_eq!((with(secret), with(TOKEN)), (200, 401), "{arguments:?}");
        gateway.wait_until_said("GET /v1/models 401");
        let said = gateway.said();
        assert_eq!(said.contains("other users of this machine can see"), warns, "{said}");
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_variable_that_opens_nothing_is_pointed_out() {
    // The gateways of these tests have the variable; the config goes first.
    let secret = "sk-test-configured-Hq3Xz7Kp2Ld";
    for (configured, told) in [(secret, true), (TOKEN, false)] {
        let server = provider();
        let settings = json!({"gateway": {"auth": {"token": configured}}});
        let gateway = Gateway::owning(home(&server).config(&settings.to_string()), &[]);
        let headers = format!("Authorization: Bearer {configured}\r\n");
        assert_eq!(gateway.raw(&head("GET", "/v1/models", &headers, None)).status, 200);
        gateway.wait_until_said("GET /v1/models 200");
        let said = gateway.said();
        let note = "OPENCLAW_GATEWAY_TOKEN holds another secret than gateway.auth.token of the config";
        assert_eq!(said.contains(note), told, "{said}");
        assert!(!said.contains("Hq3Xz7Kp2Ld") && !said.contains("Lp9Rt4Kb"), "{said}");
    }
}

#[test]
fn the_log_can_be_silent() {
    let sandbox = home(&provider());
    let gateway = Gateway::command(&sandbox, &["--log-level", "error", "models", "serve", "--port", "0", "--json"]);
    assert_eq!(gateway.get("/v1/models").status, 200);
    assert_eq!(gateway.raw(&head("GET", "/healthz", "", None)).status, 200);
    assert!(!gateway.said().contains("GET"), "{}", gateway.said());
}
