//! Decides which credential of a provider is used, and says why not the others: values in, a decision with its reasons
//! out. Nothing is read, and time is a value.
//!
//! ```sh
//! cargo run -p auth-core --example explain_order
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use auth_core::{
    AmbientFacts, AuthProfiles, Config, Environment, Outranking, Owner, ProviderId, ResolvedRefs, Situation, Standing,
    Timestamp, explain,
};

fn main() -> Result<(), Box<dyn Error>> {
    let now = Timestamp::from_ms(1_800_000_000_000);
    // What a caller has read: a store, the variables, the config.
    let store = AuthProfiles::parse(
        r#"{
          "profiles": {
            "groq:work":  {"type": "api_key", "provider": "groq", "key": "sk-test-work-0000000001"},
            "groq:home":  {"type": "api_key", "provider": "groq", "key": "sk-test-home-0000000002"},
            "groq:trial": {"type": "token", "provider": "groq", "token": "sk-test-trial-000000003", "expires": 1799999999000}
          },
          "order": {"groq": ["groq:work", "groq:home"]},
          "usageStats": {"groq:work": {"cooldownUntil": 1800000030000, "cooldownReason": "rate_limit", "errorCount": 1}}
        }"#,
        Owner::Agent,
    )?;
    let environment = Environment::from_process([("GROQ_API_KEY".to_owned(), "sk-test-env-00000000004".to_owned())]);
    let (config, refs) = (Config::default(), ResolvedRefs::default());
    let situation = Situation {
        config: &config,
        environment: &environment,
        ambient: AmbientFacts::default(),
        store: &store,
        refs: &refs,
        now,
    };

    let explanation = explain(&situation, &ProviderId::normalise("Groq"), None);
    println!("order from: {}", explanation.order.source.as_str());
    for candidate in &explanation.candidates {
        let why = match &candidate.standing {
            Standing::Next => "used next".to_owned(),
            Standing::InReserve => "follows when those before it fail".to_owned(),
            Standing::Waiting(window) => {
                format!("free again in {:.0} s", (window.until_ms - 1_800_000_000_000.0) / 1e3)
            }
            Standing::Ineligible(eligibility) => eligibility.code().to_owned(),
            Standing::Outranked(Outranking::ByProfiles) => "stored profiles go first".to_owned(),
            other => format!("{other:?}"),
        };
        println!("{:<20} {:<16} {why}", candidate.source.label(), candidate.shown);
    }

    let next = explanation.next().map(|candidate| candidate.source.label());
    assert_eq!(next.as_deref(), Some("profile:groq:home"));
    Ok(())
}
