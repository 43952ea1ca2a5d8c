//! `openclaw doctor` (spec 06): flags in, questions and notes out. What is wrong and how it is mended is the crate's.

use std::cell::OnceCell;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auth_core::AgentId;
use auth_oauth::Endpoints;
use auth_probe::Proxies;
use auth_store::{Ground, RealHost, State};
use doctor::{Cancelled, Desk, Doctor, Finding, Note, Outside, Planned, Report, Request, RunError, Severity};

use super::doctor_refresh::Renewal;
use crate::doctor_args::Doctor as Options;
use crate::failure::Failure;
use crate::output::{Look, Page, part, plain, print_json, print_lines, remark};
use crate::prompt;
use crate::render::doctor_json;
use crate::tls_check::Reach;

/// The longest line of a note on a terminal.
const NOTE_WIDTH: usize = 88;

pub(crate) fn run(profile: Option<&str>, no_color: bool, options: &Options) -> Result<u8, Failure> {
    let host = RealHost;
    if options.undo {
        return undo(profile, options);
    }
    let ground = Ground::open(&host, profile);
    let request = request(options, &ground);
    let endpoints = Endpoints::of(&ground.environment).map_err(Failure::new);
    let endpoints = match check_agents(&request, profile).and(endpoints) {
        Ok(endpoints) => endpoints,
        Err(failure) if request.json => {
            let (layout, why) = (&ground.layout, failure.message.trim_start_matches("Error: "));
            print_json(&doctor_json::fatal(request.mode(), layout.state_dir(), layout.config_path(), why))?;
            return Ok(failure.code);
        }
        Err(failure) => return Err(failure),
    };
    if endpoints.is_test() && !request.offline {
        remark("Warning: OPENCLAW_AUTH_TEST_BASE_URL is set; fixed hosts are asked for on this machine");
    }
    let extra_roots = ground.environment.non_blank("NODE_EXTRA_CA_CERTS").map(|path| ground.layout.user_path(path));
    let tls = Reach { endpoints, extra_roots, proxies: Proxies::of(&ground.environment) };
    let renewal = Renewal { profile };
    let online = !request.offline;
    let outside = Outside {
        refresh: (online && request.refresh).then_some(&renewal as &dyn doctor::Refresh),
        tls: online.then_some(&tls as &dyn doctor::TlsCheck),
    };
    let mut desk = Person::new(no_color, profile, &request, &ground);
    desk.title()?;
    let report = Doctor { host: &host, profile, request: &request, outside }.run(&mut desk);
    desk.trouble?;
    let code = report.exit_code(request.check);
    if request.json {
        print_json(&doctor_json::document(&report))?;
        return Ok(code);
    }
    closing(&report, &request, &ground, no_color)?;
    Ok(code)
}

fn request(options: &Options, ground: &Ground) -> Request {
    let terminal = io::stdin().is_terminal() && prompt::is_interactive();
    let repair = options.repair || options.yes;
    let quiet = options.non_interactive || (!terminal && !options.yes);
    Request {
        repair,
        non_interactive: options.non_interactive,
        terminal,
        json: options.json,
        check: options.check,
        dry_run: options.dry_run,
        refresh: options.refresh,
        offline: options.offline,
        deep: options.deep,
        generate_gateway_token: options.generate_gateway_token,
        updating: quiet && ground.environment.is_truthy("OPENCLAW_UPDATE_IN_PROGRESS"),
        agents: options.agent.clone(),
        only: options.only.clone(),
    }
}

