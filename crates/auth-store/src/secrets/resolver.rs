//! From references to secrets (spec 05 section 3): every provider is asked once, programs side by side.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use auth_core::config::SecretInput;
use auth_core::secrets::{ExecProvider, ProviderSettings, SecretError, SecretsConfig, exec_request, exec_response};
use auth_core::{
    AuthProfiles, Config, Environment, RefSource, RefState, ResolvedRefs, Secret, SecretRef, config_key_refs,
};

use super::file_source::Payload;
use super::path_check::{PathLabel, checked_command};
use super::seen::{remember_seen, seen_secrets};
use crate::host::Host;
use crate::layout::StateLayout;
use crate::program::{Ended, Ending, Program};

/// Which programs may be run for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecPolicy {
    /// None: what a report wants to know must cost nothing.
    Never,
    /// Only this very program, as a helper for the keyring or an encrypted file; it answers without being started.
    Own,
    /// All: the user agreed.
    Allow,
}

/// This program as its own helper: answers without a process of its own.
pub trait OwnHelper {
    /// Whether a program with these arguments is this one as a helper.
    fn serves(&self, program: &Path, args: &[String]) -> bool;
    /// The secrets of some ids, or why there are none.
    fn answer(&self, args: &[String], ids: &[&str]) -> Vec<Result<Secret, String>>;
}

/// Resolves references. What was asked for once is not asked for again.
pub struct Resolver<'a> {
    secrets: &'a SecretsConfig,
    environment: &'a Environment,
    layout: &'a StateLayout,
    host: &'a dyn Host,
    policy: ExecPolicy,
    helper: Option<&'a dyn OwnHelper>,
    known: RefCell<ResolvedRefs>,
}

impl std::fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The references that a report about an agent wants to know: of the config's keys, and of the profiles it sees.
pub fn report_references(config: &Config, store: &AuthProfiles) -> Vec<SecretRef> {
    let of_search = match &config.xai_search_key {
        Some(SecretInput::Reference(reference)) => Some(reference.clone()),
        _ => None,
    };
    let of_profiles =
        store.iter().filter_map(|profile| profile.credential.material()?.resolved_reference(&config.secrets.defaults));
    config_key_refs(config).map(|(_, reference)| reference.clone()).chain(of_search).chain(of_profiles).collect()
}

/// References to one provider.
struct Group<'r> {
    alias: &'r str,
    refs: Vec<&'r SecretRef>,
}

impl Group<'_> {
    /// The ids to ask for: trimmed, each once, in order of first use.
    fn ids(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.refs.iter().map(|reference| reference.id.trim()).filter(|id| seen.insert(*id)).collect()
    }
}

/// A program that is ready to be asked.
struct Call<'r> {
    group: Group<'r>,
    provider: &'r ExecProvider,
    program: PathBuf,
    request: Secret,
}

impl<'a> Resolver<'a> {
    /// A resolver for the providers of a config.
    pub fn new(
        secrets: &'a SecretsConfig,
        environment: &'a Environment,
        layout: &'a StateLayout,
        host: &'a dyn Host,
        policy: ExecPolicy,
    ) -> Self {
        Self { secrets, environment, layout, host, policy, helper: None, known: RefCell::default() }
    }

    /// The same with this program as its own helper.
    #[must_use]
    pub fn with_helper(self, helper: Option<&'a dyn OwnHelper>) -> Self {
        Self { helper, ..self }
    }

    /// Whether a reference is left alone because a program would have to run.
    pub fn skips(&self, reference: &SecretRef) -> bool {
        if reference.source != RefSource::Exec || self.policy == ExecPolicy::Allow {
            return false;
        }
        match self.secrets.provider_of(reference) {
            Ok(Some(ProviderSettings::Exec(provider))) => !self.is_own(provider),
            _ => true,
        }
    }

