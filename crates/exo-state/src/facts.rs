//! How far the facts of each node are applied, so that each is applied once.

use exo_types::{EventIndex, FactId, NodeId, OriginEpoch, OriginSequence};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lives remembered per node: a node has at most three processes at a time, so this covers their last two restarts.
const LIVES_PER_NODE: usize = 8;

/// How far the facts of one life of one process are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactMark {
    /// The last fact applied.
    pub sequence: OriginSequence,
    /// Where in the log; the life that was silent longest is forgotten first.
    pub idx: EventIndex,
}

/// Whether a fact was applied, is next, or comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactAge {
    /// Applied before.
    Repeated,
    /// The one after the last that was applied.
    Next,
    /// Others before it are missing; whoever numbers events waits for them.
    Early {
        /// The one that is next.
        expected: OriginSequence,
    },
}

/// The marks of all lives of all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origins(BTreeMap<NodeId, BTreeMap<OriginEpoch, FactMark>>);

impl Origins {
    /// The last fact that was applied of that life.
    pub fn last(&self, node: &NodeId, epoch: OriginEpoch) -> OriginSequence {
        let mark = self.0.get(node).and_then(|lives| lives.get(&epoch));
        mark.map_or(OriginSequence(0), |mark| mark.sequence)
    }

    /// Whether the fact was applied.
    pub fn age(&self, fact: &FactId) -> FactAge {
        let last = self.last(&fact.node_id, fact.epoch);
        if fact.sequence <= last {
            FactAge::Repeated
        } else if fact.sequence == last.next() {
            FactAge::Next
        } else {
            FactAge::Early { expected: last.next() }
        }
    }

    /// Remembers that the fact is applied.
    pub(crate) fn record(&mut self, fact: &FactId, idx: EventIndex) {
        let lives = self.0.entry(fact.node_id.clone()).or_default();
        lives.insert(fact.epoch, FactMark { sequence: fact.sequence, idx });
        while lives.len() > LIVES_PER_NODE {
            let silent_longest = lives.iter().min_by_key(|(_, mark)| mark.idx).map(|(epoch, _)| *epoch);
            let Some(epoch) = silent_longest else { return };
            lives.remove(&epoch);
        }
    }

    /// The most lives that any node has.
    pub(crate) fn longest(&self) -> usize {
        self.0.values().map(BTreeMap::len).max().unwrap_or(0)
    }

    /// The most lives that a node may have.
    pub(crate) const fn limit() -> usize {
        LIVES_PER_NODE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(epoch: u64, sequence: u64) -> FactId {
        let node_id = NodeId::new("a").expect("a good id");
        FactId { node_id, epoch: OriginEpoch(epoch), sequence: OriginSequence(sequence) }
    }

    #[test]
    fn every_life_counts_for_itself() {
        let mut origins = Origins::default();
        origins.record(&fact(1, 1), EventIndex(1));
        origins.record(&fact(1, 2), EventIndex(2));
        for (fact, expect) in [
            (fact(1, 1), FactAge::Repeated),
            (fact(1, 2), FactAge::Repeated),
            (fact(1, 3), FactAge::Next),
            (fact(1, 5), FactAge::Early { expected: OriginSequence(3) }),
            (fact(2, 1), FactAge::Next),
            (fact(2, 2), FactAge::Early { expected: OriginSequence(1) }),
        ] {
            assert_eq!(origins.age(&fact), expect, "{fact:?}");
        }
    }

    #[test]
    fn the_life_that_was_silent_longest_is_forgotten_first() {
        let mut origins = Origins::default();
        for (idx, epoch) in (1..=LIVES_PER_NODE as u64).rev().enumerate() {
            origins.record(&fact(epoch, 1), EventIndex(idx as u64 + 1));
        }
        origins.record(&fact(99, 1), EventIndex(100));
        assert_eq!(origins.longest(), LIVES_PER_NODE);
        assert_eq!(origins.age(&fact(99, 1)), FactAge::Repeated);
        assert_eq!(origins.age(&fact(1, 1)), FactAge::Repeated);
        assert_eq!(origins.age(&fact(LIVES_PER_NODE as u64, 1)), FactAge::Next);
    }
}
