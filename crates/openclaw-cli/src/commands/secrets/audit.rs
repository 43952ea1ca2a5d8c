//! `secrets audit` (spec 05 section 10.2): the report.

use auth_store::secrets::{AuditReport, Finding, FindingCode, KeeperKind, audit};
use serde::Serialize;

use super::Desk;
use crate::failure::Failure;
use crate::output::{Look, Page, part, plain, print_json};
use crate::secrets_args::Audit;

/// How many findings the human report shows.
const SHOWN: usize = 20;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: u32,
    status: &'static str,
    resolution: Resolution,
    files_scanned: &'a [String],
    summary: Summary,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resolution {
    refs_checked: usize,
    skipped_exec_refs: usize,
    resolvability_complete: bool,
    skipped_surfaces: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are those of the document")]
struct Summary {
    plaintext_count: usize,
    unresolved_ref_count: usize,
    shadowed_ref_count: usize,
    legacy_residue_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    code: &'static str,
    severity: &'static str,
    file: &'a str,
    json_path: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<&'a str>,
}

impl<'a> From<&'a Finding> for Entry<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            code: finding.code.as_str(),
            severity: finding.severity.as_str(),
            file: &finding.file,
            json_path: &finding.json_path,
            message: &finding.message,
            provider: finding.provider.as_deref(),
            profile_id: finding.profile.as_deref(),
        }
    }
}

impl Summary {
    fn of(report: &AuditReport) -> Self {
        Self {
            plaintext_count: report.count(FindingCode::PlaintextFound),
            unresolved_ref_count: report.count(FindingCode::RefUnresolved),
            shadowed_ref_count: report.count(FindingCode::RefShadowed),
            legacy_residue_count: report.count(FindingCode::LegacyResidue),
        }
    }
}

pub(super) fn run(desk: &Desk<'_>, options: &Audit) -> Result<u8, Failure> {
    let own = desk.ground();
    let report = audit(desk.ground(), options.allow_exec, Some(&desk.helper(&own)), &desk.host);
    for remark in &report.remarks {
        desk.warn(remark);
    }
    if options.json {
        print_json(&document(&report))?;
    } else {
        print_page(desk, &report)?;
    }
    Ok(if report.count(FindingCode::RefUnresolved) > 0 {
        2
    } else {
        u8::from(options.check && !report.findings.is_empty())
    })
}

fn document(report: &AuditReport) -> Document<'_> {
    Document {
        version: 1,
        status: report.status(),
        resolution: Resolution {
            refs_checked: report.refs_checked,
            skipped_exec_refs: report.skipped_exec_refs,
            resolvability_complete: report.skipped_exec_refs == 0,
            skipped_surfaces: report.skipped_surfaces,
        },
        files_scanned: &report.files_scanned,
        summary: Summary::of(report),
        findings: report.findings.iter().map(Entry::from).collect(),
    }
}

fn print_page(desk: &Desk<'_>, report: &AuditReport) -> Result<(), Failure> {
    let mut page = Page::for_stdout(desk.no_color);
    let summary = Summary::of(report);
    let look = match report.status() {
        "clean" => Look::Good,
        "findings" => Look::Warning,
        _ => Look::Bad,
    };
    page.line(
        2,
        &[
            part(Look::Strong, "Secrets audit: "),
            part(look, report.status()),
            plain(format!(
                ". plaintext={}, unresolved={}, shadowed={}, legacy={}.",
                summary.plaintext_count,
                summary.unresolved_ref_count,
                summary.shadowed_ref_count,
                summary.legacy_residue_count
            )),
        ],
    );
    for finding in report.findings.iter().take(SHOWN) {
        let look = match finding.code {
            FindingCode::RefUnresolved => Look::Bad,
            FindingCode::PlaintextFound | FindingCode::RefShadowed => Look::Warning,
            FindingCode::LegacyResidue => Look::Faint,
        };
        page.line(
            2,
            &[
                plain("- ["),
                part(look, finding.code.as_str()),
                plain(format!("] {}:{} {}", finding.file, finding.json_path, finding.message)),
            ],
        );
    }
    if let Some(more) = report.findings.len().checked_sub(SHOWN + 1) {
        page.line(2, &[plain(format!("... {} more finding(s).", more + 1))]);
    }
    if report.skipped_exec_refs > 0 {
        page.line(
            2,
            &[plain(format!(
                "Audit note: skipped {} exec reference(s); openclaw secrets audit --allow-exec runs their programs.",
                report.skipped_exec_refs
            ))],
        );
    }
    if report.skipped_surfaces > 0 {
        page.line(
            2,
            &[plain(format!("{} secret(s) of other parts of OpenClaw are not checked here.", report.skipped_surfaces))],
        );
    }
    if report.count(FindingCode::PlaintextFound) > 0 {
        page.line(0, &[plain("To move plaintext elsewhere (all at once, or key by key):")]);
        let to = if KeeperKind::Age.is_built_in() { "age" } else { "env" };
        page.command(&format!("openclaw secrets plan --to {to} --out plan.json"));
        page.command("openclaw secrets configure");
    }
    page.print()
}
