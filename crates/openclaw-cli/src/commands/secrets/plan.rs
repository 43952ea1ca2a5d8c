//! `secrets plan` (spec 05 section 13): the plan as a document, and what is left to do.

use std::path::Path;

use auth_core::RefSource;
use auth_core::secrets::Plan;
use auth_store::secrets::{Destination, MigrateError, Migration, MoveTo, all_agents, migrate};
use auth_store::{Host, LockGuard, iso_time, lock, replace};
use serde_json::Value;

use super::apply::MAX_PLAN;
use super::store::keeper_failure;
use super::{Desk, own_program};
use crate::failure::Failure;
use crate::output::{Page, plain, print_json, remark};
use crate::secrets_args::MakePlan;

/// Who made the plan, in the plan.
const GENERATED_BY: &str = "openclaw secrets plan";

pub(super) fn run(desk: &Desk<'_>, options: &MakePlan) -> Result<u8, Failure> {
    let destination =
        Destination::parse(&options.to).ok_or_else(|| Failure::new("--to must be env, file:ALIAS, keyring or age"))?;
    let (state, authored) = desk.state()?;
    let agents = match options.agent.as_deref() {
        Some(agent) => vec![state.agent(Some(agent))?],
        None => all_agents(&state, &desk.host),
    };
    // Nothing is stored for a plan that cannot be written.
    let out = options.out.as_deref().map(|out| PlanFile::open(desk, Path::new(out))).transpose()?;
    let to = MoveTo {
        destination: &destination,
        program: &own_program(),
        keeper: desk.keeper_place(&state.layout, &state.environment),
        store: !options.dry_run,
    };
    let made = migrate(&state, &authored, &agents, to).map_err(|error| match &error {
        MigrateError::Keeper(keeper) => keeper_failure(keeper),
        other => Failure::new(other),
    })?;
    for note in &made.notes {
        remark(&format!("Note: {note}"));
    }
    let document = made.plan.to_value(&iso_time(state.now().as_ms()), GENERATED_BY);
    if let Some(out) = out.filter(|_| !options.dry_run) {
        out.write(&document)?;
    }
    let mut lines = summary(&made);
    if options.dry_run {
        lines.insert(0, "Dry run: nothing was stored or written.".to_owned());
    }
    if options.json || options.out.is_none() {
        print_json(&document)?;
        lines.extend(
            options
                .out
                .is_none()
                .then(|| "Next: the same with --out FILE, then openclaw secrets apply --from FILE --dry-run".to_owned())
                .filter(|_| !made.moves.is_empty()),
        );
        for line in &lines {
            remark(line);
        }
        return Ok(0);
    }
    let mut page = Page::for_stdout(desk.no_color);
    for line in lines {
        page.line(4, &[plain(line)]);
    }
    if let (Some(out), false) = (&options.out, made.moves.is_empty() || options.dry_run) {
        page.line(2, &[plain(format!("Plan: {out} (references and fingerprints; no secret)"))]);
        page.line(0, &[plain("Next:")]);
        page.command(&format!("openclaw secrets apply --from {out} --dry-run"));
    }
    page.print()?;
    Ok(0)
}

/// What moves where, one line each, without any secret.
fn summary(made: &Migration) -> Vec<String> {
    if made.moves.is_empty() {
        return vec!["There is no plaintext to move.".to_owned()];
    }
    let mut lines: Vec<String> =
        made.moves.iter().map(|one| format!("{}  {}  ->  {}", one.from.label, one.shown, one.reference)).collect();
    let mut unset: Vec<&str> = made
        .moves
        .iter()
        .filter(|one| !one.is_there && one.reference.source == RefSource::Env)
        .map(|one| one.reference.id.as_str())
        .collect();
    unset.dedup();
    if !unset.is_empty() {
        lines.push(format!(
            "Before applying, set these variables to the secrets that stand there now, wherever agents run: {}",
            unset.join(", ")
        ));
    }
    if let Some(place) = &made.stored_in {
        lines.push(format!(
            "The values are in {place} now, and still where they were; applying the plan takes them away from there."
        ));
    }
    lines
}

/// The file that a plan is written to, for its owner alone.
pub(super) struct PlanFile<'a> {
    path: &'a Path,
    guard: LockGuard<'a>,
    desk: &'a Desk<'a>,
}

impl<'a> PlanFile<'a> {
    /// Makes sure that the plan can be written there, and that nothing but an older plan is replaced.
    pub(super) fn open(desk: &'a Desk<'a>, path: &'a Path) -> Result<Self, Failure> {
        let guard = lock(path, &desk.host).map_err(Failure::new)?;
        match desk.host.read(path, MAX_PLAN) {
            Ok(bytes) => {
                let old: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                if Plan::from_value(&old).is_err() {
                    return Err(Failure::new(format!(
                        "{} is there and is no plan; choose another file",
                        path.display()
                    )));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new(format!("cannot write the plan {}: {error}", path.display()))),
        }
        Ok(Self { path, guard, desk })
    }

    /// Writes it.
    pub(super) fn write(&self, document: &Value) -> Result<(), Failure> {
        let text = format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default());
        replace(&self.guard, self.path, text.as_bytes(), &self.desk.host).map_err(Failure::new)
    }
}
