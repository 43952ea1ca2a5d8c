//! Spending a refresh token: with every lock that covers it, once, and what comes for it is on the disk before anybody
//! uses it (spec 04 section 7.2 steps 3 to 7).

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use auth_core::secrets::Redactor;
use auth_core::{Expiry, Owner, ProfileId, Secret};
use auth_store::{LockError, LockGuard, OpenStore, StoreWriteError, StoreWriter, lock_unless};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::entry::LoginEntry;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::goal::Goal;
use crate::provider::{Refreshable, Renewed, number};
use crate::refresher::{Access, Origin, Refresher, Sight, Subject, login_in};
use crate::transport::{HttpRequest, HttpResponse, TransportError};

/// How long a refresh may take, the repeat included.
const DEADLINE: Duration = Duration::from_secs(20);
/// The pause before a request is repeated.
const REPEAT_PAUSE: Duration = Duration::from_secs(1);
/// How often a held lock is renewed.
const RENEW_EVERY: Duration = if cfg!(test) { Duration::from_millis(30) } else { Duration::from_secs(10) };

/// A refresh token that is to be spent.
pub(crate) struct Spending {
    pub(crate) kind: Refreshable,
    pub(crate) sent: Secret,
    /// Which store the login comes from.
    pub(crate) owner: Owner,
    /// Names the token without telling it: for the lock of every copy of one login.
    pub(crate) name: String,
}

/// A store that holds the login, under its lock.
struct Place<'a> {
    owner: Owner,
    writer: StoreWriter<'a>,
    guard: LockGuard<'a>,
}

