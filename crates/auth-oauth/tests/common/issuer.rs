//! What a provider does with refresh tokens: one use each, and the end of the whole family when one is used twice.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Gives out tokens and takes them back.
pub(crate) struct Issuer(Mutex<Books>);

#[derive(Default)]
struct Books {
    live: HashMap<String, u32>,
    spent: HashMap<String, u32>,
    revoked: HashSet<u32>,
    families: u32,
    issued: u32,
    life_s: i64,
    /// Refresh tokens may be used again, and answers hold none.
    lasting: bool,
    /// The account that access tokens name.
    account: Option<String>,
    counts: Counts,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests to refresh, also those that were refused.
    pub(crate) requests: usize,
    /// Of them, those that gave new tokens.
    pub(crate) rotations: usize,
    /// Of them, those with a token that was spent already.
    pub(crate) reuses: usize,
}

/// New tokens.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
    pub(crate) life_s: i64,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Books { life_s: 3600, account: Some("acct-1".to_owned()), ..Books::default() }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn set_life_s(&self, life_s: i64) {
        self.with(|books| books.life_s = life_s);
    }

    /// Whether refresh tokens may be used again.
    pub(crate) fn set_lasting(&self) {
        self.with(|books| books.lasting = true);
    }

    pub(crate) fn set_account(&self, account: Option<&str>) {
        self.with(|books| books.account = account.map(str::to_owned));
    }

    /// A new family: access and refresh token.
    pub(crate) fn login(&self) -> (String, String) {
        self.with(|books| {
            books.families += 1;
            let family = books.families;
            let (access, refresh) = books.issue(family);
            (access, refresh)
        })
    }

    /// The family is told off, as when its owner signs out everywhere.
    pub(crate) fn revoke(&self, refresh: &str) {
        self.with(|books| {
            let family = books.live.get(refresh).or_else(|| books.spent.get(refresh)).copied();
            books.revoked.extend(family);
        });
    }

    /// Takes a refresh token. The error is status and body.
    pub(crate) fn redeem(&self, refresh: &str) -> Result<Tokens, (u16, Value)> {
        self.with(|books| {
            books.counts.requests += 1;
            if let Some(family) = books.spent.get(refresh).copied() {
                books.counts.reuses += 1;
                books.revoked.insert(family);
                let said = "Your refresh token has already been used to generate a new access token.";
                return Err((401, json!({"error": {"code": "refresh_token_reused", "message": said}})));
            }
            let family = books.live.get(refresh).copied().filter(|family| !books.revoked.contains(family));
            let Some(family) = family else { return Err((400, json!({"error": "invalid_grant"}))) };
            books.counts.rotations += 1;
            let life_s = books.life_s;
            if books.lasting {
                books.issued += 1;
                let access = books.access(family);
                return Ok(Tokens { access, refresh: None, life_s });
            }
            books.live.remove(refresh);
            books.spent.insert(refresh.to_owned(), family);
            let (access, refresh) = books.issue(family);
            Ok(Tokens { access, refresh: Some(refresh), life_s })
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.with(|books| books.counts)
    }

    /// Whether a refresh token would be taken.
    pub(crate) fn is_live(&self, refresh: &str) -> bool {
        self.with(|books| books.live.get(refresh).is_some_and(|family| !books.revoked.contains(family)))
    }
}

impl Books {
    fn issue(&mut self, family: u32) -> (String, String) {
        self.issued += 1;
        let refresh = format!("rt-canary-{family}-{}-0123456789abcdef", self.issued);
        self.live.insert(refresh.clone(), family);
        (self.access(family), refresh)
    }

    fn access(&self, family: u32) -> String {
        let mut claims = json!({"jti": format!("canary-{family}-{}", self.issued)});
        if let Some(account) = &self.account {
            claims["https://api.openai.com/auth"] = json!({"chatgpt_account_id": account});
        }
        jwt(&claims)
    }
}

/// A token with these claims. The canary is in its signature too.
pub(crate) fn jwt(claims: &Value) -> String {
    format!("eyJhbGciOiJub25lIn0.{}.canary-signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}
