//! What a master says of its log when somebody asks.

use crate::{EventIndex, NodeId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Asks a master how its log stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestStanding {}

/// What a master is in its session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MasterRole {
    /// Orders commands.
    Leader,
    /// Votes, and keeps the log.
    Follower,
    /// Keeps the log, and does not vote yet.
    Learner,
    /// Wants to lead, and has no majority yet.
    Candidate,
    /// Belongs to no session yet, or has lost its log.
    #[default]
    StandingBy,
}

impl fmt::Display for MasterRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
            Self::StandingBy => "standing by",
        })
    }
}

/// How the log of one master stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MasterStanding {
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// What it is there.
    pub role: MasterRole,
    /// The term in which it leads or follows.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The masters whose majority decides.
    pub voters: BTreeSet<NodeId>,
    /// Those that only keep the log.
    pub learners: BTreeSet<NodeId>,
    /// The last entry of its replicated log; entries are batches of events, and what the log needs for itself.
    pub last_entry: u64,
    /// The last event that is in its State.
    pub applied: EventIndex,
    /// Entries of the log by which each other master is behind; only a leader knows.
    pub lag: BTreeMap<NodeId, u64>,
    /// Why its log takes no part, and what to do, if that is so.
    pub fault: Option<String>,
    /// What it counted since it started.
    pub counters: MasterCounters,
}

/// What the process of a master counted since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MasterCounters {
    /// Which process of the bus that is: one that is an api too has the same bus.
    pub process: String,
    /// What its links and its bus refused, by reason.
    pub refused_by_bus: BTreeMap<String, u64>,
    /// What its log refused of other masters, by reason.
    pub refused_by_log: BTreeMap<String, u64>,
    /// Events applied.
    pub events: u64,
    /// Bytes of the log's records that were written.
    pub record_bytes: u64,
    /// Bytes that were written to the log file for everything.
    pub file_bytes: u64,
}
