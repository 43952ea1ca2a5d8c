//! Setting up a provider: which choice, whose key, and what it writes (spec 04 section 3).

mod changes;
mod choice;
mod custom;
mod key;
mod method;

pub use changes::{
    ServerModel, WizardStamp, allow_model, apply_default_model, apply_endpoint, apply_local_server, apply_ollama,
    cloudflare_base_url, enable_plugin, plugin_block, set_primary_only, stamp_wizard, zai_candidates,
};
pub use choice::{Choice, ChoiceError, Chosen, choice_names, choice_of_flag, key_flags, resolve_choice};
pub use custom::{CustomInput, CustomKey, CustomProvider, checked_base_url};
pub use key::{FoundKey, InputMode, KeySource, KeyWanted, find_key};
pub use method::{MethodError, login_method, login_methods, login_provider, login_providers};
