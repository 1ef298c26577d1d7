//! Which masters are there, which session is followed, and who leads it.

use exo_types::{Candidate, MasterPresence, NodeId, SessionId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a session is stayed with after a larger one appeared, while its own leader is there: that one hands over
/// what runs here and then goes, and until it has done so the larger session would not know of it.
pub(super) const HAND_OVER: Duration = Duration::from_secs(5);

/// The masters that say that they belong to a session.
#[derive(Debug, Default)]
pub(super) struct Masters {
    there: BTreeMap<NodeId, MasterPresence>,
    following: Option<Candidate>,
    /// When to look whether a larger session is still there.
    switch_at: Option<Instant>,
}

impl Masters {
    /// Takes a presence in. True if another session is followed now.
    pub(super) fn on_master(&mut self, now: Instant, node: NodeId, presence: MasterPresence) -> bool {
        if presence.leading && self.session() == Some(&presence.candidate.session) {
            self.following = Some(presence.candidate.clone());
        }
        self.there.insert(node, presence);
        self.choose(now)
    }

    /// Whether that master is there.
    pub(super) fn is_there(&self, node: &NodeId) -> bool {
        self.there.contains_key(node)
    }

    /// Its process is gone. True if another session is followed now.
    pub(super) fn on_left(&mut self, now: Instant, node: &NodeId) -> bool {
        self.there.remove(node);
        self.choose(now)
    }

    /// True if another session is followed now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        self.switch_at.is_some_and(|at| at <= now) && self.choose(now)
    }

    /// When to call [`Masters::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.switch_at
    }

    /// Follows the largest session that is led, if it is larger than the present one: at once when nobody leads that,
    /// else when its leader is gone or had [`HAND_OVER`] to go.
    fn choose(&mut self, now: Instant) -> bool {
        let led = self.there.values().filter(|presence| presence.leading).map(|presence| &presence.candidate);
        let larger = led.max().filter(|largest| {
            self.following.as_ref().is_none_or(|known| known.session != largest.session && *known < **largest)
        });
        let Some(larger) = larger.cloned() else {
            self.switch_at = None;
            return false;
        };
        if self.leader().is_some() && *self.switch_at.get_or_insert(now + HAND_OVER) > now {
            return false;
        }
        self.switch_at = None;
        self.following = Some(larger);
        true
    }

    /// The session that is followed.
    pub(super) fn session(&self) -> Option<&SessionId> {
        self.following.as_ref().map(|candidate| &candidate.session)
    }

    /// Who leads it: of two that say so, the one with the later term.
    pub(super) fn leader(&self) -> Option<&NodeId> {
        let leading = self.in_session().filter(|(_, presence)| presence.leading);
        leading.max_by_key(|(_, presence)| presence.term).map(|(node, _)| node)
    }

    /// All masters of the session.
    pub(super) fn of_session(&self) -> impl Iterator<Item = &NodeId> {
        self.in_session().map(|(node, _)| node)
    }

    /// Whom to ask after so many failures in a row: the leader first.
    pub(super) fn source(&self, failures: u32) -> Option<&NodeId> {
        let leader = self.leader();
        let others = self.of_session().filter(|node| Some(*node) != leader);
        let sources: Vec<&NodeId> = leader.into_iter().chain(others).collect();
        sources.get(failures as usize % sources.len().max(1)).copied()
    }

    fn in_session(&self) -> impl Iterator<Item = (&NodeId, &MasterPresence)> {
        let session = self.session();
        self.there.iter().filter(move |(_, presence)| Some(&presence.candidate.session) == session)
    }
}
