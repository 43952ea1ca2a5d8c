//! The same as numbers, in the text exposition format of Prometheus (spec 06 section 14.4).

use std::fmt::Write as _;

use crate::time::Timestamp;

use super::memory::Memory;
use super::status::Status;
use super::survey::{Item, Pass};

/// Writes the metrics of a pass.
pub fn metrics(pass: &Pass, memory: &Memory, now: Timestamp) -> String {
    let mut out = String::new();
    let profiles = || pass.items.iter().filter(|item| item.profile_id().is_some());
    let labels = |item: &Item| {
        let kind = item.kind().map_or("", crate::credential::CredentialKind::as_str);
        format!(
            "agent=\"{}\",provider=\"{}\",profile=\"{}\",type=\"{kind}\"",
            escaped(&item.agent),
            escaped(&item.provider),
            escaped(&item.label)
        )
    };
    let mut family = Family { out: &mut out, name: "" };
    family.begin("openclaw_auth_profile_status", "gauge", "1 for the current status of a profile, 0 for the others.");
    for item in profiles() {
        for status in Status::ALL {
            let is = u8::from(item.status == status);
            family.sample(&format!("{},status=\"{}\"", labels(item), status.as_str()), f64::from(is));
        }
    }
    family.begin(
        "openclaw_auth_profile_expires_timestamp_seconds",
        "gauge",
        "When the credential of a profile ends, where that is known.",
    );
    for item in profiles() {
        if let Some(ends) = item.ends_at_ms {
            family.sample(&labels(item), ends / 1000.0);
        }
    }
    family.begin(
        "openclaw_auth_profile_unusable_until_timestamp_seconds",
        "gauge",
        "Until when a profile is in cooldown or disabled.",
    );
    for item in profiles() {
        if let Some((until, reason)) = &item.unusable {
            let reason = escaped(reason.as_deref().unwrap_or_default());
            family.sample(&format!("{},reason=\"{reason}\"", labels(item)), until / 1000.0);
        }
    }
    family.begin("openclaw_auth_provider_usable", "gauge", "Whether an agent could make a request to a provider now.");
    for state in &pass.providers {
        let label = format!("agent=\"{}\",provider=\"{}\"", escaped(&state.agent), escaped(&state.provider));
        family.sample(&label, f64::from(u8::from(state.usable)));
    }
    family.begin("openclaw_auth_check_status", "gauge", "0 fine, 1 something needs you now, 2 something will soon.");
    family.sample("", f64::from(pass.overall().exit_code()));
    family.begin("openclaw_auth_last_run_timestamp_seconds", "gauge", "When the monitor last looked.");
    family.sample("", now.as_f64() / 1000.0);
    family.begin("openclaw_auth_notify_failures_total", "counter", "Deliveries of messages that have failed.");
    #[expect(clippy::cast_precision_loss, reason = "a count that never gets near 2^53")]
    family.sample("", memory.notify_failures as f64);
    out
}

/// One metric: its head, then its samples.
struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    fn begin(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a string cannot fail.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &str, value: f64) {
        let name = self.name;
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        if value.is_finite() {
            let _ = writeln!(self.out, "{name}{braces} {value}");
        }
    }
}

/// The value of a label: backslash, quote and line break escaped, other control characters replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        for (text, value) in [
            ("plain é…", "plain é…"),
            ("a\\b\"c\nd", "a\\\\b\\\"c\\nd"),
            ("a\tb\rc\u{1b}[2J\u{85}", "a?b?c?[2J?"),
            ("", ""),
        ] {
            assert_eq!(escaped(text), value);
        }
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut out = String::new();
        let mut family = Family { out: &mut out, name: "m" };
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5] {
            family.sample("", value);
        }
        assert_eq!(out, "m 1.5\n");
    }
}
