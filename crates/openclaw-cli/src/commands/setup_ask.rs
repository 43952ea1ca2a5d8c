//! The set-up as a conversation (spec 04 section 3.9): provider, method, key, a summary, and only then a write.

use std::time::Duration;

use auth_core::provider::{AuthKind, AuthMethod, KeySetup, PROVIDERS, ProviderInfo, ProviderKind};
use auth_core::setup::{Choice, CustomKey, InputMode, resolve_choice};
use auth_core::{AuthKey, EnvOrigin, Environment, Secret, SecretRef, is_env_id, login_input, provider};
use auth_store::secrets::ExecPolicy;

use super::change::Changing;
use super::choose_reference::ReferenceQuestion;
use super::onboard::SetUp;
use super::onboard::normalised;
use super::setup_plan::{Plan, refuse_blocked};
use super::setup_planner::{CUSTOM_VARIABLE, OAUTH_TOKEN_PREFIX, Planner, SETUP_TOKEN_VARIABLE, Variables};
use super::sign_in::SignIn;
use crate::endpoint_check::Chat;
use crate::failure::Failure;
use crate::onboard_args::Onboard;
use crate::prompt;

/// How long a custom server may take.
const CUSTOM_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a key is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Profile,
    Dotenv,
    Reference,
}

/// The answers so far.
struct Answers {
    choice: Choice,
    reported: String,
    keep: Keep,
    key: Option<Secret>,
    /// The variable that a reference names.
    variable: Option<String>,
    /// Any other place that a reference names, with what is there.
    elsewhere: Option<(SecretRef, Secret)>,
    options: Onboard,
}

/// Asks what to set up. `None` when the user chose to write nothing.
pub(crate) fn ask(set_up: &SetUp<'_>, changing: &Changing<'_>) -> Result<Option<(Plan, String)>, Failure> {
    prompt::intro("Set up a model provider")?;
    if set_up.command == "onboard" && !set_up.options.accept_risk {
        prompt::remark("Agents can read files and run commands of this machine. Run them where that is fine.")?;
        if !prompt::confirm("Go on?", true)? {
            prompt::outro("Nothing was written.")?;
            return Ok(None);
        }
    }
    loop {
        let Some(choice) = chosen(set_up)? else {
            prompt::outro("Nothing was written.")?;
            return Ok(None);
        };
        if let (Choice::Interactive(info, method), reported) = &choice {
            match signed_in(set_up, changing, info, method) {
                Ok(Some(plan)) => return Ok(Some((plan, reported.clone()))),
                Ok(None) => {
                    prompt::outro("Nothing was written.")?;
                    return Ok(None);
                }
                Err(failure) if failure.code == 130 || set_up.options.auth_choice.is_some() => return Err(failure),
                Err(failure) => {
                    prompt::complain(failure.message.trim_start_matches("Error: "))?;
                    continue;
                }
            }
        }
        let Some(answers) = answers_for(set_up, changing, choice)? else {
            if set_up.options.auth_choice.is_none() {
                continue;
            }
            prompt::outro("Nothing was written.")?;
            return Ok(None);
        };
        let mut plan = match planned(set_up, changing, &answers) {
            Ok(plan) => plan,
            Err(failure) if set_up.options.auth_choice.is_some() => return Err(failure),
            Err(failure) => {
                prompt::complain(failure.message.trim_start_matches("Error: "))?;
                continue;
            }
        };
        if !tried(set_up, &plan, answers.elsewhere.as_ref())? {
            if set_up.options.auth_choice.is_none() {
                continue;
            }
            prompt::outro("Nothing was written.")?;
            return Ok(None);
        }
        if answers.keep == Keep::Dotenv {
            into_dotenv(&mut plan, &answers);
        }
        let secret = answers.key.as_ref().map_or_else(|| "a reference".to_owned(), Secret::masked);
        prompt::note("This will be written", &summary(set_up, changing, &plan, &secret)?)?;
        if !prompt::confirm("Write it?", true)? {
            prompt::outro("Nothing was written.")?;
            return Ok(None);
        }
        return Ok(Some((plan, answers.reported)));
    }
}

