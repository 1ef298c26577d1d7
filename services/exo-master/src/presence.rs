//! Which nodes are there. Pure: `now` is an argument.

use exo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Nodes with at least one worker process, and since when others have none.
#[derive(Debug)]
pub(crate) struct Presence {
    absent: Patience,
    /// With nodes that a master that begins to lead has never seen: they may still be about to find it.
    unseen: Patience,
    /// Announcement → node.
    announced: BTreeMap<String, NodeId>,
    /// When they are lost.
    lost_at: BTreeMap<NodeId, Instant>,
    /// Until when what they held stays theirs, also when they left the State already.
    kept_until: BTreeMap<NodeId, Instant>,
}

/// How long a node may be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Before it is taken for lost and leaves the State.
    pub lost: Duration,
    /// Before its instances go elsewhere.
    pub placed: Duration,
}

impl Presence {
    pub(crate) fn new(absent: Patience, unseen: Patience) -> Self {
        let (lost_at, kept_until) = (BTreeMap::new(), BTreeMap::new());
        Self { absent, unseen, announced: BTreeMap::new(), lost_at, kept_until }
    }

    /// One that comes back has the whole time again: it is used from when it has told what it is.
    pub(crate) fn on_joined(&mut self, now: Instant, announcement: String, node: NodeId) {
        self.lost_at.remove(&node);
        if let Some(until) = self.kept_until.get_mut(&node) {
            *until = now + self.absent.placed;
        }
        self.announced.insert(announcement, node);
    }

    pub(crate) fn on_left(&mut self, now: Instant, announcement: &str) {
        if let Some(node) = self.announced.remove(announcement)
            && !self.is_there(&node)
        {
            self.kept_until.insert(node.clone(), now + self.absent.placed);
            self.lost_at.insert(node, now + self.absent.lost);
        }
    }

    /// Nodes that may be back in a moment: what they held stays theirs so long.
    pub(crate) fn left_lately(&mut self, now: Instant) -> BTreeSet<NodeId> {
        self.kept_until.retain(|_, until| now < *until);
        self.kept_until.keys().cloned().collect()
    }

    /// This master begins to lead: the clock starts for nodes that the State has and that were never seen. The master
    /// they had may have gone with this one, or with this process's last life, and they dial again with pauses.
    pub(crate) fn begin(&mut self, now: Instant, nodes: &BTreeSet<NodeId>) {
        self.expect_for(self.unseen, now, nodes);
    }

    /// Starts the clock for nodes that came into the State and are not there, and forgets those that left it.
    pub(crate) fn expect(&mut self, now: Instant, nodes: &BTreeSet<NodeId>) {
        self.expect_for(self.absent, now, nodes);
    }

    fn expect_for(&mut self, patience: Patience, now: Instant, nodes: &BTreeSet<NodeId>) {
        self.lost_at.retain(|node, _| nodes.contains(node));
        for node in nodes {
            if !self.is_there(node) && !self.lost_at.contains_key(node) {
                self.lost_at.insert(node.clone(), now + patience.lost);
                self.kept_until.entry(node.clone()).or_insert(now + patience.placed);
            }
        }
    }

    /// Nodes whose grace is over.
    pub(crate) fn lost(&self, now: Instant) -> impl Iterator<Item = &NodeId> {
        self.lost_at.iter().filter(move |(_, at)| now >= **at).map(|(node, _)| node)
    }

