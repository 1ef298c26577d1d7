//! What a worker does.

use exo_types::{Event, Instance, InstanceId, NodeId, RunnerId, Shard};
use std::sync::Arc;

/// A rank that another one connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRank {
    /// Its number.
    pub rank: u32,
    /// On which node.
    pub node_id: NodeId,
    /// Which runner.
    pub runner_id: RunnerId,
    /// `address:port` at which it listens.
    pub endpoint: String,
    /// The life of it that is meant; another one refuses.
    pub incarnation: u64,
}

/// Whom a runner connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOrder {
    /// The runner's own incarnation, so that the order does not reach another life.
    pub incarnation: u64,
    /// The ranks that it has to call.
    pub peers: Vec<PeerRank>,
}

/// One thing to do. Carrying it out leaves no choice, and doing it twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start a process for the runner and have it load its shard. What was known of an earlier life is forgotten,
    /// except the number of losses.
    StartRunner {
        /// Which.
        runner_id: RunnerId,
        /// Part of what; the model, the context and the number of sequences stand there.
        instance: Arc<Instance>,
        /// Its part.
        shard: Shard,
        /// Losses in a row so far; the next failure is one more.
        losses: u32,
    },
    /// Have the runner connect to those ranks, and wait for those that connect to it. Without any it is a world of its
    /// own and becomes ready. Given again when a rank that it calls begins another life before it is ready.
    /// The worker remembers the order in [`crate::LocalRunner::told_to_connect`].
    ConnectRunner {
        /// Which.
        runner_id: RunnerId,
        /// Whom it connects to; takes the place of the order before.
        order: ConnectOrder,
    },
    /// End the runner's process, if there is one, and forget it.
    StopRunner {
        /// Which.
        runner_id: RunnerId,
        /// Part of what.
        instance_id: InstanceId,
    },
    /// Tell the fact. Given again on every plan until it is in the State: who tells recognises what is on its way.
    Report(Event),
}
