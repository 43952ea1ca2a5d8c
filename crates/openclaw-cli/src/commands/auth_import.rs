//! `models auth import` (spec 04 section 1.8): the login of another program, once, or the files of earlier versions.

use auth_core::{CredentialKind, ProviderId, profile_health};
use auth_oauth::{ForeignCli, Imported, Login};
use serde_json::json;

use super::Session;
use super::auth_login::{refuse_foreign_profile, stored};
use super::change::Changing;
use crate::args::{Import, ImportSource};
use crate::failure::Failure;
use crate::output::{Page, plain, remark};
use crate::render::advice::quoted;

pub(crate) fn run(session: &Session, args: &Import, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth import")?;
    let foreign = match args.source {
        ImportSource::Codex => ForeignCli::Codex,
        ImportSource::Gemini => ForeignCli::Gemini,
        ImportSource::Legacy if args.take_over => {
            return Err(Failure::new("--take-over is for the login of another program; legacy files are ours."));
        }
        ImportSource::Legacy => return legacy(&changing, args.change.dry_run),
    };
    let state = &session.state;
    let imported = foreign.read(&state.environment, &state.layout, &session.host, args.take_over).map_err(|error| {
        let provider = match foreign {
            ForeignCli::Codex => "openai-codex",
            _ => "google-gemini-cli",
        };
        Failure::with_fix(error, format!("openclaw models auth login --provider {provider}"))
    })?;
    let Imported { login, path, took_refresh } = imported;
    if !took_refresh {
        refuse_worse(&changing, &login, args)?;
    }
    let shown = state.layout.shorten(&path);
    let mut notes = vec![format!(
        "Read {} from {shown}; that file is as it was",
        if took_refresh { "the access token and the refresh token" } else { "the access token" },
    )];
    notes.push(if took_refresh {
        format!(
            "Warning: from now on this program renews the login. The {} will lose its own at its next refresh; sign in there again.",
            foreign.label()
        )
    } else {
        format!(
            "The {} goes on renewing the login; when its token has expired here, run this command again",
            foreign.label()
        )
    });
    let provider = ProviderId::normalise(login.provider);
    refuse_foreign_profile(&changing, &provider, &login.profile_id)?;
    let profiles = [stored(&login)];
    changing.store_and_clear(&profiles, Some(&provider.auth_key()), &|_| Ok(()))?;
    changing.report(&profiles, &notes)?;
    Ok(0)
}

/// A copy without a refresh token never takes the place of a login that this program renews itself, nor of one that
/// holds longer.
fn refuse_worse(changing: &Changing<'_>, login: &Login, args: &Import) -> Result<(), Failure> {
    let stored = changing.auth.view.profiles.get(&login.profile_id);
    let Some(stored) = stored.filter(|stored| stored.kind() == CredentialKind::OAuth) else { return Ok(()) };
    let health = profile_health(stored, changing.session.state.now());
    let id = quoted(login.profile_id.as_str());
    if health.renews_itself {
        return Err(Failure::with_fix(
            format!(
                "{} is stored here already and renews itself; this import would take that away.\nTo sign in anew: openclaw models auth login --provider {}. To import all the same, remove it first.",
                login.profile_id, login.provider
            ),
            format!("openclaw models auth remove {id} --yes && openclaw models auth import {}", args.source.name()),
        ));
    }
    match (health.ends_at_ms, login.expires_ms) {
        (Some(stored), Some(read)) if stored > read => Err(Failure::with_fix(
            format!("The copy of {} that is stored here holds longer than the one in that file.", login.profile_id),
            "openclaw models status",
        )),
        _ => Ok(()),
    }
}

/// Writes what the legacy files would give anyway.
fn legacy(changing: &Changing<'_>, dry_run: bool) -> Result<u8, Failure> {
    let layout = &changing.session.state.layout;
    let files: Vec<String> = changing.auth.view.legacy_files.iter().map(|path| layout.shorten(path)).collect();
    let nothing = || {
        Failure::with_fix(
            format!("There is nothing to take over: no legacy files, or {} exists already.", changing.store_path()),
            "openclaw models auth list",
        )
    };
    if files.is_empty() {
        return Err(nothing());
    }
    let mut imported = Vec::new();
    let done = changing.change_store(&[], |open| {
        imported =
            open.store.iter().map(|profile| (profile.id.clone(), profile.provider.clone(), profile.kind())).collect();
        Ok(())
    })?;
    if done.imported == 0 {
        return Err(nothing());
    }
    if changing.json() {
        let profiles: Vec<_> = imported
            .iter()
            .map(|(id, provider, kind)| json!({"profileId": id.as_str(), "provider": provider.as_str(), "mode": kind.as_str()}))
            .collect();
        changing.print_head(json!({ "profiles": profiles, "files": files }))?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(changing.session.no_color);
    if dry_run {
        page.line(2, &[plain("Dry run: nothing was written.")]);
    }
    let verb = if dry_run { "Would take over" } else { "Took over" };
    page.line(2, &[plain(format!("{verb} {} of {} into {}", done.imported, files.join(", "), changing.store_path()))]);
    for (id, provider, kind) in &imported {
        page.line(2, &[plain(format!("Auth profile: {id} ({provider}/{})", kind.as_str()))]);
    }
    page.print()?;
    remark("Check it: openclaw models status");
    Ok(0)
}
