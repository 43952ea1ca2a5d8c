//! Keeping a login alive: one refresher per credential, across threads, processes and agents (spec 04 section 7).
//!
//! Lock, read again, compare, refresh, store, release. The lock is named after the refresh token, so that every copy of
//! one login is covered; the locks of the stores that hold it are taken too, for programs that know only those. What
//! the provider gives is on the disk before anybody uses it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use auth_core::{AgentId, Config, CredentialKind, Owner, ProfileId, Secret};
use auth_store::{LockError, LockGuard, OpenStore, StateLayout, StoreWriteError, StoreWriter, WriteHost, lock_unless};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::advice::{failure_text, managed_text, suggestion};
use crate::entry::LoginEntry;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::memory::RefreshMemory;
use crate::provider::{ProviderSettings, Refreshable, Renewed, number};
use crate::transport::{HttpRequest, HttpResponse, Transport, TransportError};

/// How long a refresh may take, the repeat included.
const DEADLINE: Duration = Duration::from_secs(20);
/// The pause before a request is repeated.
const REPEAT_PAUSE: Duration = Duration::from_secs(1);
/// How often a held lock is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// An access token that ends this soon is renewed before it is used, in milliseconds.
const MARGIN_MS: f64 = 60_000.0;
/// How often the work begins anew because the login changed meanwhile.
const MAX_ROUNDS: usize = 8;

/// When an access token is good enough.
#[derive(Clone, Debug)]
pub enum Need {
    /// It can be used now.
    Use,
    /// It holds for this long yet, in milliseconds.
    Remaining(f64),
    /// It is newer than the one that is stored when the work begins.
    Newer,
    /// It is another than this one, which the provider has refused whatever its expiry says.
    NotThis(Secret),
}

/// How an access token was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was stored and is good enough.
    Stored,
    /// It was refreshed here.
    Refreshed,
    /// Another process refreshed it meanwhile.
    RefreshedElsewhere,
    /// It is that of agent `main`, whose login of the same account holds longer.
    Main,
    /// It is that of another profile of the same account.
    Substitute(ProfileId),
}

/// An access token that can be used.
#[derive(Clone, Debug)]
pub struct Access {
    /// The token.
    pub token: Secret,
    /// When it ends, in milliseconds since the epoch.
    pub expires_ms: Option<f64>,
    /// Where it comes from.
    pub origin: Origin,
    /// The login that it belongs to.
    pub entry: LoginEntry,
}

/// Refreshes logins. It holds nothing: make one where it is needed, and share the memory.
#[derive(Clone, Copy)]
pub struct Refresher<'a> {
    /// Where the stores are.
    pub layout: &'a StateLayout,
    /// What is configured.
    pub config: &'a Config,
    /// The machine.
    pub host: &'a dyn WriteHost,
    /// What the requests depend on.
    pub settings: ProviderSettings<'a>,
    /// The network.
    pub net: &'a dyn Transport,
    /// What this process remembers.
    pub memory: &'a RefreshMemory,
}

impl std::fmt::Debug for Refresher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Whose login it is.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The agent.
    pub agent: &'a AgentId,
    /// Its directory.
    pub dir: &'a Path,
    /// The profile.
    pub id: &'a ProfileId,
}

/// A login where it is stored.
struct Held {
    entry: LoginEntry,
    owner: Owner,
    adopted: bool,
}

