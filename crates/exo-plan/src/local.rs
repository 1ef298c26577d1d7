//! What is and runs on the node itself, as its worker knows it.

use crate::ConnectOrder;
use exo_types::{
    Connection, InstanceId, NodeDownload, NodeHardware, NodeId, NodeInfo, NodeResources, RunnerId, RunnerStatus,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A runner that the worker started or tried to start.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalRunner {
    /// Part of what.
    pub instance_id: InstanceId,
    /// Where it is in its life. `RunnerFailed` and `RunnerShutdown` mean that no process is there.
    pub status: RunnerStatus,
    /// When that status began; the back-off counts from here.
    pub since: Instant,
    /// What it was last told to connect to, and in which incarnation.
    pub told_to_connect: Option<ConnectOrder>,
}

/// The node.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalNode {
    /// Its name.
    pub node_id: NodeId,
    /// What it is.
    pub info: NodeInfo,
    /// What it has left.
    pub resources: NodeResources,
    /// What its hardware is worth to placement; nothing before it was looked at.
    pub hardware: Option<NodeHardware>,
    /// The models that it has or is getting.
    pub downloads: Vec<NodeDownload>,
    /// The ways to other nodes that it measured; all have it as their source.
    pub connections: BTreeSet<Connection>,
    /// Its runners.
    pub runners: BTreeMap<RunnerId, LocalRunner>,
}
