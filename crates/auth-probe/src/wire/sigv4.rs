//! AWS Signature Version 4 for one request whose body is known, in its header form.
//!
//! The `aws-sigv4` crate signs; what stands here chooses the headers and keeps what is secret out of `Debug`. The
//! published test vectors of AWS hold it.

use std::time::{Duration, SystemTime};

use auth_core::Secret;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningInstructions, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Url;

use crate::wire::request::{Request, Value, set};

/// What every `authorization` header of this signature begins with.
const SCHEME: &str = "AWS4-HMAC-SHA256 ";
/// The end of the year 9999. Later times cannot be written, and `aws-sigv4` would panic.
const LAST_SECOND: u64 = 253_402_300_799;

/// Static or temporary keys of AWS.
#[derive(Clone, Debug)]
pub struct AwsCredentials {
    /// Names the keys; not a secret.
    pub access_key_id: String,
    /// What signs. It is never sent.
    pub secret_access_key: Secret,
    /// Goes with temporary keys, and is sent.
    pub session_token: Option<Secret>,
}

/// Signs a request: sets `x-amz-date`, `x-amz-security-token` and `authorization`, in the place of older ones.
///
/// `host`, `content-type` and every `x-amz-` header are part of the signature, others may change on their way. The host
/// is that of the address, unless a header names another. A request that cannot be signed, such as one whose address
/// cannot be read, stays as it is. Times before 1970 count as its first second, and those after 9999 as its last.
pub fn sign(request: &mut Request, credentials: &AwsCredentials, region: &str, service: &str, epoch_seconds: i64) {
    let seconds = u64::try_from(epoch_seconds).unwrap_or_default().min(LAST_SECOND);
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let Some(instructions) = instructions(request, credentials, region, service, time) else { return };
    let (mut headers, _) = instructions.into_parts();
    // The signature stands after what it signs.
    headers.sort_by_key(|header| header.name() == "authorization");
    for header in headers {
        let value = match header.value().strip_prefix(SCHEME) {
            Some(text) if header.name() == "authorization" => {
                Value::Secret { prefix: SCHEME, secret: Secret::new(text) }
            }
            _ if header.sensitive() => Value::Secret { prefix: "", secret: Secret::new(header.value()) },
            _ => Value::Plain(header.value().to_owned()),
        };
        set(&mut request.headers, header.name(), value);
    }
}

/// The headers that sign the request, or none if it cannot be signed.
fn instructions(
    request: &Request,
    credentials: &AwsCredentials,
    region: &str,
    service: &str,
    time: SystemTime,
) -> Option<SigningInstructions> {
    // An address without a host would make `aws-sigv4` panic.
    let url = Url::parse(&request.url).ok().filter(Url::has_host)?;
    let headers = headers_to_sign(request, &url, credentials.session_token.is_some());
    let headers = headers.iter().map(|(name, text)| (*name, text.reveal()));
    let body = SignableBody::Bytes(request.body.as_deref().unwrap_or_default().as_bytes());
    let signable = SignableRequest::new(request.method.as_str(), url.as_str(), headers, body).ok()?;
    let identity = Credentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.reveal(),
        credentials.session_token.as_ref().map(|token| token.reveal().to_owned()),
        None,
        "openclaw",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        // The defaults are what every service but S3 wants: a path that is normalised and encoded once more than it is
        // sent, a signed session token, and no header with the hash of the body.
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    Some(aws_sigv4::http_request::sign(signable, &params).ok()?.into_parts().0)
}