    /// What the references resolve to. Those that may not be asked are [`RefState::NotRun`], unless it is plain without
    /// asking that they cannot resolve.
    pub fn resolve<'r>(&self, references: impl IntoIterator<Item = &'r SecretRef>) -> ResolvedRefs {
        let mut groups: Vec<(RefSource, Group<'r>)> = Vec::new();
        let mut seen = HashSet::new();
        for reference in references {
            if self.known.borrow().contains(reference) || !seen.insert(reference) {
                continue;
            }
            if let Err(why) = SecretError::check_id(reference) {
                self.learn(reference, Err(why));
                continue;
            }
            let group =
                groups.iter_mut().find(|(source, g)| *source == reference.source && g.alias == reference.provider);
            match group {
                Some((_, group)) => group.refs.push(reference),
                None => groups.push((reference.source, Group { alias: &reference.provider, refs: vec![reference] })),
            }
        }
        let mut calls = Vec::new();
        for (_, group) in groups {
            match self.ready(&group) {
                Ok(Ask::Variables) => self.ask_environment(&group),
                Ok(Ask::File(payload)) => {
                    for reference in &group.refs {
                        let found = payload.secret(group.alias, reference.id.trim());
                        self.learn(reference, found.and_then(|secret| secret.ok_or_else(|| not_a_string(reference))));
                    }
                }
                Ok(Ask::Own(provider)) => self.ask_own(&group, provider),
                Ok(Ask::Program { provider, program, request }) => {
                    calls.push(Call { group, provider, program, request });
                }
                Ok(Ask::Nobody) => {
                    group.refs.iter().for_each(|reference| self.remember(reference, RefState::NotRun));
                }
                Err(why) => self.fail_all(&group, &why),
            }
        }
        self.ask_programs(&calls);
        self.known.borrow().clone()
    }

    /// Finds the provider of a group and what is needed to ask it.
    fn ready<'r>(&self, group: &Group<'r>) -> Result<Ask<'a>, SecretError> {
        let Some(first) = group.refs.first() else { return Ok(Ask::Nobody) };
        let (limit, ids) = (self.secrets.max_refs_per_provider, group.ids());
        if ids.len() > limit {
            return Err(SecretError::TooManyRefs { alias: group.alias.to_owned(), limit });
        }
        match self.secrets.provider_of(first)? {
            None | Some(ProviderSettings::Env(_)) => Ok(Ask::Variables),
            Some(ProviderSettings::File(provider)) => {
                Payload::load(group.alias, provider, self.layout, self.host).map(Ask::File)
            }
            Some(ProviderSettings::Exec(_)) if self.skips(first) => Ok(Ask::Nobody),
            Some(ProviderSettings::Exec(provider)) => {
                let label = PathLabel(format!("secrets.providers.{}.command", group.alias));
                let program = checked_command(provider, &label, self.layout, self.host)?;
                if self.is_own(provider) {
                    return Ok(Ask::Own(provider));
                }
                let request = exec_request(group.alias, &ids);
                let limit = self.secrets.max_batch_bytes;
                if request.len() as u64 > limit {
                    return Err(SecretError::BatchTooLarge { alias: group.alias.to_owned(), limit });
                }
                Ok(Ask::Program { provider, program, request: Secret::new(request) })
            }
        }
    }

    fn is_own(&self, provider: &ExecProvider) -> bool {
        let serves = |helper: &dyn OwnHelper| {
            let real = self.host.real_path(Path::new(&provider.command));
            real.is_ok_and(|program| helper.serves(&program, &provider.args))
        };
        self.policy != ExecPolicy::Never && self.helper.is_some_and(serves)
    }

    fn ask_environment(&self, group: &Group<'_>) {
        for reference in &group.refs {
            self.learn(reference, self.secrets.env_secret(reference, self.environment));
        }
    }

    fn ask_own(&self, group: &Group<'_>, provider: &ExecProvider) {
        let Some(helper) = self.helper else { return };
        let ids = group.ids();
        let answers = helper.answer(&provider.args, &ids);
        for reference in &group.refs {
            let id = reference.id.trim();
            let answer = ids.iter().position(|known| *known == id).and_then(|at| answers.get(at));
            let failed = |message: Option<String>| {
                Err(SecretError::ExecFailed { alias: group.alias.to_owned(), id: id.to_owned(), message })
            };
            self.learn(
                reference,
                match answer {
                    Some(Ok(secret)) => Ok(secret.clone()),
                    Some(Err(why)) => failed(Some(why.clone())),
                    None => failed(None),
                },
            );
        }
    }

    /// Runs the programs side by side and reads their answers.
    fn ask_programs(&self, calls: &[Call<'_>]) {
        if calls.is_empty() {
            return;
        }
        let programs: Vec<Program<'_>> = calls.iter().map(|call| self.program(call)).collect();
        let ended = self.host.run_programs(&programs, self.secrets.max_provider_concurrency);
        for (call, ended) in calls.iter().zip(ended) {
            let ids = call.group.ids();
            match self.answer(call, &ended, &ids) {
                Err(why) => self.fail_all(&call.group, &why),
                Ok(answers) => {
                    for reference in &call.group.refs {
                        let at = ids.iter().position(|id| *id == reference.id.trim());
                        let answer = at.and_then(|at| answers.get(at).cloned());
                        self.learn(reference, answer.unwrap_or_else(|| Err(not_a_string(reference))));
                    }
                }
            }
        }
    }

    /// What a program answered for some ids.
    fn answer(
        &self,
        call: &Call<'_>,
        ended: &Ended,
        ids: &[&str],
    ) -> Result<Vec<Result<Secret, SecretError>>, SecretError> {
        let provider = call.provider;
        let fault = |fault: String| Err(SecretError::Exec { alias: call.group.alias.to_owned(), fault });
        match &ended.ending {
            Ending::Exited(Some(0)) => {
                // Its messages may quote what it was started with, or what others gave.
                let passed = provider.pass_env.iter().filter_map(|name| self.environment.get(name)).map(Secret::new);
                let known: Vec<Secret> =
                    provider.env.iter().map(|(_, value)| value.clone()).chain(passed).chain(seen_secrets()).collect();
                exec_response(call.group.alias, &ended.output, ids, provider.json_only, &known)
            }
            Ending::Exited(Some(code)) => fault(format!("exited with code {code}")),
            Ending::Exited(None) => fault("exited with code null (ended by a signal)".to_owned()),
            Ending::TimedOut => fault(format!("timed out after {}ms", provider.timeout_ms)),
            Ending::Silent => fault(format!("produced no output for {}ms", provider.no_output_timeout_ms)),
            Ending::TooMuchOutput => fault(format!("exceeded maxOutputBytes ({})", provider.max_output_bytes)),
            Ending::NotStarted(why) => fault(format!("could not be started ({why})")),
        }
    }

    fn program<'c>(&'c self, call: &'c Call<'_>) -> Program<'c> {
        let provider = call.provider;
        let is_fixed = |name: &str| provider.env.iter().any(|(known, _)| known == name);
        let passed = provider.pass_env.iter().filter(|name| !is_fixed(name));
        let passed = passed.filter_map(|name| Some((name.as_str(), Secret::new(self.environment.get(name)?))));
        let fixed = provider.env.iter().map(|(name, value)| (name.as_str(), value.clone()));
        Program {
            path: &call.program,
            args: provider.args.iter().map(String::as_str).collect(),
            environment: passed.chain(fixed).collect(),
            dir: call.program.parent().unwrap_or(Path::new("/")),
            input: Some(call.request.clone()),
            timeout_ms: provider.timeout_ms,
            silence_ms: provider.no_output_timeout_ms,
            max_output: provider.max_output_bytes,
        }
    }

    fn fail_all(&self, group: &Group<'_>, why: &SecretError) {
        group.refs.iter().for_each(|reference| self.learn(reference, Err(why.clone())));
    }

    /// Records an answer.
    fn learn(&self, reference: &SecretRef, answer: Result<Secret, SecretError>) {
        let answer = answer.and_then(|secret| {
            // What is sent is the cleaned form; one that leaves nothing is no key.
            if secret.cleaned().is_some() { Ok(secret) } else { Err(not_a_string(reference)) }
        });
        self.remember(
            reference,
            match answer {
                Ok(secret) => {
                    remember_seen(&secret);
                    RefState::Resolved(secret)
                }
                Err(why) => RefState::Unresolved(why.to_string()),
            },
        );
    }

    fn remember(&self, reference: &SecretRef, state: RefState) {
        self.known.borrow_mut().insert(reference.clone(), state);
    }
}

