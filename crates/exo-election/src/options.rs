//! What a master brings along.

use exo_types::{EventIndex, NodeId, SessionId};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who takes part, and how patiently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// This node.
    pub node_id: NodeId,
    /// Configured weight.
    pub seniority: u32,
    /// How long to listen before a session is founded.
    pub listen: Duration,
    /// Between two announcements of a leader while its log grows; an idle one speaks less often.
    pub announce_every: Duration,
    /// How long a larger session has to be there before a led one is given up for it: longer than a link bounces.
    pub settle: Duration,
    /// Before what failed is tried again.
    pub retry: Duration,
    /// How long a survivor of a session of one or two voters waits for the leader before it takes over; never, if none.
    pub take_over_after: Option<Duration>,
}

/// The replicated log of a master, as it is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnLog {
    /// Whose it is; none when it is empty.
    pub session: Option<SessionId>,
    /// The session that it was of, when it was lost while others hold what was in it: they are waited for.
    pub lost: Option<SessionId>,
    /// Sessions that were given up for it, or that it goes on from: what was in them is in it, and nobody waits for them.
    pub taken_in: BTreeSet<SessionId>,
    /// Its end.
    pub last: EventIndex,
    /// How much the session has done.
    pub commands_seen: u64,
    /// Its term.
    pub term: u64,
    /// Whether it leads: everything that was ever acknowledged is applied here.
    pub leads: bool,
    /// Whether it leads and a majority answered lately.
    pub has_quorum: bool,
    /// The masters whose majority decides.
    pub voters: BTreeSet<NodeId>,
}
