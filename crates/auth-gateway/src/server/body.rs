//! Taking a request for a turn: its place among the turns, and its body within the limits (spec 07 section 12.1).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::guard::{run_id_of, snapshot_of};
use super::live::Snapshot;
use super::refusal::Refusal;
use super::tally::Tally;

/// A request for a turn.
pub(crate) struct Taken {
    /// Its place among the turns.
    pub(crate) permit: OwnedSemaphorePermit,
    /// The config that it is answered by.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Its number.
    pub(crate) run_id: String,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

/// Takes a request when a place is free, and reads it to its end.
pub(crate) async fn taken(shared: &Shared, request: Request) -> Result<Taken, Refusal> {
    let Ok(permit) = Arc::clone(&shared.turns).try_acquire_owned() else {
        Tally::add(&shared.tally.refused_turns);
        return Err(Refusal::busy());
    };
    let snapshot = snapshot_of(&request)?;
    let run_id = run_id_of(&request);
    let (parts, body) = request.into_parts();
    let limits = shared.limits;
    let body = read(&parts.headers, body, limits.body_bytes, limits.body).await?;
    Ok(Taken { permit, snapshot, run_id, parts, body })
}

/// The body of a request, read to its end.
async fn read(headers: &HeaderMap, body: Body, most: usize, limit: Duration) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(413, "invalid_request_error", "Payload too large");
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most_announced = u64::try_from(most).unwrap_or(u64::MAX);
    if announced.is_some_and(|length| length > most_announced) || body.size_hint().lower() > most_announced {
        return Err(too_large());
    }
    match tokio::time::timeout(limit, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            // The limit has no public type of its own; everything else is a client that broke off.
            let told = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            if told.contains("length limit") {
                return Err(too_large());
            }
            Err(Refusal::invalid("The request body could not be read."))
        }
        Err(_) => Err(Refusal::new(408, "invalid_request_error", "Request body timeout")),
    }
}
