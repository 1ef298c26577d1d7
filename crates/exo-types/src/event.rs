//! What happened, in the past tense.

mod shallow;

use crate::{
    Births, CommandId, Connection, EventIndex, FactId, Instance, InstanceId, Intent, IntentId, JoinTokenId,
    JoinTokenRecord, KeyFingerprint, LogPlace, Millis, ModelId, NodeDownload, NodeHardware, NodeId, NodeInfo,
    NodeResources, RunnerId, RunnerStatus, SessionId, Task, TaskId, TaskStatus,
};
use serde::de::{self, DeserializeSeed};
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use shallow::Shallow;

/// An event of a newer version: kept as it came, skipped by the fold, never dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownEvent {
    /// Name of the variant.
    pub name: String,
    /// Its fields; none for a variant without any.
    pub fields: Option<Value>,
}

/// Something that happened. The State is the fold over these.
///
/// An event that this version cannot read (a new variant, or a known one with a new value in it) is read as
/// [`Event::Unknown`] and written again as it came, so that an old node never drops what a newer one said. Only lists and
/// maps more than 64 deep inside each other are refused: they would overflow a thread's stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", remote = "Self")]
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
    /// A node told what its hardware is worth to placement.
    NodeHardwareChanged {
        /// Which.
        node_id: NodeId,
        /// What.
        hardware: NodeHardware,
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
    /// A node told something that is not its own to tell. Only its number counts, so that what it tells next is heard.
    FactRefused,
    /// Everything that a command leads to stands before this; its sender may be told so, by any master, also later.
    CommandAccepted {
        /// Which.
        command_id: CommandId,
        /// What it set going.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_id: Option<TaskId>,
        /// The instance that it made or took away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance_id: Option<InstanceId>,
    },
    /// A user wants a model to be placed, from now on.
    IntentRecorded {
        /// What.
        intent: Intent,
    },
    /// And no longer.
    IntentWithdrawn {
        /// Which.
        intent_id: IntentId,
    },
    /// A node is not to be used, or to be used again.
    NodeDrained {
        /// Which.
        node_id: NodeId,
        /// Not to be used.
        drained: bool,
    },
    /// A node does not come back: nothing is kept of it.
    NodeRemoved {
        /// Which.
        node_id: NodeId,
    },
    /// Nodes that know a secret may come in.
    JoinTokenCreated {
        /// How it is known.
        token: JoinTokenRecord,
    },
    /// A node came in with it.
    JoinTokenUsed {
        /// Which.
        id: JoinTokenId,
        /// Who.
        node_id: NodeId,
    },
    /// It admits nobody any more.
    JoinTokenDeleted {
        /// Which.
        id: JoinTokenId,
    },
    /// A node belongs to the cluster, under that key.
    NodeAdmitted {
        /// Which.
        node_id: NodeId,
        /// Fingerprint of its key.
        key_fingerprint: KeyFingerprint,
    },
    /// A node does not belong to the cluster any more.
    NodeRevoked {
        /// Which.
        node_id: NodeId,
    },
    /// A key is nobody's any more; another session threw its node out.
    KeyRevoked {
        /// Whose it was.
        node_id: NodeId,
        /// Which.
        key_fingerprint: KeyFingerprint,
    },
    /// Another session was given up for this one: what it had is in the State now, or was taken away.
    SessionAdopted {
        /// How far it was, and what it descends from.
        histories: Vec<LogPlace>,
        /// Where what it brought came in.
        births: Births,
    },
    /// From a newer version.
    #[serde(skip)]
    Unknown(UnknownEvent),
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown(UnknownEvent { name, fields: None }) => serializer.serialize_str(name),
            Self::Unknown(UnknownEvent { fields: Some(fields), .. })
                if !Shallow::whole().has_room_for_named(fields) =>
            {
                Err(S::Error::custom("nobody could read an event of lists and maps so deep inside each other"))
            }
            Self::Unknown(UnknownEvent { name, fields: Some(fields) }) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(name, fields)?;
                map.end()
            }
            // The inherent function that `remote = "Self"` derives.
            known => Event::serialize(known, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Shallow::whole().deserialize(deserializer)?;
        if let Ok(event) = Event::deserialize(&value) {
            return Ok(event);
        }
        UnknownEvent::from_value(value)
            .map(Self::Unknown)
            .ok_or_else(|| de::Error::custom("an event is a name, or a map from one name to its fields"))
    }
}

impl UnknownEvent {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self { name, fields: None }),
            Value::Object(map) if map.len() == 1 => {
                map.into_iter().next().map(|(name, fields)| Self { name, fields: Some(fields) })
            }
            _ => None,
        }
    }
}

/// An event at its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexedEvent {
    /// Its place.
    pub idx: EventIndex,
    /// The fact that it records, if a node told it. Applied once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<FactId>,
    /// What happened.
    pub event: Event,
}

#[cfg(test)]
mod tests;
