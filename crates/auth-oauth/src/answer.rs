//! The answer of a token endpoint, or what its refusal says.

use std::fmt::Write as _;

use auth_core::Secret;
use auth_core::secrets::Redactor;
use serde_json::Value;

use crate::error::{OAuthError, OAuthErrorKind};
use crate::transport::HttpResponse;

/// The most of one part of a refusal that is shown, in characters.
const MAX_SHOWN: usize = 200;
/// The longest life time that is believed, in seconds: ten years.
const LONGEST_LIFE_S: f64 = 10.0 * 365.25 * 86_400.0;

/// A JSON object that came with a status of success.
pub(crate) struct Answer(Value);

impl Answer {
    /// Reads an answer. `sent` are the secrets of the request, which no message may repeat.
    pub(crate) fn read(response: &HttpResponse, sent: &[&Secret]) -> Result<Self, OAuthError> {
        let body: Value = serde_json::from_str(response.body.reveal()).unwrap_or_default();
        match response.status {
            200..=299 if body.is_object() => Ok(Self(body)),
            200..=299 => Err(OAuthError::protocol("the answer is not a JSON object")),
            300..=399 => Err(OAuthError {
                status: Some(response.status),
                ..OAuthError::protocol(format!("HTTP {}: redirects, which is not followed", response.status))
            }),
            status => Err(refusal(status, &body, sent)),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).and_then(|text| Secret::new(text).cleaned())
    }

    /// A secret that has to be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<Secret, OAuthError> {
        self.secret(name).ok_or_else(|| OAuthError::protocol(format!("the answer has no {name}")))
    }

    /// A number, also one that was written as text.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        let value = self.0.get(name)?;
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        number.is_finite().then_some(number)
    }

    /// `expires_in` in milliseconds.
    pub(crate) fn life_ms(&self) -> Result<f64, OAuthError> {
        match self.number("expires_in") {
            Some(seconds) if (1.0..=LONGEST_LIFE_S).contains(&seconds) => Ok((seconds * 1000.0).floor()),
            Some(_) => Err(OAuthError::protocol("the answer's expires_in is no life time")),
            None => Err(OAuthError::protocol("the answer has no expires_in")),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// What a refusal says: status, code and text, each cut and without secrets.
fn refusal(status: u16, body: &Value, sent: &[&Secret]) -> OAuthError {
    let redactor = Redactor::of(sent.iter().map(|secret| (*secret).clone()));
    let at = |path: &str| {
        let value = body.pointer(path)?;
        let text = value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))?;
        let shown: String = redactor.redact(text.trim()).chars().take(MAX_SHOWN).collect();
        (!shown.is_empty()).then_some(shown)
    };
    let code =
        ["/error/code", "/error/type", "/error", "/code", "/base_resp/status_code"].iter().find_map(|path| at(path));
    let said =
        ["/error_description", "/error/message", "/message", "/base_resp/status_msg"].iter().find_map(|path| at(path));
    let mut message = format!("HTTP {status}");
    if let Some(code) = &code {
        let _ = write!(message, " {code}");
    }
    if let Some(said) = said.filter(|said| Some(said) != code.as_ref()) {
        let _ = write!(message, ": {said}");
    }
    let kind = match status {
        408 | 429 | 500.. => OAuthErrorKind::Unavailable,
        _ => OAuthErrorKind::Refused,
    };
    OAuthError { kind, message, code, status: Some(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<Answer, OAuthError> {
        Answer::read(&HttpResponse { status, body: Secret::new(body) }, &[&Secret::new("rt-test-canary-0001")])
    }

    #[test]
    fn refusals_name_status_code_and_text_without_the_secret() {
        for (status, body, message, code, kind) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"gone"}"#,
                "HTTP 400 invalid_grant: gone",
                Some("invalid_grant"),
                OAuthErrorKind::Refused,
            ),
            (
                401,
                r#"{"error":{"code":"refresh_token_reused","message":"used"}}"#,
                "HTTP 401 refresh_token_reused: used",
                Some("refresh_token_reused"),
                OAuthErrorKind::Refused,
            ),
            (
                400,
                r#"{"base_resp":{"status_code":1004,"status_msg":"no"}}"#,
                "HTTP 400 1004: no",
                Some("1004"),
                OAuthErrorKind::Refused,
            ),
            (503, "<html>", "HTTP 503", None, OAuthErrorKind::Unavailable),
            (429, "", "HTTP 429", None, OAuthErrorKind::Unavailable),
            (400, r#"{"message":"rt-test-canary-0001 is bad"}"#, "HTTP 400: *** is bad", None, OAuthErrorKind::Refused),
        ] {
            let error = read(status, body).err().unwrap();
            assert_eq!((error.message.as_str(), error.code.as_deref(), error.kind), (message, code, kind));
        }
        assert_eq!(read(302, "{}").err().unwrap().kind, OAuthErrorKind::Protocol);
        assert_eq!(read(200, "[]").err().unwrap().kind, OAuthErrorKind::Protocol);
    }

    #[test]
    fn life_times_are_numbers_within_reason() {
        let life = |text: &str| read(200, &format!(r#"{{"expires_in":{text}}}"#)).unwrap().life_ms().ok();
        assert_eq!(life("3600"), Some(3_600_000.0));
        assert_eq!(life("\" 60 \""), Some(60_000.0));
        for bad in ["0", "-5", "null", "\"x\"", "1e12", "{}"] {
            assert_eq!(life(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_cleaned_or_missing() {
        let answer = read(200, r#"{"access_token":" at-test\n-1 ","refresh_token":"  "}"#).unwrap();
        assert_eq!(answer.secret("access_token").unwrap().reveal(), "at-test-1");
        assert_eq!(answer.required("refresh_token").unwrap_err().message, "the answer has no refresh_token");
    }
}