impl Refresher<'_> {
    /// Takes every lock, and refreshes. `None` when that is not what is needed any more: another process was faster, or
    /// the login is another one now.
    pub(crate) fn spend(
        &self,
        subject: Subject<'_>,
        sight: Sight,
        goal: &Goal,
        spending: &Spending,
    ) -> Result<Option<Access>, OAuthError> {
        let result = self.spend_locked(subject, sight, goal, spending);
        match result {
            // There are new tokens, and nothing has changed the reason why they are not stored.
            Err(error) if error.kind != OAuthErrorKind::NotStored && self.memory.unsaved(&spending.name).is_some() => {
                Err(not_stored(subject.id, spending.kind.id(), &error.message))
            }
            result => result,
        }
    }

    fn spend_locked(
        &self,
        subject: Subject<'_>,
        sight: Sight,
        goal: &Goal,
        spending: &Spending,
    ) -> Result<Option<Access>, OAuthError> {
        let Spending { kind, sent, owner, name } = spending;
        let is_settled = || match self.held(subject, sight) {
            Ok(held) => !is_token(&held.entry, sent) || goal.met_by(&held.entry, self.net.now_ms()).is_some(),
            // It is gone or cannot be read: the next look tells.
            Err(_) => true,
        };
        let holds = |open: &OpenStore| login_in(open, subject.id).is_some_and(|entry| is_token(&entry, sent));
        let candidates = self.places(subject);
        let locks = self.layout.state_dir().join("locks");
        if !self.host.exists(&locks) {
            self.host.make_dir(&locks).map_err(|error| {
                OAuthError::new(OAuthErrorKind::Unavailable, format!("cannot create {}: {error}", locks.display()))
            })?;
        }
        let target = locks.join(format!("oauth-{name}"));
        let waited = lock_unless(&target, self.host, &mut || is_settled()).map_err(|error| busy(&error))?;
        let Some(mut first) = waited else { return Ok(None) };
        let mut places: Vec<Place<'_>> = Vec::new();
        for (whose, dir) in &candidates {
            let writer = StoreWriter::new(dir, self.layout, self.settings.environment, self.host);
            match writer.read() {
                Ok(open) if holds(&open) => {}
                Err(error) if whose == owner => return Err(not_writable(&error)),
                _ => continue,
            }
            let waited = writer.lock_unless(&mut || {
                first.renew();
                for place in &mut places {
                    place.guard.renew();
                }
                is_settled()
            });
            let Some(guard) = waited.map_err(|error| not_writable(&error))? else { return Ok(None) };
            places.push(Place { owner: *whose, writer, guard });
        }
        // Everything is locked: what is stored now is what counts, in this store and in the other.
        if is_settled() {
            return Ok(None);
        }
        let mut entry = None;
        for place in &places {
            let open = place.writer.read().map_err(|error| not_writable(&error))?;
            if !holds(&open) {
                return Ok(None);
            }
            if place.owner == *owner {
                entry = login_in(&open, subject.id);
            }
        }
        let Some(entry) = entry else { return Ok(None) };

        let kept = self.memory.unsaved(name);
        let was_kept = kept.is_some();
        let renewed = match kept {
            Some(renewed) => renewed,
            None => {
                if let Some(error) = self.memory.dead(name) {
                    return Err(error);
                }
                let others = places.iter_mut().map(|place| &mut place.guard);
                let mut guards: Vec<&mut LockGuard<'_>> = std::iter::once(&mut first).chain(others).collect();
                self.ask(*kind, &entry, &mut guards).inspect_err(|error| {
                    if error.is_permanent() {
                        self.memory.bury(name, error);
                    }
                })?
            }
        };
        if !self.store(subject.id, spending, &renewed, &places)? {
            // A program that knows no lock has put another login there, or none: that is what counts.
            return Ok(None);
        }
        let account = renewed.fields.iter().find(|(name, _)| *name == "accountId").and_then(|(_, id)| id.as_str());
        let entry = LoginEntry {
            account_id: account.map(str::to_owned).or(entry.account_id),
            access: Some(renewed.access.clone()),
            refresh: renewed.refresh.clone().or(entry.refresh),
            expires: Expiry::At(renewed.expires_ms),
            ..entry
        };
        if was_kept && goal.met_by(&entry, self.net.now_ms()).is_none() {
            // It took so long to store them that they have ended.
            return Ok(None);
        }
        Ok(Some(Access {
            token: renewed.access,
            expires_ms: entry.expires.date_ms(),
            origin: Origin::Refreshed,
            entry,
        }))
    }

    /// Stores new tokens wherever the old ones are, and tells whether they were anywhere.
    fn store(
        &self,
        id: &ProfileId,
        spending: &Spending,
        renewed: &Renewed,
        places: &[Place<'_>],
    ) -> Result<bool, OAuthError> {
        let fields = renewed_fields(renewed);
        let put = |place: &Place<'_>| {
            // Read again: a program that took our lock for left behind may have changed something else.
            let mut open = place.writer.read()?;
            let is_there = login_in(&open, id).is_some_and(|entry| is_token(&entry, &spending.sent));
            if is_there {
                open.document.set_fields(id, &fields);
                place.writer.write(Some(&place.guard), &open, &[id])?;
            }
            Ok::<_, StoreWriteError>(is_there)
        };
        let (mut stored, mut failed) = (false, Vec::new());
        for place in places {
            match put(place) {
                Ok(done) => stored |= done,
                Err(error) => failed.push(error.to_string()),
            }
        }
        if failed.is_empty() {
            self.memory.saved(&spending.name);
            return Ok(stored);
        }
        self.memory.keep(&spending.name, renewed);
        let mut error = not_stored(id, spending.kind.id(), &failed.join("; "));
        if stored {
            error.message = error.message.replace("The login will be lost", "This copy of the login will be lost");
        }
        Err(error)
    }

    /// Sends the refresh, once more when there was no answer, and keeps the locks fresh meanwhile.
    fn ask(
        &self,
        kind: Refreshable,
        entry: &LoginEntry,
        guards: &mut [&mut LockGuard<'_>],
    ) -> Result<Renewed, OAuthError> {
        let start = Instant::now();
        let request = kind.request(entry, self.settings)?;
        let mut repeated = false;
        loop {
            for guard in guards.iter_mut() {
                guard.renew();
            }
            let left = DEADLINE.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            let answer = self.send(&request, left, guards);
            let result =
                answer.map_err(OAuthError::from).and_then(|response| kind.read(entry, &response, self.net.now_ms()));
            match result {
                Err(error)
                    if error.kind == OAuthErrorKind::Unavailable
                        && !repeated
                        && start.elapsed() + REPEAT_PAUSE < DEADLINE =>
                {
                    repeated = true;
                    self.net.wait(REPEAT_PAUSE)?;
                }
                result => return result.map_err(|error| self.without_client_secrets(kind, error)),
            }
        }
    }

    /// A refusal may repeat what was sent, the secret of the user's own client too.
    fn without_client_secrets(&self, kind: Refreshable, error: OAuthError) -> OAuthError {
        let Some(secret) = kind.client_secret(self.settings) else { return error };
        let redactor = Redactor::of([secret]);
        OAuthError {
            message: redactor.redact(&error.message),
            code: error.code.map(|code| redactor.redact(&code)),
            ..error
        }
    }

    fn send(
        &self,
        request: &HttpRequest,
        timeout: Duration,
        guards: &mut [&mut LockGuard<'_>],
    ) -> Result<HttpResponse, TransportError> {
        let net = self.net;
        std::thread::scope(|scope| {
            let (done, answer) = channel();
            scope.spawn(move || {
                // Nobody listens only when this thread's parent has panicked.
                let _ = done.send(net.send(request, timeout));
            });
            loop {
                match answer.recv_timeout(RENEW_EVERY) {
                    Ok(answer) => return answer,
                    Err(RecvTimeoutError::Timeout) => guards.iter_mut().for_each(|guard| guard.renew()),
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(TransportError::Network("the request ended without an answer".to_owned()));
                    }
                }
            }
        })
    }

    /// The stores that may hold the login, in the order in which they are locked: by agent.
    fn places(&self, subject: Subject<'_>) -> Vec<(Owner, PathBuf)> {
        let own = (Owner::Agent, subject.dir.to_owned());
        if self.is_main(subject.dir) {
            return vec![own];
        }
        let main = (Owner::Main, self.layout.main_store_dir().to_owned());
        if subject.agent.as_str() < auth_core::AgentId::main().as_str() { vec![own, main] } else { vec![main, own] }
    }
}

