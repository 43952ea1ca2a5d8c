//! `secrets configure` (spec 05 section 13): choosing, for each key, where it lives.

use std::path::Path;

use auth_core::secrets::{Plan, PlanPlace, PlanTarget, ScrubOptions, SecretsConfig};
use auth_core::{AgentId, CredentialKind, ProfileId, SecretRef};
use auth_store::secrets::{ApplyOptions, ExecPolicy, Holds, SecretPlace, inventory};
use auth_store::{Run, State, iso_time};
use serde_json::json;

use super::super::choose_reference::ReferenceQuestion;
use super::Desk;
use super::apply::{carry_out, document, print_page};
use super::configure_providers::{self, StagedProviders};
use super::plan::PlanFile;
use crate::failure::Failure;
use crate::output::{print_json, remark};
use crate::prompt;
use crate::secrets_args::Configure;

/// Who made the plan, in the plan.
const GENERATED_BY: &str = "openclaw secrets configure";

pub(super) fn run(desk: &Desk<'_>, options: &Configure) -> Result<u8, Failure> {
    if !prompt::is_interactive() {
        return Err(Failure::with_fix(
            "secrets configure requires an interactive TTY.",
            "openclaw secrets plan --to env --out plan.json",
        ));
    }
    if options.providers_only && options.skip_provider_setup {
        return Err(Failure::new("Cannot combine --providers-only with --skip-provider-setup."));
    }
    let (state, authored) = desk.state()?;
    let agent = state.agent(options.agent.as_deref())?;
    prompt::intro("Where keys live")?;
    let staged = if options.skip_provider_setup {
        StagedProviders::default()
    } else {
        configure_providers::ask(&state.config.secrets)?
    };
    let targets = if options.providers_only {
        Vec::new()
    } else {
        let (places, errors) = inventory(&state, &authored, std::slice::from_ref(&agent), &desk.host);
        for error in errors {
            prompt::complain(&format!("{} {}", state.layout.shorten(&error.path), error.message))?;
        }
        let secrets = staged.applied_to(&state.config.secrets);
        Choosing { desk, state: &state, secrets: &secrets, agent: &agent, allow_exec: options.allow_exec }
            .ask(places)?
    };
    if targets.is_empty() && staged.is_empty() {
        return Err(Failure::new("No secrets changes were selected."));
    }
    let plan = Plan {
        targets,
        provider_upserts: staged.upserts,
        provider_deletes: staged.deletes,
        scrub: ScrubOptions { env: true, profiles: true, legacy_auth: true },
    };
    finish(desk, options, &state, &plan)
}

/// Shows what the plan would do, and does it when that is wanted.
fn finish(desk: &Desk<'_>, options: &Configure, state: &State, plan: &Plan) -> Result<u8, Failure> {
    let generated = plan.to_value(&iso_time(state.now().as_ms()), GENERATED_BY);
    let dry = ApplyOptions { run: Run::Dry, allow_exec: options.allow_exec, keep_backups: false };
    let preflight = carry_out(desk, plan, dry)?;
    if let Some(path) = &options.plan_out {
        PlanFile::open(desk, Path::new(path))?.write(&generated)?;
        remark(&format!("Plan: {path} (it holds no secret)"));
    }
    if options.json {
        let shown = json!({ "plan": generated, "preflight": document(&preflight, dry) });
        if !options.apply {
            print_json(&shown)?;
            return Ok(0);
        }
        // Standard output has one document: the result, below.
    } else {
        print_page(desk, &preflight, dry)?;
        if !options.apply && !prompt::confirm("Put this into effect now?", true)? {
            prompt::outro("Nothing was changed.")?;
            return Ok(0);
        }
    }
    if options.apply
        && !options.yes
        && !prompt::confirm("Replace the plaintext by references now? It will be gone from these files.", true)?
    {
        return Err(Failure { message: "Cancelled; nothing was changed.".to_owned(), code: 130 });
    }
    let real = ApplyOptions { run: Run::Real, ..dry };
    let report = carry_out(desk, plan, real)?;
    if options.json {
        print_json(
            &json!({ "plan": generated, "preflight": document(&preflight, dry), "result": document(&report, real) }),
        )?;
    } else {
        print_page(desk, &report, real)?;
    }
    Ok(0)
}

