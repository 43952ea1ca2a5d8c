//! Signing in, renewing and importing through the built program, on a terminal, against an identity provider that is as
//! strict as the real ones.
//!
//! No verdict depends on the clock; limits only end what hangs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot prepare its home has nothing to report")]

#[path = "login/cancelling.rs"]
mod cancelling;
#[path = "login/device.rs"]
mod device;
#[path = "login/flows.rs"]
mod flows;
#[path = "login/identity.rs"]
mod identity;
#[path = "login/importing.rs"]
mod importing;
#[path = "login/refusals.rs"]
mod refusals;
#[path = "login/renewing.rs"]
mod renewing;
mod sandbox;
#[path = "login/terminal.rs"]
mod terminal;

use identity::Identity;
use sandbox::Sandbox;
use serde_json::Value;

const CODEX: &[&str] = &["models", "auth", "login", "--provider", "openai-codex"];
const STORE: &str = ".openclaw/agents/main/agent/auth-profiles.json";
const CONFIG: &str = ".openclaw/openclaw.json";
const PASTE: &str = "Paste the redirect URL";

/// A home whose requests to the fixed hosts go to this provider, reached over SSH.
fn home(identity: &Identity) -> Sandbox {
    Sandbox::new().env("OPENCLAW_AUTH_TEST_BASE_URL", &identity.base).env("SSH_TTY", "/dev/pts/9")
}

/// A home with a desktop and a browser that only notes what it is given.
fn desktop(identity: &Identity) -> Sandbox {
    let sandbox = Sandbox::new()
        .file("bin/xdg-open", "#!/bin/sh\nprintf '%s\\n' \"$#\" \"$@\" > \"$HOME/opened\"\n")
        .env("OPENCLAW_AUTH_TEST_BASE_URL", &identity.base)
        .env("DISPLAY", ":0");
    executable(&sandbox, "bin/xdg-open");
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    sandbox.env("PATH", &path)
}

fn executable(sandbox: &Sandbox, below: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(sandbox.path(below), std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn read(sandbox: &Sandbox, below: &str) -> String {
    std::fs::read_to_string(sandbox.path(below)).unwrap_or_default()
}

fn json(sandbox: &Sandbox, below: &str) -> Value {
    serde_json::from_str(&read(sandbox, below)).unwrap_or_default()
}

/// Nothing was written but what was there before, locks and logs of the program included.
fn nothing_stored(sandbox: &Sandbox) {
    let store = read(sandbox, STORE);
    assert!(store.is_empty(), "{store}");
    let config = read(sandbox, CONFIG);
    assert!(!config.contains("openai-codex:"), "{config}");
}
