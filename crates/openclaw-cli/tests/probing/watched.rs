//! What somebody sees who watches a probe on a terminal (spec 03 section 7.2).

#![allow(clippy::panic, reason = "a terminal that shows something else has nothing more to tell")]

use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use rexpect::session::{PtySession, spawn_command};

use super::sandbox::Sandbox;
use super::server::Server;
use super::{KEY, LIMIT, config, entry, good, key, quiet, store};

/// A server that answers when it is told to.
fn patient() -> (Server, Arc<(Mutex<bool>, Condvar)>) {
    let open = Arc::new((Mutex::new(false), Condvar::new()));
    let gate = Arc::clone(&open);
    let server = Server::start(move |link| {
        link.request()?;
        let (is_open, changed) = &*gate;
        drop(changed.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        std::io::Write::write_all(link, &good())
    });
    (server, open)
}

fn let_answer(gate: &(Mutex<bool>, Condvar)) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

/// A home with this many keys of one provider.
fn home(url: &str, keys: usize) -> Sandbox {
    let profiles: Vec<(String, serde_json::Value)> =
        (0..keys).map(|n| (format!("acme:{n:02}"), key("acme", &format!("{KEY}{n:02}")))).collect();
    let profiles: Vec<_> = profiles.iter().map(|(id, profile)| (id.as_str(), profile.clone())).collect();
    Sandbox::new().config(&config(&[("acme", entry(url))])).profiles(store(&profiles))
}

/// Starts a probe on a terminal of 80 columns and 24 lines; `redirect` is what a shell does with standard output.
fn watch(home: &Sandbox, term: &str, variables: &[(&str, &str)], arguments: &[&str], redirect: &str) -> PtySession {
    let plain = home.command(arguments);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec \"$@\" {redirect}"), "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().current_dir(home.path("")).env("TERM", term);
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).envs(variables.iter().copied());
    spawn_command(command, u64::try_from(LIMIT.as_millis()).ok()).unwrap()
}

const PROBE: &[&str] = &["models", "status", "--probe", "--probe-timeout", "60000"];

/// What was sent, as text; it is read byte by byte.
fn text(sent: &str) -> String {
    let bytes: Vec<u8> = sent.chars().map(|c| u8::try_from(c).unwrap()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands on the terminal after all that was sent to it, as far as this program uses it.
fn screen(sent: &str) -> Vec<String> {
    let sent = &text(sent);
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = sent.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "{sent:?}");
                let sequence: String = rest.by_ref().take_while(|c| !c.is_ascii_alphabetic()).collect();
                let end = sent[..sent.len() - rest.as_str().len()].chars().next_back();
                match end {
                    Some('A') => row -= sequence.parse::<usize>().unwrap(),
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    Some('m') => {}
                    other => panic!("an unknown sequence: {sequence:?} {other:?}"),
                }
            }
            c => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    lines.into_iter().map(|line| line.into_iter().collect()).collect()
}