/// An agent that there is not is a mistake of the command line.
fn check_agents(request: &Request, profile: Option<&str>) -> Result<(), Failure> {
    if request.agents.is_empty() {
        return Ok(());
    }
    let host = RealHost;
    let (state, _) = State::read_leniently(Ground::open(&host, profile), &host);
    let known = auth_store::secrets::all_agents(&state, &host);
    for raw in &request.agents {
        if raw.trim().is_empty() || !known.contains(&AgentId::normalise(raw)) {
            let names: Vec<&str> = known.iter().map(AgentId::as_str).collect();
            return Err(Failure::new(format!(
                "Unknown agent id \"{}\". Use \"openclaw agents list\" to see configured agents.\nKnown: {}",
                raw.trim(),
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// The one who runs the command.
struct Person<'a> {
    no_color: bool,
    request: &'a Request,
    /// Notes are wanted.
    notes: bool,
    /// The value of `--profile`.
    profile: Option<&'a str>,
    /// The agent that needs no name, once it was asked for.
    default_agent: OnceCell<AgentId>,
    /// An interrupt ends the program at once; not while a repair is being made.
    may_end: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
    trouble: Result<(), Failure>,
    changed: bool,
}

impl<'a> Person<'a> {
    fn new(no_color: bool, profile: Option<&'a str>, request: &'a Request, ground: &Ground) -> Self {
        let suppressed = ground
            .environment
            .get("OPENCLAW_SUPPRESS_NOTES")
            .is_some_and(|value| !matches!(value.trim().to_lowercase().as_str(), "" | "0" | "false" | "off"));
        let (may_end, interrupted) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        if request.terminal {
            // Without them an interrupt would end the program with a signal, and in the middle of a repair too.
            let signal = rustix::process::Signal::INT.as_raw();
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&may_end));
            let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
        }
        Self {
            no_color,
            request,
            notes: !suppressed && !request.json,
            profile,
            default_agent: OnceCell::new(),
            may_end,
            interrupted,
            trouble: Ok(()),
            changed: false,
        }
    }

    fn default_agent(&self) -> &AgentId {
        self.default_agent.get_or_init(|| {
            State::read_leniently(Ground::open(&RealHost, self.profile), &RealHost).0.config.default_agent().0
        })
    }

    fn title(&self) -> Result<(), Failure> {
        if self.request.json {
            return Ok(());
        }
        let mut page = self.page();
        page.line(0, &[part(Look::Strong, "OpenClaw doctor")]);
        page.print()
    }

    fn page(&self) -> Page {
        Page::for_stdout(self.no_color).narrowed(NOTE_WIDTH)
    }

    fn show(&mut self, title: &str, lines: &[String]) {
        if !self.notes || lines.is_empty() {
            return;
        }
        let mut page = self.page();
        page.gap();
        page.heading(title);
        for line in lines.iter().flat_map(|line| line.lines()) {
            page.line(4, &[plain(format!("  {line}"))]);
        }
        let printed = page.print();
        self.trouble = std::mem::replace(&mut self.trouble, Ok(())).and(printed);
    }
}

impl Desk for Person<'_> {
    fn found(&mut self, findings: &[Finding]) {
        let mut at = 0;
        let named = |finding: &Finding| finding.agent.clone().filter(|agent| agent != self.default_agent());
        let mut notes = Vec::new();
        while let Some(first) = findings.get(at) {
            let alike = |other: &&Finding| other.title == first.title && named(other) == named(first);
            let count = findings[at..].iter().take_while(alike).count();
            let lines: Vec<String> =
                findings[at..at + count].iter().filter_map(|finding| finding.line.clone()).collect();
            let title = match named(first) {
                Some(agent) => format!("{} (agent {agent})", first.title),
                None => first.title.to_owned(),
            };
            notes.push((title, lines));
            at += count;
        }
        for (title, lines) in notes {
            self.show(&title, &lines);
        }
    }

    fn note(&mut self, note: &Note) {
        self.show(note.title, &note.lines);
    }

    fn ask(&mut self, question: &str, default: bool) -> Result<bool, Cancelled> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Cancelled);
        }
        match prompt::confirm(question, default) {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                if failure.code != 130 {
                    self.trouble = Err(failure);
                }
                Err(Cancelled)
            }
        }
    }

    fn working(&mut self) {
        self.may_end.store(false, Ordering::Relaxed);
    }

    fn settled(&mut self) {
        self.may_end.store(true, Ordering::Relaxed);
    }

    fn done(&mut self, lines: &[String]) {
        self.changed = true;
        self.show("Doctor changes", lines);
    }

    fn would_do(&mut self, lines: &[String]) {
        self.show("A repair would do this", lines);
    }

    fn planned(&mut self, planned: &[Planned]) {
        let mut lines = Vec::new();
        for one in planned {
            lines.push(one.summary.clone());
            lines.extend(one.lines.iter().map(|line| format!("  {line}")));
        }
        self.show("What would change", &lines);
    }

    fn failed(&mut self, failure: &RunError) {
        if !self.request.json {
            remark(&format!("Error: {}: {}", failure.code, failure.message));
        }
    }
}

