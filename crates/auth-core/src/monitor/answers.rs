//! What live probes said, laid over what the stores say (spec 06 section 14.2, `--probe`).

use crate::provider::ProviderId;

use super::status::{Level, Status};
use super::survey::{Item, Pass};

/// What a live probe said about one profile (spec 03).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The agent that was asked for.
    pub agent: String,
    /// The profile.
    pub id: String,
    /// The class of the failure; none when it works.
    pub failure: Option<&'static str>,
}

impl Pass {
    /// Lays what live probes said over what the stores say, and looks again at who stands in for whom.
    pub fn lay_over(&mut self, answers: &[Answer]) {
        for answer in answers {
            let is_it = |item: &&mut Item| item.agent == answer.agent && item.profile_id() == Some(answer.id.as_str());
            if let Some(item) = self.items.iter_mut().find(is_it) {
                item.answered(answer.failure);
            }
        }
        for provider in &mut self.providers {
            let key = ProviderId::normalise(&provider.provider).auth_key();
            let is_of =
                |item: &Item| item.agent == provider.agent && ProviderId::normalise(&item.provider).auth_key() == key;
            let able: Vec<String> =
                self.items.iter().filter(|item| is_of(item) && item.usable).map(Item::key).collect();
            provider.usable = provider.elsewhere || !able.is_empty();
            for item in self.items.iter_mut().filter(|item| is_of(item) && item.profile_id().is_some()) {
                let other = provider.elsewhere || able.iter().any(|key| *key != item.key());
                match item.status {
                    Status::Expired | Status::Missing => {
                        item.covered = other;
                        item.level = if other { Level::Warning } else { Level::Alarm };
                    }
                    Status::Disabled | Status::Cooldown if item.level == Level::Warning => {
                        item.covered = other;
                        if provider.in_use && !provider.usable {
                            item.level = Level::Alarm;
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Item {
    fn answered(&mut self, failure: Option<&'static str>) {
        let (status, level) = match failure {
            None => {
                // It has just worked: renewed, or out of its window.
                if matches!(self.status, Status::Expired | Status::Missing) || self.status.is_window() {
                    (self.status, self.level, self.reason) = (Status::Ok, Level::Fine, None);
                    (self.fix, self.unusable, self.covered) = (None, None, false);
                }
                self.usable = true;
                return;
            }
            Some("auth" | "auth_permanent" | "invalid_token" | "session_expired") => (Status::Expired, Level::Alarm),
            Some("billing") => (Status::Disabled, Level::Warning),
            Some("rate_limit") => (Status::Cooldown, Level::Fine),
            // No answer says nothing about the credential.
            Some(_) => return,
        };
        self.usable = false;
        let known_worse = matches!(self.status, Status::Expired | Status::Missing) || self.status.is_window();
        if level > self.level || !known_worse && level >= self.level {
            (self.status, self.level, self.reason) = (status, level, failure.map(str::to_owned));
        }
    }
}
