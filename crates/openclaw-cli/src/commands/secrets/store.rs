//! `secrets store` (spec 05 section 14): keys in the OS keyring or an age file. Nothing here prints a secret.

use std::os::unix::fs::MetadataExt;

use auth_core::{Secret, login_input};
use auth_store::secrets::{Keeper, KeeperError, check_id, keeper_provider, make_keeper, open_keeper};
use auth_store::{ConfigWriter, Host, Run};
use serde_json::{Map, Value, json};

use super::super::change::config_failure;
use super::{Desk, help, own_program};
use crate::failure::Failure;
use crate::output::{Page, plain, print_json, print_lines, remark};
use crate::prompt;
use crate::secrets_args::{Store, StoreCommand, StoreEntry, StoreInit, StoreList};

pub(super) fn run(desk: &Desk<'_>, tree: &clap::Command, store: &Store) -> Result<u8, Failure> {
    match &store.command {
        None => help(tree, &["secrets", "store"], 0),
        Some(StoreCommand::Init(options)) => init(desk, options),
        Some(StoreCommand::Set(entry)) => set(desk, entry),
        Some(StoreCommand::Rm(entry)) => remove(desk, entry),
        Some(StoreCommand::Ls(options)) => list(desk, options),
    }
}

/// A failure of a keeper, with what to do where that is another build.
pub(super) fn keeper_failure(error: &KeeperError) -> Failure {
    match error {
        KeeperError::NotBuiltIn(feature) => {
            Failure::with_fix(error, format!("cargo install openclaw-cli --features {feature}"))
        }
        other => Failure::new(other),
    }
}

/// Opens the keeper of an entry and does something with it.
fn with_keeper<T>(
    desk: &Desk<'_>,
    kind: auth_store::secrets::KeeperKind,
    act: impl FnOnce(&dyn Keeper) -> Result<T, KeeperError>,
) -> Result<T, Failure> {
    let ground = desk.ground();
    let place = desk.keeper_place(&ground.layout, &ground.environment);
    let keeper = open_keeper(kind, place).map_err(|error| keeper_failure(&error))?;
    act(&*keeper).map_err(|error| keeper_failure(&error))
}

fn init(desk: &Desk<'_>, options: &StoreInit) -> Result<u8, Failure> {
    let kind = options.keeper.kind();
    if !kind.is_built_in() {
        return Err(keeper_failure(&KeeperError::NotBuiltIn(kind.as_str())));
    }
    let (state, _) = desk.state()?;
    let place = desk.keeper_place(&state.layout, &state.environment);
    let program = own_program();
    let alias = kind.as_str();
    let entry = keeper_provider(kind, &program, place);
    let edit = |root: &mut Value| -> Result<(), String> {
        let shape = || "secrets.providers is no object".to_owned();
        let object = || Value::Object(Map::new());
        let root = root.as_object_mut().ok_or_else(shape)?;
        let secrets = root.entry("secrets").or_insert_with(object).as_object_mut().ok_or_else(shape)?;
        let providers = secrets.entry("providers").or_insert_with(object).as_object_mut().ok_or_else(shape)?;
        match providers.get(alias) {
            Some(known) if *known != entry => Err(format!(
                "secrets.providers.{alias} is there already and is something else; remove or rename it first"
            )),
            _ => {
                providers.insert(alias.to_owned(), entry.clone());
                Ok(())
            }
        }
    };
    let writer = ConfigWriter::new(&state.layout, &state.environment, &desk.host, "secrets store init");
    // Checked before anything is made.
    let planned = writer.edit(Run::Dry, &edit).map_err(config_failure)?;
    let mut page = Page::for_stdout(desk.no_color);
    if options.dry_run {
        page.line(2, &[plain("Dry run: nothing was written.")]);
        if planned.changed {
            page.line(2, &[plain(format!("Would add secrets.providers.{alias}"))]);
        }
        page.print()?;
        return Ok(0);
    }
    let made = make_keeper(kind, place, &options.recipient).map_err(|error| keeper_failure(&error))?;
    let done = writer.edit(Run::Real, &edit).map_err(config_failure)?;
    for note in &made.notes {
        remark(note);
    }
    if std::fs::metadata(&program).is_ok_and(|meta| meta.uid() == 0 && desk.host.user_id() != 0) {
        remark(&format!(
            "Note: {} belongs to root, which the Node program refuses. Use a copy of your own, or set allowInsecurePath.",
            program.display()
        ));
    }
    for file in &made.files {
        page.line(2, &[plain(format!("Made {}", state.layout.shorten(file)))]);
    }
    let config = state.layout.shorten(state.layout.config_path());
    page.line(
        2,
        &[plain(if done.changed {
            format!("Updated {config}: secrets.providers.{alias}")
        } else {
            format!("{config} has secrets.providers.{alias} already")
        })],
    );
    page.line(0, &[plain("Next:")]);
    page.command(&format!("openclaw secrets plan --to {alias} --out plan.json"));
    page.print()?;
    Ok(0)
}

fn set(desk: &Desk<'_>, entry: &StoreEntry) -> Result<u8, Failure> {
    check_id(&entry.id).map_err(|error| keeper_failure(&error))?;
    let accept = |text: &str| login_input::secret(text).map_err(|why| why.to_string());
    let secret: Secret = if prompt::is_interactive() {
        prompt::secret(&format!("Secret for {}", entry.id), &accept)?
    } else {
        prompt::piped(&accept)?
    };
    with_keeper(desk, entry.keeper.kind(), |keeper| keeper.set(&entry.id, &secret))?;
    print_lines([format!("Stored {} ({})", entry.id, secret.masked())])?;
    Ok(0)
}

fn remove(desk: &Desk<'_>, entry: &StoreEntry) -> Result<u8, Failure> {
    let found = with_keeper(desk, entry.keeper.kind(), |keeper| keeper.remove(&entry.id))?;
    if !found {
        let kind = entry.keeper.kind().as_str();
        return Err(Failure::with_fix(
            format!("there is no {} in the {kind} store", entry.id),
            format!("openclaw secrets store ls {kind}"),
        ));
    }
    print_lines([format!("Removed {}", entry.id)])?;
    Ok(0)
}

fn list(desk: &Desk<'_>, options: &StoreList) -> Result<u8, Failure> {
    let ids = with_keeper(desk, options.keeper.kind(), |keeper| keeper.ids())?;
    if options.json {
        print_json(&json!({ "store": options.keeper.kind().as_str(), "ids": ids }))?;
    } else {
        print_lines(ids)?;
    }
    Ok(0)
}
