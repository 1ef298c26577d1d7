//! How masters come into a session, and leave it.

use crate::{NodeId, SessionId, SnapshotBytes};
use serde::{Deserialize, Serialize};

/// A master as the replicated log knows it. The number changes when the master lost what it had acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogMember {
    /// On which node.
    pub node_id: NodeId,
    /// Which log of that node.
    pub raft_id: u64,
}

/// Asks the leading master to take the asker into its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinSession {
    /// The session that the asker means.
    pub session: SessionId,
    /// Who asks.
    pub member: LogMember,
    /// The State of the session that the asker led until now and gives up for this one: what runs there is adopted.
    #[serde(default)]
    pub brings: Option<SnapshotBytes>,
}

/// Asks the leading master to let the asker go, before it ends for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaveSession {
    /// Which session.
    pub session: SessionId,
    /// Who goes.
    pub member: LogMember,
}

/// Asks a master on the own node to leave its session for good, before it is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLeave {}

/// The answer to these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum SessionReply {
    /// Recorded by the session.
    Done,
    /// Not this one; ask that one, if it is known.
    NotLeader {
        /// Who leads, as far as is known.
        leader: Option<NodeId>,
    },
    /// Not now, or not at all.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}
