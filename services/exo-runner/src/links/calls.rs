//! Whom a rank calls in one incarnation.

use exo_runner_host::RankAddress;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

/// The last call of each rank; the one before it is not wanted any more.
#[derive(Default)]
pub(super) struct Calls(BTreeMap<u32, Call>);

impl Calls {
    /// Another call; none if that rank is called there already.
    pub(super) fn begin(&mut self, address: &RankAddress) -> Option<&mut Call> {
        if self.0.get(&address.rank).is_some_and(|call| call.address == *address) {
            return None;
        }
        let call = Call { address: address.clone(), threads: Vec::new() };
        Some(self.0.entry(address.rank).insert_entry(call).into_mut())
    }
}

/// A call, which several threads may make: one for each channel.
pub(super) struct Call {
    address: RankAddress,
    /// Nothing is ever sent: that they are dropped tells.
    threads: Vec<Sender<Infallible>>,
}

impl Call {
    /// For one more thread.
    pub(super) fn wanted(&mut self) -> Wanted {
        let (thread, wanted) = channel();
        self.threads.push(thread);
        Wanted(wanted)
    }
}

/// Tells a thread whether its call is still wanted.
pub(super) struct Wanted(Receiver<Infallible>);

impl Wanted {
    /// Waits until then; false as soon as nobody wants it.
    pub(super) fn until(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        matches!(self.0.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }

    /// Whether somebody wants it now.
    pub(super) fn now(&self) -> bool {
        self.until(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(rank: u32, incarnation: u64) -> RankAddress {
        RankAddress { rank, endpoint: "127.0.0.1:1".to_owned(), incarnation }
    }

    #[test]
    fn a_call_is_wanted_until_its_rank_is_called_elsewhere_or_the_links_go() {
        let mut calls = Calls::default();
        let first = calls.begin(&address(1, 7)).expect("it is the first").wanted();
        let other = calls.begin(&address(2, 7)).expect("of another").wanted();
        assert!(calls.begin(&address(1, 7)).is_none(), "as it is called already");
        assert!(first.now() && other.now());
        let second = calls.begin(&address(1, 8)).expect("another life").wanted();
        assert!(!first.now() && second.now() && other.now());
        drop(calls);
        let far = Instant::now() + Duration::from_secs(3600);
        assert!(!second.until(far) && !other.until(far));
    }
}
