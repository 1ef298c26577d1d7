//! Which masters are there, which session is followed, and who leads it.

use exo_types::{Candidate, MasterPresence, NodeId, SessionId, is_deserted};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a session is stayed with after a larger one appeared, while there is somebody who hands over what runs here
/// before going: until that is done the larger session would not know of it.
pub(super) const HAND_OVER: Duration = Duration::from_secs(5);

/// The masters that say that they belong to a session.
#[derive(Debug, Default)]
pub(super) struct Masters {
    there: BTreeMap<NodeId, MasterPresence>,
    following: Option<Candidate>,
    /// Who elects its leader, as the last one told.
    voters: BTreeSet<NodeId>,
    /// When to look whether a larger session is still there.
    switch_at: Option<Instant>,
}

impl Masters {
    /// Takes a presence in. True if another session is followed now.
    pub(super) fn on_master(&mut self, now: Instant, node: NodeId, presence: MasterPresence) -> bool {
        if presence.leading && self.session() == Some(&presence.candidate.session) {
            self.follow(presence.clone());
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
    /// else when its leader is gone or had [`HAND_OVER`] to go. A deserted one is left for any that is led, when nobody is
    /// left who would bring along what it holds.
    fn choose(&mut self, now: Instant) -> bool {
        let is_deserted = self.is_deserted();
        let led = self.there.values().filter(|presence| presence.leading);
        let larger = led.max_by(|a, b| a.candidate.cmp(&b.candidate)).filter(|largest| {
            let largest = &largest.candidate;
            let is_larger = |known: &Candidate| known.session != largest.session && (is_deserted || known < largest);
            self.following.as_ref().is_none_or(is_larger)
        });
        let Some(larger) = larger.cloned() else {
            self.switch_at = None;
            return false;
        };
        let hands_over = self.leader().is_some() || (is_deserted && self.of_session().next().is_some());
        if hands_over && *self.switch_at.get_or_insert(now + HAND_OVER) > now {
            return false;
        }
        self.switch_at = None;
        self.follow(larger);
        true
    }

    fn follow(&mut self, led: MasterPresence) {
        (self.following, self.voters) = (Some(led.candidate), led.voters);
    }

    /// Whether nobody leads the followed session, nor ever will.
    fn is_deserted(&self) -> bool {
        let session = self.session();
        let is_elsewhere = |presence: &MasterPresence| Some(&presence.candidate.session) != session;
        let has_gone = |voter: &NodeId| self.there.get(voter).is_some_and(is_elsewhere);
        self.leader().is_none() && is_deserted(&self.voters, has_gone)
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
