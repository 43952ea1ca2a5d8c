//! From a row of a plan to the request that is sent (spec 03 sections 5.1 and 5.2).

use std::net::IpAddr;

use auth_core::failure::Reason;
use auth_core::probe::{Endpoint, HeaderText};
use auth_core::{Environment, Secret, host_of};
use auth_oauth::Claims;

use crate::clients::{certificates, host_address, is_localhost};
use crate::run::Job;
use crate::wire::{
    ApiKind, AwsCredentials, Conversation, ForwardedMessages, FreeCheck, Request, Target, Value, chat_request,
    forwarded_request, free_request, live_request, region_of, sign,
};

/// What all requests of a run share.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings<'a> {
    /// The output limit of a live request, in tokens.
    pub max_tokens: u32,
    /// A check that costs nothing instead of a request to a model.
    pub free: bool,
    /// Names this program to the other side.
    pub user_agent: &'a str,
    /// A name for the session, where the protocol wants one.
    pub session_id: &'a str,
    /// The variables.
    pub environment: &'a Environment,
    /// The time in milliseconds since the epoch, for requests that are signed.
    pub now_ms: i64,
    /// The account that is stored beside the credential, for a token that names none itself.
    pub account_id: Option<&'a str>,
}

/// Makes the request of a row.
///
/// # Errors
///
/// Why none can be made: the reason and what to say.
pub fn job(
    provider: &str,
    model: Option<&str>,
    endpoint: &Endpoint,
    credential: Option<&Secret>,
    usual_model: bool,
    settings: JobSettings<'_>,
) -> Result<Job, (Reason, String)> {
    let make = |target: &Target<'_>| {
        if settings.free {
            return match free_request(target) {
                FreeCheck::Request { request, check } => Ok((request, Some(check))),
                FreeCheck::None => {
                    let text = format!("{provider} has no free check; use --probe-mode live");
                    Err((Reason::NoFreeCheck, text))
                }
            };
        }
        let mut request = live_request(target);
        if target.kind == ApiKind::BedrockConverseStream && credential.is_none() {
            sign_for_aws(&mut request, settings)?;
        }
        Ok((request, None))
    };
    made(provider, model, endpoint, credential, usual_model, settings, &make)
}

/// Makes the request of one turn of a conversation.
///
/// # Errors
///
/// Why none can be made: the reason and what to say.
pub fn chat_job(
    provider: &str,
    model: &str,
    endpoint: &Endpoint,
    credential: Option<&Secret>,
    conversation: &Conversation<'_>,
    settings: JobSettings<'_>,
) -> Result<Job, (Reason, String)> {
    let make = |target: &Target<'_>| {
        let request = chat_request(target, conversation).ok_or_else(|| {
            let text = format!("conversations over {} are not part of this program", target.kind.as_str());
            (Reason::UnsupportedProbe, text)
        })?;
        Ok((request, None))
    };
    made(provider, Some(model), endpoint, credential, false, settings, &make)
}

/// Makes the request that passes on the body of an Anthropic Messages client.
///
/// # Errors
///
/// Why none can be made: the reason and what to say.
pub fn forwarded_job(
    provider: &str,
    model: &str,
    endpoint: &Endpoint,
    credential: Option<&Secret>,
    forwarded: ForwardedMessages<'_>,
    settings: JobSettings<'_>,
) -> Result<Job, (Reason, String)> {
    let make = |target: &Target<'_>| {
        let request = forwarded_request(target, forwarded).ok_or_else(|| {
            let text = format!("{provider} speaks {}, not anthropic-messages", target.kind.as_str());
            (Reason::Format, text)
        })?;
        Ok((request, None))
    };
    made(provider, Some(model), endpoint, credential, false, settings, &make)
}

