//! What must hold for whatever a provider answers, a token claims or a user pastes. Used by the fuzz targets and by the
//! tests that replay the kept corpora.

use std::sync::OnceLock;

use auth_core::{Environment, Expiry, Secret};
use auth_oauth::{
    Claims, CodeFlow, CodeProvider, Endpoints, HttpResponse, LoginEntry, OAuthClient, Pasted, ProviderSettings,
    Refreshable,
};
use auth_store::MapHost;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The token that was sent; inputs repeat it to see whether a message does.
const SENT: &str = "rt-canary-fuzz-0123456789";
/// Stands in an input for the state of the login.
const STATE: &str = "{STATE}";

/// The text is a token, or the payload of one.
pub(crate) fn jwt_claims(data: &[u8]) {
    let payload = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(data));
    let text = std::str::from_utf8(data).unwrap_or_default();
    for token in [text, &payload] {
        let Some(claims) = Claims::of(token) else { continue };
        assert_eq!(token.trim().split('.').count(), 3);
        let name = claims.profile_name();
        assert!(!name.is_empty() && name.trim() == name && name.chars().count() <= 1100);
        for text in [Some(name), claims.email(), claims.account_id()].into_iter().flatten() {
            assert!(!text.is_empty() && !text.chars().any(char::is_control));
        }
        assert!(claims.expires_ms().is_none_or(|at| (1000..=100_000_000_000_000).contains(&at)));
    }
}

/// The first byte chooses the provider, the rest is pasted.
pub(crate) fn pasted(data: &[u8]) {
    static FLOWS: OnceLock<[(CodeFlow, String); 3]> = OnceLock::new();
    let flows = FLOWS.get_or_init(|| [CodeProvider::Codex, CodeProvider::Gemini, CodeProvider::Chutes].map(begun));
    let Some((which, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let which = usize::from(*which) % flows.len();
    let (flow, state) = &flows[which];
    let text = text.replace(STATE, state);
    match flow.read_pasted(&text) {
        Ok(Pasted::Code(code)) => {
            assert!(!code.is_blank() && code.reveal().trim() == code.reveal());
            // The code alone is taken from Codex only; whatever else is taken shows the state.
            assert!(which == 0 || squeezed(&text).contains(state), "a code without the state");
        }
        Ok(Pasted::Again(why)) => assert!(!why.is_empty() && !why.contains(state)),
        Err(error) => {
            assert!(!error.message.is_empty() && error.message.chars().count() <= 600);
            assert!(!error.message.chars().any(char::is_control));
            // Only a text that names the state itself, as an error, can have it repeated.
            assert!(!error.message.contains(state.as_str()) || squeezed(&text).contains("error"));
        }
    }
}

fn squeezed(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    // The state has hexadecimal digits, any of which may be escaped.
    let bytes: Vec<u8> = url::form_urlencoded::parse(format!("x={}", plain.replace(['&', '='], " ")).as_bytes())
        .flat_map(|(_, value)| value.into_owned().into_bytes())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn begun(provider: CodeProvider) -> (CodeFlow, String) {
    let (environment, host, endpoints) = (Environment::default(), MapHost::new("/home/u"), Endpoints::default());
    let settings =
        ProviderSettings { environment: &environment, host: &host, endpoints: &endpoints, minimax_base_url: None };
    let client = OAuthClient { id: "cid-test".to_owned(), secret: None };
    let flow = provider.begin(client, settings).unwrap_or_else(|error| panic!("{error}"));
    let state = flow.address().split('&').find_map(|part| part.strip_prefix("state=")).unwrap_or_default().to_owned();
    (flow, state)
}

/// The first byte chooses the provider, the second the status, the rest is the body.
pub(crate) fn token_answer(data: &[u8]) {
    let [which, status, body @ ..] = data else { return };
    let providers = [
        "openai-codex",
        "anthropic",
        "google-gemini-cli",
        "google-antigravity",
        "github-copilot",
        "chutes",
        "minimax-portal",
    ];
    let provider = providers[usize::from(*which) % providers.len()];
    // Every hundred of them, and each of the first ones of 2xx and 4xx.
    let status = if *status < 128 { 200 + u16::from(*status) / 64 * 200 } else { u16::from(*status) * 4 - 412 };
    let entry = LoginEntry {
        provider: provider.to_owned(),
        access: None,
        refresh: Some(Secret::new(SENT)),
        expires: Expiry::Absent,
        email: None,
        account_id: None,
        client_id: None,
        project_id: None,
        enterprise_url: None,
        managed_by: None,
    };
    let Some(kind) = Refreshable::of(provider) else { panic!("{provider} cannot be refreshed") };
    let response = HttpResponse { status, body: Secret::new(String::from_utf8_lossy(body)) };
    let now_ms = 1_900_000_000_000;
    match kind.read(&entry, &response, now_ms) {
        Ok(renewed) => {
            assert!((200..300).contains(&status), "a login out of HTTP {status}");
            for token in [Some(&renewed.access), renewed.refresh.as_ref()].into_iter().flatten() {
                assert!(!token.is_blank() && token.reveal().trim() == token.reveal());
                assert!(!token.reveal().contains(['\r', '\n']) && token.reveal().chars().all(|c| c <= '\u{ff}'));
            }
            assert!(renewed.expires_ms.is_finite());
            assert!(renewed.fields.iter().all(|(name, value)| *name == "accountId" && value.is_string()));
        }
        Err(error) => {
            assert!(!error.message.contains(SENT) && !error.code.as_deref().is_some_and(|code| code.contains(SENT)));
            assert!(!error.message.is_empty() && error.message.chars().count() <= 600);
            assert!(!error.message.chars().any(char::is_control));
        }
    }
}