/// Asks what one choice still needs, and works out what it would do. `None` when the user went back.
pub(crate) fn ask_for(set_up: &SetUp<'_>, changing: &Changing<'_>, choice: Choice) -> Result<Option<Plan>, Failure> {
    let Some(answers) = answers_for(set_up, changing, (choice, String::new()))? else { return Ok(None) };
    planned(set_up, changing, &answers).map(Some)
}

/// Signs in, and shows what that would write. `None` when the user said no.
fn signed_in(
    set_up: &SetUp<'_>,
    changing: &Changing<'_>,
    info: &'static ProviderInfo,
    method: &'static AuthMethod,
) -> Result<Option<Plan>, Failure> {
    if set_up.options.dry_run {
        return Err(Failure::with_fix(
            "A dry run does not sign in.",
            format!("openclaw models auth login --dry-run --provider {} --method {}", info.id, method.method),
        ));
    }
    if let Some(plugin) = info.plugin {
        refuse_blocked(&set_up.session.state.config, info, plugin).map_err(Failure::new)?;
    }
    changing.ready()?;
    let signed_in = SignIn { session: set_up.session, info, method, no_browser: false, qr: false }.run()?;
    let Some(login) = signed_in else { return Ok(None) };
    let plan = Plan::of_login(login, info);
    prompt::note("This will be written", &summary(set_up, changing, &plan, "a login")?)?;
    Ok(prompt::confirm("Write it?", true)?.then_some(plan))
}

/// What the answers would do.
fn planned(set_up: &SetUp<'_>, changing: &Changing<'_>, answers: &Answers) -> Result<Plan, Failure> {
    let mode = if answers.keep == Keep::Reference { InputMode::Reference } else { InputMode::Plaintext };
    Planner {
        situation: set_up.session.state.situation(&changing.auth),
        options: &answers.options,
        mode,
        given: answers.key.as_ref(),
        endpoints: set_up.endpoints(),
        variables: match (&answers.variable, &answers.elsewhere, answers.choice) {
            (Some(name), ..) => Variables::Only(name),
            (None, Some((reference, key)), _) => Variables::Elsewhere(reference, key),
            // Whether a variable is used was asked.
            (None, None, Choice::Key(..) | Choice::LocalServer(_) | Choice::Custom) => Variables::None,
            (None, None, _) => Variables::OfProvider,
        },
    }
    .plan(&answers.choice)
}

/// The choice: of `--auth-choice`, else asked for. `None` is "skip".
fn chosen(set_up: &SetUp<'_>) -> Result<Option<(Choice, String)>, Failure> {
    if let (Some(typed), _) = set_up.choice_and_key()? {
        let renamed = typed == "codex-cli";
        if renamed {
            prompt::remark("codex-cli is called openai-codex now.")?;
        }
        let typed = if renamed { "openai-codex" } else { &typed };
        let chosen = resolve_choice(typed, set_up.options.token_provider.as_deref()).map_err(Failure::new)?;
        set_up.refuse_foreign_keys(&chosen.choice, &chosen.reported)?;
        return Ok(match chosen.choice {
            Choice::Skip => None,
            choice => Some((choice, chosen.reported)),
        });
    }
    loop {
        let mut items: Vec<(Option<&'static ProviderInfo>, String, String)> = providers()
            .map(|info| {
                let variable =
                    info.env_vars.iter().find(|name| set_up.session.state.environment.credential(name).is_some());
                let hint = variable.map_or(String::new(), |name| format!("{name} is set"));
                (Some(info), info.label.to_owned(), hint)
            })
            .collect();
        items.sort_by_key(|(_, label, hint)| (hint.is_empty(), label.to_lowercase()));
        let named = |id: &'static str, label: &str, hint: &str| (id, label.to_owned(), hint.to_owned());
        let mut list: Vec<(&'static str, String, String)> =
            items.into_iter().map(|(info, label, hint)| (info.map_or("", |info| info.id), label, hint)).collect();
        list.push(named("custom", "Another server", "compatible with OpenAI or Anthropic"));
        list.push(named("skip", "Skip for now", "write nothing"));
        match prompt::choose("Model provider (type to search)", &list, true)? {
            "skip" => return Ok(None),
            "custom" => return Ok(Some((Choice::Custom, "custom-api-key".to_owned()))),
            id => {
                if let Some(choice) = provider::find(id).map(method_of).transpose()?.flatten() {
                    return Ok(Some(choice));
                }
            }
        }
    }
}

fn providers() -> impl Iterator<Item = &'static ProviderInfo> {
    PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm && !info.auth.is_empty())
}