impl Refresher<'_> {
    /// An access token of a profile that is good enough, refreshed if it has to be.
    ///
    /// # Errors
    ///
    /// When there is no such login, or it cannot be kept alive; the text is that of spec 04 section 7.4. The stored
    /// login is as it was, unless the error says that new tokens could not be stored.
    pub fn access(&self, subject: Subject<'_>, need: &Need) -> Result<Access, OAuthError> {
        self.resolve(subject, need, true)
    }

    fn resolve(&self, subject: Subject<'_>, need: &Need, substitutes: bool) -> Result<Access, OAuthError> {
        let begun = self.held(subject)?;
        let goal = Goal::of(need, &begun.entry);
        let mut result = self.renew(subject, &goal);
        let spent = result.as_ref().err().is_some_and(|(error, _)| error.is_spent());
        if let (Err((_, sent)), true) = (&result, spent) {
            // Whoever was faster has stored the successor.
            let stored = self.held(subject).ok().and_then(|held| held.entry.refresh);
            let changed = matches!((&stored, sent), (Some(stored), Some(tried)) if !stored.is_same(tried));
            if changed {
                result = self.renew(subject, &goal);
            }
        }
        match result {
            Ok(access) => Ok(access),
            Err((error, _)) if matches!(error.kind, OAuthErrorKind::NotStored | OAuthErrorKind::Cancelled) => {
                Err(error)
            }
            Err((error, _)) => self.rescue(subject, &goal, substitutes, &begun.entry, error),
        }
    }

    /// What can be used although the refresh failed (7.3).
    fn rescue(
        &self,
        subject: Subject<'_>,
        goal: &Goal,
        substitutes: bool,
        begun: &LoginEntry,
        error: OAuthError,
    ) -> Result<Access, OAuthError> {
        let now = self.net.now_ms();
        if let Ok(held) = self.held(subject)
            && let Some(token) = goal.last_resort(&held.entry, now)
        {
            let origin = if held.adopted { Origin::Main } else { Origin::Stored };
            return Ok(access(token, held.entry, origin));
        }
        if substitutes && let Some(other) = self.substitute(subject, begun) {
            let instead = Subject { id: &other, ..subject };
            if let Ok(found) = self.resolve(instead, &Need::Use, false) {
                return Ok(Access { origin: Origin::Substitute(other), ..found });
            }
        }
        if let Some(main) = self.main_login(subject).filter(|main| main.is_same_account(begun))
            && let Some(token) = goal.last_resort(&main, now)
        {
            return Ok(access(token, main, Origin::Main));
        }
        let better = self.substitute(subject, begun);
        Err(OAuthError { message: failure_text(begun, subject.id, better.as_ref(), &error), ..error })
    }

    fn substitute(&self, subject: Subject<'_>, begun: &LoginEntry) -> Option<ProfileId> {
        let view = auth_store::read_view(subject.dir, self.layout, self.host).profiles;
        let other = suggestion(self.config, &view, subject.id, begun)?;
        let entry = view.get(&other).and_then(LoginEntry::of)?;
        entry.is_same_account(begun).then_some(other)
    }

    /// One refresh, or what makes it needless. The second value of an error is the refresh token that was sent.
    fn renew(&self, subject: Subject<'_>, goal: &Goal) -> Result<Access, (OAuthError, Option<Secret>)> {
        let mut waited = false;
        for _ in 0..MAX_ROUNDS {
            let held = self.held(subject).map_err(|error| (error, None))?;
            if let Some(token) = goal.met_by(&held.entry, self.net.now_ms()) {
                let origin = match (held.adopted, waited) {
                    (true, _) => Origin::Main,
                    (false, true) => Origin::RefreshedElsewhere,
                    (false, false) => Origin::Stored,
                };
                return Ok(access(token, held.entry, origin));
            }
            let (kind, sent) = refreshable(&held.entry).map_err(|error| (error, None))?;
            let name = token_name(&held.entry.provider, &sent);
            if let Some(why) = self.memory.dead(&name) {
                let error = OAuthError {
                    code: Some("invalid_grant".to_owned()),
                    ..OAuthError::new(OAuthErrorKind::Refused, why)
                };
                return Err((error, Some(sent)));
            }
            match self.locked(subject, goal, &held, kind, &sent, &name) {
                Ok(Some(access)) => return Ok(access),
                // The login changed before everything was locked, or another process was faster.
                Ok(None) => waited = true,
                Err(error) => return Err((error, Some(sent))),
            }
        }
        Err((OAuthError::new(OAuthErrorKind::Unavailable, "the login changes faster than it can be read"), None))
    }

    /// Takes every lock and refreshes. `None` when that is not what is needed any more.
    fn locked(
        &self,
        subject: Subject<'_>,
        goal: &Goal,
        held: &Held,
        kind: Refreshable,
        sent: &Secret,
        name: &str,
    ) -> Result<Option<Access>, OAuthError> {
        let mut is_settled = || match self.held(subject) {
            Ok(Held { entry, .. }) => !is_token(&entry, sent) || goal.met_by(&entry, self.net.now_ms()).is_some(),
            // It is gone or cannot be read: the next look tells.
            Err(_) => true,
        };
        let candidates = self.places(subject);
        let locks = self.layout.state_dir().join("locks");
        if !self.host.exists(&locks) {
            self.host.make_dir(&locks).map_err(|error| {
                OAuthError::new(OAuthErrorKind::Unavailable, format!("cannot create {}: {error}", locks.display()))
            })?;
        }
        let Some(mut first) = lock_unless(&locks.join(format!("oauth-{name}")), self.host, &mut is_settled)
            .map_err(|error| busy(&error))?
        else {
            return Ok(None);
        };
        // Whoever had the lock before may have renewed the copy of agent main alone, which then serves here too.
        if is_settled() {
            return Ok(None);
        }
        let mut places = Vec::new();
        for (owner, dir) in &candidates {
            let writer = StoreWriter::new(dir, self.layout, self.settings.environment, self.host);
            let holds = |open: &OpenStore| login_in(open, subject.id).is_some_and(|entry| is_token(&entry, sent));
            if !writer.read().is_ok_and(|open| holds(&open)) {
                continue;
            }
            let guard = writer.lock().map_err(|error| not_writable(&error))?;
            let open = writer.read().map_err(|error| not_writable(&error))?;
            if !holds(&open) {
                return Ok(None);
            }
            places.push((*owner, dir, guard, open));
        }
        let Some((_, _, _, open)) = places.iter().find(|(owner, ..)| *owner == held.owner) else { return Ok(None) };
        let Some(entry) = login_in(open, subject.id) else { return Ok(None) };
        if goal.met_by(&entry, self.net.now_ms()).is_some() {
            return Ok(None);
        }
        let renewed = match self.memory.unsaved(name) {
            Some(renewed) => renewed,
            None => {
                let mut guards: Vec<&mut LockGuard<'_>> =
                    std::iter::once(&mut first).chain(places.iter_mut().map(|(_, _, guard, _)| guard)).collect();
                self.ask(kind, &entry, &mut guards).inspect_err(|error| {
                    if error.kind == OAuthErrorKind::Refused {
                        self.memory.bury(name, &error.message);
                    }
                })?
            }
        };
        let fields = renewed_fields(&renewed);
        for (_, dir, guard, open) in &mut places {
            open.document.set_fields(subject.id, &fields);
            let writer = StoreWriter::new(dir, self.layout, self.settings.environment, self.host);
            if let Err(error) = writer.write(Some(guard), open, &[subject.id]) {
                self.memory.keep(name, &renewed);
                return Err(OAuthError::new(
                    OAuthErrorKind::NotStored,
                    format!(
                        "{} was refreshed, but the new tokens could not be stored and the old ones have no value any more: {error}. The login will be lost when this process ends. Make room or mend the permissions, then run: openclaw models auth login --provider {}",
                        subject.id, entry.provider
                    ),
                ));
            }
        }
        self.memory.saved(name);
        let entry = LoginEntry {
            access: Some(renewed.access.clone()),
            refresh: renewed.refresh.clone().or(entry.refresh.clone()),
            expires: auth_core::Expiry::At(renewed.expires_ms),
            ..entry
        };
        Ok(Some(access(renewed.access, entry, Origin::Refreshed)))
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
                result => return result,
            }
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
        if subject.agent.as_str() < AgentId::main().as_str() { vec![own, main] } else { vec![main, own] }
    }

    fn is_main(&self, dir: &Path) -> bool {
        let main = self.layout.main_store_dir();
        let real = |path: &Path| self.host.real_path(path).ok();
        dir == main || (real(dir).is_some() && real(dir) == real(main))
    }

    /// The login as it is stored now: the agent's own, else main's, which also serves when it is the same account and
    /// holds longer.
    fn held(&self, subject: Subject<'_>) -> Result<Held, OAuthError> {
        let own = self.login_of(subject.dir, subject.id)?;
        let main = if self.is_main(subject.dir) { None } else { self.main_login(subject) };
        let (entry, owner, adopted) = match (own, main) {
            (Some(own), Some(main)) if own.is_same_account(&main) && ends_later(&main, &own) => {
                (main, Owner::Main, true)
            }
            (Some(own), _) => (own, Owner::Agent, false),
            (None, Some(main)) => (main, Owner::Main, false),
            (None, None) => {
                let text = format!("Auth profile \"{}\" is no login of agent {}", subject.id, subject.agent);
                return Err(OAuthError::new(OAuthErrorKind::NotOurs, text));
            }
        };
        Ok(Held { entry, owner, adopted })
    }

    fn main_login(&self, subject: Subject<'_>) -> Option<LoginEntry> {
        self.login_of(self.layout.main_store_dir(), subject.id).ok().flatten()
    }

    fn login_of(&self, dir: &Path, id: &ProfileId) -> Result<Option<LoginEntry>, OAuthError> {
        let writer = StoreWriter::new(dir, self.layout, self.settings.environment, self.host);
        let open = writer.read().map_err(|error| not_writable(&error))?;
        let expected = self.config.auth_profiles.get(id.as_str()).map(|entry| entry.mode);
        if let Some(violation) = open.store.get(id).and_then(|profile| profile.ref_policy_violation(expected)) {
            return Err(OAuthError::new(OAuthErrorKind::NotOurs, violation));
        }
        Ok(login_in(&open, id))
    }
}

