//! `secrets plan` (spec 05 section 13): the plan as a document, and what is left to do.

use std::path::Path;

use auth_core::{AgentId, RefSource};
use auth_store::secrets::{Destination, MigrateError, Migration, migrate};
use auth_store::{LockError, State, iso_time, lock, replace};
use serde_json::Value;

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
        None => all_agents(&state),
    };
    let place = desk.keeper_place(&state.layout, &state.environment);
    let made =
        migrate(&state, &authored, &agents, &destination, &own_program(), place).map_err(|error| match &error {
            MigrateError::Keeper(keeper) => keeper_failure(keeper),
            other => Failure::new(other),
        })?;
    for note in &made.notes {
        remark(&format!("Note: {note}"));
    }
    let document = made.plan.to_value(&iso_time(state.now().as_ms()), GENERATED_BY);
    if let Some(out) = &options.out {
        write_plan(desk, Path::new(out), &document)?;
    }
    if options.json || options.out.is_none() {
        print_json(&document)?;
        for line in summary(&made) {
            remark(&line);
        }
        return Ok(0);
    }
    let mut page = Page::for_stdout(desk.no_color);
    for line in summary(&made) {
        page.line(4, &[plain(line)]);
    }
    if let (Some(out), false) = (&options.out, made.moves.is_empty()) {
        page.line(2, &[plain(format!("Plan: {out} (it holds no secret)"))]);
        page.line(0, &[plain("Next:")]);
        page.command(&format!("openclaw secrets apply --from {out} --dry-run"));
    }
    page.print()?;
    Ok(0)
}

/// Every agent of the config, and main.
fn all_agents(state: &State) -> Vec<AgentId> {
    let mut agents = vec![AgentId::main()];
    agents.extend(state.config.known_agents().into_iter().filter(|agent| *agent != AgentId::main()));
    agents
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
            "Set these variables to the values above first, where every program that needs them sees them: {}",
            unset.join(", ")
        ));
    }
    lines
}

/// Writes a plan for its owner alone.
pub(super) fn write_plan(desk: &Desk<'_>, path: &Path, document: &Value) -> Result<(), Failure> {
    let text = format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default());
    let guard = lock(path, &desk.host).map_err(|error: LockError| Failure::new(error))?;
    replace(&guard, path, text.as_bytes(), &desk.host).map_err(Failure::new)
}
