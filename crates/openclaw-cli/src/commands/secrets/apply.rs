//! `secrets apply` (spec 05 section 12.2): reading the plan, and the report.

use std::io::{self, Read};
use std::path::Path;

use auth_core::secrets::{Plan, PlanFault};
use auth_store::secrets::{ApplyError, ApplyOptions, ApplyReport, apply};
use auth_store::{ConfigWriteError, Host, Run};
use serde_json::{Value, json};

use super::Desk;
use crate::failure::Failure;
use crate::output::{Page, plain, print_json};
use crate::secrets_args::Apply;

/// The largest plan that is read, in bytes.
pub(super) const MAX_PLAN: u64 = 4 * 1024 * 1024;

pub(super) fn run(desk: &Desk<'_>, options: &Apply) -> Result<u8, Failure> {
    let plan = read_plan(desk, &options.from)?;
    let run = if options.dry_run { Run::Dry } else { Run::Real };
    let how = ApplyOptions { run, allow_exec: options.allow_exec, keep_backups: options.keep_backups };
    let report = carry_out(desk, &plan, how)?;
    if options.json {
        print_json(&document(&report, how))?;
    } else {
        print_page(desk, &report, how)?;
    }
    Ok(0)
}

/// Applies a plan.
pub(super) fn carry_out(desk: &Desk<'_>, plan: &Plan, how: ApplyOptions) -> Result<ApplyReport, Failure> {
    let own = desk.ground();
    apply(|| desk.ground(), plan, how, Some(&desk.helper(&own)), &desk.host).map_err(|error| match error {
        ApplyError::Config(ConfigWriteError::Invalid(invalid)) => {
            Failure::new(format!("The config is invalid, so nothing was applied.\n{invalid}"))
        }
        ApplyError::Unresolved(_) => Failure::new(format!(
            "{error}\nNothing was changed. Put the secrets there first, then run the command again."
        )),
        ApplyError::Lock(_) | ApplyError::Write(_) => Failure::new(format!("{error}\nNothing was changed.")),
        ApplyError::OtherSecret { .. } => Failure::new(format!(
            "{error}\nNothing was changed. Put the secret there, or make a new plan: openclaw secrets plan --help"
        )),
        other => Failure::new(other),
    })
}

/// Reads and checks a plan; `-` is standard input.
fn read_plan(desk: &Desk<'_>, from: &str) -> Result<Plan, Failure> {
    let from = from.trim();
    let shown: String = from.chars().filter(|c| !c.is_control()).collect();
    let invalid = |why: String| Failure::new(format!("Invalid secrets plan file: {shown}\n{why}"));
    let read = if from == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().take(MAX_PLAN + 1).read_to_end(&mut bytes).map(|_| bytes)
    } else {
        desk.host.read(Path::new(from), MAX_PLAN)
    };
    let bytes = read.map_err(|error| Failure::new(format!("cannot read the plan {shown}: {error}")))?;
    if bytes.len() as u64 > MAX_PLAN {
        return Err(invalid("it is larger than 4 MiB".to_owned()));
    }
    let root: Value = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(format!("not valid JSON (line {}, column {})", error.line(), error.column())))?;
    Plan::from_value(&root).map_err(|fault| match fault {
        PlanFault::NotOurs { .. } => Failure::new(fault),
        other => invalid(other.to_string()),
    })
}

/// The report as JSON.
pub(super) fn document(report: &ApplyReport, how: ApplyOptions) -> Value {
    let real = how.run == Run::Real;
    let mut document = json!({
        "mode": if real { "write" } else { "dry-run" },
        "changed": !report.changed_files.is_empty(),
        "changedFiles": report.changed_files,
        "checks": {
            "resolvability": true,
            "resolvabilityComplete": real || how.allow_exec || report.skipped_exec_refs == 0,
        },
        "refsChecked": report.refs_checked,
        "skippedExecRefs": report.skipped_exec_refs,
        "warningCount": report.warnings.len(),
        "warnings": report.warnings,
    });
    if !report.backups.is_empty()
        && let Some(members) = document.as_object_mut()
    {
        members.insert("removedBackups".to_owned(), json!(report.backups));
    }
    document
}

/// The report for a person.
pub(super) fn print_page(desk: &Desk<'_>, report: &ApplyReport, how: ApplyOptions) -> Result<(), Failure> {
    let mut page = Page::for_stdout(desk.no_color);
    let count = report.changed_files.len();
    page.line(
        2,
        &[plain(match (how.run, count) {
            (Run::Dry, 0) => "Secrets apply dry run: no changes.".to_owned(),
            (Run::Dry, n) => format!("Secrets apply dry run: {n} file(s) would change."),
            (Run::Real, 0) => "Secrets apply: no changes.".to_owned(),
            (Run::Real, n) => format!("Secrets applied. Updated {n} file(s)."),
        })],
    );
    for file in &report.changed_files {
        page.line(4, &[plain(format!("  {file}"))]);
    }
    if !report.changed_files.is_empty() {
        for (at, reference) in &report.targets {
            page.line(4, &[plain(format!("  {at}  ->  {reference}"))]);
        }
        for name in &report.env_lines {
            page.line(4, &[plain(format!("  .env: the line {name}=… goes"))]);
        }
    }
    for warning in &report.warnings {
        page.line(2, &[plain(format!("- {warning}"))]);
    }
    if report.skipped_exec_refs > 0 {
        page.line(
            2,
            &[plain(format!(
                "Note: skipped {} exec reference(s); --allow-exec runs their programs.",
                report.skipped_exec_refs
            ))],
        );
    }
    page.print()
}
