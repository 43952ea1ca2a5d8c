//! What a probe found: for people, for programs, for exit codes (spec 03 section 7).

use auth_core::failure::{ProbeStatus, Reason};
use auth_core::probe::{Skip, SkipCode, Step};
use auth_core::{CredentialKind, ProfileId, WindowKind, collate};
use serde::Serialize;
use serde_json::Value;

use super::{Probed, ProbedRow, billing};
use crate::output::{Look, Page, part, plain};
use crate::render::advice;

impl Probed {
    /// Whether a strict probe fails.
    pub(crate) fn is_troubled(&self) -> bool {
        self.rows.iter().any(|probed| match (&probed.live, &probed.row.step) {
            (Some(live), _) => live.status != ProbeStatus::Ok,
            (None, Step::Skip(skip)) => skip.code != SkipCode::ExcludedByOrder,
            (None, Step::Send { .. } | Step::Renew { .. }) => true,
        })
    }

    /// `auth.probes` of the JSON document (spec 03 section 7.1).
    pub(crate) fn document(&self) -> Value {
        let options = Options {
            provider: self.settings.provider.as_deref(),
            profile_ids: &self.settings.profiles,
            timeout_ms: self.settings.timeout_ms,
            concurrency: self.settings.concurrency,
            max_tokens: self.settings.max_tokens,
            models: &self.settings.models,
            all_models: self.settings.all_models,
            record: self.settings.record,
            mode: self.settings.mode_given.then_some(if self.settings.free { "free" } else { "live" }),
        };
        let document = Document {
            started_at: self.started_ms,
            finished_at: self.finished_ms,
            duration_ms: self.finished_ms - self.started_ms,
            total_targets: self.sent,
            options,
            recorded: self.settings.record.then(|| self.recorded.iter().map(ProfileId::as_str).collect()),
            results: self.rows.iter().map(ProbedRow::entry).collect(),
        };
        serde_json::to_value(document).unwrap_or_default()
    }

    /// The section of the human report (spec 03 section 7.2).
    pub(crate) fn render(&self, page: &mut Page) {
        page.gap();
        page.heading("Auth probes");
        if self.rows.is_empty() {
            page.line(2, &[plain("- none")]);
            return;
        }
        let mut sorted: Vec<&ProbedRow> = self.rows.iter().collect();
        sorted.sort_by(|a, b| {
            collate(a.row.provider.as_str(), b.row.provider.as_str()).then_with(|| collate(&a.row.label, &b.row.label))
        });
        let cells: Vec<Vec<_>> = sorted
            .iter()
            .map(|probed| {
                let (status, look) = probed.verdict();
                let latency = probed.live.as_ref().and_then(|live| live.latency_ms);
                let latency = latency.map_or_else(|| "-".to_owned(), duration);
                vec![
                    part(Look::Strong, probed.model().unwrap_or_else(|| format!("{}/-", probed.row.provider))),
                    plain(format!("{} ({})", probed.row.label, probed.row.mode)),
                    part(look, format!("{status} · {latency}")),
                ]
            })
            .collect();
        let columns = page.columns(2, &cells);
        for (probed, row) in sorted.iter().zip(&cells) {
            page.row(&columns, row);
            for line in probed.details() {
                let (sign, text) = line.strip_prefix("→ ").map_or(("↳", line.as_str()), |text| ("→", text));
                page.line(6, &[plain(format!("    {sign} ")), part(Look::Faint, text)]);
            }
        }
        let seconds = u64::try_from(self.finished_ms - self.started_ms).unwrap_or(0);
        let noun = if self.sent == 1 { "target" } else { "targets" };
        page.line(
            2,
            &[plain(if self.sent == 0 {
                "No probe targets.".to_owned()
            } else {
                format!("Probed {} {noun} in {}", self.sent, duration(seconds))
            })],
        );
        if !self.recorded.is_empty() {
            let ids: Vec<&str> = self.recorded.iter().map(ProfileId::as_str).collect();
            page.line(2, &[plain(format!("Recorded for {}", ids.join(", ")))]);
        }
    }
}

impl ProbedRow {
    pub(super) fn model(&self) -> Option<String> {
        self.row.model.as_ref().map(|model| format!("{}/{model}", self.row.provider))
    }

    fn verdict(&self) -> (&'static str, Look) {
        let status = match (&self.live, &self.row.step) {
            (Some(live), _) => live.status,
            (None, Step::Skip(Skip { code: SkipCode::NoModel, .. })) => ProbeStatus::NoModel,
            (None, _) => ProbeStatus::Unknown,
        };
        (status.as_str(), look_of(status))
    }

