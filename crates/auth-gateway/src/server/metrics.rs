//! `GET /metrics`: the counters in the text format of Prometheus. No label is what a client sent.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use super::tally::{BUCKETS_MS, Rows, Tally};

/// The page.
pub(crate) fn page(tally: &Tally) -> Response {
    let mut response = Response::new(Body::from(text(tally)));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn text(tally: &Tally) -> String {
    let mut page = String::with_capacity(2048);
    let counters: [(&str, &str, Rows); 4] = [
        ("requests_total", "Requests by path and status.", tally.requests()),
        ("turns_total", "Turns by provider and outcome.", tally.turns()),
        ("provider_failures_total", "Requests to a provider that failed, by reason.", tally.failures()),
        ("tokens_total", "Tokens by provider and kind.", tally.tokens()),
    ];
    for (name, help, rows) in counters {
        head(&mut page, name, help, "counter");
        for (labels, count) in rows {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let _ = writeln!(page, "openclaw_gateway_{name}{{{}}} {count}", labels.join(","));
        }
    }
    let durations = tally.durations();
    let name = "turn_duration_seconds";
    head(&mut page, name, "How long turns took.", "histogram");
    for (most, count) in BUCKETS_MS.iter().zip(durations.buckets) {
        let _ = writeln!(page, "openclaw_gateway_{name}_bucket{{le=\"{}\"}} {count}", seconds(*most));
    }
    let _ = writeln!(page, "openclaw_gateway_{name}_bucket{{le=\"+Inf\"}} {}", durations.count);
    let _ = writeln!(page, "openclaw_gateway_{name}_sum {}", seconds(durations.sum_ms));
    let _ = writeln!(page, "openclaw_gateway_{name}_count {}", durations.count);
    let singles: [(&str, &str, &str, &AtomicU64); 5] = [
        ("turns_running", "Turns under way.", "gauge", &tally.running),
        ("connections", "Open connections.", "gauge", &tally.connections),
        ("turns_refused_total", "Turns refused because too many ran.", "counter", &tally.refused_turns),
        ("reloads_total", "Times that config and stores were read again.", "counter", &tally.reloads),
        ("failed_reloads_total", "Times that the new config could not be used.", "counter", &tally.failed_reloads),
    ];
    for (name, help, kind, value) in singles {
        head(&mut page, name, help, kind);
        let _ = writeln!(page, "openclaw_gateway_{name} {}", value.load(Ordering::Relaxed));
    }
    page
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(page, "# HELP openclaw_gateway_{name} {help}\n# TYPE openclaw_gateway_{name} {kind}");
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{TurnError, TurnErrorKind};
    use std::time::Duration;

    #[test]
    fn counters_are_written_with_their_labels() {
        let tally = Tally::default();
        tally.request("/v1/models", 200);
        tally.request("/v1/models", 200);
        tally.failed(&TurnError::ended(TurnErrorKind::Failed, "x"), Duration::from_millis(30), 1);
        let text = text(&tally);
        for line in [
            "openclaw_gateway_requests_total{route=\"/v1/models\",status=\"200\"} 2",
            "openclaw_gateway_turns_total{provider=\"none\",outcome=\"failed\"} 1",
            "openclaw_gateway_turn_duration_seconds_bucket{le=\"0.025\"} 0",
            "openclaw_gateway_turn_duration_seconds_bucket{le=\"0.05\"} 1",
            "openclaw_gateway_turn_duration_seconds_sum 0.03",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert_eq!((seconds(2500), seconds(60_000), seconds(0)), ("2.5".to_owned(), "60".to_owned(), "0".to_owned()));
        assert_eq!(escaped("a\"b\\"), "a\\\"b\\\\");
    }
}