/// How to sign in to a provider. `None` goes back to the list.
fn method_of(info: &'static ProviderInfo) -> Result<Option<(Choice, String)>, Failure> {
    let method = match info.auth {
        [only] => only,
        several => {
            let mut list: Vec<(&'static str, String, String)> = several
                .iter()
                .map(|method| (method.choice, method.label.to_owned(), hint_of(method).to_owned()))
                .collect();
            list.push(("", "← Back".to_owned(), String::new()));
            let picked = prompt::choose(&format!("How to sign in to {}", info.label), &list, false)?;
            match several.iter().find(|method| method.choice == picked) {
                Some(method) => method,
                None => return Ok(None),
            }
        }
    };
    let chosen = resolve_choice(method.choice, None).map_err(Failure::new)?;
    Ok(Some((chosen.choice, chosen.reported)))
}

fn hint_of(method: &AuthMethod) -> &'static str {
    match method.kind {
        AuthKind::ApiKey => "",
        AuthKind::Token => "a static token",
        AuthKind::OAuth => "in the browser",
        AuthKind::DeviceCode => "with a code",
        AuthKind::Custom => "a local server",
    }
}

/// What a choice still needs. `None` goes back to the list.
fn answers_for(
    set_up: &SetUp<'_>,
    changing: &Changing<'_>,
    (choice, reported): (Choice, String),
) -> Result<Option<Answers>, Failure> {
    let given = set_up.options;
    let mut options = Onboard {
        custom_base_url: given.custom_base_url.clone(),
        custom_model_id: given.custom_model_id.clone(),
        custom_provider_id: given.custom_provider_id.clone(),
        custom_compatibility: given.custom_compatibility.clone(),
        cloudflare_ai_gateway_account_id: given.cloudflare_ai_gateway_account_id.clone(),
        cloudflare_ai_gateway_gateway_id: given.cloudflare_ai_gateway_gateway_id.clone(),
        token_profile_id: given.token_profile_id.clone(),
        token_expires_in: given.token_expires_in.clone(),
        ..Onboard::default()
    };
    let answers =
        |keep, key, options| Some(Answers { choice, reported, keep, key, variable: None, elsewhere: None, options });
    let given = match set_up.choice_and_key()?.1 {
        Some((name, text)) => normalised(name, &text)?,
        None => None,
    };
    let source = match choice {
        Choice::Key(info, method) => {
            let Some(setup) = &method.setup else { return Ok(None) };
            if info.id == "cloudflare-ai-gateway" {
                fill(&mut options.cloudflare_ai_gateway_account_id, "Cloudflare account id", "")?;
                fill(&mut options.cloudflare_ai_gateway_gateway_id, "Cloudflare gateway id", "")?;
            }
            Source::of(info, setup)
        }
        Choice::SetupToken(..) => {
            let environment = &set_up.session.state.environment;
            if wants_reference(set_up) && environment.credential(SETUP_TOKEN_VARIABLE).is_some() {
                return Ok(answers(Keep::Reference, None, options));
            }
            let accept = |text: &str| login_input::token("anthropic", text).map_err(|why| why.to_string());
            let token = match given {
                Some(token) => token,
                None => prompt::secret("Paste Anthropic setup-token", &accept)?,
            };
            return Ok(answers(Keep::Profile, Some(token), options));
        }
        Choice::LocalServer(info) => {
            let question = format!("Where {} listens", info.label);
            fill(&mut options.custom_base_url, &question, info.base_url.unwrap_or_default())?;
            fill(&mut options.custom_model_id, "Model id", "")?;
            let env_vars = info.env_vars;
            let canonical = env_vars.first().copied().unwrap_or(CUSTOM_VARIABLE);
            Source { label: info.label, env_vars, canonical, ..Source::of_server() }
        }
        Choice::Custom => {
            fill(&mut options.custom_base_url, "Base URL", "http://127.0.0.1:8000/v1")?;
            fill(&mut options.custom_model_id, "Model id", "")?;
            if options.custom_compatibility.is_none() {
                let kinds = [("openai", "OpenAI", "/chat/completions"), ("anthropic", "Anthropic", "/messages")];
                let kinds = kinds.map(|(id, label, hint)| (id, label.to_owned(), hint.to_owned()));
                options.custom_compatibility = Some(prompt::choose("What it speaks", &kinds, false)?.to_owned());
            }
            Source { optional: true, ..Source::of_server() }
        }
        Choice::Ollama(info) => {
            fill(&mut options.custom_base_url, "Where Ollama listens", info.base_url.unwrap_or_default())?;
            fill(&mut options.custom_model_id, "Model (as ollama list shows it)", "")?;
            return Ok(answers(Keep::Profile, None, options));
        }
        Choice::Skip | Choice::Interactive(..) => return Ok(None),
    };
    if let Choice::Key(info, _) = choice
        && info.id == "zai"
    {
        prompt::remark("One request finds out which endpoint your key is for.")?;
    }
    let keep = match (&given, wants_reference(set_up)) {
        (_, true) => Some(Keep::Reference),
        (Some(_), false) => Some(Keep::Profile),
        (None, false) => keep_of(set_up, changing, choice.provider(), &source)?,
    };
    Ok(match (keep, given) {
        (None, _) => None,
        (Some(Keep::Reference), _) if may_be_elsewhere(set_up, &choice) => {
            let elsewhere = elsewhere(set_up, &choice)?;
            elsewhere
                .is_some()
                .then(|| answers(Keep::Reference, None, options))
                .flatten()
                .map(|answers| Answers { elsewhere, ..answers })
        }
        (Some(Keep::Reference), _) => {
            let variable = Some(reference(set_up, &source)?);
            answers(Keep::Reference, None, options).map(|answers| Answers { variable, ..answers })
        }
        (Some(keep), Some(key)) => answers(keep, Some(key), options),
        (Some(keep), None) => {
            let key = key(set_up, &source)?;
            answers(keep, key, options)
        }
    })
}

