//! The checks, each kind of trouble in a file of its own.

mod claude_cli;
mod claude_refs;
mod config_flow;
mod config_profiles;
mod deprecated;
mod env_names;
mod expiry;
mod gateway;
mod integrity;
mod leftovers;
mod legacy_agent_dir;
mod legacy_dir;
mod legacy_import;
mod oauth_id;
mod opencode;
mod order;
mod permissions;
mod plaintext;
mod provider_missing;
mod refs;
mod sources;
mod store_content;
mod tls;
mod windows;

use oauth_id::oauth_suggestion;

use crate::check::Check;

/// Every check, in the order in which they run (spec 06 section 6).
pub(crate) fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(legacy_dir::LegacyDir),
        Box::new(config_flow::ConfigFlow),
        Box::new(opencode::OpenCode),
        Box::new(gateway::GatewayMode),
        // Before anything is moved into the directories, because a store hides the files beside it; and again for
        // what came with the move.
        Box::new(legacy_import::LegacyImport),
        Box::new(legacy_agent_dir::LegacyAgentDir),
        Box::new(legacy_import::LegacyImport),
        Box::new(store_content::StoreContent),
        Box::new(claude_cli::ClaudeCli),
        Box::new(oauth_id::OAuthId),
        Box::new(deprecated::Deprecated),
        Box::new(windows::Windows),
        Box::new(windows::UsageOrphan),
        Box::new(expiry::Expiry),
        Box::new(store_content::Spelling),
        Box::new(config_profiles::ModeMismatch),
        Box::new(config_profiles::UnknownConfig),
        Box::new(order::UnknownInOrder),
        Box::new(order::ExcludesAll),
        Box::new(refs::References),
        Box::new(provider_missing::ProviderMissing),
        Box::new(plaintext::Plaintext),
        Box::new(env_names::EnvNames),
        Box::new(sources::Sources),
        Box::new(legacy_import::ImportedLeftover),
        Box::new(leftovers::StaleLocks),
        Box::new(leftovers::Temporary),
        Box::new(gateway::GatewayToken),
        Box::new(integrity::StateMissing),
        Box::new(integrity::StateNotWritable),
        Box::new(integrity::StatePermissions),
        Box::new(integrity::ConfigPermissions),
        Box::new(permissions::SecretFiles),
        Box::new(permissions::SecretDirs),
        Box::new(integrity::Elsewhere),
        Box::new(tls::Tls),
        Box::new(gateway::GatewayScope),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_two_checks_share_a_code() {
        let mut seen = HashMap::new();
        for check in all() {
            for code in check.codes() {
                let known = seen.entry(*code).or_insert(check.codes());
                assert_eq!(*known, check.codes(), "{code}");
            }
        }
    }
}
