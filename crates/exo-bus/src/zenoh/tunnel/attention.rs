//! Whose loss has to show at once, and so how often a process beats on each of its links. Pure.
//!
//! The leading master tells everybody who is gone, and everybody has to know when it is gone itself. So only its links are
//! watched closely while one leads, and those by which an answer comes; the others rest. While nobody is known to lead
//! everybody watches for himself.

use super::pulse::Pulse;
use exo_types::NodeId;
use std::collections::BTreeMap;

/// What a process wants to notice.
#[derive(Debug, Default)]
pub(in crate::zenoh) struct Attention {
    leader: Option<NodeId>,
    /// Nodes from which something is awaited, and by how many.
    awaited: BTreeMap<NodeId, usize>,
}

/// One end of a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub node: &'a NodeId,
    pub has_master: bool,
}

impl Attention {
    /// Who leads, as far as it is known. True if that is new.
    pub fn follow(&mut self, leader: Option<&NodeId>) -> bool {
        let is_new = self.leader.as_ref() != leader;
        self.leader = leader.cloned();
        is_new
    }

    /// One more awaits something from that node. True if it is the first.
    pub fn begin_to_await(&mut self, node: &NodeId) -> bool {
        let count = self.awaited.entry(node.clone()).or_default();
        *count += 1;
        *count == 1
    }

    /// One of them does not any more. True if it was the last.
    pub fn end_to_await(&mut self, node: &NodeId) -> bool {
        let Some(count) = self.awaited.get_mut(node) else { return false };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            self.awaited.remove(node);
        }
        is_last
    }

    /// How often the own end says something.
    pub(super) fn pulse(&self, own: End<'_>, peer: End<'_>) -> Pulse {
        let leads = |end: End<'_>| end.has_master && self.leader.as_ref() == Some(end.node);
        match &self.leader {
            Some(_) if leads(own) && peer.has_master => Pulse::LEADER_TO_MASTER,
            Some(_) if leads(own) => Pulse::LEADER_TO_OTHER,
            Some(_) if leads(peer) && own.has_master => Pulse::MASTER_TO_LEADER,
            Some(_) if leads(peer) => Pulse::OTHER_TO_LEADER,
            Some(_) if self.awaited.contains_key(peer.node) => Pulse::OF_OTHERS,
            Some(_) => Pulse::RESTING,
            None if own.has_master || peer.has_master => Pulse::OF_MASTERS,
            None => Pulse::OF_OTHERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good id")
    }

    fn end(node: &NodeId, has_master: bool) -> End<'_> {
        End { node, has_master }
    }

    /// Of the end at `a`, by whether there is a master at it and at the end at `b`.
    fn pulses(attention: &Attention) -> [Pulse; 4] {
        let (a, b) = (node("a"), node("b"));
        let pulse = |(own, peer)| attention.pulse(end(&a, own), end(&b, peer));
        [(true, true), (true, false), (false, true), (false, false)].map(pulse)
    }

    #[test]
    fn only_the_leading_masters_links_are_watched_while_one_leads() {
        let mut attention = Attention::default();
        let of_all = [Pulse::OF_MASTERS, Pulse::OF_MASTERS, Pulse::OF_MASTERS, Pulse::OF_OTHERS];
        assert_eq!(pulses(&attention), of_all);
        assert!(attention.follow(Some(&node("a"))));
        assert!(!attention.follow(Some(&node("a"))), "known already");
        // The leader's worker is no leader.
        let at_leader = [Pulse::LEADER_TO_MASTER, Pulse::LEADER_TO_OTHER, Pulse::RESTING, Pulse::RESTING];
        assert_eq!(pulses(&attention), at_leader);
        assert!(attention.follow(Some(&node("b"))));
        let at_others = [Pulse::MASTER_TO_LEADER, Pulse::RESTING, Pulse::OTHER_TO_LEADER, Pulse::RESTING];
        assert_eq!(pulses(&attention), at_others);
        assert!(attention.follow(Some(&node("c"))));
        assert_eq!(pulses(&attention), [Pulse::RESTING; 4]);
        assert!(attention.follow(None));
        assert_eq!(pulses(&attention), of_all);
    }

    #[test]
    fn who_has_to_answer_is_watched_until_the_last_answer() {
        let mut attention = Attention::default();
        attention.follow(Some(&node("c")));
        let (a, b) = (node("a"), node("b"));
        let pulse = |attention: &Attention| attention.pulse(end(&a, false), end(&b, false));
        assert!(attention.begin_to_await(&b));
        assert!(!attention.begin_to_await(&b));
        assert_eq!(pulse(&attention), Pulse::OF_OTHERS);
        assert!(!attention.end_to_await(&b));
        assert_eq!(pulse(&attention), Pulse::OF_OTHERS);
        assert!(attention.end_to_await(&b));
        assert_eq!(pulse(&attention), Pulse::RESTING);
        assert!(!attention.end_to_await(&b), "nobody awaits anything");
    }
}