/// Choosing places and what comes there.
struct Choosing<'a> {
    desk: &'a Desk<'a>,
    state: &'a State,
    secrets: &'a SecretsConfig,
    agent: &'a AgentId,
    allow_exec: bool,
}

impl Choosing<'_> {
    fn ask(&self, mut places: Vec<SecretPlace>) -> Result<Vec<PlanTarget>, Failure> {
        let mut targets: Vec<PlanTarget> = Vec::new();
        loop {
            let mut list: Vec<(String, String)> =
                places.iter().map(|place| (place.label.clone(), hint(&place.holds))).collect();
            list.push(("A new profile".to_owned(), format!("in the store of agent {}", self.agent)));
            list.push(("Done".to_owned(), format!("{} chosen", targets.len())));
            let at = prompt::choose_of("Which key?", &list)?;
            if at == places.len() + 1 {
                return Ok(targets);
            }
            let place = if at == places.len() { self.new_profile()? } else { places.remove(at) };
            let Some(reference) = self.reference(&place)? else {
                places.extend((!matches!(place.holds, Holds::Nothing)).then_some(place));
                places.sort_by(|a, b| a.label.cmp(&b.label));
                continue;
            };
            targets.push(PlanTarget { place: place.place, reference, fingerprint: None });
        }
    }

    fn new_profile(&self) -> Result<SecretPlace, Failure> {
        let fits = |id: &str| {
            (1..=128).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-'))
        };
        let id = prompt::text_until("Its id, such as openai:work", "", &|text| {
            if fits(text) {
                Ok(ProfileId::new(text))
            } else {
                Err("Letters, digits, :, _ and - only, at most 128.".to_owned())
            }
        })?;
        let before_colon = id.as_str().split(':').next().unwrap_or_default().to_owned();
        let provider = prompt::text("Its provider", &before_colon)?;
        let kinds =
            [("api_key", "An API key".to_owned(), String::new()), ("token", "A token".to_owned(), String::new())];
        let kind = prompt::choose("What is it?", &kinds, false)?;
        let kind = CredentialKind::parse(kind).unwrap_or(CredentialKind::ApiKey);
        let label = format!("auth-profiles:{}:profiles.{id}", self.agent);
        let place = PlanPlace::Profile { agent: self.agent.clone(), id, kind, provider: Some(provider.clone()) };
        Ok(SecretPlace { place, provider, label, holds: Holds::Nothing })
    }

    /// Asks for a reference; `None` goes back to the list.
    fn reference(&self, place: &SecretPlace) -> Result<Option<SecretRef>, Failure> {
        let own = self.desk.ground();
        let helper = self.desk.helper(&own);
        let question = ReferenceQuestion {
            secrets: self.secrets,
            environment: &self.state.environment,
            layout: &self.state.layout,
            host: &self.desk.host,
            policy: if self.allow_exec { ExecPolicy::Allow } else { ExecPolicy::Own },
            helper: Some(&helper),
            provider: &place.provider,
        };
        let Some((reference, found)) = question.ask()? else { return Ok(None) };
        if let (Holds::Plaintext(now), Some(found)) = (&place.holds, found)
            && !now.is_same(&found)
        {
            prompt::complain(&format!(
                "That is another secret ({}) than the one that stands there now ({}), which would be gone.",
                found.masked(),
                now.masked()
            ))?;
            if !prompt::confirm("Replace it all the same?", false)? {
                return Ok(None);
            }
        }
        Ok(Some(reference))
    }
}

fn hint(holds: &Holds) -> String {
    match holds {
        Holds::Plaintext(secret) => format!("plaintext {}", secret.masked()),
        Holds::Reference(reference) => reference.label(),
        Holds::Both(reference, secret) => format!("{}, plaintext {} beside it", reference.label(), secret.masked()),
        Holds::Nothing => "empty".to_owned(),
    }
}
