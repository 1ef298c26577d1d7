//! What somebody asks the master to do.

use crate::{
    CommandId, Instance, InstanceId, JoinTokenId, JoinTokenRecord, KeyFingerprint, ModelId, NodeId, Sharding, TaskId,
};
use serde::{Deserialize, Serialize};

/// Place a model: the master decides where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceInstance {
    /// Which model.
    pub model_id: ModelId,
    /// How to cut it.
    #[serde(default)]
    pub sharding: Sharding,
    /// On at least so many nodes.
    #[serde(default = "one")]
    pub min_nodes: u32,
    /// Only on these nodes, if any are named.
    #[serde(default)]
    pub node_ids: Vec<NodeId>,
    /// Context in tokens; the model's own, bounded by memory, if none is asked for.
    #[serde(default)]
    pub context_length: Option<u32>,
}

fn one() -> u32 {
    1
}

/// A request to the leading master, in the imperative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Command {
    /// Place a model.
    PlaceInstance(PlaceInstance),
    /// Create an instance as described: a manual split, validated.
    CreateInstance {
        /// What.
        instance: Instance,
    },
    /// Take a placed model away.
    DeleteInstance {
        /// Which.
        instance_id: InstanceId,
    },
    /// Take everything from a node and place nothing there, or end that.
    DrainNode {
        /// Which.
        node_id: NodeId,
        /// Begin or end.
        drained: bool,
    },
    /// Forget a node that does not come back.
    RemoveNode {
        /// Which.
        node_id: NodeId,
    },
    /// Let nodes in that know a secret.
    CreateJoinToken {
        /// What is kept of it.
        token: JoinTokenRecord,
    },
    /// Take a token back.
    DeleteJoinToken {
        /// Which.
        id: JoinTokenId,
    },
    /// Let a node in. Whoever sends it has checked the token, its time, and that the node has the key.
    AdmitNode {
        /// Which.
        node_id: NodeId,
        /// Fingerprint of its key.
        key_fingerprint: KeyFingerprint,
        /// The token that it came with; none for the node that begins a cluster, and for one that has only lost its
        /// certificate.
        #[serde(default)]
        token: Option<JoinTokenId>,
    },
    /// Throw a node out.
    RevokeNode {
        /// Which.
        node_id: NodeId,
    },
}

impl Command {
    /// What it asks for, in words: nothing of its content, which may be a secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PlaceInstance(_) => "place a model",
            Self::CreateInstance { .. } => "create an instance",
            Self::DeleteInstance { .. } => "delete an instance",
            Self::DrainNode { drained: true, .. } => "drain a node",
            Self::DrainNode { drained: false, .. } => "use a node again",
            Self::RemoveNode { .. } => "forget a node",
            Self::CreateJoinToken { .. } => "create a join token",
            Self::DeleteJoinToken { .. } => "delete a join token",
            Self::AdmitNode { .. } => "admit a node",
            Self::RevokeNode { .. } => "revoke a node",
        }
    }
}

/// Why a command was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such model, instance or node.
    NotFound,
    /// It cannot be placed; the message says what is needed and what there is.
    DoesNotFit,
    /// The request contradicts itself.
    Invalid,
    /// This process does not lead; ask the one in the message.
    NotLeader,
    /// The log could not be written.
    LogUnavailable,
    /// The leader changed while it was written. Asked again under the same id, the answer is the true one.
    OutcomeUnknown,
    /// Not with this token, this key or this name.
    Forbidden,
}

/// An answer of "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what is wrong, and what to do.
    pub message: String,
    /// Who leads, where that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
}

impl Refusal {
    /// A "no" for a reason.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), leader: None }
    }

    /// This process does not lead.
    pub fn not_leader(leader: Option<NodeId>) -> Self {
        let message = match &leader {
            Some(leader) => format!("node {leader} leads; ask there"),
            None => "nobody leads yet; try again".to_owned(),
        };
        Self { code: RefusalCode::NotLeader, message, leader }
    }
}

/// The master's answer. `Accepted` means: on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum CommandReply {
    /// Recorded.
    Accepted {
        /// The command.
        command_id: CommandId,
        /// What it set going.
        task_id: Option<TaskId>,
        /// The instance that it made or took away.
        instance_id: Option<InstanceId>,
    },
    /// Refused; nothing changed.
    Refused(Refusal),
}
