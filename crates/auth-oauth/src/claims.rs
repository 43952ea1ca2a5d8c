//! What an access token says about its owner. Its signature is not checked: the claims only name an account and label
//! a profile (spec 04 section 6.1).

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

const AUTH: &str = "https://api.openai.com/auth";
const PROFILE: &str = "https://api.openai.com/profile";
/// The longest claim that becomes part of a profile id or a label, in characters.
const MAX_CLAIM: usize = 200;

/// The claims of a token, as it says.
#[derive(Clone, Default)]
pub struct Claims(Value);

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claims(…)")
    }
}

impl Claims {
    /// Reads the payload of a JSON Web Token; `None` for anything else.
    pub fn of(token: &str) -> Option<Self> {
        let mut parts = token.trim().split('.');
        let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let lenient = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        let bytes = GeneralPurpose::new(&alphabet::URL_SAFE, lenient).decode(payload).ok()?;
        let claims: Value = serde_json::from_slice(&bytes).ok()?;
        claims.is_object().then_some(Self(claims))
    }

    fn text(&self, path: &[&str]) -> Option<String> {
        let value = path.iter().try_fold(&self.0, |at, key| at.get(key))?.as_str()?.trim();
        let harmless = !value.chars().any(char::is_control) && value.chars().count() <= MAX_CLAIM;
        (!value.is_empty() && harmless).then(|| value.to_owned())
    }

    /// The ChatGPT account.
    pub fn account_id(&self) -> Option<String> {
        self.text(&[AUTH, "chatgpt_account_id"])
    }

    /// The e-mail address.
    pub fn email(&self) -> Option<String> {
        self.text(&[PROFILE, "email"])
    }

    /// When the token ends, in milliseconds since the epoch.
    pub fn expires_ms(&self) -> Option<i64> {
        let seconds = self.0.get("exp")?.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        (seconds.is_finite() && (1.0..1e11).contains(&seconds)).then_some((seconds * 1000.0) as i64)
    }

    /// The name of the profile: the e-mail address, else one made of the subject, else `default`.
    pub fn profile_name(&self) -> String {
        if let Some(email) = self.email() {
            return email;
        }
        let of_account = ["chatgpt_account_user_id", "chatgpt_user_id", "user_id"];
        let subject = of_account.iter().find_map(|name| self.text(&[AUTH, name])).or_else(|| {
            let subject = self.text(&["sub"])?;
            Some(match self.text(&["iss"]) {
                Some(issuer) => format!("{issuer}|{subject}"),
                None => subject,
            })
        });
        subject.map_or_else(|| "default".to_owned(), |subject| format!("id-{}", URL_SAFE_NO_PAD.encode(subject)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn token(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn accounts_and_names_come_from_their_claims() {
        let full = json!({AUTH: {"chatgpt_account_id": "acct-1", "user_id": "u"}, PROFILE: {"email": " a@example.com "}, "exp": 4_102_444_800_u64});
        let claims = Claims::of(&token(&full)).unwrap();
        assert_eq!(claims.account_id().as_deref(), Some("acct-1"));
        assert_eq!(claims.profile_name(), "a@example.com");
        assert_eq!(claims.expires_ms(), Some(4_102_444_800_000));
        for (claims, name) in [
            (json!({AUTH: {"chatgpt_account_user_id": "one", "user_id": "two"}}), "id-b25l"),
            (json!({AUTH: {"chatgpt_user_id": "one"}, "sub": "x"}), "id-b25l"),
            (json!({"iss": "i", "sub": "s"}), "id-aXxz"),
            (json!({"sub": "s"}), "id-cw"),
            (json!({"iss": "i"}), "default"),
            (json!({PROFILE: {"email": "a\u{1b}[31m@x"}}), "default"),
        ] {
            assert_eq!(Claims::of(&token(&claims)).unwrap().profile_name(), name);
        }
    }

    #[test]
    fn payloads_come_with_and_without_padding() {
        // {"https://api.openai.com/auth":{"chatgpt_account_id":"acc-é?>"}}
        let payload = "eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoiYWNjLcOpPz4ifX0";
        for text in [format!("h.{payload}.s"), format!("h.{payload}=.s")] {
            assert_eq!(Claims::of(&text).unwrap().account_id().as_deref(), Some("acc-\u{e9}?>"));
        }
        let cut = &payload[..payload.len() - 3];
        assert!(Claims::of(&format!("h.{cut}.s")).is_none());
    }

    #[test]
    fn what_is_no_token_says_nothing() {
        for text in ["", "a.b", "a.b.c.d", "a.!!.c", "e30.bm8.sig", "e30.W10.sig"] {
            assert!(Claims::of(text).is_none(), "{text}");
        }
        // Padding and the other alphabet's absence are met in practice.
        assert!(Claims::of("e30.e30=.sig").is_some() && Claims::of("e30.e30.").is_some());
    }

    proptest! {
        #[test]
        fn reading_is_total(text in "\\PC{0,60}") {
            if let Some(claims) = Claims::of(&text) {
                let _ = (claims.profile_name(), claims.account_id(), claims.expires_ms());
            }
        }
    }
}