/// What is said at the end.
fn closing(report: &Report, request: &Request, ground: &Ground, no_color: bool) -> Result<(), Failure> {
    if report.cancelled {
        remark("Cancelled.");
        return Ok(());
    }
    let layout = &ground.layout;
    let mut page = Page::for_stdout(no_color);
    if report.config_written {
        page.gap();
        page.line(0, &[plain(format!("Updated {}", layout.shorten(&report.config_path)))]);
        if let Some(backup) = &report.config_backup {
            page.line(0, &[plain(format!("Backup: {}", layout.shorten(backup)))]);
        }
    }
    if let Some(receipt) = &report.receipt {
        let undo = "openclaw doctor --undo";
        page.line(0, &[plain(format!("Receipt: {} (put everything back with: {undo})", layout.shorten(receipt)))]);
    }
    if request.dry_run {
        page.gap();
        page.line(0, &[plain("Dry run: nothing was written.")]);
    }
    page.gap();
    page.line(0, &[plain(left_over(report))]);
    if !request.repair
        && let Some(advice) = advice(report)
    {
        page.line(0, &[plain(advice)]);
    }
    page.line(0, &[plain("Doctor complete.")]);
    page.print()?;
    if !report.config_problems.is_empty() {
        let lines: Vec<String> = report.config_problems.iter().map(|problem| format!("- {problem}")).collect();
        remark(&format!("Invalid config:\n{}", lines.join("\n")));
    }
    Ok(())
}

/// What a repair is good for, if anything: nothing that is wrong is promised to be mended when only suggestions are.
fn advice(report: &Report) -> Option<String> {
    let optional = report.fixable_left_of(Severity::Info);
    if report.fixable_left() > optional {
        return Some("Run \"openclaw doctor --fix\" to apply changes.".to_owned());
    }
    let changes = if optional == 1 { "change" } else { "changes" };
    (optional > 0).then(|| format!("{optional} optional {changes}, for \"openclaw doctor --fix\" to make."))
}

/// How much is left, in one line.
fn left_over(report: &Report) -> String {
    let counted = |severity, word: &str| match report.left(severity) {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts: Vec<String> =
        [counted(Severity::Error, "error"), counted(Severity::Warning, "warning")].into_iter().flatten().collect();
    if parts.is_empty() { "Nothing is wrong.".to_owned() } else { format!("Left: {}.", parts.join(", ")) }
}

fn undo(profile: Option<&str>, options: &Options) -> Result<u8, Failure> {
    let host = RealHost;
    let ground = Ground::open(&host, profile);
    let layout = &ground.layout;
    let result = doctor::undo(layout.state_dir(), &host, options.dry_run);
    if options.json {
        let why = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let paths = result.as_deref().map_err(|_| why.as_str());
        let document = doctor_json::undone(layout.state_dir(), layout.config_path(), paths, options.dry_run);
        print_json(&document)?;
        return Ok(u8::from(result.is_err()));
    }
    let paths = result.map_err(Failure::new)?;
    let verb = if options.dry_run { "Would put back" } else { "Put back" };
    print_lines(paths.iter().map(|path| format!("{verb} {}", layout.shorten(path))))?;
    Ok(0)
}