/// What is asked for, and where it may be already.
struct Source {
    label: &'static str,
    env_vars: &'static [&'static str],
    canonical: &'static str,
    /// It can do without.
    optional: bool,
    /// The `.env` file is a place for it.
    dotenv: bool,
    /// A variable may hold a token instead.
    anthropic: bool,
}

impl Source {
    fn of(info: &'static ProviderInfo, setup: &KeySetup) -> Self {
        let canonical = setup.canonical_variable().unwrap_or_default();
        let anthropic = info.id == "anthropic";
        Self { label: info.label, env_vars: setup.env_vars, canonical, optional: false, dotenv: true, anthropic }
    }

    /// The key of a server of one's own.
    fn of_server() -> Self {
        let (label, canonical) = ("the", CUSTOM_VARIABLE);
        Self { label, env_vars: &[CUSTOM_VARIABLE], canonical, optional: false, dotenv: false, anthropic: false }
    }

    /// The first variable that holds a key, with that key.
    fn found<'e>(&self, environment: &'e Environment) -> Option<(&'static str, Secret, &'e EnvOrigin)> {
        self.env_vars.iter().find_map(|name| {
            let (key, origin) = environment.credential(name)?;
            let token = self.anthropic && key.reveal().starts_with(OAUTH_TOKEN_PREFIX);
            (!token).then_some((*name, key, origin))
        })
    }
}

