//! Everything that can happen to a worker.

use exo_models::FoundModel;
use exo_runner_host::{Runner, RunnerEvent, RunnerEvents, SpawnError};
use exo_types::{Connection, ModelId, NodeHardware, NodeResources, RequestId, RunnerId};
use std::collections::{BTreeMap, BTreeSet};

/// One process of a runner; a runner that is replaced gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life(pub(crate) u64);

/// The closed list of causes that come through the driver's channel. The view, new streams and the clock come beside it.
pub(crate) enum Cause {
    /// A process was started, or not.
    Spawned(RunnerId, Life, Result<(Runner, RunnerEvents), SpawnError>),
    /// A process told something, or ended.
    Runner(RunnerId, Life, RunnerEvent),
    /// Nobody wants an answer any more.
    Unwanted(RequestId, u64),
    /// What the node has left.
    Resources(NodeResources),
    /// What its hardware is worth.
    Hardware(NodeHardware),
    /// The models that were found.
    Models(BTreeMap<ModelId, FoundModel>),
    /// The ways to other nodes.
    Connections(BTreeSet<Connection>),
}