    /// When the next grace ends.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.lost_at.values().chain(self.kept_until.values()).min().copied()
    }

    fn is_there(&self, node: &NodeId) -> bool {
        self.announced.values().any(|there| there == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABSENT: Patience = Patience { lost: Duration::from_millis(2500), placed: Duration::from_secs(4) };
    const UNSEEN: Patience = Patience { lost: Duration::from_secs(9), placed: Duration::from_secs(20) };

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn nodes<const N: usize>(names: [&str; N]) -> BTreeSet<NodeId> {
        names.map(node).into()
    }

    fn lost(presence: &Presence, now: Instant) -> Vec<&str> {
        presence.lost(now).map(NodeId::as_str).collect()
    }

    #[test]
    fn a_node_is_lost_when_its_last_process_is_gone_for_the_grace() {
        let start = Instant::now();
        let mut presence = Presence::new(ABSENT, UNSEEN);
        presence.on_joined(start, "a-1".to_owned(), node("a"));
        presence.on_joined(start, "a-2".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        assert!(lost(&presence, start + ABSENT.lost * 9).is_empty(), "another process is there");
        presence.on_left(start, "a-2");
        assert!(lost(&presence, start + ABSENT.lost / 2).is_empty());
        assert_eq!(lost(&presence, start + ABSENT.lost), ["a"]);
        assert_eq!(presence.poll_timeout(), Some(start + ABSENT.lost));
    }

    #[test]
    fn a_restart_within_the_grace_loses_nothing() {
        let start = Instant::now();
        let mut presence = Presence::new(ABSENT, UNSEEN);
        presence.on_joined(start, "a-1".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        presence.on_joined(start, "a-2".to_owned(), node("a"));
        assert!(lost(&presence, start + ABSENT.lost * 9).is_empty());
    }

    #[test]
    fn what_a_node_held_stays_its_own_for_a_while_after_it_is_lost() {
        let start = Instant::now();
        let mut presence = Presence::new(ABSENT, UNSEEN);
        presence.on_joined(start, "a-1".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        let gone = start + ABSENT.lost;
        presence.expect(gone, &BTreeSet::new());
        assert_eq!(presence.left_lately(gone), nodes(["a"]));
        assert_eq!(presence.poll_timeout(), Some(start + ABSENT.placed));
        presence.on_joined(gone, "a-2".to_owned(), node("a"));
        assert_eq!(presence.left_lately(gone), nodes(["a"]), "it is back, and has not told what it is");
        assert!(presence.left_lately(gone + ABSENT.placed).is_empty());
        presence.on_left(gone + ABSENT.placed, "a-2");
        assert!(presence.left_lately(gone + ABSENT.placed * 2).is_empty());
        assert_eq!(presence.poll_timeout(), Some(gone + ABSENT.placed + ABSENT.lost));
    }

    #[test]
    fn a_node_that_the_state_has_and_that_never_comes_is_lost() {
        let start = Instant::now();
        let mut presence = Presence::new(ABSENT, UNSEEN);
        presence.expect(start, &nodes(["a", "b"]));
        presence.on_joined(start, "b-1".to_owned(), node("b"));
        presence.expect(start + ABSENT.lost, &nodes(["a", "b"]));
        assert_eq!(lost(&presence, start + ABSENT.lost), ["a"]);
        assert_eq!(presence.left_lately(start + ABSENT.lost), nodes(["a", "b"]), "what it held waits for it");
        presence.expect(start + ABSENT.lost, &nodes(["b"]));
        assert!(presence.left_lately(start + ABSENT.placed).is_empty());
        assert_eq!(presence.poll_timeout(), None, "what left the State is forgotten");
    }

    #[test]
    fn who_begins_to_lead_waits_longer_for_whom_it_never_saw() {
        let start = Instant::now();
        let mut presence = Presence::new(ABSENT, UNSEEN);
        presence.on_joined(start, "b-1".to_owned(), node("b"));
        presence.on_left(start, "b-1");
        presence.begin(start, &nodes(["a", "b"]));
        presence.expect(start, &nodes(["a", "b"]));
        assert_eq!(lost(&presence, start + ABSENT.lost), ["b"]);
        assert_eq!(presence.left_lately(start + ABSENT.placed), nodes(["a"]));
        assert_eq!(lost(&presence, start + UNSEEN.lost), ["a", "b"]);
        assert!(presence.left_lately(start + UNSEEN.placed).is_empty());
    }
}
