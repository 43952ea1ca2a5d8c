//! `models auth login`, `setup-token`, `login-github-copilot` and `add` (spec 04 sections 1 to 1.2 and 1.7).

use auth_core::login_input::{self, duration_ms, profile_id_fault};
use auth_core::provider::{AuthKind, AuthMethod, ProviderInfo};
use auth_core::setup::{
    Choice, InputMode, login_method, login_methods, login_provider, login_providers, resolve_choice,
};
use auth_core::{AuthKey, CredentialKind, ProfileId, ProviderId};
use auth_oauth::Login;

use super::Session;
use super::auth_paste::store_token;
use super::change::{Changing, Stored, SuggestedModel, provider_of};
use super::onboard::SetUp;
use super::setup_ask;
use super::setup_plan::Plan;
use super::sign_in::SignIn;
use crate::args::{AuthAdd, AuthLogin, Change, CopilotLogin, SetupToken, Showing};
use crate::failure::Failure;
use crate::onboard_args::Onboard;
use crate::prompt;

/// What a login was asked for.
struct Wanted<'a> {
    info: &'static ProviderInfo,
    method: &'static AuthMethod,
    set_default: bool,
    profile_id: Option<&'a str>,
    secret_input_mode: Option<&'a str>,
    showing: Showing,
}

pub(crate) fn login(session: &Session, args: &AuthLogin, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth login")?;
    let named = args.provider.as_deref();
    let help = || match named.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => format!("openclaw models auth paste-api-key --provider {name} < FILE"),
        None => "openclaw models auth paste-api-key --provider PROVIDER < FILE".to_owned(),
    };
    needs_terminal("models auth login", &args.change, help)?;
    if args.secret_input_mode.as_deref().is_some_and(|mode| InputMode::parse(mode).is_none()) {
        return Err(Failure::new("Invalid --secret-input-mode. Use \"plaintext\" or \"ref\"."));
    }
    let info = match named {
        Some(name) if name.trim().is_empty() => return Err(Failure::new("Missing --provider.")),
        Some(name) => login_provider(name, false).map_err(Failure::new)?,
        None if args.change.dry_run => return Err(asks_nothing("--provider")),
        None => ask_provider("Select a provider", false)?,
    };
    let method = match (&args.method, args.device_code) {
        (Some(name), _) => login_method(info, name, false).map_err(Failure::new)?,
        (None, true) => {
            login_methods(info, false).find(|method| method.kind == AuthKind::DeviceCode).ok_or_else(|| {
                Failure::with_fix(
                    format!("{} has no sign-in with a code on another device.", info.label),
                    format!("openclaw models auth login --provider {} --no-browser", info.id),
                )
            })?
        }
        (None, false) => match login_methods(info, false).collect::<Vec<_>>().as_slice() {
            [only] => only,
            _ if args.change.dry_run => return Err(asks_nothing("--method")),
            several => ask_method(&format!("Auth method for {}", info.label), several)?,
        },
    };
    let wanted = Wanted {
        info,
        method,
        set_default: args.set_default,
        profile_id: args.profile_id.as_deref().map(str::trim).filter(|id| !id.is_empty()),
        secret_input_mode: args.secret_input_mode.as_deref(),
        showing: args.showing.clone(),
    };
    run(&changing, &args.change, &wanted)
}

pub(crate) fn setup_token(session: &Session, args: &SetupToken, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth setup-token")?;
    needs_terminal("setup-token", &args.change, || {
        "openclaw models auth paste-token --provider anthropic < FILE".to_owned()
    })?;
    let info = match args.provider.as_deref() {
        Some(name) if name.trim().is_empty() => return Err(Failure::new("Missing --provider.")),
        Some(name) => login_provider(name, true).map_err(Failure::new)?,
        None => login_providers(true).next().ok_or_else(|| Failure::new("No provider takes a token."))?,
    };
    let methods: Vec<&'static AuthMethod> = login_methods(info, true).collect();
    let method = match (methods.iter().find(|method| method.method == "setup-token"), methods.as_slice()) {
        (Some(method), _) => method,
        (None, [only]) => only,
        (None, several) => ask_method(&format!("Token method for {}", info.label), several)?,
    };
    let asks = !args.yes && !args.change.dry_run;
    if asks && !prompt::confirm(&format!("Continue with {} token auth?", info.label), true)? {
        return Ok(0);
    }
    run(&changing, &args.change, &Wanted::of(info, method))
}

