//! The config itself: what is invalid, what has moved, what does not belong there (spec 06 sections 4 and 5).

use auth_core::config::ConfigPath;
use serde_json::Value;

use crate::check::{Check, View};
use crate::config_moves::{dotted, lower_mistral_limits, move_settings, remove_at, unknown_sections};
use crate::finding::{Finding, Severity};
use crate::repair::{Note, Refusal, Repair};
use crate::request::RepairKind;

const INVALID: &str = "config.invalid";
const LEGACY: &str = "config.legacy_key";
const NORMALIZE: &str = "config.normalize";
const UNKNOWN: &str = "config.unknown_key";

/// Mends the config as a whole, or leaves it.
pub(super) struct ConfigFlow;

impl Check for ConfigFlow {
    fn codes(&self) -> &'static [&'static str] {
        &[INVALID, LEGACY, NORMALIZE, UNKNOWN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = invalid(view);
        let mut root = view.scene.authored().clone();
        for moved in move_settings(&mut root) {
            let message = format!("{} moved to {}", moved.from, moved.to);
            let finding = Finding::new(LEGACY, Severity::Warning, "Legacy config keys detected", message);
            found.push(finding.at(moved.from).fixable().detail("to", moved.to));
        }
        for path in lower_mistral_limits(&mut root) {
            let message = format!("{path} reaches the whole context of the model; it is lowered");
            found.push(Finding::new(NORMALIZE, Severity::Warning, "Doctor", message).at(path).fixable());
        }
        for path in unknown(view) {
            let shown = dotted(&path);
            let place = view.scene.config.source.place_of(&path);
            let at = place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
            let hint = view.scene.config.issues.iter().find(|issue| issue.subject == path);
            let hint = hint.and_then(|issue| Some(issue.message[issue.message.find("(did you")?..].to_owned()));
            let hint = hint.map_or_else(String::new, |hint| format!(" {hint}"));
            let message = format!("{shown} is not a setting{hint}{at}");
            let finding = Finding::new(UNKNOWN, Severity::Warning, "Unknown config keys", message);
            let finding = finding.shown_as(format!("- {shown}{hint}{at}")).at(shown).fixable();
            found.push(finding.detail("place", place));
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let Some(first) = findings.iter().find(|finding| finding.fixable) else { return Ok(None) };
        let wants = |code: &str| view.request.wants(code);
        let unknown = unknown(view);
        let changes = view.config_change(first.code, &|root| {
            if wants(LEGACY) {
                move_settings(root);
            }
            if wants(NORMALIZE) {
                lower_mistral_limits(root);
            }
            if wants(UNKNOWN) {
                for path in &unknown {
                    remove_at(root, path);
                }
            }
        })?;
        let lines = findings.iter().filter(|finding| finding.fixable).map(|finding| {
            let path = finding.path.as_deref().unwrap_or_default();
            match (finding.code, finding.details.get("to").and_then(Value::as_str)) {
                (LEGACY, Some(to)) => format!("- Moved {path} → {to}"),
                (UNKNOWN, _) => format!("- Removed {path} (an unknown key)"),
                _ => format!("- Lowered {path}"),
            }
        });
        let question = "Apply recommended config repairs now?";
        let mut repair = Repair::new(first.code, RepairKind::Normal, question).telling(lines).changing(changes);
        let hint = "Run \"openclaw doctor --fix\" to apply these changes to the config.".to_owned();
        repair.declined.push(Note { title: "Doctor", lines: vec![hint] });
        Ok(Some(repair))
    }
}

/// What keeps other commands from using the config, but for keys that only have to go.
fn invalid(view: &View<'_>) -> Vec<Finding> {
    let scene = view.scene;
    let file = scene.layout().config_path();
    let of = |path: &str, message: &str, place: Option<&str>| {
        let at = place.map_or_else(String::new, |place| format!(" ({place})"));
        let finding = Finding::new(INVALID, Severity::Error, "Config", format!("{path}: {message}{at}"));
        let finding = finding.at(path).detail("file", file.display().to_string()).detail("place", place);
        finding.helped_by(format!("edit {}", scene.shorten(file)))
    };
    let issues: Vec<_> = scene.config.issues.iter().filter(|issue| !issue.is_unknown_key).collect();
    let mut found: Vec<Finding> = issues
        .iter()
        .map(|issue| {
            let place = scene.config.source.place_of(&issue.subject);
            of(&dotted(&issue.path), &issue.message, place.as_deref())
        })
        .collect();
    if scene.config.issues.is_empty()
        && let Some(invalid) = &scene.config.invalid
    {
        found.extend(
            invalid.problems.iter().map(|problem| of(&problem.path, &problem.message, problem.place.as_deref())),
        );
        let escapes = invalid.problems.iter().any(|problem| problem.message.contains("config directory"));
        if let Some(dir) = file.parent().filter(|_| escapes) {
            let message = format!("included files must be below {}", scene.shorten(dir));
            found.push(of("$include", &message, None));
        }
    }
    if let Some(first) = found.first_mut() {
        let what = format!("{} is invalid; doctor goes on with what can be used", scene.shorten(file));
        let line = first.line.take().unwrap_or_default();
        first.line = Some(format!("{what}:\n{line}"));
    }
    found
}

/// Every key that does not belong where it stands, deeper ones only when nothing above them goes.
fn unknown(view: &View<'_>) -> Vec<ConfigPath> {
    let deeper = view.scene.config.issues.iter().filter(|issue| issue.is_unknown_key);
    let mut found = unknown_sections(view.scene.authored());
    found.extend(deeper.map(|issue| issue.subject.clone()));
    found
}
