//! What live probes said, laid over what the stores say (spec 06 section 14.2, `--probe`).

use crate::provider::ProviderId;

use super::status::{Level, Status};
use super::survey::{Elsewhere, Item, Pass};

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
            provider.usable = provider.elsewhere != Elsewhere::Nothing || !able.is_empty();
            for item in self.items.iter_mut().filter(|item| is_of(item) && item.profile_id().is_some()) {
                let other = provider.elsewhere == Elsewhere::Profile || able.iter().any(|key| *key != item.key());
                let stuck = provider.in_use && !provider.usable;
                let alarming = match item.status {
                    Status::Expired | Status::Missing => !other,
                    _ => stuck,
                };
                item.covered = other && item.level > Level::Fine;
                if item.level > Level::Fine {
                    item.level = if alarming { Level::Alarm } else { Level::Warning };
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

#[cfg(test)]
mod tests {
    use super::super::survey::ProviderState;
    use super::*;

    /// What every class of answer makes of every state: status, level, reason.
    #[test]
    fn an_answer_counts_when_it_says_something_worse_or_that_it_works() {
        const REASON: Option<&str> = Some("before");
        let (fine, warning, alarm) = (Level::Fine, Level::Warning, Level::Alarm);
        let ok = (Status::Ok, fine);
        let statics = (Status::Static, fine);
        let expiring = (Status::Expiring, warning);
        let expired = (Status::Expired, alarm);
        let missing = (Status::Missing, alarm);
        let pause = (Status::Cooldown, fine);
        let cooling = (Status::Cooldown, warning);
        let disabled = (Status::Disabled, warning);
        let rows = [
            // It works.
            (ok, None, ok, REASON),
            (statics, None, statics, REASON),
            (expiring, None, expiring, REASON),
            (expired, None, ok, None),
            (missing, None, ok, None),
            (pause, None, ok, None),
            (disabled, None, ok, None),
            // It is refused.
            (ok, Some("auth"), expired, Some("auth")),
            (statics, Some("auth_permanent"), expired, Some("auth_permanent")),
            (expiring, Some("invalid_token"), expired, Some("invalid_token")),
            (cooling, Some("session_expired"), expired, Some("session_expired")),
            (expired, Some("auth"), expired, REASON),
            (missing, Some("auth"), missing, REASON),
            // It has no credit.
            (ok, Some("billing"), disabled, Some("billing")),
            (expiring, Some("billing"), disabled, Some("billing")),
            (pause, Some("billing"), disabled, Some("billing")),
            (disabled, Some("billing"), disabled, REASON),
            (cooling, Some("billing"), cooling, REASON),
            (expired, Some("billing"), expired, REASON),
            // It is limited for a while.
            (ok, Some("rate_limit"), pause, Some("rate_limit")),
            (statics, Some("rate_limit"), pause, Some("rate_limit")),
            (expiring, Some("rate_limit"), expiring, REASON),
            (pause, Some("rate_limit"), pause, REASON),
            (cooling, Some("rate_limit"), cooling, REASON),
            (missing, Some("rate_limit"), missing, REASON),
        ];
        for ((status, level), failure, (to, at), reason) in rows {
            let mut item = Item {
                reason: REASON.map(str::to_owned),
                fix: Some("openclaw models status".to_owned()),
                unusable: Some((1.0, None)),
                usable: failure.is_some(),
                ..Item::for_tests("main", "a:x", status, level)
            };
            item.answered(failure);
            let found = (item.status, item.level, item.reason.as_deref(), item.usable);
            assert_eq!(found, (to, at, reason, failure.is_none()), "{status:?} {level:?} {failure:?}");
            let over = failure.is_none() && reason.is_none();
            assert_eq!((item.fix.is_none(), item.unusable.is_none()), (over, over), "{status:?} {failure:?}");
        }
        // No answer says nothing about the credential.
        for failure in ["timeout", "network", "format", "unknown"] {
            for (status, level) in [ok, expired, cooling] {
                for usable in [true, false] {
                    let before = Item { usable, ..Item::for_tests("main", "a:x", status, level) };
                    let mut item = before.clone();
                    item.answered(Some(failure));
                    assert_eq!(item, before);
                }
            }
        }
    }

    fn item(agent: &str, id: &str, status: Status, level: Level) -> Item {
        Item { usable: status == Status::Ok, ..Item::for_tests(agent, id, status, level) }
    }

    fn provider(agent: &str, provider: &str, in_use: bool) -> ProviderState {
        let (agent, provider) = (agent.to_owned(), provider.to_owned());
        ProviderState { agent, provider, usable: false, in_use, elsewhere: Elsewhere::Nothing }
    }

    fn answer(agent: &str, id: &str, failure: Option<&'static str>) -> Answer {
        Answer { agent: agent.to_owned(), id: id.to_owned(), failure }
    }

    /// The items as `agent/id level`, with `+` where another one covers.
    fn verdicts(pass: &Pass) -> Vec<String> {
        let word = |item: &Item| format!("{} {:?}{}", item.key(), item.level, if item.covered { "+" } else { "" });
        pass.items.iter().map(word).collect()
    }

    #[test]
    fn an_answer_is_for_one_profile_of_one_agent() {
        let items = ["main/a:x", "main/a:y", "dev/a:x", "dev/a:y"].map(|key| {
            let (agent, id) = key.split_once('/').unwrap();
            item(agent, id, Status::Ok, Level::Fine)
        });
        let mut pass = Pass { items: items.to_vec(), providers: vec![] };
        pass.lay_over(&[answer("dev", "a:x", Some("auth")), answer("dev", "a:none", Some("auth"))]);
        let usable: Vec<bool> = pass.items.iter().map(|item| item.usable).collect();
        assert_eq!(usable, [true, true, false, true]);
    }

    #[test]
    fn what_was_refused_is_covered_by_another_profile_of_its_agent_and_provider_only() {
        let items = vec![
            item("main", "z.ai:x", Status::Ok, Level::Fine),
            item("main", "zai:y", Status::Ok, Level::Fine),
            item("main", "b:x", Status::Ok, Level::Fine),
            item("dev", "b:x", Status::Ok, Level::Fine),
        ];
        let providers = vec![provider("main", "zai", true), provider("main", "b", true), provider("dev", "b", true)];
        let refused = [answer("main", "z.ai:x", Some("auth")), answer("main", "b:x", Some("auth"))];
        let mut pass = Pass { items, providers };
        pass.lay_over(&refused);
        assert_eq!(verdicts(&pass), ["main/z.ai:x Warning+", "main/zai:y Fine", "main/b:x Alarm", "dev/b:x Fine"]);
        let usable: Vec<bool> = pass.providers.iter().map(|provider| provider.usable).collect();
        assert_eq!((usable, pass.overall()), (vec![true, false, true], Level::Alarm));
        // What is no profile lets the provider be used and does not stand in for one; a profile of main does both.
        for (elsewhere, verdict) in
            [(Elsewhere::NoProfile, "main/b:x Alarm"), (Elsewhere::Profile, "main/b:x Warning+")]
        {
            let mut pass = pass.clone();
            pass.providers[1].elsewhere = elsewhere;
            pass.lay_over(&[]);
            assert_eq!((verdicts(&pass)[2].as_str(), pass.providers[1].usable), (verdict, true));
        }
    }

    #[test]
    fn a_window_alarms_while_nothing_else_can_be_used() {
        let pass = |in_use: bool, level: Level| Pass {
            items: vec![
                item("main", "a:x", Status::Cooldown, level),
                item("main", "a:y", Status::Expired, Level::Alarm),
            ],
            providers: vec![provider("main", "a", in_use)],
        };
        for (in_use, level, works, wanted) in [
            (true, Level::Warning, false, ["main/a:x Alarm", "main/a:y Alarm"]),
            (true, Level::Alarm, false, ["main/a:x Alarm", "main/a:y Alarm"]),
            (false, Level::Warning, false, ["main/a:x Warning", "main/a:y Alarm"]),
            (true, Level::Fine, false, ["main/a:x Fine", "main/a:y Alarm"]),
            (true, Level::Warning, true, ["main/a:x Warning+", "main/a:y Fine"]),
            (true, Level::Alarm, true, ["main/a:x Warning+", "main/a:y Fine"]),
        ] {
            let mut pass = pass(in_use, level);
            let answers = [answer("main", "a:y", None)];
            pass.lay_over(if works { &answers } else { &[] });
            assert_eq!(verdicts(&pass), wanted, "{in_use} {level:?} {works}");
        }
    }

    #[test]
    fn what_is_no_profile_keeps_its_verdict() {
        let store =
            Item { subject: super::super::Subject::Store, ..item("main", "a:x", Status::Missing, Level::Warning) };
        let mut pass = Pass { items: vec![store.clone()], providers: vec![provider("main", "a", true)] };
        pass.lay_over(&[answer("main", "a:x", None)]);
        assert_eq!(pass.items, [store]);
    }
}