fn wants_reference(set_up: &SetUp<'_>) -> bool {
    set_up.options.secret_input_mode.as_deref().and_then(InputMode::parse) == Some(InputMode::Reference)
}

fn fill(option: &mut Option<String>, question: &str, default: &str) -> Result<(), Failure> {
    if option.as_deref().is_none_or(|text| text.trim().is_empty()) {
        *option = Some(prompt::text(question, default)?);
    }
    Ok(())
}

/// Where to keep the key. `None` goes back.
fn keep_of(
    set_up: &SetUp<'_>,
    changing: &Changing<'_>,
    info: Option<&ProviderInfo>,
    source: &Source,
) -> Result<Option<Keep>, Failure> {
    if set_up.options.secret_input_mode.is_some() {
        return Ok(Some(Keep::Profile));
    }
    // Stored profiles come before variables: a key in the .env file would never be used beside one.
    let stored =
        info.is_some_and(|info| changing.auth.view.profiles.of_provider(&AuthKey::normalise(info.id)).next().is_some());
    let place = if info.is_some() {
        (
            "profile",
            "In the credential store",
            "auth-profiles.json, readable by you alone; works for a service".to_owned(),
        )
    } else {
        ("profile", "In the config", "openclaw.json, readable by you alone".to_owned())
    };
    let mut list = vec![place];
    if source.dotenv && !stored {
        list.push(("dotenv", "In the .env file of the state directory", format!("as {}", source.canonical)));
    }
    list.push(("ref", "Elsewhere: keep only a reference", "a variable, or a secret provider of the config".to_owned()));
    list.push(("", "← Back", String::new()));
    let list: Vec<_> = list.into_iter().map(|(id, label, hint)| (id, label.to_owned(), hint)).collect();
    Ok(match prompt::choose("How do you want to provide this API key?", &list, false)? {
        "profile" => Some(Keep::Profile),
        "dotenv" => Some(Keep::Dotenv),
        "ref" => Some(Keep::Reference),
        _ => None,
    })
}

/// The key: one that is in the environment, if the user wants it, else pasted. `None` when it can do without.
fn key(set_up: &SetUp<'_>, source: &Source) -> Result<Option<Secret>, Failure> {
    if let Some((name, key, origin)) = source.found(&set_up.session.state.environment)
        && prompt::confirm(&format!("Use existing {name} ({origin}, {})?", key.masked()), true)?
    {
        return Ok(Some(key));
    }
    let accept = |text: &str| match login_input::pasted_api_key(text) {
        Ok(key) => Ok(Some(key)),
        Err(login_input::InputError::Empty) if source.optional => Ok(None),
        Err(why) => Err(why.to_string()),
    };
    let hint = if source.optional { " (empty if it needs none)" } else { "" };
    prompt::secret(&format!("Enter {} API key{hint}", source.label), &accept)
}

/// What is asked about a reference to a file or a program; they are tried at once.
fn reference_question<'a>(set_up: &'a SetUp<'_>, choice: &Choice) -> ReferenceQuestion<'a> {
    let state = &set_up.session.state;
    ReferenceQuestion {
        secrets: &state.config.secrets,
        environment: &state.environment,
        layout: &state.layout,
        host: &set_up.session.host,
        policy: ExecPolicy::Allow,
        helper: None,
        provider: choice.provider().map_or("custom", |info| info.id),
    }
}

/// Whether the key may live in a file or with a program: the config knows one, and the entry takes any reference.
fn may_be_elsewhere(set_up: &SetUp<'_>, choice: &Choice) -> bool {
    matches!(choice, Choice::Key(..) | Choice::Custom) && reference_question(set_up, choice).has_other_sources()
}

