//! Which nodes are there. Pure: `now` is an argument.

use exo_types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Nodes with at least one worker process, and since when others have none.
#[derive(Debug)]
pub(crate) struct Presence {
    grace: Duration,
    /// After that much absence its instances go elsewhere.
    place_after: Duration,
    /// Announcement → node.
    announced: BTreeMap<String, NodeId>,
    absent_since: BTreeMap<NodeId, Instant>,
    /// Those who left lately, also when they left the State already.
    left_since: BTreeMap<NodeId, Instant>,
}

impl Presence {
    pub(crate) fn new(grace: Duration, place_after: Duration) -> Self {
        let (absent_since, left_since) = (BTreeMap::new(), BTreeMap::new());
        Self { grace, place_after, announced: BTreeMap::new(), absent_since, left_since }
    }

    pub(crate) fn on_joined(&mut self, announcement: String, node: NodeId) {
        self.absent_since.remove(&node);
        self.left_since.remove(&node);
        self.announced.insert(announcement, node);
    }

    pub(crate) fn on_left(&mut self, now: Instant, announcement: &str) {
        if let Some(node) = self.announced.remove(announcement)
            && !self.is_there(&node)
        {
            self.left_since.insert(node.clone(), now);
            self.absent_since.insert(node, now);
        }
    }

    /// Nodes that may be back in a moment: what they held stays theirs so long.
    pub(crate) fn left_lately(&mut self, now: Instant) -> BTreeSet<NodeId> {
        let place_after = self.place_after;
        self.left_since.retain(|_, since| now < *since + place_after);
        self.left_since.keys().cloned().collect()
    }

    /// Starts the clock for nodes that the State has and that were never seen, and forgets those that it has not.
    pub(crate) fn expect(&mut self, now: Instant, nodes: &BTreeSet<NodeId>) {
        self.absent_since.retain(|node, _| nodes.contains(node));
        for node in nodes {
            if !self.is_there(node) {
                self.absent_since.entry(node.clone()).or_insert(now);
            }
        }
    }

    /// Nodes whose grace is over.
    pub(crate) fn lost(&self, now: Instant) -> impl Iterator<Item = &NodeId> {
        self.absent_since.iter().filter(move |(_, since)| now >= **since + self.grace).map(|(node, _)| node)
    }

    /// When the next grace ends.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lost = self.absent_since.values().min().map(|since| *since + self.grace);
        let placed = self.left_since.values().min().map(|since| *since + self.place_after);
        lost.into_iter().chain(placed).min()
    }

    fn is_there(&self, node: &NodeId) -> bool {
        self.announced.values().any(|there| there == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(2500);
    const PLACE_AFTER: Duration = Duration::from_secs(4);

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn lost(presence: &Presence, now: Instant) -> Vec<&str> {
        presence.lost(now).map(NodeId::as_str).collect()
    }

    #[test]
    fn a_node_is_lost_when_its_last_process_is_gone_for_the_grace() {
        let start = Instant::now();
        let mut presence = Presence::new(GRACE, PLACE_AFTER);
        presence.on_joined("a-1".to_owned(), node("a"));
        presence.on_joined("a-2".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        assert!(lost(&presence, start + GRACE * 9).is_empty(), "another process is there");
        presence.on_left(start, "a-2");
        assert!(lost(&presence, start + GRACE / 2).is_empty());
        assert_eq!(lost(&presence, start + GRACE), ["a"]);
        assert_eq!(presence.poll_timeout(), Some(start + GRACE));
    }

    #[test]
    fn a_restart_within_the_grace_loses_nothing() {
        let start = Instant::now();
        let mut presence = Presence::new(GRACE, PLACE_AFTER);
        presence.on_joined("a-1".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        presence.on_joined("a-2".to_owned(), node("a"));
        assert!(lost(&presence, start + GRACE * 9).is_empty());
    }

    #[test]
    fn what_a_node_held_stays_its_own_for_a_while_after_it_is_lost() {
        let start = Instant::now();
        let mut presence = Presence::new(GRACE, PLACE_AFTER);
        presence.on_joined("a-1".to_owned(), node("a"));
        presence.on_left(start, "a-1");
        presence.expect(start + GRACE, &BTreeSet::new());
        assert_eq!(presence.left_lately(start + GRACE).len(), 1);
        assert_eq!(presence.poll_timeout(), Some(start + PLACE_AFTER));
        presence.on_joined("a-2".to_owned(), node("a"));
        assert!(presence.left_lately(start + GRACE).is_empty(), "it is back");
        presence.on_left(start + PLACE_AFTER, "a-2");
        assert!(presence.left_lately(start + PLACE_AFTER * 2).is_empty());
        assert_eq!(presence.poll_timeout(), Some(start + PLACE_AFTER + GRACE));
    }

    #[test]
    fn a_node_that_the_state_has_and_that_never_comes_is_lost() {
        let start = Instant::now();
        let mut presence = Presence::new(GRACE, PLACE_AFTER);
        presence.expect(start, &BTreeSet::from([node("a"), node("b")]));
        presence.on_joined("b-1".to_owned(), node("b"));
        presence.expect(start + GRACE, &BTreeSet::from([node("a"), node("b")]));
        assert_eq!(lost(&presence, start + GRACE), ["a"]);
        presence.expect(start + GRACE, &BTreeSet::from([node("b")]));
        assert_eq!(presence.poll_timeout(), None, "what left the State is forgotten");
    }
}