/// How the references of a group are asked for.
enum Ask<'a> {
    Variables,
    File(Payload),
    Own(&'a ExecProvider),
    Program { provider: &'a ExecProvider, program: PathBuf, request: Secret },
    Nobody,
}

fn not_a_string(reference: &SecretRef) -> SecretError {
    SecretError::NotAString(reference.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{MapHost, RealHost};
    use serde_json::{Value, json};

    fn state(host: &dyn Host, provider: &Value, id: &str) -> Result<String, String> {
        let config = Config::from_value(&json!({
            "secrets": {"providers": {"f": provider}},
            "models": {"providers": {"p": {"apiKey": {"source": "file", "provider": "f", "id": id}}}}}));
        let env = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&env, host);
        let resolver = Resolver::new(&config.secrets, &env, &layout, host, ExecPolicy::Never);
        let states = resolver.resolve(&report_references(&config, &AuthProfiles::default()));
        let (_, reference) = config_key_refs(&config).next().unwrap();
        match states.get(reference) {
            RefState::Resolved(secret) => Ok(secret.reveal().to_owned()),
            RefState::Unresolved(why) => Err(why.clone()),
            RefState::NotRun => Err("not run".to_owned()),
        }
    }

    #[test]
    fn files_give_values_by_pointer_or_whole() {
        let host = MapHost::new("/h")
            .file("/h/s.json", r#"{"a": {"b/c": ["x", "sk-test-1"]}, "n": 7, "": "root"}"#)
            .file("/h/one", "sk-test-2\r\n");
        let json_file = json!({"source": "file", "path": "~/s.json"});
        let get = |id: &str| state(&host, &json_file, id);
        assert_eq!(get("/a/b~1c/1").as_deref(), Ok("sk-test-1"));
        assert_eq!(get("/").as_deref(), Ok("root"));
        assert!(get("/a/b~1c/1abc").unwrap_err().contains("does not exist"));
        assert!(get("/a/b~1c/7").unwrap_err().contains("is out of bounds"));
        assert!(get("/n").unwrap_err().contains("is not a non-empty string"));
        assert!(get("value").unwrap_err().contains("absolute JSON pointers"));
        let one = json!({"source": "file", "path": "/h/one", "mode": "singleValue"});
        assert_eq!(state(&host, &one, "value").as_deref(), Ok("sk-test-2"));
        assert!(state(&host, &one, "/a").unwrap_err().contains("expects ref id \"value\""));
        assert!(
            state(&host, &json!({"source": "file", "path": "rel"}), "/a")
                .unwrap_err()
                .contains("must be an absolute path")
        );
        assert!(
            state(&host, &json!({"source": "file", "path": "/h/gone"}), "/a").unwrap_err().contains("is not readable")
        );
        assert!(
            state(&host, &json!({"source": "file", "path": "/h/one"}), "/a").unwrap_err().contains("is not valid JSON")
        );
    }

    #[test]
    fn files_that_others_can_reach_are_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "sk-test-3").unwrap();
        let ask = |path: &Path, more: &Value| {
            let mut provider = json!({"source": "file", "path": path, "mode": "singleValue"});
            provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            state(&RealHost, &provider, "value")
        };
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(ask(&path, &json!({})).unwrap_err().contains("permissions are too open"));
        assert!(ask(&path, &json!({"allowInsecurePath": true})).is_ok());
        mode(0o600);
        assert_eq!(ask(&path, &json!({})).as_deref(), Ok("sk-test-3"));
        assert!(ask(&path, &json!({"maxBytes": 4})).unwrap_err().contains("exceeded maxBytes (4)"));
        assert!(ask(dir.path(), &json!({})).unwrap_err().contains("must be a file"));
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(ask(&link, &json!({})).unwrap_err().contains("must not be a symlink"));
    }
}