/// What a request is, and the check that it makes.
type Made = Result<(Request, Option<&'static str>), (Reason, String)>;

fn made(
    provider: &str,
    model: Option<&str>,
    endpoint: &Endpoint,
    credential: Option<&Secret>,
    usual_model: bool,
    settings: JobSettings<'_>,
    make: &dyn Fn(&Target<'_>) -> Made,
) -> Result<Job, (Reason, String)> {
    let Some(kind) = ApiKind::parse(&endpoint.api) else {
        let api: String = endpoint.api.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err((Reason::UnsupportedProbe, format!("the API kind \"{api}\" is not known")));
    };
    if endpoint.ca.as_ref().is_some_and(|ca| certificates(ca.reveal().as_bytes()).is_err()) {
        return Err((Reason::Tls, format!("models.providers.{provider}.request.tls.ca holds no certificate in PEM")));
    }
    let account_id = credential.and_then(|secret| Claims::of(secret.reveal())?.account_id());
    let account_id =
        account_id.or_else(|| settings.account_id.map(str::to_owned)).or_else(|| endpoint.account_id.clone());
    if kind == ApiKind::OpenAiCodexResponses && account_id.is_none() {
        return Err((Reason::InvalidToken, "the access token names no account".to_owned()));
    }
    let variable = |name: &str| settings.environment.non_blank(name).map(str::trim);
    let model = model.unwrap_or_default();
    let deployment = variable("AZURE_OPENAI_DEPLOYMENT_NAME_MAP").filter(|_| kind == ApiKind::AzureOpenAiResponses);
    let deployment = deployment.and_then(|map| {
        let mut pairs = map.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| name.trim() == model).map(|(_, name)| name.trim())
    });
    let headers: Vec<(String, Value)> = endpoint
        .headers
        .iter()
        .map(|(name, text)| {
            let value = match text {
                HeaderText::Plain(text) => Value::Plain(text.clone()),
                HeaderText::Secret { prefix, secret } => {
                    Value::Secret { prefix: "", secret: Secret::new(format!("{prefix}{}", secret.reveal())) }
                }
            };
            (name.clone(), value)
        })
        .collect();
    let target = Target {
        kind,
        base_url: &endpoint.base_url,
        model: deployment.unwrap_or(model),
        credential,
        provider,
        max_tokens: settings.max_tokens,
        headers: &headers,
        auth_header: endpoint.auth_header,
        max_tokens_field: endpoint.max_tokens_field.as_deref(),
        account_id: account_id.as_deref(),
        api_version: variable("AZURE_OPENAI_API_VERSION"),
        user_agent: settings.user_agent,
        session_id: settings.session_id,
    };
    let (request, check) = make(&target)?;
    Ok(Job { request, kind, check, provider: provider.to_owned(), usual_model, ca: endpoint.ca.clone() })
}

/// Signs a request to Bedrock with the keys of the environment, unless the config has a credential of its own for it.
fn sign_for_aws(request: &mut Request, settings: JobSettings<'_>) -> Result<(), (Reason, String)> {
    if request.headers.iter().any(|(name, _)| name == "authorization") {
        return Ok(());
    }
    let environment = settings.environment;
    let secret = |name: &str| environment.credential(name).map(|(secret, _)| secret);
    let keys = environment.non_blank("AWS_ACCESS_KEY_ID").zip(secret("AWS_SECRET_ACCESS_KEY"));
    let Some((access_key_id, secret_access_key)) = keys else {
        let text = "Bedrock needs AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY";
        return Err((Reason::UnsupportedProbe, text.to_owned()));
    };
    let access_key_id = access_key_id.trim().to_owned();
    let session_token = secret("AWS_SESSION_TOKEN");
    let credentials = AwsCredentials { access_key_id, secret_access_key, session_token };
    let host = host_of(&request.url).unwrap_or_default();
    let region = region_of(&host)
        .or_else(|| environment.non_blank("AWS_REGION"))
        .or_else(|| environment.non_blank("AWS_DEFAULT_REGION"))
        .map_or("us-east-1", str::trim)
        .to_owned();
    sign(request, &credentials, &region, "bedrock", settings.now_ms.div_euclid(1000));
    Ok(())
}

/// What is to be said about an endpoint: a credential that leaves the machine without TLS.
pub fn warning(endpoint: &Endpoint) -> Option<&'static str> {
    let url = reqwest::Url::parse(&endpoint.base_url).ok()?;
    let is_near = match host_address(&url) {
        Some(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Some(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        None => is_localhost(&url),
    };
    let is_plain = url.scheme() == "http";
    (is_plain && !is_near).then_some("credential sent without TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bedrock_is_signed_with_the_keys_of_the_environment() {
        let sent = |url: &str, key: Option<&Secret>, variables: &[(&str, &str)], header: Option<&str>| {
            let environment =
                Environment::from_process(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
            let headers = header.map(|text| ("Authorization".to_owned(), HeaderText::Plain(text.to_owned())));
            let endpoint = Endpoint {
                api: "bedrock-converse-stream".to_owned(),
                base_url: url.to_owned(),
                headers: headers.into_iter().collect(),
                auth_header: false,
                max_tokens_field: None,
                ca: None,
                account_id: None,
            };
            let settings = JobSettings {
                max_tokens: 8,
                free: false,
                user_agent: "openclaw/1.2.3",
                session_id: "probe-1",
                environment: &environment,
                now_ms: 1_440_938_160_999,
                account_id: None,
            };
            let job = job("amazon-bedrock", Some("m:0"), &endpoint, key, true, settings)?;
            let text = |value: Value| match value {
                Value::Plain(text) => text,
                Value::Secret { prefix, secret } => format!("{prefix}{}", secret.reveal()),
            };
            let headers =
                job.request.headers.into_iter().filter(|(name, _)| name.starts_with('a') || name.starts_with("x-"));
            Ok::<_, (Reason, String)>(headers.map(|(name, value)| (name, text(value))).collect::<Vec<_>>())
        };
        let url = "https://bedrock-runtime.eu-west-1.amazonaws.com";
        let keys = [("AWS_ACCESS_KEY_ID", " AKIDEXAMPLE\n"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let with_token = [keys[0], keys[1], ("AWS_SESSION_TOKEN", "token"), ("AWS_REGION", "us-west-2")];
        let headers = sent(url, None, &with_token, None).unwrap();
        assert_eq!(headers[0], ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()));
        assert_eq!(headers[1], ("x-amz-security-token".to_owned(), "token".to_owned()));
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
        assert!(headers[2].1.starts_with(expected), "{headers:?}");
        // An address without a region leaves it to the variables.
        let headers = sent("https://proxy.test", None, &with_token, None).unwrap();
        assert!(headers[2].1.contains("/us-west-2/bedrock/"));
        assert!(sent("https://proxy.test", None, &keys, None).unwrap()[1].1.contains("/us-east-1/bedrock/"));
        // A bearer token or a header of the config is sent as it is.
        let bearer = Secret::new("bearer");
        let plain = |text: &str| vec![("authorization".to_owned(), text.to_owned())];
        assert_eq!(sent(url, Some(&bearer), &keys, None).unwrap(), plain("Bearer bearer"));
        assert_eq!(sent(url, None, &keys, Some("Basic x")).unwrap(), plain("Basic x"));
        assert_eq!(sent(url, None, &keys[..1], None).unwrap_err().0, Reason::UnsupportedProbe);
    }

    #[test]
    fn plain_http_to_elsewhere_is_worth_a_warning() {
        let endpoint = |url: &str| Endpoint {
            api: "openai-completions".to_owned(),
            base_url: url.to_owned(),
            headers: Vec::new(),
            auth_header: false,
            max_tokens_field: None,
            ca: None,
            account_id: None,
        };
        for (url, warns) in [
            ("http://api.example.com/v1", true),
            ("HTTP://8.8.8.8", true),
            ("https://api.example.com", false),
            ("http://127.0.0.1:8000", false),
            ("http://192.168.1.7/v1", false),
            ("http://[::1]:1", false),
            ("http://localhost:11434", false),
        ] {
            assert_eq!(warning(&endpoint(url)).is_some(), warns, "{url}");
        }
    }
}
