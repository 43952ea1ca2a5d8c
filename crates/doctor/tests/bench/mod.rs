//! A home directory of its own on the real file system, and someone who answers every question.

use std::io;
use std::path::{Path, PathBuf};

use auth_core::Timestamp;
use auth_store::{Host, RealHost, WriteHost};
use doctor::{Cancelled, Desk, Doctor, Finding, Note, Outside, Planned, Report, Request, RunError};

/// The real machine with other variables.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) variables: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), variables: vec![("HOME".to_owned(), dir.display().to_string())] }
    }

    pub(crate) fn doctor(&self, request: &Request) -> Report {
        self.doctor_with(request, &mut Silent::default())
    }

    pub(crate) fn doctor_with(&self, request: &Request, desk: &mut dyn Desk) -> Report {
        Doctor { host: self, profile: None, request, outside: Outside::default() }.run(desk)
    }
}

/// Says yes, and remembers what it saw.
#[derive(Default)]
pub(crate) struct Silent {
    pub(crate) asked: Vec<String>,
    pub(crate) lines: Vec<String>,
}

impl Desk for Silent {
    fn found(&mut self, findings: &[Finding]) {
        self.lines.extend(findings.iter().filter_map(|finding| finding.line.clone()));
    }
    fn note(&mut self, note: &Note) {
        self.lines.extend(note.lines.iter().cloned());
    }
    fn ask(&mut self, question: &str, _default: bool) -> Result<bool, Cancelled> {
        self.asked.push(question.to_owned());
        Ok(true)
    }
    fn done(&mut self, lines: &[String]) {
        self.lines.extend(lines.iter().cloned());
    }
    fn would_do(&mut self, lines: &[String]) {
        self.lines.extend(lines.iter().cloned());
    }
    fn planned(&mut self, planned: &[Planned]) {
        self.lines.extend(planned.iter().flat_map(|one| one.lines.iter().cloned()));
    }
    fn failed(&mut self, failure: &RunError) {
        self.lines.push(failure.message.clone());
    }
}

impl Host for Home {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }
    fn current_dir(&self) -> PathBuf {
        self.dir.join("project")
    }
    fn account_home(&self) -> Option<PathBuf> {
        None
    }
    fn now(&self) -> Timestamp {
        RealHost.now()
    }
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        RealHost.read(path, limit)
    }
    fn exists(&self, path: &Path) -> bool {
        RealHost.exists(path)
    }
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        RealHost.real_path(path)
    }
    fn read_secure(&self, path: &Path, limit: u64, timeout_ms: u64) -> io::Result<(auth_store::FileFacts, Vec<u8>)> {
        RealHost.read_secure(path, limit, timeout_ms)
    }
    fn facts(&self, path: &Path) -> io::Result<auth_store::PathFacts> {
        RealHost.facts(path)
    }
    fn changed_at(&self, path: &Path) -> Option<Timestamp> {
        RealHost.changed_at(path)
    }
    fn names_in(&self, dir: &Path) -> Vec<PathBuf> {
        RealHost.names_in(dir)
    }
    fn run_programs(&self, programs: &[auth_store::Program<'_>], at_once: usize) -> Vec<auth_store::Ended> {
        RealHost.run_programs(programs, at_once)
    }
    fn user_id(&self) -> u32 {
        RealHost.user_id()
    }
    fn run_login_shell(&self, _shell: &auth_store::LoginShell<'_>) -> Result<Vec<u8>, auth_store::LoginShellError> {
        Err(auth_store::LoginShellError::Failed("none".to_owned()))
    }
}

impl WriteHost for Home {
    fn create(&self, path: &Path) -> io::Result<std::fs::File> {
        RealHost.create(path)
    }
    fn set_owner(&self, file: &std::fs::File, user: u32, group: u32) -> io::Result<()> {
        RealHost.set_owner(file, user, group)
    }
    fn write(&self, file: &std::fs::File, bytes: &[u8]) -> io::Result<()> {
        RealHost.write(file, bytes)
    }
    fn sync(&self, _file: &std::fs::File) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealHost.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealHost.link(from, to)
    }
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealHost.remove(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealHost.remove_dir(dir)
    }
    fn make_link(&self, target: &Path, link: &Path) -> io::Result<()> {
        RealHost.make_link(target, link)
    }
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        RealHost.make_dir(dir)
    }
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        RealHost.set_mode(path, mode)
    }
    fn mode_of(&self, path: &Path) -> Option<u32> {
        RealHost.mode_of(path)
    }
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        RealHost.append(path, bytes)
    }
    fn pause(&self, time: std::time::Duration) {
        RealHost.pause(time);
    }
    fn random(&self) -> u64 {
        RealHost.random()
    }
}
