//! Keeping a login alive: one refresher per credential, across threads, processes and agents (spec 04 section 7).
//!
//! Lock, read again, compare, refresh, store, release. The lock is named after the refresh token, so that every copy of
//! one login is covered; the locks of the stores that hold it are taken too, for programs that know only those. What
//! the provider gives is on the disk before anybody uses it.

use std::path::Path;

use auth_core::{AgentId, Config, CredentialKind, Owner, ProfileId, Secret};
use auth_store::{OpenStore, StateLayout, StoreView, WriteHost, read_view};

use crate::advice::{failure_text, managed_text, successor_hint, suggestion};
use crate::entry::LoginEntry;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::goal::{Goal, Need};
use crate::memory::RefreshMemory;
use crate::provider::{ProviderSettings, Refreshable};
use crate::spend::{Spending, token_name};
use crate::transport::Transport;

/// How often the work begins anew because the login changed meanwhile.
const MAX_ROUNDS: usize = 8;

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
pub(crate) struct Held {
    pub(crate) entry: LoginEntry,
    owner: Owner,
    adopted: bool,
}

/// Whose login is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The better one of the agent's own and main's.
    Best,
    /// The agent's own if it has one.
    Own,
}

impl Refresher<'_> {
    /// An access token of a profile that is good enough, refreshed if it has to be.
    ///
    /// # Errors
    ///
    /// When there is no such login, or it cannot be kept alive; the text is that of spec 04 section 7.4. The stored
    /// login is as it was, unless the error says that new tokens could not be stored.
    pub fn access(&self, subject: Subject<'_>, need: &Need) -> Result<Access, OAuthError> {
        self.resolve(subject, need, need.any_login())
    }

    fn resolve(&self, subject: Subject<'_>, need: &Need, substitutes: bool) -> Result<Access, OAuthError> {
        let mut begun = self.held(subject, Sight::Best)?;
        let mut goal = Goal::of(need, &begun.entry, spending(&begun).is_ok());
        let mut result = self.renew_twice(subject, Sight::Best, &goal);
        if begun.adopted && result.as_ref().is_err_and(|error| !error.is_final()) {
            // Main's later login is another one than ours, which may still be alive.
            let own = self.held(subject, Sight::Own)?;
            if spending(&own).is_ok() {
                goal = Goal::of(need, &own.entry, true);
                begun = own;
                result = self.renew_twice(subject, Sight::Own, &goal);
            }
        }
        match result {
            Err(error) if !error.is_final() => self.rescue(subject, need, &goal, substitutes, &begun.entry, error),
            result => result,
        }
    }

    /// One refresh, and once more when another process had stored a successor of the token that was refused (7.3 step
    /// 2).
    fn renew_twice(&self, subject: Subject<'_>, sight: Sight, goal: &Goal) -> Result<Access, OAuthError> {
        let (error, sent) = match self.renew(subject, sight, goal) {
            Ok(access) => return Ok(access),
            Err(failed) => failed,
        };
        let stored = self.held(subject, sight).ok().and_then(|held| held.entry.refresh);
        let changed = matches!((&stored, &sent), (Some(stored), Some(sent)) if !stored.is_same(sent));
        if error.is_spent() && changed {
            return self.renew(subject, sight, goal).map_err(|(error, _)| error);
        }
        Err(error)
    }

    /// One refresh, or what makes it needless. The second value of an error is the refresh token that was sent.
    fn renew(&self, subject: Subject<'_>, sight: Sight, goal: &Goal) -> Result<Access, (OAuthError, Option<Secret>)> {
        let mut waited = false;
        for _ in 0..MAX_ROUNDS {
            let held = self.held(subject, sight).map_err(|error| (error, None))?;
            if let Some(token) = goal.met_by(&held.entry, self.net.now_ms()) {
                let origin = match (held.adopted, waited) {
                    (true, _) => Origin::Main,
                    (false, true) => Origin::RefreshedElsewhere,
                    (false, false) => Origin::Stored,
                };
                return Ok(access(token, held.entry, origin));
            }
            let spending = spending(&held).map_err(|error| (error, None))?;
            if let Some(error) = self.memory.dead(&spending.name) {
                return Err((error, Some(spending.sent)));
            }
            match self.spend(subject, sight, goal, &spending) {
                Ok(Some(access)) => return Ok(access),
                // The login changed before everything was locked, or another process was faster.
                Ok(None) => waited = true,
                Err(error) => return Err((error, Some(spending.sent))),
            }
        }
        Err((OAuthError::new(OAuthErrorKind::Unavailable, "the login changes faster than it can be read"), None))
    }

    /// What can be used although the refresh failed (7.3).
    fn rescue(
        &self,
        subject: Subject<'_>,
        need: &Need,
        goal: &Goal,
        substitutes: bool,
        begun: &LoginEntry,
        error: OAuthError,
    ) -> Result<Access, OAuthError> {
        if let Ok(held) = self.held(subject, Sight::Best)
            && let Some(token) = goal.last_resort(&held.entry, self.net.now_ms())
        {
            let origin = if held.adopted { Origin::Main } else { Origin::Stored };
            return Ok(access(token, held.entry, origin));
        }
        if substitutes && let Some(other) = self.substitute(subject, begun) {
            let instead = Subject { id: &other, ..subject };
            if let Ok(found) = self.resolve(instead, need, false) {
                return Ok(Access { origin: Origin::Substitute(other), ..found });
            }
        }
        if need.any_login()
            && let Some(main) = self.main_login(subject).filter(|main| main.is_same_account(begun))
            && let Some(token) = goal.last_resort(&main, self.net.now_ms())
        {
            return Ok(access(token, main, Origin::Main));
        }
        let successor = self.substitute(subject, begun).map(|suggested| {
            let view = self.view(subject.dir).profiles;
            successor_hint(self.config, &view, subject.id, &begun.provider, &suggested)
        });
        Err(OAuthError { message: failure_text(begun, subject.id, successor, &error), ..error })
    }

    fn substitute(&self, subject: Subject<'_>, begun: &LoginEntry) -> Option<ProfileId> {
        let view = self.view(subject.dir).profiles;
        let other = suggestion(self.config, &view, subject.id, begun)?;
        let entry = view.get(&other).and_then(LoginEntry::of)?;
        entry.is_same_account(begun).then_some(other)
    }

    /// Whether this is the directory that all agents read through.
    pub(crate) fn is_main(&self, dir: &Path) -> bool {
        let main = self.layout.main_store_dir();
        let real = |path: &Path| self.host.real_path(path).ok();
        dir == main || (real(dir).is_some() && real(dir) == real(main))
    }

    /// The login as it is stored now: the agent's own, else main's, which also serves when it is the same account and
    /// holds longer.
    pub(crate) fn held(&self, subject: Subject<'_>, sight: Sight) -> Result<Held, OAuthError> {
        let not_ours = |text: String| OAuthError::new(OAuthErrorKind::NotOurs, text);
        let view = self.view(subject.dir);
        let Some(profile) = view.profiles.get(subject.id) else {
            let broken: Vec<String> = view.errors.iter().map(|error| format!("{error}; run openclaw doctor")).collect();
            let text = format!("Auth profile \"{}\" is no login of agent {}", subject.id, subject.agent);
            return Err(not_ours(if broken.is_empty() { text } else { format!("{text}: {}", broken.join("; ")) }));
        };
        let expected = self.config.auth_profiles.get(subject.id.as_str()).map(|entry| entry.mode);
        if let Some(violation) = profile.ref_policy_violation(expected) {
            return Err(not_ours(violation));
        }
        let Some(entry) = LoginEntry::of(profile) else {
            return Err(not_ours(format!("Auth profile \"{}\" is no login of agent {}", subject.id, subject.agent)));
        };
        let owner = profile.owner;
        if sight == Sight::Best
            && owner == Owner::Agent
            && !self.is_main(subject.dir)
            && let Some(main) = self.main_login(subject)
            && main.is_same_account(&entry)
            && ends_later(&main, &entry)
        {
            return Ok(Held { entry: main, owner: Owner::Main, adopted: true });
        }
        Ok(Held { entry, owner, adopted: false })
    }

    fn main_login(&self, subject: Subject<'_>) -> Option<LoginEntry> {
        let view = self.view(self.layout.main_store_dir());
        let profile = view.profiles.get(subject.id)?;
        let expected = self.config.auth_profiles.get(subject.id.as_str()).map(|entry| entry.mode);
        if profile.ref_policy_violation(expected).is_some() {
            return None;
        }
        LoginEntry::of(profile)
    }

    fn view(&self, dir: &Path) -> StoreView {
        read_view(dir, self.layout, self.host)
    }
}

pub(crate) fn login_in(open: &OpenStore, id: &ProfileId) -> Option<LoginEntry> {
    open.store.get(id).filter(|profile| profile.kind() == CredentialKind::OAuth).and_then(LoginEntry::of)
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
fn spending(held: &Held) -> Result<Spending, OAuthError> {
    let entry = &held.entry;
    let not_ours = |text: String| OAuthError::new(OAuthErrorKind::NotOurs, text);
    if let Some(manager) = &entry.managed_by {
        return Err(not_ours(managed_text(manager)));
    }
    let kind = Refreshable::of(&entry.provider)
        .ok_or_else(|| not_ours("logins of this provider cannot be refreshed".to_owned()))?;
    let sent = entry.refresh.clone().ok_or_else(|| not_ours("the login has no refresh token".to_owned()))?;
    let name = token_name(&entry.provider, &sent);
    Ok(Spending { kind, sent, owner: held.owner, name })
}
