//! What masters and processes say of themselves.

use crate::{EventIndex, NodeId, Roles, SessionId};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

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

/// A leading master's claim, for as long as its process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterPresence {
    /// Who leads what.
    pub candidate: Candidate,
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
