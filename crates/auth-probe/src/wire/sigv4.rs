//! AWS Signature Version 4 for one request whose body is known, in its header form.
//!
//! Written by hand: Bedrock's one `POST` needs no query, no chunks and no presigned address. The published test vectors
//! of AWS hold it.

use auth_core::Secret;
use reqwest::Url;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::wire::request::{Request, Value, encode, set};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

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
/// is that of the address, unless a header names another. A request whose address cannot be read stays as it is: it
/// cannot be sent either.
pub fn sign(request: &mut Request, credentials: &AwsCredentials, region: &str, service: &str, epoch_seconds: i64) {
    let Ok(url) = Url::parse(&request.url) else { return };
    let time = timestamp(epoch_seconds);
    let date = time.get(..8).unwrap_or_default();
    set(&mut request.headers, "x-amz-date", Value::Plain(time.clone()));
    if let Some(token) = &credentials.session_token {
        let token = Value::Secret { prefix: "", secret: token.clone() };
        set(&mut request.headers, "x-amz-security-token", token);
    }
    let (canonical, signed) = canonical_request(request, &url);
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let first = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key.reveal()).into_bytes());
    let key = [date, region, service, "aws4_request"]
        .iter()
        .fold(first, |key, part| Zeroizing::new(hmac(&key, part.as_bytes()).to_vec()));
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let access_key = &credentials.access_key_id;
    let text = format!("Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}");
    let authorization = Value::Secret { prefix: "AWS4-HMAC-SHA256 ", secret: Secret::new(text) };
    set(&mut request.headers, "authorization", authorization);
}

/// The text that stands for the request, wiped after use since a token is in it, and the names of its headers.
fn canonical_request(request: &Request, url: &Url) -> (Zeroizing<String>, String) {
    let mut headers: Vec<(&str, Zeroizing<String>)> = Vec::new();
    for (name, value) in &request.headers {
        if matches!(name.as_str(), "host" | "content-type") || name.starts_with("x-amz-") {
            let text = Zeroizing::new(match value {
                Value::Plain(text) => text.clone(),
                Value::Secret { prefix, secret } => format!("{prefix}{}", secret.reveal()),
            });
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            headers.push((name, Zeroizing::new(words.join(" "))));
        }
    }
    if !headers.iter().any(|(name, _)| *name == "host") {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        headers.push(("host", Zeroizing::new(host)));
    }
    headers.sort_by(|a, b| a.0.cmp(b.0));
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    // Every service but S3 wants the path encoded once more than it is sent.
    let path = encode(url.path(), b"/");
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (encode(&name, b""), encode(&value, b""))).collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let body = hex(&Sha256::digest(request.body.as_deref().unwrap_or_default().as_bytes()));
    let mut text = Zeroizing::new(format!("{}\n{path}\n{}\n", request.method.as_str(), query.join("&")));
    for (name, value) in &headers {
        for part in [name, ":", value.as_str(), "\n"] {
            text.push_str(part);
        }
    }
    for part in ["\n", &names, "\n", &body] {
        text.push_str(part);
    }
    (text, names)
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = Zeroizing::new([0_u8; BLOCK]);
    let hashed = Zeroizing::new(if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() });
    for (place, byte) in block.iter_mut().zip(hashed.iter()) {
        *place = *byte;
    }
    let padded = |pad: u8| Zeroizing::new(block.map(|byte| byte ^ pad));
    let inner = Sha256::new().chain_update(padded(0x36).as_slice()).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c).as_slice()).chain_update(inner).finalize().into()
}

/// Digits of base 16, lower case.
fn hex(bytes: &[u8]) -> String {
    let digit = |four_bits: u8| char::from_digit(u32::from(four_bits), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A time as AWS writes it: `20150830T123600Z`.
fn timestamp(epoch_seconds: i64) -> String {
    let (days, second) = (epoch_seconds.div_euclid(86_400), epoch_seconds.rem_euclid(86_400));
    // Years begin in March here, so that the odd day is the last one; 400 of them have 146097 days.
    let from_march = days.saturating_add(719_468);
    let (era, day) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
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
        let (text, _) = canonical_request(&request, &Url::parse(url).unwrap());
        assert!(text.starts_with("POST\n/model/m%253A0/converse-stream\n\ncontent-type:application/json\nhost:bedrock-runtime.eu-west-1.amazonaws.com\n"), "{}", text.as_str());
        let authorization = signed(&mut request, Some("token"), "eu-west-1", "bedrock");
        // As botocore signs it.
        let expected = "Signature=f3021367e7142596d7dbfd7f77b86c3f86560e6577299dcaed5782fa51da0a8f";
        assert!(authorization.ends_with(expected), "{authorization}");
        let mut unreadable = self::request(Method::Post, "::", None, None);
        sign(&mut unreadable, &credentials(None), "r", "s", NOW);
        assert_eq!(unreadable.headers.len(), 1);
    }

    #[test]
    fn hmac_of_rfc_4231() {
        let mac = |key: &[u8], message: &[u8]| hex(&hmac(key, message));
        assert_eq!(
            mac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            mac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn times() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (-1, "19691231T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (NOW, "20150830T123600Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
        assert!(!timestamp(i64::MIN).is_empty() && !timestamp(i64::MAX).is_empty());
    }
}