    fn error(&self) -> Option<&str> {
        match (&self.live, &self.row.step) {
            (Some(live), _) => live.error.as_deref(),
            (None, Step::Skip(skip)) => Some(&skip.error),
            (None, Step::Send { .. } | Step::Renew { .. }) => None,
        }
    }

    /// What stands under a row: the error, what to do, and what else is worth knowing.
    fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .error()
            .into_iter()
            .flat_map(str::lines)
            .map(|line| line.trim_start_matches("↳ ").to_owned())
            .collect();
        lines.extend(self.advice());
        lines.extend(self.warning.map(str::to_owned));
        lines
    }

    /// One line of advice, by reason.
    fn advice(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        let provider = &self.row.provider;
        if live.status == ProbeStatus::Ok {
            let window = self.row.window?;
            let id = self.row.profile.as_ref()?;
            let kind = if window.kind == WindowKind::Cooldown { "in cooldown" } else { "disabled" };
            return Some(format!("it works, but is {kind}; to use it now: {}", advice::clear_cooldown(id.as_str())));
        }
        Some(match live.reason? {
            Reason::Auth | Reason::AuthPermanent => match (&self.row.profile, CredentialKind::parse(self.row.mode)) {
                (Some(id), Some(kind)) => {
                    format!("store a new one: {}", advice::renew_profile(kind, provider.as_str(), id.as_str()))
                }
                _ => format!("replace it where it stands; this names the place: openclaw models auth why {provider}"),
            },
            Reason::RateLimit | Reason::Overloaded => match live.retry_after_ms {
                Some(ms) => format!("the key works; try again in {}", duration(ms)),
                None => "the key works; try again later".to_owned(),
            },
            Reason::Billing => {
                let page = match &self.row.step {
                    Step::Send { endpoint, .. } | Step::Renew { endpoint, .. } => {
                        billing::page(provider.as_str(), &endpoint.base_url)
                    }
                    Step::Skip(_) => None,
                };
                format!("the account of {provider} has no credit; add some at {}", page.unwrap_or("the provider"))
            }
            Reason::ModelNotFound => {
                "openclaw models set chooses another model; --probe-mode free needs none".to_owned()
            }
            Reason::Network => "is the address right, and can this machine reach it?".to_owned(),
            _ => return None,
        })
    }

    fn entry(&self) -> Entry<'_> {
        let live = self.live.as_ref();
        let skip = match (&self.live, &self.row.step) {
            (None, Step::Skip(skip)) => Some(skip.code),
            _ => None,
        };
        let reason = live.and_then(|live| live.reason).or_else(|| skip?.reason());
        Entry {
            provider: self.row.provider.as_str(),
            model: self.model(),
            profile_id: self.row.profile.as_ref().map(ProfileId::as_str),
            label: &self.row.label,
            source: self.row.source.as_str(),
            mode: self.row.mode,
            status: self.verdict().0,
            reason_code: skip.and_then(SkipCode::code),
            error: self.error(),
            latency_ms: live.and_then(|live| live.latency_ms),
            reason: reason.map(Reason::as_str),
            http_status: live.and_then(|live| live.http_status),
            retry_after_ms: live.and_then(|live| live.retry_after_ms),
            request_id: live.and_then(|live| live.request_id.as_deref()),
            check: self.live.as_ref().and_then(|live| live.check),
            warning: self.warning,
            quota: live.map(|live| live.quota.iter().cloned().collect()).unwrap_or_default(),
            unusable_until: self.row.window.map(|window| crate::render::Ms(window.until_ms)),
            unusable_kind: self.row.window.map(|window| window.kind.as_str()),
        }
    }
}

/// How a status looks.
pub(super) fn look_of(status: ProbeStatus) -> Look {
    match status {
        ProbeStatus::Ok => Look::Good,
        ProbeStatus::RateLimit | ProbeStatus::Timeout | ProbeStatus::Billing => Look::Warning,
        ProbeStatus::Auth | ProbeStatus::Format => Look::Bad,
        ProbeStatus::Unknown | ProbeStatus::NoModel => Look::Faint,
    }
}

/// A duration as the report prints it: `412ms`, `8s`, `1.2s`.
pub(super) fn duration(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let tenths = (ms + 50) / 100;
    if tenths.is_multiple_of(10) { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    started_at: i64,
    finished_at: i64,
    duration_ms: i64,
    total_targets: usize,
    options: Options<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Vec<&'a str>>,
    results: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    profile_ids: &'a [String],
    timeout_ms: u64,
    concurrency: usize,
    max_tokens: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    models: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all_models: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    record: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<&'a str>,
    label: &'a str,
    source: &'static str,
    mode: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    quota: std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_until: Option<crate::render::Ms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_kind: Option<&'static str>,
}
