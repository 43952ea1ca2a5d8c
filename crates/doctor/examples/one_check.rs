//! Runs one kind of check, shows what it found, and makes its repair. A run looks at the home directory of its
//! process; so that yours is left alone, the example starts itself once more with a directory of its own.
//!
//! ```sh
//! cargo run -p openclaw-doctor --example one_check
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use auth_store::RealHost;
use doctor::{Cancelled, Desk, Doctor, Finding, Note, Outside, Planned, Request, RunError, Severity};

/// Whoever is told. With `repair` nothing is asked.
struct Printer;

impl Desk for Printer {
    fn found(&mut self, findings: &[Finding]) {
        for finding in findings {
            println!("{} {}: {}", finding.severity.as_str(), finding.code, finding.message);
        }
    }
    fn note(&mut self, _: &Note) {}
    fn ask(&mut self, _: &str, default: bool) -> Result<bool, Cancelled> {
        Ok(default)
    }
    fn done(&mut self, lines: &[String]) {
        println!("mended: {}", lines.join("; "));
    }
    fn would_do(&mut self, _: &[String]) {}
    fn planned(&mut self, _: &[Planned]) {}
    fn failed(&mut self, failure: &RunError) {
        println!("{failure:?}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os("ONE_CHECK_INSIDE").is_some() {
        return inside(Path::new(&std::env::var("HOME")?));
    }
    let home = std::env::temp_dir().join(format!("one-check-{}", std::process::id()));
    std::fs::create_dir_all(home.join(".openclaw/agents/main/agent"))?;
    let mut again = Command::new(std::env::current_exe()?);
    let status = again.env_clear().env("HOME", &home).env("ONE_CHECK_INSIDE", "1").current_dir(&home).status()?;
    std::fs::remove_dir_all(&home)?;
    if status.success() { Ok(()) } else { Err("the run failed".into()) }
}

fn inside(home: &Path) -> Result<(), Box<dyn Error>> {
    // A store that everybody can read.
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    std::fs::write(
        &store,
        r#"{"version": 1, "profiles": {"groq:a": {"type": "api_key", "provider": "groq", "key": "sk-test-a-0000000001"}}}"#,
    )?;
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o644))?;

    let only = vec!["auth.secret.permissions".to_owned()];
    let report_only = Request { check: true, offline: true, only: only.clone(), ..Request::default() };
    let run = |request: &Request| {
        Doctor { host: &RealHost, profile: None, request, outside: Outside::default() }.run(&mut Printer)
    };
    let found = run(&report_only);
    assert!(found.findings.iter().any(|finding| finding.severity > Severity::Info && !finding.fixed));
    assert_eq!(std::fs::metadata(&store)?.permissions().mode() & 0o777, 0o644, "a report changes nothing");

    let mended = run(&Request { repair: true, check: false, ..report_only });
    assert!(mended.findings.iter().all(|finding| finding.fixed));
    assert_eq!(std::fs::metadata(&store)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}
