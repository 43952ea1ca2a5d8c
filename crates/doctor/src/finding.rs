//! What a check finds.

use auth_core::AgentId;
use serde_json::{Map, Value};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; never changes an exit code.
    Info,
    /// Will break, or is untidy: exit code 2 with `--check`.
    Warning,
    /// Broken now: exit code 1 with `--check`.
    Error,
}

impl Severity {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something that was found. No text in it holds a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What, for programs (spec 06 section 13).
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// The heading under which people see it.
    pub title: &'static str,
    /// What it means.
    pub message: String,
    /// The agent whose credentials it is about.
    pub agent: Option<AgentId>,
    /// The provider.
    pub provider: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// A setting, a place in a store, or a file.
    pub path: Option<String>,
    /// Whether a repair mends it.
    pub fixable: bool,
    /// Whether this run mended it.
    pub fixed: bool,
    /// The command that helps.
    pub fix: Option<String>,
    /// More, for programs.
    pub details: Map<String, Value>,
    /// The line for people; `None` keeps it for programs.
    pub line: Option<String>,
}

/// The command that mends what can be mended.
pub(crate) const REPAIR: &str = "openclaw doctor --repair";

impl Finding {
    /// A finding that people see as `- <message>`.
    pub(crate) fn new(code: &'static str, severity: Severity, title: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            severity,
            title,
            line: (severity > Severity::Info).then(|| format!("- {message}")),
            message,
            agent: None,
            provider: None,
            profile: None,
            path: None,
            fixable: false,
            fixed: false,
            fix: None,
            details: Map::new(),
        }
    }

    /// Another line for people.
    pub(crate) fn shown_as(mut self, line: impl Into<String>) -> Self {
        self.line = Some(line.into());
        self
    }

    pub(crate) fn of_agent(mut self, agent: &AgentId) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    pub(crate) fn of_provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    pub(crate) fn of_profile(mut self, id: impl Into<String>) -> Self {
        self.profile = Some(id.into());
        self
    }

    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// A repair mends it.
    pub(crate) fn fixable(mut self) -> Self {
        self.fixable = true;
        self.fix = Some(REPAIR.to_owned());
        self
    }

    /// This helps.
    pub(crate) fn helped_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// What it is about: two findings with the same subject are the same one.
    pub(crate) fn subject(&self) -> Subject {
        let Self { code, agent, provider, profile, path, .. } = self;
        Subject(code, agent.clone(), [provider.clone(), profile.clone(), path.clone()])
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject(&'static str, Option<AgentId>, [Option<String>; 3]);