fn is_token(entry: &LoginEntry, token: &Secret) -> bool {
    entry.refresh.as_ref().is_some_and(|known| known.is_same(token))
}

/// Names a refresh token without telling it.
pub(crate) fn token_name(provider: &str, refresh: &Secret) -> String {
    let mut digest = Sha256::new();
    digest.update(provider.as_bytes());
    digest.update([0]);
    digest.update(refresh.reveal().as_bytes());
    crate::pkce::hex(&digest.finalize())[..16].to_owned()
}

fn renewed_fields(renewed: &Renewed) -> Vec<(&'static str, Value)> {
    let mut fields = vec![("access", Value::from(renewed.access.reveal()))];
    fields.extend(renewed.refresh.iter().map(|refresh| ("refresh", Value::from(refresh.reveal()))));
    fields.push(("expires", number(renewed.expires_ms)));
    fields.extend(renewed.fields.iter().cloned());
    fields
}

fn busy(error: &LockError) -> OAuthError {
    OAuthError::new(OAuthErrorKind::Unavailable, error.to_string())
}

fn not_writable(error: &StoreWriteError) -> OAuthError {
    let kind = match error {
        StoreWriteError::Lock(_) => OAuthErrorKind::Unavailable,
        _ => OAuthErrorKind::NotOurs,
    };
    OAuthError::new(kind, error.to_string())
}

fn not_stored(id: &ProfileId, provider: &str, why: &str) -> OAuthError {
    let why = why.trim_end_matches('.');
    OAuthError::new(
        OAuthErrorKind::NotStored,
        format!(
            "{id} was refreshed, but the new tokens could not be stored and the old ones have no value any more: {why}. The login will be lost when this process ends. Make room or mend the permissions, then run: openclaw models auth login --provider {provider}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use auth_core::{AgentId, Config, Environment};
    use auth_store::{RealHost, StateLayout};

    use super::*;
    use crate::endpoints::Endpoints;
    use crate::goal::Need;
    use crate::memory::RefreshMemory;
    use crate::provider::ProviderSettings;
    use crate::transport::Transport;

    /// A provider that takes its time, and looks at the locks meanwhile.
    struct Slow {
        locks: Vec<PathBuf>,
        seen: Mutex<Vec<Vec<String>>>,
    }

    impl Transport for Slow {
        fn send(&self, _: &HttpRequest, _: Duration) -> Result<HttpResponse, TransportError> {
            for _ in 0..6 {
                std::thread::sleep(RENEW_EVERY);
                let texts = self.locks.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default());
                self.seen.lock().unwrap().push(texts.collect());
            }
            let body = r#"{"access_token":"at-test-2","refresh_token":"rt-test-2","expires_in":3600}"#;
            Ok(HttpResponse { status: 200, body: Secret::new(body) })
        }
        fn wait(&self, _: Duration) -> Result<(), TransportError> {
            Ok(())
        }
        fn now_ms(&self) -> i64 {
            1_900_000_000_000
        }
    }

    #[test]
    fn every_lock_is_kept_fresh_while_the_provider_takes_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let environment = Environment::from_process([("HOME".to_owned(), home.display().to_string())]);
        let layout = StateLayout::resolve(&environment, &RealHost);
        let state = home.join(".openclaw");
        let store = r#"{"version":1,"profiles":{"c:x":{"type":"oauth","provider":"openai-codex","access":"at-test-1","refresh":"rt-test-1","expires":1}}}"#;
        let mut locks =
            vec![state.join(format!("locks/oauth-{}.lock", token_name("openai-codex", &Secret::new("rt-test-1"))))];
        for agent in ["main", "work"] {
            let path = state.join("agents").join(agent).join("agent/auth-profiles.json");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, store).unwrap();
            locks.push(path.with_extension("json.lock"));
        }
        let net = Slow { locks, seen: Mutex::default() };
        let refresher = Refresher {
            layout: &layout,
            config: &Config::default(),
            host: &RealHost,
            settings: ProviderSettings {
                environment: &environment,
                host: &RealHost,
                endpoints: &Endpoints::default(),
                minimax_base_url: None,
            },
            net: &net,
            memory: &RefreshMemory::default(),
        };
        let (agent, id) = (AgentId::normalise("work"), ProfileId::new("c:x"));
        let subject = Subject { agent: &agent, dir: &state.join("agents/work/agent"), id: &id };
        refresher.access(subject, &Need::Use).unwrap();
        let seen = net.seen.into_inner().unwrap();
        for (at, lock) in net.locks.iter().enumerate() {
            let texts: Vec<&String> = seen.iter().map(|texts| &texts[at]).collect();
            assert!(texts.iter().all(|text| text.contains(&format!("\"pid\": {}", std::process::id()))), "{texts:?}");
            let mut times = texts.clone();
            times.dedup();
            assert!(times.len() >= 3, "{} was not renewed: {texts:?}", lock.display());
            assert!(times.is_sorted());
            assert!(!lock.exists());
        }
    }
}
