//! Where things came into the State, so that two States that meet can tell what is new from what was taken away.

use crate::{EventIndex, InstanceId, IntentId, JoinTokenId, NodeId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in the log of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPlace {
    /// Whose log.
    pub session: SessionId,
    /// Where in it.
    pub idx: EventIndex,
}

/// For each thing that a user can take away again: the event that brought it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Births {
    /// When it was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<IntentId, LogPlace>,
    /// When it was placed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<InstanceId, LogPlace>,
    /// When it was made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub join_tokens: BTreeMap<JoinTokenId, LogPlace>,
    /// When the node came in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub admitted: BTreeMap<NodeId, LogPlace>,
    /// Since when the node is drained.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drained: BTreeMap<NodeId, LogPlace>,
}

impl Births {
    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.intents.is_empty()
            && self.instances.is_empty()
            && self.join_tokens.is_empty()
            && self.admitted.is_empty()
            && self.drained.is_empty()
    }
}
