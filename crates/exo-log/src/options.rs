//! How a log behaves.

use exo_types::NodeId;
use std::time::Duration;

/// What a log is told when it is opened.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The node whose log it is. A directory of another node's log is refused.
    pub node_id: NodeId,
    /// The cluster that the node belongs to: the fingerprint of its authority. A log of another cluster is refused; one
    /// that does not say belongs to this one from now on. None: it is not asked.
    pub cluster: Option<String>,
    /// Unlike anybody else's: the [`crate::RaftId`] and the jitter of elections come from it. The log asks no other
    /// source of randomness, so that a run with the same numbers is the same run.
    pub entropy: u64,
    /// A leader that has nothing to say says so that often.
    pub heartbeat: Duration,
    /// A follower that heard nothing for a time between these asks whether it should lead.
    pub election: (Duration, Duration),
    /// An append is answered within this time.
    pub append_deadline: Duration,
    /// A snapshot is made after so many events: replaying them takes well under a second.
    pub snapshot_every: u64,
    /// Applied events that can still be read.
    pub kept_events: usize,
}

impl LogOptions {
    /// The deadline of one message between logs, but for parts of a snapshot.
    pub(crate) const MESSAGE: Duration = Duration::from_millis(1250);

    /// The defaults. Elections are unhurried and heartbeats rare, because a lost leader is noticed by its connections,
    /// not by its silence: that is left for one that hangs. One heartbeat may be lost: what is not answered in time is
    /// followed by another at once.
    pub fn new(node_id: NodeId, entropy: u64) -> Self {
        Self {
            node_id,
            cluster: None,
            entropy,
            heartbeat: Duration::from_secs(2),
            election: (Duration::from_millis(3500), Duration::from_millis(5500)),
            append_deadline: Duration::from_secs(10),
            snapshot_every: 2000,
            kept_events: 4096,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_heartbeat_costs_nobody_the_leadership() {
        let options = LogOptions::new(NodeId::new("a").expect("a good id"), 1);
        // The pacemaker's `on_unanswered`.
        let sent_again = options.heartbeat + LogOptions::MESSAGE;
        assert!(sent_again + Duration::from_millis(200) <= options.election.0, "{options:?}");
    }
}