fn code(session: &PtySession) -> i32 {
    match session.process.wait().unwrap() {
        rexpect::process::wait::WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

/// Reads on until `needle` was sent `count` times.
fn until(session: &mut PtySession, needle: &str, count: usize) -> String {
    let mut sent = String::new();
    for _ in 0..count {
        match session.exp_string(needle) {
            Ok(before) => sent.extend([before.as_str(), needle]),
            Err(error) => panic!("no {needle:?}: {}", error.to_string().chars().take(2000).collect::<String>()),
        }
    }
    sent
}

#[test]
fn every_target_has_a_line_until_the_report_takes_its_place() {
    let (server, gate) = patient();
    let home = home(&server.url(), 3);
    let mut session = watch(&home, "xterm", &[], PROBE, "");
    let mut sent = until(&mut session, "asking", 2);
    server.wait_for(2);
    sent.push_str(&until(&mut session, "waiting", 1));
    let shown = screen(&sent);
    let lines: Vec<&String> = shown.iter().filter(|line| line.contains("acme/m1")).collect();
    assert_eq!(lines.len(), 3, "{shown:?}");
    for (at, end) in ["asking…", "asking…", "waiting"].into_iter().enumerate() {
        assert!(lines[at].contains(&format!(" acme/m1  acme:0{at} (api_key)  {end}")), "{lines:?}");
    }
    let_answer(&gate);
    sent.push_str(&until(&mut session, "ok ", 1));
    sent.push_str(&session.exp_eof().unwrap());
    assert_eq!(code(&session), 0);
    let shown = screen(&sent);
    let rows = |id: &str| shown.iter().filter(|line| line.contains("(api_key)") && line.contains(id)).count();
    assert_eq!([rows("acme:00"), rows("acme:01"), rows("acme:02")], [1, 1, 1], "{shown:#?}");
    assert!(!shown.iter().any(|line| line.contains("asking") || line.contains("waiting")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("Probed 3 targets")), "{shown:#?}");
    let printed = super::Printed { code: 0, stdout: sent, stderr: String::new() };
    quiet(&printed, KEY);
}

#[test]
fn more_targets_than_lines_are_summed_up() {
    let (server, gate) = patient();
    let home = home(&server.url(), 40);
    let mut session = watch(&home, "xterm", &[], PROBE, "> report.txt");
    let sent = until(&mut session, "[0/40] 2 asking, ", 1);
    let_answer(&gate);
    let sent = sent + &session.exp_eof().unwrap();
    assert_eq!(code(&session), 0);
    // As many lines as the terminal has, less the one of the cursor.
    let most = sent.split("\u{1b}[").filter_map(|part| part.split_once('A')?.0.parse::<usize>().ok()).max();
    assert_eq!(most, Some(23), "{sent:?}");
    // Nothing is left; the report went elsewhere.
    let shown = screen(&sent);
    assert!(shown.iter().all(String::is_empty), "{shown:#?}");
    let report = std::fs::read_to_string(home.path("report.txt")).unwrap();
    assert!(report.contains("Probed 40 targets"), "{report}");
}

#[test]
fn an_interrupt_leaves_a_clean_terminal() {
    let (server, _gate) = patient();
    let home = home(&server.url(), 3);
    let mut session = watch(&home, "xterm", &[], PROBE, "");
    let mut sent = until(&mut session, "asking", 2);
    server.wait_for(2);
    session.send_control('c').unwrap();
    sent.push_str(&session.exp_eof().unwrap());
    assert_eq!(code(&session), 130);
    assert!(!sent.contains("\u{1b}[?"), "the cursor was hidden, or another mode was set: {sent:?}");
    let shown = screen(&sent);
    assert!(!shown.iter().any(|line| line.contains("^C") || line.contains("asking")), "{shown:#?}");
    assert_eq!(shown.iter().filter(|line| line.contains("↳ cancelled")).count(), 3, "{shown:#?}");
}

#[test]
fn a_plain_terminal_gets_plain_lines() {
    let server = Server::saying(good());
    for (term, variables, more) in
        [("dumb", &[][..], &[][..]), ("xterm", &[("NO_COLOR", "1")], &[]), ("xterm", &[], &["--no-color"])]
    {
        let home = home(&server.url(), 2);
        let arguments = [more, PROBE].concat();
        let mut session = watch(&home, term, variables, &arguments, "> report.txt");
        let sent = text(&session.exp_eof().unwrap());
        assert_eq!(code(&session), 0);
        assert!(!sent.contains('\u{1b}'), "{sent:?}");
        let lines: Vec<&str> = sent.lines().collect();
        assert_eq!(lines.len(), 2, "{sent}");
        for (at, line) in lines.iter().enumerate() {
            assert!(line.starts_with(&format!("[{}/2] acme/m1  acme:0", at + 1)), "{sent}");
            assert!(line.contains(" (api_key)  ok · "), "{sent}");
        }
    }
}

#[test]
fn nothing_is_shown_to_a_program() {
    let server = Server::saying(good());
    for (arguments, redirect) in [
        (&["--json"][..], "> report.txt"),
        (&["--json"], "2> said.txt > report.txt"),
        (&[], "2> said.txt > report.txt"),
        (&["--log-level", "warn"], "> report.txt"),
    ] {
        let home = home(&server.url(), 2);
        let arguments = [PROBE, arguments].concat();
        let mut session = watch(&home, "xterm", &[], &arguments, redirect);
        assert_eq!(session.exp_eof().unwrap(), "", "{arguments:?}");
        assert_eq!(code(&session), 0);
        let said = std::fs::read_to_string(home.path("said.txt")).unwrap_or_default();
        assert_eq!(said, "", "{arguments:?}");
    }
}
