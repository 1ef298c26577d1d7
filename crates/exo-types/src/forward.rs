//! Envelopes: commands, facts and events on their way.

use crate::{Command, CommandId, Event, EventIndex, IndexedEvent, NodeId, OriginEpoch, OriginSequence, SessionId};
use serde::{Deserialize, Serialize};

/// A command on its way to the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwarderCommand {
    /// Who asks.
    pub origin: NodeId,
    /// Given by the asker; a repetition gets the first answer again.
    pub command_id: CommandId,
    /// What.
    pub command: Command,
}

/// The name of a fact: who told it, in which of its lives, and the fact's number there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FactId {
    /// Whose fact.
    pub node_id: NodeId,
    /// In which life.
    pub epoch: OriginEpoch,
    /// Its number.
    pub sequence: OriginSequence,
}

/// A fact on its way to the master. Sent again until it is seen in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalForwarderEvent {
    /// Whose fact.
    pub origin: NodeId,
    /// Distinguishes the processes and lives of the same node: sequence numbers start again with each.
    pub origin_epoch: OriginEpoch,
    /// Its number among the facts of that life.
    pub sequence: OriginSequence,
    /// The session that it is meant for.
    pub session: SessionId,
    /// What happened.
    pub event: Event,
}

impl LocalForwarderEvent {
    /// Its name in the log.
    pub fn fact_id(&self) -> FactId {
        FactId { node_id: self.origin.clone(), epoch: self.origin_epoch, sequence: self.sequence }
    }
}

/// An event of the log on its way to everybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalForwarderEvent {
    /// Whose log.
    pub session: SessionId,
    /// What, and where in it.
    pub event: IndexedEvent,
}

/// Asks the master for what was missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEventLog {
    /// Of which session; none: of whichever the master leads.
    pub session: Option<SessionId>,
    /// First index wanted.
    pub since: EventIndex,
}

/// State in its own versioned encoding, made by `exo-state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotBytes(pub Vec<u8>);

/// Part of the log, or a State to start from when that is shorter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLogPage {
    /// Whose log.
    pub session: SessionId,
    /// Replaces everything up to its own index.
    #[serde(default)]
    pub snapshot: Option<SnapshotBytes>,
    /// In order, without gaps.
    pub events: Vec<IndexedEvent>,
    /// Last index in the log: ask again while it is larger than what came.
    pub last: EventIndex,
}
