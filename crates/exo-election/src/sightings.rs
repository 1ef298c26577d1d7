//! What other processes say of themselves, as long as they are there.

use exo_types::{Candidate, MasterPresence, NodeId, SessionId};
use std::collections::BTreeMap;

/// A session that somebody leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Led {
    pub(crate) leader: NodeId,
    pub(crate) term: u64,
    pub(crate) candidate: Candidate,
    pub(crate) has_me: bool,
}

/// What a process says that is no master, or not of a session.
#[derive(Debug)]
struct Process {
    node: NodeId,
    is_master: bool,
    session: Option<SessionId>,
}

/// Everything that is seen.
#[derive(Debug)]
pub(crate) struct Sightings {
    /// This node: what it says itself is no news.
    own: NodeId,
    masters: BTreeMap<String, (NodeId, MasterPresence)>,
    processes: BTreeMap<String, Process>,
}

impl Sightings {
    pub(crate) fn new(own: NodeId) -> Self {
        Self { own, masters: BTreeMap::new(), processes: BTreeMap::new() }
    }

    pub(crate) fn on_master(&mut self, key: String, node: NodeId, presence: MasterPresence) {
        if node != self.own {
            self.masters.insert(key, (node, presence));
        }
    }

    pub(crate) fn on_master_left(&mut self, key: &str) {
        self.masters.remove(key);
    }

    pub(crate) fn on_process(&mut self, key: String, node: NodeId, is_master: bool, session: Option<SessionId>) {
        self.processes.insert(key, Process { node, is_master, session });
    }

    pub(crate) fn on_process_left(&mut self, key: &str) {
        self.processes.remove(key);
    }

    /// Who leads a session: of several that say so, the one of the latest term.
    pub(crate) fn leader_of(&self, session: &SessionId) -> Option<Led> {
        let claims = self.masters.values().filter(|(_, p)| p.leading && p.candidate.session == *session);
        let (leader, presence) = claims.max_by_key(|(node, presence)| (presence.term, node))?;
        Some(Led {
            leader: leader.clone(),
            term: presence.term,
            candidate: presence.candidate.clone(),
            has_me: presence.voters.contains(&self.own),
        })
    }

    /// The largest session that somebody leads, but for one.
    pub(crate) fn largest_led(&self, but: Option<&SessionId>) -> Option<Led> {
        let led = self.masters.values().filter(|(_, presence)| presence.leading);
        let sessions = led.map(|(_, presence)| &presence.candidate.session).filter(|session| Some(*session) != but);
        let mut sessions: Vec<&SessionId> = sessions.collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions.into_iter().filter_map(|session| self.leader_of(session)).max_by(|a, b| a.candidate.cmp(&b.candidate))
    }

    /// The sessions that others belong to or follow, led or not.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &SessionId> {
        let of_masters = self.masters.values().map(|(_, presence)| &presence.candidate.session);
        of_masters.chain(self.processes.values().filter_map(|process| process.session.as_ref()))
    }

    /// Whether another master that belongs to no session goes before this one: several that start together must not
    /// found one each.
    pub(crate) fn somebody_goes_first(&self) -> bool {
        let mut free = self.processes.values().filter(|process| process.is_master && process.session.is_none());
        free.any(|process| process.node > self.own)
    }

    /// Whether that master is there and belongs to another session: it has put the log of the old one away.
    pub(crate) fn has_gone_from(&self, session: &SessionId, node: &NodeId) -> bool {
        let mut said = self.masters.values().filter(|(master, _)| master == node).peekable();
        said.peek().is_some() && said.all(|(_, presence)| presence.candidate.session != *session)
    }

    /// Whether all of these are there, as masters of that session.
    pub(crate) fn are_all_in<'a>(&self, session: &SessionId, mut nodes: impl Iterator<Item = &'a NodeId>) -> bool {
        let is_in = |node: &NodeId| {
            let mut masters = self.masters.values();
            masters.any(|(master, presence)| master == node && presence.candidate.session == *session)
        };
        nodes.all(|node| *node == self.own || is_in(node))
    }
}
