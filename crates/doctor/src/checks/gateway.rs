//! What the config says about the gateway (spec 06 section 9). No gateway is started, stopped or called.

use auth_core::{RefDefaults, RefSource, RefState, SecretRef};
use auth_store::random_bytes;
use serde_json::{Value, json};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::receipt::hex;
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;

const MODE_UNSET: &str = "gateway.mode_unset";
const AMBIGUOUS: &str = "gateway.auth_ambiguous";
const MISSING: &str = "gateway.auth_missing";
const REF_UNAVAILABLE: &str = "gateway.token_ref_unavailable";
const NOT_CHECKED: &str = "gateway.not_checked";
/// How long a new token is, in bytes.
const TOKEN_BYTES: usize = 24;

/// Whether the gateway would start.
pub(super) struct GatewayMode;

impl Check for GatewayMode {
    fn codes(&self) -> &'static [&'static str] {
        &[MODE_UNSET, AMBIGUOUS]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        if gateway_text(view, "/gateway/mode").is_none() {
            let setup = if view.scene.config.source.exists { "" } else { " (there is no config yet: openclaw setup)" };
            let fix = "openclaw config set gateway.mode local";
            let message = format!("gateway.mode is unset; the start of a gateway will be blocked. Run: {fix}{setup}");
            let finding = Finding::new(MODE_UNSET, Severity::Info, "Gateway", &message).at("gateway.mode");
            found.push(finding.shown_as(format!("- {message}")).helped_by(fix));
        }
        let auth = view.scene.authored().pointer("/gateway/auth").unwrap_or(&Value::Null);
        let has = |name: &str| auth.get(name).is_some_and(is_given);
        if !view.scene.is_remote() && has("token") && has("password") && auth.get("mode").is_none() {
            let fix = "openclaw config set gateway.auth.mode token";
            let message = format!(
                "gateway.auth has a token and a password but no mode, which is ambiguous. Set one: {fix} (or password)"
            );
            let finding = Finding::new(AMBIGUOUS, Severity::Info, "Gateway auth", &message).at("gateway.auth.mode");
            found.push(finding.shown_as(format!("- {message}")).helped_by(fix));
        }
        found
    }
}

/// Whether the gateway asks its clients for a secret.
pub(super) struct GatewayToken;

impl Check for GatewayToken {
    fn codes(&self) -> &'static [&'static str] {
        &[MISSING, REF_UNAVAILABLE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        match standing(view) {
            Token::Fine => Vec::new(),
            Token::Reference => {
                let message =
                    "gateway.auth.token is a secret reference that is not available here; it is not overwritten";
                let finding = Finding::new(REF_UNAVAILABLE, Severity::Info, "Gateway auth", message);
                vec![finding.shown_as(format!("- {message}")).at("gateway.auth.token")]
            }
            Token::Missing => {
                let message = "Gateway auth is off or has no token";
                let fix = "openclaw doctor --generate-gateway-token";
                let finding = Finding::new(MISSING, Severity::Info, "Gateway auth", message).at("gateway.auth.token");
                vec![finding.shown_as(format!("- {message}. Run: {fix}")).fixable().helped_by(fix)]
            }
        }
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        if !findings.iter().any(|finding| finding.fixable) {
            return Ok(None);
        }
        let bytes = random_bytes(TOKEN_BYTES)
            .map_err(|error| Refusal { code: MISSING, message: format!("no random bytes for a token: {error}") })?;
        let token: String = hex(&bytes);
        let changes = view.config_change(MISSING, &|root| {
            let auth = auth_core::config::edit::object_at(root, &["gateway", "auth"]);
            auth.insert("mode".to_owned(), json!("token"));
            auth.insert("token".to_owned(), json!(token));
        })?;
        let question = "Generate and configure a gateway token now?";
        let line = "- Gateway auth: mode token, with a new token (gateway.auth.token)".to_owned();
        Ok(Some(Repair::new(MISSING, RepairKind::GatewayToken, question).telling([line]).changing(changes)))
    }
}

/// One line about what is not looked at.
pub(super) struct GatewayScope;

impl Check for GatewayScope {
    fn codes(&self) -> &'static [&'static str] {
        &[NOT_CHECKED]
    }

    fn detect(&self, _view: &View<'_>) -> Vec<Finding> {
        let message = "Checks of gateway, channels, sandbox, plugins, cron and memory are not part of this program. A running gateway keeps its credentials in memory: restart it, or let it reload, after a repair of credentials.";
        vec![Finding::new(NOT_CHECKED, Severity::Info, "Not checked", message).shown_as(message)]
    }
}

enum Token {
    Fine,
    Reference,
    Missing,
}

fn standing(view: &View<'_>) -> Token {
    let scene = view.scene;
    let env = &scene.state.environment;
    if scene.is_remote() || scene.config.invalid.is_some() {
        return Token::Fine;
    }
    let auth = scene.authored().pointer("/gateway/auth").unwrap_or(&Value::Null);
    let given = |name: &str| auth.get(name).filter(|value| is_given(value));
    let from_env = env.non_blank("OPENCLAW_GATEWAY_TOKEN").is_some();
    let mode = auth.get("mode").and_then(Value::as_str);
    match mode {
        // Somebody else checks who comes in.
        Some("password" | "trusted-proxy") => return Token::Fine,
        None if given("token").is_some() && given("password").is_some() => return Token::Fine,
        None if given("password").is_some() || env.non_blank("OPENCLAW_GATEWAY_PASSWORD").is_some() => {
            return Token::Fine;
        }
        Some(other) if other != "token" => return Token::Missing,
        _ => {}
    }
    let secrets = &scene.settings().secrets;
    match given("token") {
        Some(value) => match SecretRef::coerce(value, &RefDefaults::default()) {
            None => Token::Fine,
            Some(_) if from_env => Token::Fine,
            Some(reference) if reference.source == RefSource::Env => {
                let found = matches!(RefState::of_env(&reference, env, secrets), RefState::Resolved(_));
                if found { Token::Fine } else { Token::Reference }
            }
            Some(_) => Token::Reference,
        },
        None if from_env => Token::Fine,
        None => Token::Missing,
    }
}

fn gateway_text<'a>(view: &'a View<'_>, pointer: &str) -> Option<&'a str> {
    view.scene.authored().pointer(pointer).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(_) => true,
        _ => false,
    }
}
