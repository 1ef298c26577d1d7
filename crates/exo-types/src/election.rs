//! What masters and processes say of themselves.

use crate::{EventIndex, NodeId, Roles, SessionId};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What decides which of two sessions stays: the larger one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The session, with its generation.
    pub session: SessionId,
    /// Configured weight.
    pub seniority: u32,
    /// How much the session has done.
    pub commands_seen: u64,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |c: &Self| (c.session.generation, c.seniority, c.commands_seen);
        key(self).cmp(&key(other)).then_with(|| self.session.master_node_id.cmp(&other.session.master_node_id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A leading master's claim, repeated while it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElectionMessage {
    /// Who leads what.
    pub candidate: Candidate,
    /// End of its log.
    pub last_index: EventIndex,
}

/// What a master that belongs to a session says of itself, for as long as its process lives.
///
/// Several masters say that they belong to the same session; at most one of a term says that it leads. Of two that say
/// so the one with the larger term does: the other has not heard of it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterPresence {
    /// The session, and what it weighs.
    pub candidate: Candidate,
    /// Whether it leads the session. Before there were terms only leaders spoke.
    #[serde(default = "yes")]
    pub leading: bool,
    /// The term of the replicated log in which it leads, or follows.
    #[serde(default)]
    pub term: u64,
    /// The masters whose majority decides, as far as this one knows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub voters: BTreeSet<NodeId>,
}

fn yes() -> bool {
    true
}

impl MasterPresence {
    /// A leader's, where nobody votes.
    pub fn leading(candidate: Candidate) -> Self {
        Self { candidate, leading: true, term: 0, voters: BTreeSet::new() }
    }
}

/// Whether so many voters went to other sessions that the rest cannot elect a leader: who went never votes here again.
pub fn is_deserted(voters: &BTreeSet<NodeId>, has_gone: impl Fn(&NodeId) -> bool) -> bool {
    let left = voters.iter().filter(|voter| !has_gone(voter)).count();
    left < voters.len() && left * 2 <= voters.len()
}

/// A process came or went; told on this node only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionMessage {
    /// Who.
    pub node_id: NodeId,
    /// What it does.
    pub roles: Roles,
    /// Came or went.
    pub connected: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_deserted_when_the_rest_is_no_majority() {
        let names = ["a", "b", "c", "d", "e"];
        for (voters, gone, deserted) in [
            (0, 0, false),
            (1, 0, false),
            (1, 1, true),
            (2, 1, true),
            (3, 1, false),
            (3, 2, true),
            (4, 2, true),
            (5, 2, false),
        ] {
            let nodes: Vec<NodeId> =
                names[..voters].iter().map(|name| NodeId::new(*name).expect("a good id")).collect();
            let has_gone = |node: &NodeId| nodes[..gone].contains(node);
            assert_eq!(is_deserted(&nodes.iter().cloned().collect(), has_gone), deserted, "{gone} of {voters}");
        }
    }
}