/// The place to refer to, with what is there now; `None` goes back.
fn elsewhere(set_up: &SetUp<'_>, choice: &Choice) -> Result<Option<(SecretRef, Secret)>, Failure> {
    let found = reference_question(set_up, choice).ask()?;
    Ok(found.and_then(|(reference, key)| Some((reference, key?))))
}

/// The variable to refer to; it must hold something now.
fn reference(set_up: &SetUp<'_>, source: &Source) -> Result<String, Failure> {
    let environment = &set_up.session.state.environment;
    let default = source.found(environment).map_or(source.canonical, |(name, ..)| name);
    loop {
        let name = prompt::text("Which variable holds the key?", default)?;
        if !is_env_id(&name) {
            prompt::complain("A variable has capital letters, digits and underscores.")?;
        } else if environment.credential(&name).is_none() {
            prompt::complain(&format!("{name} is not set here; export it first, or choose another one."))?;
        } else {
            return Ok(name);
        }
    }
}

/// Asks a custom server for one token. When it does not answer, the user says whether that matters.
fn tried(set_up: &SetUp<'_>, plan: &Plan, elsewhere: Option<&(SecretRef, Secret)>) -> Result<bool, Failure> {
    let Some((custom, key)) = plan.custom_server() else { return Ok(true) };
    let key = key.and_then(|key| match key {
        CustomKey::Plain(secret) => Some(secret.clone()),
        CustomKey::Reference(to) => match elsewhere {
            Some((_, key)) => Some(key.clone()),
            None => set_up.session.state.environment.credential(&to.id).map(|(secret, _)| secret),
        },
    });
    let key = key.as_ref();
    let (base_url, api, model) = (custom.base_url.as_str(), custom.api, custom.model.as_str());
    let answer = set_up.endpoints().chat(&Chat { base_url, api, model, key, timeout: CUSTOM_TIMEOUT });
    match answer {
        Ok(()) => prompt::remark(&format!("{base_url} answers."))?,
        Err(why) => {
            prompt::complain(&format!("{base_url} does not answer for {model}: {why}."))?;
            return prompt::confirm("Keep it all the same?", false);
        }
    }
    Ok(true)
}

/// Moves the key of a plan from the store to the `.env` file.
fn into_dotenv(plan: &mut Plan, answers: &Answers) {
    let Choice::Key(_, method) = answers.choice else { return };
    let variable = method.setup.and_then(|setup| setup.canonical_variable());
    if let (Some(variable), Some(key)) = (variable, &answers.key) {
        plan.profiles.clear();
        plan.dotenv = Some((variable.to_owned(), key.clone()));
    }
}

/// `secret` is what is shown in the place of the credential.
fn summary(set_up: &SetUp<'_>, changing: &Changing<'_>, plan: &Plan, secret: &str) -> Result<String, Failure> {
    let layout = &set_up.session.state.layout;
    let mut lines = Vec::new();
    for stored in &plan.profiles {
        lines.push(format!("{}  {} ({secret})", changing.store_path(), stored.id));
    }
    if let Some((name, value)) = &plan.dotenv {
        lines.push(format!("{}  {name} ({})", layout.shorten(&layout.state_dir().join(".env")), value.masked()));
    }
    if let Some((path, shown)) = plan.config_key() {
        lines.push(format!("{}  {path} ({shown})", layout.shorten(layout.config_path())));
    }
    if set_up.options.reset {
        lines.push(format!(
            "{}  starts anew; the old one is kept under another name",
            layout.shorten(layout.config_path())
        ));
    }
    let mut settings = set_up.preview(changing, plan)?;
    settings.retain(|setting| !setting.starts_with("wizard") && !setting.starts_with("gateway"));
    lines.push(format!("{}  {}", layout.shorten(layout.config_path()), settings.join(", ")));
    if let Some(model) = &plan.model {
        lines.push(format!("Default model: {model}"));
    }
    Ok(lines.join("\n"))
}
