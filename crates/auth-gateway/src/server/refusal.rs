//! Requests that get no answer, and in whose words (spec 07 sections 12.1 and 12.5).

use std::time::Duration;

use auth_core::{FailureReason, Timestamp};
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::outcome::{TurnError, TurnErrorKind};

/// In whose words an error is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// `{"error":{"message","type"}}`.
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`.
    Anthropic,
}

/// A request that gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The type in OpenAI's words.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), retry_after_s: None }
    }

    /// What was sent cannot be understood.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "Unauthorized")
    }

    pub(crate) fn locked(left: Duration) -> Self {
        let text = "Too many failed authentication attempts. Please try again later.";
        Self::new(429, "rate_limited", text).after(left)
    }

    pub(crate) fn forbidden() -> Self {
        let text = "The Host or Origin of this request is not this machine. Use http://127.0.0.1 or http://localhost.";
        Self::new(403, "forbidden", text)
    }

    pub(crate) fn busy() -> Self {
        Self::new(503, "overloaded", "Too many turns at once. Please try again.").after(Duration::from_secs(1))
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "not_found", "Not Found")
    }

    pub(crate) fn disabled() -> Self {
        let text = "This endpoint is off. Set gateway.http.endpoints.chatCompletions.enabled to true, or start with: openclaw gateway run --openai";
        Self::new(404, "not_found", text)
    }

    fn after(self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after_s: Some(whole.max(1)), ..self }
    }

    /// A turn that failed.
    pub(crate) fn of_turn(error: &TurnError, now: Timestamp) -> Self {
        let (status, kind) = match (error.kind, error.reason) {
            (TurnErrorKind::TimedOut, _) => (504, "timeout"),
            (TurnErrorKind::BadPin, _) => (400, "invalid_request_error"),
            (TurnErrorKind::ContextOverflow, _) => (400, "context_length_exceeded"),
            (TurnErrorKind::NoCredential, _) => (401, "auth"),
            (TurnErrorKind::Cancelled, _) => (503, "cancelled"),
            (TurnErrorKind::Failed, Some(reason)) => (status_for(reason), reason.as_str()),
            (TurnErrorKind::Failed, None) => (502, "api_error"),
        };
        let left_ms = error.soonest_end_ms.map(|end| end - now.as_f64()).filter(|left| *left > 0.0);
        let refusal = Self::new(status, kind, &error.message);
        match left_ms {
            Some(left) => refusal.after(Duration::from_secs_f64((left / 1000.0).min(1e9))),
            None => refusal,
        }
    }

    /// The type in Anthropic's words.
    fn anthropic_kind(&self) -> &'static str {
        match self.status {
            400 | 405 | 408 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            _ => "api_error",
        }
    }

    /// The JSON of it.
    pub(crate) fn body(&self, tongue: Tongue) -> serde_json::Value {
        match tongue {
            Tongue::OpenAi => json!({"error": {"message": self.message, "type": self.kind}}),
            Tongue::Anthropic => {
                json!({"type": "error", "error": {"type": self.anthropic_kind(), "message": self.message}})
            }
        }
    }

    pub(crate) fn response(&self, tongue: Tongue) -> Response {
        let mut response = Response::new(Body::from(self.body(tongue).to_string()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The status that tells a client what kind of failure it was.
fn status_for(reason: FailureReason) -> u16 {
    match reason {
        FailureReason::RateLimit => 429,
        FailureReason::Billing => 402,
        FailureReason::Auth | FailureReason::AuthPermanent | FailureReason::SessionExpired => 401,
        FailureReason::Overloaded => 503,
        FailureReason::Timeout => 504,
        FailureReason::Format => 400,
        FailureReason::ModelNotFound => 404,
        FailureReason::Unknown => 502,
    }
}

/// The answer to a method that a path does not have.
pub(crate) fn wrong_method(allowed: &'static str) -> Response {
    let mut response = Response::new(Body::from("Method Not Allowed"));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_turn_says_when_to_come_back() {
        let error = TurnError {
            reason: Some(FailureReason::RateLimit),
            soonest_end_ms: Some(61_001.0),
            ..TurnError::new(TurnErrorKind::Failed, "limited")
        };
        let refusal = Refusal::of_turn(&error, Timestamp::from_ms(1000));
        assert_eq!((refusal.status, refusal.kind, refusal.retry_after_s), (429, "rate_limit", Some(61)));
        let late = Refusal::of_turn(&error, Timestamp::from_ms(90_000));
        assert_eq!(late.retry_after_s, None);
        assert_eq!(refusal.body(Tongue::Anthropic)["error"]["type"], "rate_limit_error");
        assert_eq!(refusal.body(Tongue::OpenAi)["error"]["type"], "rate_limit");
        for (reason, status) in [(FailureReason::Billing, 402), (FailureReason::AuthPermanent, 401)] {
            let error = TurnError { reason: Some(reason), ..error.clone() };
            assert_eq!(Refusal::of_turn(&error, Timestamp::from_ms(0)).status, status);
        }
    }
}
