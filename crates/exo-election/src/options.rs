//! What a master brings along.

use exo_types::{EventIndex, NodeId, SessionId};
use std::time::Duration;

/// Who takes part, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// This node.
    pub node_id: NodeId,
    /// Configured weight.
    pub seniority: u32,
    /// How long to listen before leading.
    pub listen: Duration,
    /// Between two announcements of a leader.
    pub announce_every: Duration,
}

/// The log that a master has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnLog {
    /// Whose it is; none when it is empty.
    pub session: Option<SessionId>,
    /// Its end.
    pub last: EventIndex,
    /// How much the session has done.
    pub commands_seen: u64,
}