fn login_in(open: &OpenStore, id: &ProfileId) -> Option<LoginEntry> {
    open.store.get(id).filter(|profile| profile.kind() == CredentialKind::OAuth).and_then(LoginEntry::of)
}

fn is_token(entry: &LoginEntry, token: &Secret) -> bool {
    entry.refresh.as_ref().is_some_and(|known| known.is_same(token))
}

fn ends_later(one: &LoginEntry, other: &LoginEntry) -> bool {
    match (one.expires.date_ms(), other.expires.date_ms()) {
        (Some(one), Some(other)) => one > other,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn access(token: Secret, entry: LoginEntry, origin: Origin) -> Access {
    Access { token, expires_ms: entry.expires.date_ms(), origin, entry }
}

/// How a login is refreshed, and with which token.
fn refreshable(entry: &LoginEntry) -> Result<(Refreshable, Secret), OAuthError> {
    let not_ours = |text: String| OAuthError::new(OAuthErrorKind::NotOurs, text);
    if let Some(manager) = &entry.managed_by {
        return Err(not_ours(managed_text(manager)));
    }
    let kind = Refreshable::of(&entry.provider)
        .ok_or_else(|| not_ours("logins of this provider cannot be refreshed".to_owned()))?;
    let token = entry.refresh.clone().ok_or_else(|| not_ours("the login has no refresh token".to_owned()))?;
    Ok((kind, token))
}

/// Names a refresh token without telling it: the lock of every copy of one login.
fn token_name(provider: &str, refresh: &Secret) -> String {
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

/// When an access token is good enough, with what that is compared with.
struct Goal {
    /// How long it must hold yet, in milliseconds.
    remaining_ms: f64,
    /// Of what holds less than the margin, the rest may still be used when the refresh fails.
    may_end_soon: bool,
    /// The token that will not do.
    not: Option<Secret>,
}

impl Goal {
    fn of(need: &Need, begun: &LoginEntry) -> Self {
        // A margin makes no sense where nothing could be done in it.
        let margin = if refreshable(begun).is_ok() { MARGIN_MS } else { 0.0 };
        match need {
            Need::Use => Self { remaining_ms: margin, may_end_soon: true, not: None },
            Need::Remaining(ms) => Self { remaining_ms: *ms, may_end_soon: false, not: None },
            Need::Newer => {
                Self { remaining_ms: 0.0, may_end_soon: false, not: begun.access.clone().or(Some(Secret::new(""))) }
            }
            Need::NotThis(token) => Self { remaining_ms: 0.0, may_end_soon: false, not: Some(token.clone()) },
        }
    }

    fn token_of(&self, entry: &LoginEntry, now_ms: i64, remaining_ms: f64) -> Option<Secret> {
        let token = entry.access.as_ref()?;
        let another = self.not.as_ref().is_none_or(|not| !not.is_same(token));
        (another && entry.remaining_ms(now_ms).is_some_and(|left| left > remaining_ms)).then(|| token.clone())
    }

    fn met_by(&self, entry: &LoginEntry, now_ms: i64) -> Option<Secret> {
        self.token_of(entry, now_ms, self.remaining_ms)
    }

    /// A token that will do when no better one is to be had.
    fn last_resort(&self, entry: &LoginEntry, now_ms: i64) -> Option<Secret> {
        let least = if self.may_end_soon { 0.0 } else { self.remaining_ms };
        self.token_of(entry, now_ms, least)
    }
}