pub(crate) fn copilot(session: &Session, args: &CopilotLogin, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth login-github-copilot")?;
    needs_terminal("models auth login", &args.change, || {
        "openclaw models auth paste-token --provider github-copilot < FILE".to_owned()
    })?;
    let info = login_provider("github-copilot", false).map_err(Failure::new)?;
    let method = login_method(info, "device", false).map_err(Failure::new)?;
    run(&changing, &args.change, &Wanted { showing: args.showing.clone(), ..Wanted::of(info, method) })
}

pub(crate) fn add(session: &Session, args: &AuthAdd, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth add")?;
    needs_terminal("models auth add", &args.change, || {
        "openclaw models auth paste-token --provider PROVIDER < FILE".to_owned()
    })?;
    if args.change.dry_run {
        return Err(Failure::with_fix(
            "add asks for everything, and a dry run asks nothing.",
            "openclaw models auth paste-token --dry-run --provider PROVIDER",
        ));
    }
    let mut list: Vec<(&'static str, String, String)> =
        login_providers(true).map(|info| (info.id, info.label.to_owned(), String::new())).collect();
    list.push(("", "custom (type provider id)".to_owned(), String::new()));
    let provider = match prompt::choose("Token provider", &list, false)? {
        "" => provider_of(&prompt::text("Provider id", "")?)?,
        id => {
            let info = login_provider(id, true).map_err(Failure::new)?;
            let methods: Vec<&'static AuthMethod> = login_methods(info, true).collect();
            let mut list: Vec<(&'static str, String, String)> =
                methods.iter().map(|method| (method.method, method.label.to_owned(), String::new())).collect();
            list.push(("", "paste token".to_owned(), String::new()));
            let picked = prompt::choose("Token method", &list, false)?;
            if let Some(method) = methods.into_iter().find(|method| method.method == picked) {
                return run(&changing, &args.change, &Wanted::of(info, method));
            }
            ProviderId::normalise(id)
        }
    };
    let id = prompt::text_until("Profile id", &format!("{provider}:manual"), &|text| {
        let id = ProfileId::new(text);
        match profile_id_fault(text) {
            Some(fault) => Err(fault.to_owned()),
            None => refuse_foreign_profile(&changing, &provider, &id)
                .map(|()| id)
                .map_err(|failure| failure.message.trim_start_matches("Error: ").to_owned()),
        }
    })?;
    let lifetime = if prompt::confirm("Does this token expire?", false)? {
        Some(prompt::text_until("Expires in (duration)", "365d", &|text| duration_ms(text))?)
    } else {
        None
    };
    let accept = |text: &str| login_input::token(provider.as_str(), text).map_err(|error| error.to_string());
    let token = prompt::secret(&format!("Paste token for {provider}"), &accept)?;
    store_token(&changing, &provider, id, &token, lifetime)
}

impl Wanted<'_> {
    fn of(info: &'static ProviderInfo, method: &'static AuthMethod) -> Self {
        Self {
            info,
            method,
            set_default: false,
            profile_id: None,
            secret_input_mode: None,
            showing: Showing::default(),
        }
    }
}

/// Runs a method and stores what it brings.
fn run(changing: &Changing<'_>, change: &Change, wanted: &Wanted<'_>) -> Result<u8, Failure> {
    let provider = ProviderId::normalise(wanted.info.id);
    if let Some(id) = wanted.profile_id {
        if let Some(fault) = profile_id_fault(id) {
            return Err(Failure::new(format!("Invalid --profile-id: {fault}")));
        }
        refuse_foreign_profile(changing, &provider, &ProfileId::new(id))?;
    }
    let chosen = resolve_choice(wanted.method.choice, None).map_err(Failure::new)?;
    if change.dry_run {
        return dry_run(changing, wanted, &chosen.choice);
    }
    // Nobody goes to the browser and back for a store that is locked or broken.
    changing.ready()?;
    let plan = match chosen.choice {
        Choice::Interactive(info, method) => {
            let Showing { no_browser, qr } = wanted.showing;
            let signed_in = SignIn { session: changing.session, info, method, no_browser, qr }.run()?;
            let Some(login) = signed_in else {
                prompt::outro("Nothing was stored.")?;
                return Ok(0);
            };
            Plan::of_login(login, info)
        }
        choice => {
            let options = Onboard {
                secret_input_mode: Some(wanted.secret_input_mode.unwrap_or("plaintext").to_owned()),
                json: change.json,
                ..Onboard::default()
            };
            let set_up = SetUp { session: changing.session, options: &options, command: "models auth login" };
            match setup_ask::ask_for(&set_up, changing, choice)? {
                Some(plan) => plan,
                None => return Ok(0),
            }
        }
    };
    finish(changing, plan.for_login(wanted.set_default), wanted)
}

fn finish(changing: &Changing<'_>, mut plan: Plan, wanted: &Wanted<'_>) -> Result<u8, Failure> {
    if let Some(id) = wanted.profile_id {
        match plan.profiles.as_mut_slice() {
            [only] => only.id = ProfileId::new(id),
            _ => {
                return Err(Failure::new(format!(
                    "{} stores several profiles, so --profile-id cannot name one.",
                    wanted.method.label
                )));
            }
        }
    }
    for stored in &plan.profiles {
        refuse_foreign_profile(changing, &ProviderId::normalise(stored.provider), &stored.id)?;
    }
    let signed_in = AuthKey::normalise(wanted.info.id);
    changing.store_and_clear(&plan.profiles, Some(&signed_in), &|root| plan.edit_settings(root))?;
    let model = plan.model.as_deref().map(|reference| SuggestedModel { reference, applied: wanted.set_default });
    changing.report_with_model(&plan.profiles, model, &plan.notes)?;
    Ok(0)
}

/// What is known before anything is asked.
fn dry_run(changing: &Changing<'_>, wanted: &Wanted<'_>, choice: &Choice) -> Result<u8, Failure> {
    let kind = match choice {
        Choice::SetupToken(..) => CredentialKind::Token,
        Choice::Interactive(_, method) if method.kind == AuthKind::OAuth => CredentialKind::OAuth,
        Choice::Interactive(info, _) if info.id == "github-copilot" => CredentialKind::Token,
        Choice::Interactive(..) => CredentialKind::OAuth,
        _ => CredentialKind::ApiKey,
    };
    let usual = match choice {
        Choice::Key(_, method) => method.setup.map_or(&[][..], |setup| setup.profiles).to_vec(),
        _ => Vec::new(),
    };
    let name = if wanted.info.id == "github-copilot" { "github" } else { "default" };
    let usual_id = format!("{}:{name}", wanted.info.id);
    let ids: Vec<&str> = match (wanted.profile_id, usual.as_slice()) {
        (Some(id), _) => vec![id],
        (None, []) => vec![&usual_id],
        (None, several) => several.to_vec(),
    };
    let profiles: Vec<Stored<'_>> = ids
        .iter()
        .map(|id| Stored {
            id: ProfileId::new(*id),
            provider: wanted.info.id,
            kind,
            fields: Vec::new(),
            expires: None,
            email: None,
        })
        .collect();
    changing.preview(&profiles, &|_| Ok(()))?;
    let notes = match kind {
        CredentialKind::OAuth => {
            vec!["The name of the profile is that of the account, which a dry run does not ask for".to_owned()]
        }
        _ => Vec::new(),
    };
    let model = wanted.info.default_model.map(|reference| SuggestedModel { reference, applied: wanted.set_default });
    changing.report_with_model(&profiles, model, &notes)?;
    Ok(0)
}

/// A profile of another provider is never replaced.
pub(crate) fn refuse_foreign_profile(
    changing: &Changing<'_>,
    provider: &ProviderId,
    id: &ProfileId,
) -> Result<(), Failure> {
    match changing.auth.view.profiles.get(id).filter(|known| known.auth_key != provider.auth_key()) {
        Some(other) => Err(Failure::new(format!(
            "Auth profile \"{id}\" is for {}, not {provider}; choose another --profile-id.",
            other.provider_as_stored
        ))),
        None => Ok(()),
    }
}

/// A login as it is stored.
pub(crate) fn stored(login: &Login) -> Stored<'static> {
    Stored {
        id: login.profile_id.clone(),
        provider: login.provider,
        kind: login.kind,
        fields: login.members(),
        expires: login.expires_ms,
        email: login.email.clone(),
    }
}

fn needs_terminal(command: &str, change: &Change, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if change.dry_run || prompt::is_interactive() {
        return Ok(());
    }
    Err(Failure::with_fix(format!("{command} requires an interactive TTY."), otherwise()))
}

fn asks_nothing(option: &str) -> Failure {
    Failure::new(format!("A dry run asks nothing: give {option}."))
}

fn ask_provider(question: &str, tokens: bool) -> Result<&'static ProviderInfo, Failure> {
    let list: Vec<(&'static str, String, String)> =
        login_providers(tokens).map(|info| (info.id, info.label.to_owned(), String::new())).collect();
    let id = prompt::choose(question, &list, true)?;
    login_provider(id, tokens).map_err(Failure::new)
}

fn ask_method(question: &str, methods: &[&'static AuthMethod]) -> Result<&'static AuthMethod, Failure> {
    let list: Vec<(String, String)> = methods.iter().map(|method| (method.label.to_owned(), String::new())).collect();
    let at = prompt::choose_of(question, &list)?;
    methods.get(at).copied().ok_or_else(|| Failure::new("No method was chosen."))
}
