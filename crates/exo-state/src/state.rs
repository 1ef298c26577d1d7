//! What everybody computes by folding the events.

use crate::{AcceptedCommands, IdentityState, Lineage, Origins};
use exo_types::{
    EventIndex, Instance, InstanceId, Intent, IntentId, NodeDownload, NodeHardware, NodeId, NodeInfo, NodeResources,
    RunnerId, RunnerStatus, SessionId, Task, TaskId, Topology,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The cluster as far as its log tells.
///
/// Only [`crate::apply`] changes it. Its JSON form is what `GET /state` answers; field names that EXO also has are
/// EXO's. Every field has a default, so that a State which an older version stored is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Whose log it is folded from; none before the first event.
    pub session: Option<SessionId>,
    /// The last event that is in it.
    pub last_event_applied_idx: EventIndex,
    /// Commands that changed something: what decides between two clusters that meet.
    pub commands_seen: u64,
    /// What each node is.
    pub node_identities: BTreeMap<NodeId, NodeInfo>,
    /// What each node has left.
    pub node_memory: BTreeMap<NodeId, NodeResources>,
    /// What its accelerators, memory and links are worth. Nodes of an older version tell none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_hardware: BTreeMap<NodeId, NodeHardware>,
    /// The nodes, and the ways between them. Every node that is named elsewhere in the State stands here,
    /// except in the assignments of instances, which outlive their nodes.
    pub topology: Topology,
    /// The models of each node, in the order in which they were first told.
    pub downloads: BTreeMap<NodeId, Vec<NodeDownload>>,
    /// The placed models.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// The runners that were heard of. A runner that an instance names and that is missing here is not there.
    pub runners: BTreeMap<RunnerId, RunnerStatus>,
    /// What commands set going.
    pub tasks: BTreeMap<TaskId, Task>,
    /// What users want to be placed. Each has one instance, or none while it fits nowhere.
    pub intents: BTreeMap<IntentId, Intent>,
    /// Nodes that are not to be used. A node stands here also while it is away.
    pub drained_nodes: BTreeSet<NodeId>,
    /// Who belongs to the cluster.
    #[serde(skip_serializing_if = "IdentityState::is_empty")]
    pub identity: IdentityState,
    /// What was accepted last, so that a repeated command gets the first answer from any master.
    pub accepted_commands: AcceptedCommands,
    /// What it descends from: what tells news from what was taken away, when two clusters meet.
    #[serde(skip_serializing_if = "Lineage::is_empty")]
    pub lineage: Lineage,
    /// How far the facts of each node are applied.
    pub origins: Origins,
}
