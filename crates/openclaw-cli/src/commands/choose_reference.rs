//! Asking for a reference: where the secret lives, and under which name; it is tried before it is taken.

use auth_core::secrets::{FileMode, ProviderSettings, SecretsConfig};
use auth_core::{Environment, ProviderId, RefSource, RefState, Secret, SecretRef};
use auth_store::secrets::{ExecPolicy, OwnHelper, Resolver};
use auth_store::{RealHost, StateLayout};

use crate::failure::Failure;
use crate::prompt;

/// What a question about a reference needs to know.
#[derive(Clone, Copy)]
pub(crate) struct ReferenceQuestion<'a> {
    pub(crate) secrets: &'a SecretsConfig,
    pub(crate) environment: &'a Environment,
    pub(crate) layout: &'a StateLayout,
    pub(crate) host: &'a RealHost,
    /// Whether programs may be run to try a reference.
    pub(crate) policy: ExecPolicy,
    pub(crate) helper: Option<&'a dyn OwnHelper>,
    /// The model provider whose key it is.
    pub(crate) provider: &'a str,
}

impl ReferenceQuestion<'_> {
    /// Asks until a reference resolves, or cannot be tried; `None` goes back. The second value is what it resolves to.
    pub(crate) fn ask(&self) -> Result<Option<(SecretRef, Option<Secret>)>, Failure> {
        loop {
            let Some(source) = self.source()? else { return Ok(None) };
            let provider = self.alias(source)?;
            let id = prompt::text(question(source), &self.suggested_id(source, &provider))?;
            let reference = SecretRef { source, provider, id };
            if let Some(fault) = reference.id_fault() {
                prompt::complain(fault)?;
                continue;
            }
            match self.resolve(&reference) {
                RefState::Resolved(secret) => {
                    prompt::remark(&format!("{reference} resolves to {}", secret.masked()))?;
                    return Ok(Some((reference, Some(secret))));
                }
                RefState::Unresolved(why) => prompt::complain(&why)?,
                RefState::NotRun => {
                    prompt::remark(&format!("{reference} was not tried; --allow-exec runs the program"))?;
                    return Ok(Some((reference, None)));
                }
            }
        }
    }

    /// Whether there is anything but variables.
    pub(crate) fn has_other_sources(&self) -> bool {
        self.has(RefSource::File) || self.has(RefSource::Exec)
    }

    fn has(&self, source: RefSource) -> bool {
        self.secrets.providers.values().any(|provider| provider.source() == source)
    }

    fn source(&self) -> Result<Option<RefSource>, Failure> {
        let mut list = vec![("env", "A variable".to_owned(), "it has to be set wherever agents run".to_owned())];
        if self.has(RefSource::File) {
            list.push(("file", "A file".to_owned(), String::new()));
        }
        if self.has(RefSource::Exec) {
            list.push(("exec", "A program".to_owned(), String::new()));
        }
        list.push(("", "← Back".to_owned(), String::new()));
        Ok(RefSource::parse(prompt::choose("Where does it live?", &list, false)?))
    }

    fn alias(&self, source: RefSource) -> Result<String, Failure> {
        let of_source = self.secrets.providers.iter().filter(|(_, provider)| provider.source() == source);
        let mut known: Vec<&str> = of_source.map(|(alias, _)| alias.as_str()).collect();
        let default = match source {
            RefSource::Env => self.secrets.env_alias(),
            _ => match self.secrets.defaults.alias(source) {
                alias if known.contains(&alias) => alias,
                alias => known.first().copied().unwrap_or(alias),
            },
        };
        if source == RefSource::Env && !known.contains(&default) {
            known.insert(0, default);
        }
        if known.len() < 2 {
            return Ok(default.to_owned());
        }
        known.sort_by_key(|alias| *alias != default);
        let list: Vec<(String, String)> = known.iter().map(|alias| ((*alias).to_owned(), String::new())).collect();
        Ok(known[prompt::choose_of("Which secret provider?", &list)?].to_owned())
    }

    fn suggested_id(&self, source: RefSource, alias: &str) -> String {
        let provider = self.provider;
        match (source, self.secrets.providers.get(alias)) {
            (RefSource::Env, _) => {
                let key = ProviderId::normalise(provider).auth_key();
                key.env_vars().first().map_or_else(String::new, |name| (*name).to_owned())
            }
            (RefSource::File, Some(ProviderSettings::File(file))) if file.mode == FileMode::SingleValue => {
                "value".to_owned()
            }
            (RefSource::File, _) => format!("/providers/{}/apiKey", provider.replace('~', "~0").replace('/', "~1")),
            (RefSource::Exec, _) => format!("{provider}/apiKey"),
        }
    }

    fn resolve(&self, reference: &SecretRef) -> RefState {
        let resolver = Resolver::new(self.secrets, self.environment, self.layout, self.host, self.policy);
        resolver.with_helper(self.helper).resolve([reference]).get(reference).clone()
    }
}

fn question(source: RefSource) -> &'static str {
    match source {
        RefSource::Env => "The variable",
        RefSource::File => "Where in the file (a JSON pointer, or value)",
        RefSource::Exec => "The id that the program knows",
    }
}
