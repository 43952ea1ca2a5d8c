//! `GET /`: one page without anything from elsewhere. It holds no data; its script asks for the secret and shows
//! `/status.json`.

use std::fmt::Write as _;

use auth_store::random_bytes;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::Response;

use super::refusal::{Refusal, Tongue};

const PAGE: &str = include_str!("page.html");

/// The page, whose own script and style alone may run.
pub(crate) fn page() -> Response {
    let Ok(bytes) = random_bytes(16) else {
        return Refusal::new(500, "api_error", "no random bytes").response(Tongue::OpenAi);
    };
    let nonce = bytes.iter().fold(String::new(), |mut nonce, byte| {
        let _ = write!(nonce, "{byte:02x}");
        nonce
    });
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(PAGE.replace("{NONCE}", &nonce)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::PAGE;

    #[test]
    fn nothing_comes_from_elsewhere_and_nothing_is_read_as_markup() {
        for word in [
            "http:",
            "https:",
            "src=",
            "href=",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "onclick",
            "localStorage",
            "location",
        ] {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert_eq!(PAGE.matches("{NONCE}").count(), 2);
        assert_eq!(PAGE.matches("<script").count() + PAGE.matches("<style").count(), 2);
    }
}
