//! `GET /status.json`: what the status page shows. Secrets have no place here, not even masked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use auth_core::{
    AgentId, HealthReason, OtherSources, ProfileId, ProviderId, Situation, Timestamp, cooldown, profile_health,
    resolve_order,
};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::guard::{json_response, snapshot_of};
use super::live::Snapshot;
use super::refusal::{Refusal, Tongue};
use super::tally::Failover;
use crate::engine::Engine;

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let snapshot = match snapshot_of(&request) {
        Ok(snapshot) => snapshot,
        Err(refusal) => return refusal.response(Tongue::OpenAi),
    };
    let work = tokio::task::spawn_blocking(move || report(&shared, &snapshot));
    let Ok(report) = work.await else {
        return Refusal::new(500, "api_error", "internal error").response(Tongue::OpenAi);
    };
    let mut response = json_response(&report);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn report(shared: &Shared, snapshot: &Snapshot) -> Value {
    let now = Engine::now();
    let agents = snapshot.state.config.known_agents();
    let agents: Vec<Value> = agents.iter().map(|id| agent(shared, snapshot, id, now)).collect();
    let failovers: Vec<Value> = shared.tally.failovers().iter().map(failover).collect();
    json!({
        "ok": true,
        "version": env!("CARGO_PKG_VERSION"),
        "nowMs": now.as_ms(),
        "uptimeMs": now.as_ms() - shared.began_ms,
        "turnsRunning": shared.tally.running.load(Ordering::Relaxed),
        "connections": shared.tally.connections.load(Ordering::Relaxed),
        "failedReloads": shared.tally.failed_reloads.load(Ordering::Relaxed),
        "agents": agents,
        "failovers": failovers,
    })
}

fn agent(shared: &Shared, snapshot: &Snapshot, id: &AgentId, now: Timestamp) -> Value {
    let state = &snapshot.state;
    let Ok(auth) = shared.engine.auth(state, id) else { return json!({"id": id.as_str(), "providers": []}) };
    let situation = Situation { now, ..state.situation(&auth) };
    let known = snapshot.known(id);
    let mut providers: Vec<ProviderId> = known.by_provider().iter().map(|(id, _)| ProviderId::normalise(id)).collect();
    // Of models that are only known from the catalogue, those count that have a credential.
    let stored = situation.store.iter().map(|profile| profile.provider.clone());
    let configured = situation.config.providers.iter().map(|entry| ProviderId::normalise(&entry.id));
    let used: Vec<ProviderId> = stored.chain(configured).chain([known.default.provider_id()]).collect();
    providers.retain(|provider| used.contains(provider));
    for provider in used {
        if !providers.contains(&provider) {
            providers.push(provider);
        }
    }
    let providers: Vec<Value> = providers.iter().map(|provider| self::provider(provider, &situation)).collect();
    let errors: Vec<String> = auth.view.errors.iter().map(ToString::to_string).collect();
    json!({"id": id.as_str(), "model": known.default.key(), "providers": providers, "storeErrors": errors})
}

fn provider(id: &ProviderId, situation: &Situation<'_>) -> Value {
    let order = resolve_order(situation.config, situation.store, id, None, situation.now);
    let mut ids: Vec<&ProfileId> = order.tried.iter().map(|tried| &tried.id).collect();
    // Those that nobody would try are shown too: they are why.
    for stored in situation.store.iter().filter(|stored| stored.provider == *id) {
        if !ids.contains(&&stored.id) {
            ids.push(&stored.id);
        }
    }
    let next = order.tried.first().map(|tried| &tried.id);
    let profiles: Vec<Value> = ids.iter().filter_map(|id| profile(id, next == Some(id), situation)).collect();
    let source = profiles.is_empty().then(|| {
        let other = OtherSources::of(id.as_str(), situation);
        let config = other.usable_config_key().map(|_| "config".to_owned());
        other.env.as_ref().map(|env| env.source.clone()).or(config)
    });
    json!({"id": id.as_str(), "profiles": profiles, "source": source.flatten()})
}

fn profile(id: &ProfileId, is_next: bool, situation: &Situation<'_>) -> Option<Value> {
    let profile = situation.store.get(id)?;
    let health = profile_health(profile, situation.now);
    let usage = situation.store.usage(id);
    let window = cooldown(situation.store, profile, None, situation.now).map(|window| {
        json!({
            "kind": window.kind.as_str(),
            "untilMs": whole(window.until_ms),
            "reason": usage.and_then(|usage| usage.cooldown_reason.as_deref().or(usage.disabled_reason.as_deref())),
            "model": usage.and_then(|usage| usage.cooldown_model.clone()),
        })
    });
    Some(json!({
        "id": id.as_str(),
        "kind": health.kind.as_str(),
        "health": health.status.as_str(),
        "problem": health.reason.map(HealthReason::code),
        "endsAtMs": health.ends_at_ms.map(whole),
        "next": is_next,
        "lastUsedMs": usage.and_then(|usage| usage.last_used_ms).map(whole),
        "errorCount": usage.map_or(0, |usage| usage.error_count),
        "window": window,
    }))
}

fn failover(failover: &Failover) -> Value {
    let attempt = &failover.attempt;
    json!({
        "atMs": failover.at_ms,
        "provider": attempt.provider,
        "model": attempt.model,
        "source": attempt.source,
        "reason": attempt.reason.map_or("unknown", auth_core::FailureReason::as_str),
        "status": attempt.status,
        "error": attempt.error,
    })
}

/// A stored time as a whole number.
#[expect(clippy::cast_possible_truncation, reason = "a date; what is not one becomes the nearest that is")]
fn whole(ms: f64) -> i64 {
    ms as i64
}
