//! Envelopes: commands, facts and events on their way.

use crate::{
    Blob, Command, CommandId, Event, EventIndex, IndexedEvent, NodeId, OriginEpoch, OriginSequence, SessionId,
};
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

/// Events of the log on their way to everybody: what was written together is told together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalEvents {
    /// Whose log.
    pub session: SessionId,
    /// What, and where in it; in order, without gaps.
    pub events: Vec<IndexedEvent>,
}

/// Asks a master for what was missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEventLog {
    /// Of which session; none: of whichever the master belongs to.
    pub session: Option<SessionId>,
    /// First index wanted.
    pub since: EventIndex,
    /// A State in place of events is of no use to the asker.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events_only: bool,
    /// The rest of a State whose first parts came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<SnapshotMark>,
}

impl RequestEventLog {
    /// Events from there on, or the State where that is shorter.
    pub fn since(session: SessionId, since: EventIndex) -> Self {
        Self { session: Some(session), since, events_only: false, part: None }
    }
}

/// How much of a State came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotMark {
    /// The last event that is in it.
    pub index: EventIndex,
    /// Bytes that came.
    pub offset: u64,
}

/// State in its own versioned encoding, made by `exo-state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotBytes(pub Blob);

/// A part of a State: what is larger than a message comes in several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotPart {
    /// The last event that is in the State.
    pub index: EventIndex,
    /// Bytes of the whole State.
    pub size: u64,
    /// Where this part begins.
    pub offset: u64,
    /// The part.
    pub bytes: SnapshotBytes,
}

/// Part of the log, or a State to start from when that is shorter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLogPage {
    /// Whose log.
    pub session: SessionId,
    /// Replaces everything up to its own index.
    #[serde(default)]
    pub snapshot: Option<SnapshotPart>,
    /// In order, without gaps.
    pub events: Vec<IndexedEvent>,
    /// Last index in the log: ask again while it is larger than what came.
    pub last: EventIndex,
    /// The first event that is kept, where those that were asked for are not and a State is of no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<EventIndex>,
}

impl EventLogPage {
    /// Nothing of a log that ends there.
    pub fn empty(session: SessionId, last: EventIndex) -> Self {
        Self { session, snapshot: None, events: Vec::new(), last, first: None }
    }
}
