//! What the config says about the gateway (spec 07 sections 12 and 13).

use serde_json::Value;

use super::view::SecretInput;

/// The settings below `gateway`.
#[derive(Clone, Debug, Default)]
pub struct GatewaySettings {
    /// `gateway.mode`, such as `local`.
    pub mode: Option<String>,
    /// `gateway.port`.
    pub port: Option<u16>,
    /// `gateway.bind`.
    pub bind: Option<String>,
    /// `gateway.auth.mode`.
    pub auth_mode: Option<String>,
    /// `gateway.auth.token`.
    pub token: Option<SecretInput>,
    /// `gateway.auth.password`.
    pub password: Option<SecretInput>,
    /// `gateway.http.endpoints.chatCompletions.enabled`.
    pub chat_completions: bool,
}

impl GatewaySettings {
    /// Reads the settings; `secret` reads a field that holds a secret.
    pub(super) fn from_value(value: Option<&Value>, secret: &dyn Fn(&Value) -> Option<SecretInput>) -> Self {
        let Some(value) = value else { return Self::default() };
        let at = |pointer: &str| value.pointer(pointer);
        let text = |pointer: &str| {
            let text = at(pointer)?.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        Self {
            mode: text("/mode"),
            port: at("/port")
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port > 0),
            bind: text("/bind"),
            auth_mode: text("/auth/mode"),
            token: at("/auth/token").and_then(secret),
            password: at("/auth/password").and_then(secret),
            chat_completions: at("/http/endpoints/chatCompletions/enabled") == Some(&Value::Bool(true)),
        }
    }
}