/// The headers of the request that take part in the signature, beside those that signing sets. They are secrets here so
/// that they are wiped after use: a token may be in them.
fn headers_to_sign<'a>(request: &'a Request, url: &Url, with_token: bool) -> Vec<(&'a str, Secret)> {
    let mut headers: Vec<(&str, Secret)> = Vec::new();
    for (name, value) in &request.headers {
        let name = name.as_str();
        let is_replaced = name == "x-amz-date" || (with_token && name == "x-amz-security-token");
        if !is_replaced && (matches!(name, "host" | "content-type") || name.starts_with("x-amz-")) {
            let text = match value {
                Value::Plain(text) => Secret::new(text.as_str()),
                Value::Secret { prefix, secret } => Secret::new(format!("{prefix}{}", secret.reveal())),
            };
            headers.push((name, text));
        }
    }
    // Named here since `aws-sigv4` would take a user and password of the address for part of the host.
    if !headers.iter().any(|(name, _)| *name == "host") {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        headers.push(("host", Secret::new(host)));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::request::Method;

    /// 20150830T123600Z
    const NOW: i64 = 1_440_938_160;
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn credentials(token: Option<&str>) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Secret::new),
        }
    }

    fn header(request: &Request, name: &str) -> Option<String> {
        request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| match value {
            Value::Plain(text) => text.clone(),
            Value::Secret { prefix, secret } => format!("{prefix}{}", secret.reveal()),
        })
    }

    fn signed(request: &mut Request, token: Option<&str>, region: &str, service: &str) -> String {
        sign(request, &credentials(token), region, service, NOW);
        header(request, "authorization").unwrap()
    }

    fn request(method: Method, url: &str, content_type: Option<&str>, body: Option<&str>) -> Request {
        let agent = ("user-agent".to_owned(), Value::Plain("openclaw/1.2.3".to_owned()));
        let content_type = content_type.map(|text| ("content-type".to_owned(), Value::Plain(text.to_owned())));
        let headers = [agent].into_iter().chain(content_type).collect();
        Request { method, url: url.to_owned(), headers, body: body.map(str::to_owned) }
    }

    #[test]
    fn published_vectors() {
        let form = Some("application/x-www-form-urlencoded");
        let root = "https://example.amazonaws.com/";
        let keys = "https://example.amazonaws.com/?Param2=value2&Param1=value1";
        for (name, mut request, token, names, signature) in [
            (
                "get-vanilla",
                request(Method::Get, root, None, None),
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                request(Method::Get, keys, None, None),
                None,
                "host;x-amz-date",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-slashes-normalized",
                request(Method::Get, "https://example.amazonaws.com//example//", None, None),
                None,
                "host;x-amz-date",
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            (
                "post-vanilla",
                request(Method::Post, root, None, Some("")),
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                request(Method::Post, root, form, Some("Param1=value1")),
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                request(Method::Post, root, None, Some("")),
                Some(TOKEN),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(signed(&mut request, token, "us-east-1", "service"), expected, "{name}");
            assert_eq!(header(&request, "x-amz-date").as_deref(), Some("20150830T123600Z"));
            assert_eq!(header(&request, "x-amz-security-token").as_deref(), token);
            // Signing again replaces, and gives the same.
            assert_eq!(signed(&mut request, token, "us-east-1", "service"), expected, "{name}");
            assert!(!format!("{request:?}").contains(signature));
        }
    }

    #[test]
    fn a_path_that_is_encoded_is_encoded_again() {
        let url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m%3A0/converse-stream";
        let mut request = request(Method::Post, url, Some("application/json"), Some("{}"));
        let authorization = signed(&mut request, Some("token"), "eu-west-1", "bedrock");
        // As botocore signs it.
        let expected = "Signature=f3021367e7142596d7dbfd7f77b86c3f86560e6577299dcaed5782fa51da0a8f";
        assert!(authorization.ends_with(expected), "{authorization}");
    }

    #[test]
    fn what_cannot_be_signed_stays_as_it_is() {
        for url in ["::", "", "data:text", "unix:/run/socket"] {
            let mut request = request(Method::Post, url, None, Some("{}"));
            sign(&mut request, &credentials(Some("token")), "r", "s", NOW);
            assert_eq!(request.headers.len(), 1, "{url}");
        }
    }

    #[test]
    fn the_host_is_that_of_the_address_or_of_a_header() {
        let authorization = |url, host: Option<&str>| {
            let mut request = request(Method::Get, url, None, None);
            request.headers.extend(host.map(|text| ("host".to_owned(), Value::Plain(text.to_owned()))));
            signed(&mut request, None, "us-east-1", "service")
        };
        let plain = authorization("https://example.amazonaws.com/", None);
        assert_eq!(authorization("https://user:password@example.amazonaws.com:443", None), plain);
        assert_eq!(authorization("http://127.0.0.1:8080/", Some("example.amazonaws.com")), plain);
        assert_ne!(authorization("https://example.amazonaws.com:8443/", None), plain);
    }

    #[test]
    fn any_time_can_be_signed() {
        for (seconds, text) in [
            (i64::MIN, "19700101T000000Z"),
            (0, "19700101T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (i64::MAX, "99991231T235959Z"),
        ] {
            let mut request = request(Method::Get, "https://example.amazonaws.com/", None, None);
            sign(&mut request, &credentials(None), "r", "s", seconds);
            assert_eq!(header(&request, "x-amz-date").as_deref(), Some(text));
        }
    }
}
