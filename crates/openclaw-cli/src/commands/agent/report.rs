//! What a turn says at its end (spec 07 section 11.3).

use std::time::Duration;

use auth_gateway::{Answer, Attempted, TurnError, TurnErrorKind};
use serde_json::{Map, Value, json};

use super::exit_code;
use crate::commands::Session;
use crate::failure::Failure;
use crate::output::{print_json, print_text, remark};
use crate::render::Ms;

/// How a turn ended.
pub(super) enum Outcome {
    Answered(Answer),
    Failed(TurnError),
}

/// The answer to a command; no model was asked.
pub(super) fn said(session: &Session, json: bool, text: &str, took: Duration) -> Result<u8, Failure> {
    if json {
        let meta = json!({"durationMs": millis(took), "aborted": false});
        print_json(&json!({"payloads": [{"text": text, "mediaUrl": null}], "meta": meta}))?;
        return Ok(0);
    }
    session.debug(|| "[debug] no model was asked".to_owned());
    print_text(&format!("{text}\n"))?;
    Ok(0)
}

/// A command that was refused; nothing has changed.
pub(super) fn refused(_session: &Session, json: bool, text: &str) -> Result<u8, Failure> {
    if json {
        let payload = json!({"text": text, "mediaUrl": null, "isError": true});
        print_json(&json!({"payloads": [payload], "meta": {"aborted": false}}))?;
    }
    Err(Failure { message: text.to_owned(), code: 1 })
}

/// The end of a turn, and its exit code.
pub(super) fn ended(
    session: &Session,
    json: bool,
    verbose: bool,
    session_id: &str,
    outcome: Outcome,
    took: Duration,
) -> Result<u8, Failure> {
    let (notes, requests) = match &outcome {
        Outcome::Answered(answer) => (&answer.notes, &answer.attempts),
        Outcome::Failed(error) => (&error.notes, &error.requests),
    };
    for note in notes {
        session.warn(note);
    }
    if verbose {
        trace(requests, &outcome);
    }
    match outcome {
        Outcome::Answered(answer) => {
            if json {
                print_json(&answered(&answer, session_id, took))?;
            } else if answer.text.trim().is_empty() {
                print_text("No reply from agent.\n")?;
            } else {
                print_text(&format!("{}\n", answer.text.trim_end()))?;
            }
            Ok(0)
        }
        Outcome::Failed(error) => {
            if json {
                print_json(&failed(&error, session_id, took))?;
            }
            let message = match error.kind {
                TurnErrorKind::Cancelled => error.message.clone(),
                _ => format!("Error: {}", error.message),
            };
            Err(Failure { message, code: exit_code(&error) })
        }
    }
}

/// Which credentials were tried, for people.
fn trace(requests: &[Attempted], outcome: &Outcome) {
    for request in requests {
        let source = request.source.as_deref().unwrap_or("-");
        let reason = request.reason.map_or("unclassified", auth_core::FailureReason::as_str);
        remark(&format!("[auth] {}/{}  {source}  {reason}: {}", request.provider, request.model, request.error));
    }
    if let Outcome::Answered(answer) = outcome {
        remark(&format!("[auth] {}/{}  {}  answered", answer.provider, answer.model, answer.used.source));
    }
}

fn answered(answer: &Answer, session_id: &str, took: Duration) -> Value {
    let usage = &answer.usage;
    let mut known = Map::new();
    for (name, count) in [
        ("input", usage.input),
        ("output", usage.output),
        ("cacheRead", usage.cache_read),
        ("cacheWrite", usage.cache_write),
        ("total", usage.total()),
    ] {
        if count > 0 {
            known.insert(name.to_owned(), count.into());
        }
    }
    json!({
        "payloads": [{"text": answer.text, "mediaUrl": null}],
        "meta": {
            "durationMs": millis(took),
            "agentMeta": {
                "sessionId": session_id,
                "provider": answer.provider,
                "model": answer.model,
                "usage": known,
                "lastCallUsage": {
                    "input": usage.input, "output": usage.output, "cacheRead": usage.cache_read,
                    "cacheWrite": usage.cache_write, "total": usage.total(),
                },
                "promptTokens": usage.prompt(),
            },
            "aborted": false,
            "stopReason": answer.stop,
            "auth": {
                "profileId": answer.used.profile.as_ref().map(auth_core::ProfileId::as_str),
                "source": answer.used.source,
                "attempts": requests(&answer.attempts),
            },
        },
    })
}

fn failed(error: &TurnError, session_id: &str, took: Duration) -> Value {
    let attempts = error.attempts.iter().map(|attempt| {
        let mut entry = entry(attempt);
        entry.insert("error".to_owned(), attempt.error.as_str().into());
        if let Some(code) = &attempt.code {
            entry.insert("code".to_owned(), code.as_str().into());
        }
        Value::Object(entry)
    });
    let kind = match error.kind {
        TurnErrorKind::TimedOut => "timeout",
        TurnErrorKind::Cancelled => "cancelled",
        TurnErrorKind::ContextOverflow => "context_overflow",
        TurnErrorKind::NoCredential => "no_credential",
        TurnErrorKind::BadPin => "auth_profile",
        _ => "failover",
    };
    let aborted = matches!(error.kind, TurnErrorKind::TimedOut | TurnErrorKind::Cancelled);
    json!({
        "payloads": [{"text": error.message, "mediaUrl": null, "isError": true}],
        "meta": {
            "durationMs": millis(took),
            "agentMeta": {"sessionId": session_id},
            "aborted": aborted,
            "error": {
                "kind": kind,
                "reason": error.reason.map(auth_core::FailureReason::as_str),
                "attempts": attempts.collect::<Vec<_>>(),
                "soonestCooldownExpiry": error.soonest_end_ms.map(|end| serde_json::to_value(Ms(end)).unwrap_or_default()),
            },
            "auth": {"profileId": null, "source": null, "attempts": requests(&error.requests)},
        },
    })
}

fn requests(attempts: &[Attempted]) -> Vec<Value> {
    attempts.iter().map(|attempt| Value::Object(entry(attempt))).collect()
}

fn entry(attempt: &Attempted) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("provider".to_owned(), attempt.provider.as_str().into());
    entry.insert("model".to_owned(), attempt.model.as_str().into());
    if let Some(profile) = &attempt.profile {
        entry.insert("profileId".to_owned(), profile.as_str().into());
    } else if let Some(source) = &attempt.source {
        entry.insert("source".to_owned(), source.as_str().into());
    }
    entry.insert("reason".to_owned(), attempt.reason.map_or("unknown", auth_core::FailureReason::as_str).into());
    if let Some(status) = attempt.status {
        entry.insert("status".to_owned(), status.into());
    }
    entry
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
