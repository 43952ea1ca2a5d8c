//! Which request goes out next: so many at once, and so many of them to one host (spec 03 section 5.6).

use std::collections::HashMap;

/// The most requests that are under way to one host and port at once. Many keys of one provider would otherwise look to
/// it like an attack, and be refused for that.
pub const PER_HOST_MAX: usize = 8;

/// Hands out places in a list of jobs, first come first served; one whose host is full lets the next one pass.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Place and host of what has not gone out, in the order of the plan.
    waiting: Vec<(usize, String)>,
    /// The host of each that is under way.
    under_way: HashMap<usize, String>,
    concurrency: usize,
}

impl Schedule {
    /// Jobs in their order, each with its host.
    pub(crate) fn new(jobs: impl IntoIterator<Item = (usize, String)>, concurrency: usize) -> Self {
        Self { waiting: jobs.into_iter().collect(), under_way: HashMap::new(), concurrency: concurrency.max(1) }
    }

    /// The job that goes out now, if any may.
    pub(crate) fn next(&mut self) -> Option<usize> {
        if self.under_way.len() >= self.concurrency {
            return None;
        }
        let busy = |host: &str| self.under_way.values().filter(|other| *other == host).count();
        let first = self.waiting.iter().position(|(_, host)| busy(host) < PER_HOST_MAX)?;
        let (at, host) = self.waiting.remove(first);
        self.under_way.insert(at, host);
        Some(at)
    }

    /// A job that went out is done.
    pub(crate) fn done(&mut self, at: usize) {
        self.under_way.remove(&at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(hosts: &str, concurrency: usize) -> Schedule {
        Schedule::new(hosts.chars().map(String::from).enumerate(), concurrency)
    }

    fn all(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    #[test]
    fn a_full_host_lets_the_others_pass() {
        let mut schedule = schedule("aaaaaaaaaaaabcb", 12);
        assert_eq!(all(&mut schedule), [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14]);
        schedule.done(12);
        assert!(all(&mut schedule).is_empty(), "the host is still full");
        schedule.done(3);
        assert_eq!(all(&mut schedule), [8]);
    }

    #[test]
    fn one_at_a_time_keeps_the_order() {
        for concurrency in [0, 1] {
            let mut schedule = schedule("abca", concurrency);
            for at in 0..4 {
                assert_eq!(all(&mut schedule), [at]);
                schedule.done(at);
            }
            assert_eq!(schedule.next(), None);
        }
    }

    proptest! {
        /// The bounds hold at every moment, all go out once, and it stops only where a bound or the end says so.
        #[test]
        fn the_bounds_hold_and_nothing_is_forgotten(hosts in "[a-d]{0,60}", concurrency in 0_usize..40, picks in prop::collection::vec(0_usize..60, 60)) {
            let mut schedule = schedule(&hosts, concurrency);
            let host = |at: &usize| hosts.as_bytes()[*at];
            let mut open: Vec<usize> = Vec::new();
            let mut sent: Vec<usize> = Vec::new();
            for pick in picks {
                let new = all(&mut schedule);
                open.extend(&new);
                sent.extend(&new);
                let busy = |name: u8| open.iter().filter(|at| host(at) == name).count();
                prop_assert!(open.len() <= concurrency.max(1));
                prop_assert!((b'a'..=b'd').all(|name| busy(name) <= PER_HOST_MAX));
                let left = (0..hosts.len()).filter(|at| !sent.contains(at));
                let could = left.filter(|at| busy(host(at)) < PER_HOST_MAX).count();
                prop_assert!(could == 0 || open.len() == concurrency.max(1), "one waits although there is room");
                if open.is_empty() {
                    break;
                }
                schedule.done(open.remove(pick % open.len()));
            }
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..hosts.len()).collect::<Vec<_>>());
        }
    }
}
