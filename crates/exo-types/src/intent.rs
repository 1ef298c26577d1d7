//! What users want to be placed.

use crate::{Instance, IntentId, PlaceInstance};
use serde::{Deserialize, Serialize};

/// A wish for a placed model. It outlives its instances: when a node dies, or all restart, the master grants it again.
/// Deleting the instance takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The id of the command that asked, as an intent id.
    pub id: IntentId,
    /// What was asked for.
    pub place: PlaceInstance,
    /// Sequences at the same time, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sequences: Option<u32>,
}

impl Intent {
    /// The wish behind a manual split: that model, cut that way, over as many nodes. Which ones is the master's choice
    /// once those that were named are gone.
    pub fn behind(id: IntentId, instance: &Instance) -> Self {
        let place = PlaceInstance {
            model_id: instance.model_card().model_id.clone(),
            sharding: instance.sharding,
            min_nodes: u32::try_from(instance.shard_assignments.runner_to_shard.len()).unwrap_or(u32::MAX),
            node_ids: Vec::new(),
            context_length: Some(instance.context_length),
        };
        Self { id, place, max_sequences: Some(instance.max_sequences) }
    }
}
