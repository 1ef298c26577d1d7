//! What happened, in the past tense.

use crate::{
    Connection, EventIndex, Instance, InstanceId, Millis, ModelId, NodeDownload, NodeId, NodeInfo, NodeResources,
    OriginSequence, RunnerId, RunnerStatus, SessionId, Task, TaskId, TaskStatus,
};
use serde::{Deserialize, Serialize};

/// An event of a newer version: kept as it came, skipped by the fold, never dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnknownEvent {
    /// Name of the variant.
    pub name: String,
    /// Its fields.
    pub fields: serde_json::Value,
}

/// Something that happened. The State is the fold over these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Event {
    /// A new life of the log began.
    SessionOpened {
        /// Which.
        session: SessionId,
        /// When, by the master's clock.
        when: Millis,
    },
    /// A node told what it is; also how a node appears.
    NodeGatheredInfo {
        /// Which.
        node_id: NodeId,
        /// What.
        info: NodeInfo,
    },
    /// A node told what it has left.
    NodeResourcesChanged {
        /// Which.
        node_id: NodeId,
        /// What.
        resources: NodeResources,
    },
    /// A node is gone: everything about it leaves the State.
    NodeTimedOut {
        /// Which.
        node_id: NodeId,
    },
    /// A node has a model, or gets nearer to it.
    NodeDownloadProgress {
        /// Where, which, how far.
        download: NodeDownload,
    },
    /// A node no longer has a model.
    NodeDownloadRemoved {
        /// Where.
        node_id: NodeId,
        /// Which.
        model_id: ModelId,
    },
    /// A node reaches another.
    TopologyEdgeCreated {
        /// From whom to whom.
        connection: Connection,
    },
    /// A node no longer reaches another that way.
    TopologyEdgeDeleted {
        /// From whom to whom.
        connection: Connection,
    },
    /// A model was placed.
    InstanceCreated {
        /// Where and how.
        instance: Instance,
    },
    /// A placed model was taken away.
    InstanceDeleted {
        /// Which.
        instance_id: InstanceId,
    },
    /// A runner moved on in its life.
    RunnerStatusUpdated {
        /// Which.
        runner_id: RunnerId,
        /// Where it is now.
        runner_status: RunnerStatus,
    },
    /// A command set something going.
    TaskCreated {
        /// What.
        task: Task,
    },
    /// It moved on.
    TaskStatusUpdated {
        /// Which.
        task_id: TaskId,
        /// Where it is now.
        task_status: TaskStatus,
    },
    /// It will not come to its end.
    TaskFailed {
        /// Which.
        task_id: TaskId,
        /// Why, and what to do.
        error_message: String,
    },
    /// Nobody needs to know of it any more.
    TaskDeleted {
        /// Which.
        task_id: TaskId,
    },
    /// From a newer version.
    Unknown(UnknownEvent),
}

/// An event at its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedEvent {
    /// Its place.
    pub idx: EventIndex,
    /// The fact that it records, if a node told it: who, and that node's number. Applied once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<(NodeId, OriginSequence)>,
    /// What happened.
    pub event: Event,
}
