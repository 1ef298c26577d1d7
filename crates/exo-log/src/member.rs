//! Who takes part.

use exo_types::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One life of one node's log. A node whose log was lost or damaged comes back under another one, so that nobody
/// counts on what it once acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RaftId(pub u64);

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A master that keeps the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Where it is.
    pub node_id: NodeId,
    /// Which life of its log.
    pub raft_id: RaftId,
}

/// Everybody who keeps the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Members {
    /// A majority of these makes a decision.
    pub voters: BTreeSet<Member>,
    /// These get everything and decide nothing.
    pub learners: BTreeSet<Member>,
}

impl Members {
    /// Voters and learners.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.voters.iter().chain(&self.learners)
    }
}
