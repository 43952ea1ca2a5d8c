//! `models auth paste-token` and `models auth paste-api-key` (spec 04 sections 1.3 and 1.8).

use auth_core::login_input::{self, duration_ms, profile_id_fault};
use auth_core::provider;
use auth_core::{CredentialKind, ProfileId, ProviderId, Secret};
use serde_json::Value;

use super::Session;
use super::auth_login::refuse_foreign_profile;
use super::change::{Changing, Stored, provider_of};
use crate::args::{PasteApiKey, PasteToken};
use crate::failure::Failure;
use crate::prompt;
use crate::upstream::distance;

pub(crate) fn token(session: &Session, args: &PasteToken, agent: Option<&str>) -> Result<u8, Failure> {
    let provider = named(session, &args.provider)?;
    let changing = Changing::open(session, &args.change, agent, "models auth paste-token")?;
    let id = profile_id(&changing, &provider, args.profile_id.as_deref(), "manual")?;
    let given = args.expires_in.as_deref().filter(|text| !text.trim().is_empty());
    let lifetime = given.map(duration_ms).transpose().map_err(Failure::new)?;
    if args.change.dry_run {
        // Nothing is asked: the token plays no part in what would change.
        return finish(&changing, &provider, id, CredentialKind::Token, &Secret::new("-"), lifetime);
    }
    let accept = |text: &str| login_input::token(provider.as_str(), text).map_err(|error| error.to_string());
    let token = ask(&format!("Paste token for {provider}"), &accept)?;
    finish(&changing, &provider, id, CredentialKind::Token, &token, lifetime)
}

pub(crate) fn api_key(session: &Session, args: &PasteApiKey, agent: Option<&str>) -> Result<u8, Failure> {
    let provider = named(session, &args.provider)?;
    let changing = Changing::open(session, &args.change, agent, "models auth paste-api-key")?;
    let id = profile_id(&changing, &provider, args.profile_id.as_deref(), "default")?;
    if args.change.dry_run {
        return finish(&changing, &provider, id, CredentialKind::ApiKey, &Secret::new("-"), None);
    }
    let label = provider::find(provider.as_str()).map_or(provider.as_str(), |info| info.label);
    let variable = provider.auth_key().env_vars().iter().find(|name| name.contains("KEY")).copied();
    let question = match variable {
        Some(name) => format!("Enter {label} API key (the variable {name} would do as well)"),
        None => format!("Enter {label} API key"),
    };
    let accept = |text: &str| login_input::pasted_api_key(text).map_err(|error| error.to_string());
    let key = ask(&question, &accept)?;
    finish(&changing, &provider, id, CredentialKind::ApiKey, &key, None)
}

/// The provider of a new credential. One that nothing knows may be a mistyped one.
fn named(session: &Session, raw: &str) -> Result<ProviderId, Failure> {
    let id = provider_of(raw)?;
    let config = &session.state.config;
    if provider::find_by_name(id.as_str()).is_some() || config.provider(&id).is_some() {
        return Ok(id);
    }
    if !id.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)) {
        return Err(Failure::with_fix(
            format!("\"{id}\" is no provider id: letters, digits, \".\", \"_\" and \"-\" only."),
            "the same command with --provider ID, of those that openclaw models list --all shows",
        ));
    }
    let near = provider::PROVIDERS.iter().map(|info| (distance(info.id, id.as_str()), info.id));
    let near = near.filter(|(distance, known)| *distance <= 2 && *distance * 2 < known.len()).min();
    let near = near.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"));
    session.warn(&format!("Note: nothing here knows the provider {id}{near}"));
    Ok(id)
}

/// The id to store under, checked before anything is asked.
fn profile_id(
    changing: &Changing<'_>,
    provider: &ProviderId,
    given: Option<&str>,
    name: &str,
) -> Result<ProfileId, Failure> {
    let given = given.map(str::trim).filter(|id| !id.is_empty());
    let id = given.map_or_else(|| format!("{provider}:{name}"), str::to_owned);
    if let Some(fault) = profile_id_fault(&id) {
        return Err(Failure::new(format!("Invalid --profile-id: {fault}")));
    }
    let id = ProfileId::new(id);
    refuse_foreign_profile(changing, provider, &id)?;
    Ok(id)
}

/// Stores a token that was asked for elsewhere.
pub(crate) fn store_token(
    changing: &Changing<'_>,
    provider: &ProviderId,
    id: ProfileId,
    token: &Secret,
    lifetime_ms: Option<f64>,
) -> Result<u8, Failure> {
    finish(changing, provider, id, CredentialKind::Token, token, lifetime_ms)
}

fn ask(question: &str, accept: &dyn Fn(&str) -> Result<Secret, String>) -> Result<Secret, Failure> {
    if prompt::is_interactive() { prompt::secret(question, accept) } else { prompt::piped(accept) }
}

fn finish(
    changing: &Changing<'_>,
    provider: &ProviderId,
    id: ProfileId,
    kind: CredentialKind,
    secret: &Secret,
    lifetime_ms: Option<f64>,
) -> Result<u8, Failure> {
    let expires = lifetime_ms.map(|ms| changing.session.state.now().as_f64() + ms);
    let field = if kind == CredentialKind::Token { "token" } else { "key" };
    let mut fields = vec![
        ("type", Value::from(kind.as_str())),
        ("provider", Value::from(provider.as_str())),
        (field, Value::from(secret.reveal())),
    ];
    if let Some(expires) = expires {
        fields.push(("expires", serde_json::to_value(crate::render::Ms(expires)).unwrap_or_default()));
    }
    let stored = [Stored { id, provider: provider.as_str(), kind, fields, expires, email: None }];
    changing.store(&stored, &|_| Ok(()))?;
    let mut notes = Vec::new();
    if kind == CredentialKind::ApiKey {
        notes.extend(login_input::suspicion(provider.as_str(), secret));
    } else if provider.as_str() == "anthropic" {
        notes.push(
            "Setup-tokens are a legacy path of Anthropic; use beyond Claude Code counts as Extra Usage.".to_owned(),
        );
        notes.push("Extra Usage has to be switched on in the account; an API key works without it.".to_owned());
    }
    changing.report(&stored, &notes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_providers_are_named() {
        assert_eq!(provider_of("  ").unwrap_err().message, "Error: Missing --provider.");
        assert_eq!(provider_of(" Z.AI ").unwrap().as_str(), "zai");
    }
}
