//! Placed models.

use crate::{InstanceId, IntentId, ModelCard, NodeId, RunnerId, Shard, ShardError, Sharding};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which runner on which node holds which shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardAssignments {
    /// The model that is cut.
    pub model_card: ModelCard,
    /// Shard of each runner.
    pub runner_to_shard: BTreeMap<RunnerId, Shard>,
    /// Runner on each node.
    pub node_to_runner: BTreeMap<NodeId, RunnerId>,
}

/// A model placed on nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its name.
    pub instance_id: InstanceId,
    /// How it is cut.
    pub sharding: Sharding,
    /// Who holds what.
    pub shard_assignments: ShardAssignments,
    /// Context in tokens that every sequence may use.
    pub context_length: u32,
    /// Sequences that are generated at the same time.
    pub max_sequences: u32,
    /// The wish that it grants; none for one whose wish is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentId>,
}

/// Why an instance cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// No runner at all.
    #[error("the instance has no runner")]
    Empty,
    /// A shard that is none.
    #[error("runner {runner}: {error}")]
    Shard {
        /// Whose shard.
        runner: RunnerId,
        /// What is wrong with it.
        error: ShardError,
    },
    /// The shards do not make up the model.
    #[error("the shards do not cover layers 0..{n_layers} once, in rank order")]
    Cover {
        /// Layers of the model.
        n_layers: u32,
    },
    /// More ranks share the layers than there are heads.
    #[error("{size} ranks share each layer, and the model has {heads} heads: every rank needs one")]
    Heads {
        /// Ranks that share a layer.
        size: u32,
        /// Query heads of the model.
        heads: u32,
    },
    /// Another cut than the one it is called.
    #[error("the instance is called {sharding:?}, and {size} ranks share each of its layers")]
    Sharding {
        /// How it is called.
        sharding: Sharding,
        /// Ranks that share a layer.
        size: u32,
    },
    /// A runner without a node, or the other way round.
    #[error("runner {runner} has no shard or no node")]
    Unmatched {
        /// The lonely runner.
        runner: RunnerId,
    },
}

impl Instance {
    /// The model that it serves.
    pub fn model_card(&self) -> &ModelCard {
        &self.shard_assignments.model_card
    }

    /// Node, runner and shard of every rank, in rank order.
    pub fn ranks(&self) -> Vec<(&NodeId, &RunnerId, &Shard)> {
        let assignments = &self.shard_assignments;
        let mut ranks: Vec<_> = assignments
            .node_to_runner
            .iter()
            .filter_map(|(node, runner)| Some((node, runner, assignments.runner_to_shard.get(runner)?)))
            .collect();
        ranks.sort_by_key(|(_, _, shard)| shard.device_rank);
        ranks
    }

    /// Node and runner of rank 0, where requests go.
    pub fn head(&self) -> Option<(&NodeId, &RunnerId)> {
        self.ranks().first().map(|(node, runner, _)| (*node, *runner))
    }

    /// The runner on a node.
    pub fn runner_on(&self, node: &NodeId) -> Option<(&RunnerId, &Shard)> {
        let runner = self.shard_assignments.node_to_runner.get(node)?;
        Some((runner, self.shard_assignments.runner_to_shard.get(runner)?))
    }

    /// Checks that the shards are the model, once, in order.
    pub fn check(&self) -> Result<(), InstanceError> {
        let assignments = &self.shard_assignments;
        let n_layers = assignments.model_card.n_layers;
        if assignments.runner_to_shard.is_empty() {
            return Err(InstanceError::Empty);
        }
        for (runner, shard) in &assignments.runner_to_shard {
            shard.check().map_err(|error| InstanceError::Shard { runner: runner.clone(), error })?;
            if !assignments.node_to_runner.values().any(|r| r == runner) {
                return Err(InstanceError::Unmatched { runner: runner.clone() });
            }
        }
        for runner in assignments.node_to_runner.values() {
            if !assignments.runner_to_shard.contains_key(runner) {
                return Err(InstanceError::Unmatched { runner: runner.clone() });
            }
        }
        self.check_cover(n_layers)?;
        self.check_shares()
    }

    /// Every layer once, in the order of the ranks; those that share layers follow each other, and share the same ones.
    fn check_cover(&self, n_layers: u32) -> Result<(), InstanceError> {
        let mut next_layer = 0;
        let mut last: Option<&Shard> = None;
        let ranks = self.ranks();
        for (rank, (_, _, shard)) in ranks.iter().enumerate() {
            let in_order = shard.device_rank as usize == rank && shard.world_size as usize == ranks.len();
            let start_layer = match last {
                Some(last) if !shard.is_leader() => last.start_layer,
                _ => next_layer,
            };
            let in_step = last.is_none_or(|last| {
                last.tensor.size == shard.tensor.size && (shard.is_leader() || last.end_layer == shard.end_layer)
            });
            if !in_order || !in_step || shard.start_layer != start_layer || shard.n_layers != n_layers {
                return Err(InstanceError::Cover { n_layers });
            }
            (next_layer, last) = (shard.end_layer, Some(*shard));
        }
        if next_layer != n_layers {
            return Err(InstanceError::Cover { n_layers });
        }
        Ok(())
    }

    /// As many ranks share layers as the model allows and the name of the cut says.
    fn check_shares(&self) -> Result<(), InstanceError> {
        let (sharding, heads) = (self.sharding, self.model_card().heads);
        let size = self.ranks().first().map_or(1, |(_, _, shard)| shard.tensor.size);
        if (sharding == Sharding::Tensor) != (size > 1) {
            return Err(InstanceError::Sharding { sharding, size });
        }
        if size > heads.max(1) {
            return Err(InstanceError::Heads { size, heads });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
