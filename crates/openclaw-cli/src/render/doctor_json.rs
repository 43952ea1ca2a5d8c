//! `doctor --json` (spec 06 section 13).

use std::path::{Path, PathBuf};

use doctor::{Finding, Made, Planned, Report, RunError, Severity};
use serde_json::{Value, json};

/// The document of a run.
pub(crate) fn document(report: &Report) -> Value {
    let path = |path: &Path| path.display().to_string();
    let findings = report.findings.iter().map(finding);
    let fixed = report.findings.iter().filter(|finding| finding.fixed).count();
    json!({
        "version": 1,
        "mode": report.mode,
        "stateDir": path(&report.state_dir),
        "config": {
            "path": path(&report.config_path),
            "exists": report.config_exists,
            "valid": report.config_valid,
            "written": report.config_written,
            "backup": report.config_backup.as_deref().map(path),
        },
        "agents": report.agents.iter().map(auth_core::AgentId::as_str).collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
        "changes": report.changes.iter().map(made).collect::<Vec<_>>(),
        "planned": report.planned.iter().map(planned).collect::<Vec<_>>(),
        "errors": report.errors.iter().map(error).collect::<Vec<_>>(),
        "receipt": report.receipt.as_deref().map(path),
        "summary": {
            "error": report.left(Severity::Error),
            "warning": report.left(Severity::Warning),
            "info": report.left(Severity::Info),
            "fixable": report.fixable_left(),
            "fixed": fixed,
            "remaining": report.findings.len() - fixed,
        },
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "severity": finding.severity.as_str(),
        "title": finding.title,
        "message": finding.message,
        "agent": finding.agent.as_ref().map(auth_core::AgentId::as_str),
        "provider": finding.provider,
        "profileId": finding.profile,
        "path": finding.path,
        "fixable": finding.fixable,
        "fixed": finding.fixed,
        "fix": finding.fix,
        "details": finding.details,
    })
}

fn made(made: &Made) -> Value {
    json!({
        "kind": made.kind,
        "path": made.path.display().to_string(),
        "summary": made.summary,
        "backup": made.backup.as_deref().map(|path| path.display().to_string()),
    })
}

fn planned(planned: &Planned) -> Value {
    json!({
        "kind": planned.kind,
        "path": planned.path.display().to_string(),
        "summary": planned.summary,
        "lines": planned.lines,
    })
}

fn error(error: &RunError) -> Value {
    json!({ "code": error.code, "message": error.message })
}

/// The document of `--undo`: what came back, or why nothing did.
pub(crate) fn undone(state_dir: &Path, config: &Path, result: Result<&[PathBuf], &str>, dry_run: bool) -> Value {
    let verb = if dry_run { "would be put back" } else { "put back" };
    let changes = result
        .unwrap_or_default()
        .iter()
        .map(|path| json!({ "kind": "file", "path": path.display().to_string(), "summary": verb, "backup": null }));
    let errors: Vec<Value> = result.err().map(|why| json!({ "code": "undo", "message": why })).into_iter().collect();
    without_findings("undo", state_dir, config, &changes.collect::<Vec<_>>(), &errors)
}

/// The document of a run that did not begin.
pub(crate) fn fatal(mode: &str, state_dir: &Path, config: &Path, why: &str) -> Value {
    without_findings(mode, state_dir, config, &[], &[json!({ "code": "usage", "message": why })])
}

fn without_findings(mode: &str, state_dir: &Path, config: &Path, changes: &[Value], errors: &[Value]) -> Value {
    json!({
        "version": 1,
        "mode": mode,
        "stateDir": state_dir.display().to_string(),
        "config": {
            "path": config.display().to_string(), "exists": config.exists(), "valid": null, "written": false, "backup": null,
        },
        "agents": [],
        "findings": [],
        "changes": changes,
        "planned": [],
        "errors": errors,
        "receipt": null,
        "summary": { "error": 0, "warning": 0, "info": 0, "fixable": 0, "fixed": 0, "remaining": 0 },
    })
}
