//! What people paste after signing in in another browser: the address they were sent to, or the code
//! alone (spec 04 section 5).

use auth_core::Secret;
use url::Url;
use url::form_urlencoded::parse;

use crate::error::{OAuthError, OAuthErrorKind};
use crate::pkce::same_in_constant_time;

/// The longest text that is looked at, in bytes.
const MAX_PASTED: usize = 64 * 1024;

/// What a login expects to be pasted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    /// The state of the login.
    pub(crate) state: &'a Secret,
    /// Whether a code without a state is taken.
    pub(crate) bare_code: bool,
    /// What is said when the state is another.
    pub(crate) mismatch: &'static str,
}

/// What was pasted.
#[derive(Debug)]
pub enum Pasted {
    /// The code.
    Code(Secret),
    /// Nothing that can be used; the text says what is missing. The question may be asked again.
    Again(String),
}

/// Reads what was pasted, in any form in which it comes.
///
/// # Errors
///
/// When it tells that the login failed or belongs to somebody else.
pub(crate) fn read(text: &str, expected: Expected<'_>) -> Result<Pasted, OAuthError> {
    if text.len() > MAX_PASTED {
        return Ok(Pasted::Again("That is too long for an address or a code.".to_owned()));
    }
    // Terminals and mail break addresses into lines, and people copy the quotes around them.
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let text = text.trim_matches(|c| matches!(c, '"' | '\'' | '`' | '<' | '>'));
    if text.is_empty() {
        return Ok(Pasted::Again("Required".to_owned()));
    }
    let Some(pairs) = pairs_of(text) else {
        let (code, state) = match text.split_once('#') {
            Some((code, state)) => (code, Some(state)),
            None => (text, None),
        };
        return judge(Some(code), state, expected);
    };
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(code) = value("error") {
        return Err(refused(code, value("error_description")));
    }
    if value("code").is_none() {
        return Ok(Pasted::Again(
            "This address has no code. Paste the one that the browser shows at the end.".to_owned(),
        ));
    }
    judge(value("code"), value("state"), expected)
}

/// The parameters of an address, of its query or of its fragment.
fn pairs_of(text: &str) -> Option<Vec<(String, String)>> {
    let owned = |query: &str| parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
    let has = |pairs: &[(String, String)]| pairs.iter().any(|(key, _)| key == "code" || key == "error");
    let address = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if let Some(url) = address {
        let mut pairs = owned(url.query().unwrap_or_default());
        if !has(&pairs) {
            pairs.extend(owned(url.fragment().unwrap_or_default()));
        }
        return Some(pairs);
    }
    // An address without its beginning, or the parameters alone.
    let query = text.rsplit_once('?').map_or(text, |(_, query)| query);
    let pairs = owned(query.split('#').next().unwrap_or_default());
    has(&pairs).then_some(pairs)
}

fn judge(code: Option<&str>, state: Option<&str>, expected: Expected<'_>) -> Result<Pasted, OAuthError> {
    let code = code.map(str::trim).filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| OAuthError::protocol("Missing authorization code"))?;
    match state.map(str::trim).filter(|state| !state.is_empty()) {
        Some(state) if !same_in_constant_time(state, expected.state.reveal()) => {
            Err(OAuthError::protocol(expected.mismatch))
        }
        None if !expected.bare_code => {
            Ok(Pasted::Again("Paste the whole address that the browser was sent to, with code and state.".to_owned()))
        }
        _ => Ok(Pasted::Code(Secret::new(code))),
    }
}

/// The provider said no.
pub(crate) fn refused(code: &str, description: Option<&str>) -> OAuthError {
    let code = crate::login::shown(code);
    let said = description.map(|text| format!(": {}", crate::login::shown(text))).unwrap_or_default();
    OAuthError {
        code: Some(code.clone()),
        ..OAuthError::new(OAuthErrorKind::Refused, format!("The provider refused the login: {code}{said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paste(text: &str, bare_code: bool) -> Result<String, String> {
        let state = Secret::new("st-1");
        let expected = Expected { state: &state, bare_code, mismatch: "State mismatch" };
        match read(text, expected) {
            Ok(Pasted::Code(code)) => Ok(code.reveal().to_owned()),
            Ok(Pasted::Again(why)) => Err(format!("again: {why}")),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn every_form_that_people_paste_is_taken() {
        for text in [
            "http://localhost:1455/auth/callback?code=c-1&state=st-1",
            "  http://localhost:1455/auth/call\n  back?code=c-1&sta te=st-1 ",
            "'http://localhost:1455/auth/callback?state=st-1&code=c-1&scope=a+b'",
            "<http://localhost:1455/auth/callback?code=c-1&state=st-1>",
            "http://localhost:1455/auth/callback#code=c-1&state=st-1",
            "localhost:1455/auth/callback?code=c-1&state=st-1",
            "?code=c-1&state=st-1",
            "code=c-1&state=st-1",
            "c-1#st-1",
        ] {
            assert_eq!(paste(text, false), Ok("c-1".to_owned()), "{text}");
        }
        assert_eq!(paste("c-1", true), Ok("c-1".to_owned()));
        assert_eq!(paste("code=a%2Fb&state=st-1", false), Ok("a/b".to_owned()));
    }

    #[test]
    fn the_rest_says_what_is_wrong() {
        for (text, bare, said) in [
            ("", true, "again: Required"),
            ("c-1", false, "again: Paste the whole address"),
            ("code=c-1", false, "again: Paste the whole address"),
            ("https://example.com/", true, "again: This address has no code"),
            ("c-1#st-2", true, "State mismatch"),
            ("http://localhost/x?code=c-1&state=foreign", true, "State mismatch"),
            ("http://localhost/x?code=&state=st-1", true, "Missing authorization code"),
            ("http://localhost/x?error=access_denied&error_description=no+thanks", true, "access_denied: no thanks"),
        ] {
            let result = paste(text, bare).unwrap_err();
            assert!(result.contains(said), "{text}: {result}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total(text in "\\PC{0,80}", bare in any::<bool>()) {
            let _ = paste(&text, bare);
        }

        #[test]
        fn a_foreign_state_never_passes(code in "[a-z0-9]{1,8}", state in "[a-z0-9]{1,8}") {
            prop_assume!(state != "st-1");
            let address = format!("http://localhost:1/x?code={code}&state={state}");
            prop_assert!(paste(&address, true).is_err());
        }
    }
}
