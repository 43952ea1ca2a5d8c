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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::{Config, GatewaySettings, SecretInput};

    fn settings(gateway: &Value) -> GatewaySettings {
        Config::from_value(&json!({"gateway": gateway})).gateway
    }

    #[test]
    fn settings_are_read_and_what_does_not_fit_is_left_out() {
        let full = settings(&json!({
            "mode": " local ", "port": 18789, "bind": "loopback",
            "auth": {"mode": "token", "token": "tok-test", "password": {"source": "env", "provider": "default", "id": "PW"}},
            "http": {"endpoints": {"chatCompletions": {"enabled": true}}}
        }));
        assert_eq!(
            (full.mode.as_deref(), full.port, full.bind.as_deref()),
            (Some("local"), Some(18789), Some("loopback"))
        );
        assert_eq!((full.auth_mode.as_deref(), full.chat_completions), (Some("token"), true));
        assert!(matches!(full.token, Some(SecretInput::Plain(_))));
        assert!(matches!(full.password, Some(SecretInput::Reference(to)) if to.id == "PW"));
        assert!(!format!("{:?}", full.token).contains("tok-test"));

        let blank = settings(
            &json!({"mode": " ", "auth": {"token": " "}, "http": {"endpoints": {"chatCompletions": {"enabled": false}}}}),
        );
        assert!(blank.mode.is_none() && blank.token.is_none() && !blank.chat_completions);
        for enabled in [json!("true"), json!(1), json!(null)] {
            let settings = settings(&json!({"http": {"endpoints": {"chatCompletions": {"enabled": enabled}}}}));
            assert!(!settings.chat_completions);
        }
        for (port, read) in [
            (json!(1), Some(1)),
            (json!(65_535), Some(65_535)),
            (json!(0), None),
            (json!(65_536), None),
            (json!(-1), None),
            (json!("80"), None),
        ] {
            assert_eq!(settings(&json!({"port": port})).port, read, "{port}");
        }
    }
}
