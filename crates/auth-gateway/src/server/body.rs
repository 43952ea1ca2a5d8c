//! Reading what a client sends, within its limits (spec 07 section 12.1).

use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;

use super::refusal::Refusal;

/// The body of a request, read to its end.
pub(crate) async fn read(headers: &HeaderMap, body: Body, most: usize, limit: Duration) -> Result<Bytes, Refusal> {
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
