//! How a log stands.

use crate::{Members, RaftId};
use exo_types::{EventIndex, NodeId, SessionId};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What this member does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogRole {
    /// Takes appends, and a majority answers it.
    Leader,
    /// Follows a leader, or waits for one, and votes.
    Follower,
    /// Asks for votes, or leads without a majority: accepts nothing.
    Candidate,
    /// Gets everything and does not vote; also who was not taken in yet.
    #[default]
    Learner,
    /// Does not take part, see [`LogStanding::fault`].
    Stopped,
}

impl fmt::Display for LogRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopped => "stopped",
        })
    }
}

/// How far a peer is behind, as the leader sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerLag {
    /// Records of the log that it has not acknowledged.
    pub entries: u64,
    /// Since it last answered; none if it never did.
    pub heard: Option<Duration>,
}

/// How a log stands. Refreshed when it changes, and every second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogStanding {
    /// Of which session; none while the place is empty.
    pub session: Option<SessionId>,
    /// This life of this log.
    pub raft_id: RaftId,
    /// The term that it is in.
    pub term: u64,
    /// What it does.
    pub role: LogRole,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Who takes part, as its log says.
    pub members: Members,
    /// A change of the voters is under way.
    pub joint: bool,
    /// End of the log, in records.
    pub last_log: u64,
    /// End of what is committed, in records.
    pub committed: u64,
    /// The last event that is in the State.
    pub applied: EventIndex,
    /// How far the others are; only a leader knows.
    pub lag: BTreeMap<NodeId, PeerLag>,
    /// Since a majority last answered; only a leader knows.
    pub quorum_heard: Option<Duration>,
    /// Why it is stopped, and what to do.
    pub fault: Option<String>,
    /// It is stopped for good: close it and open it anew, which puts a damaged log away if others have it.
    pub is_over: bool,
}
