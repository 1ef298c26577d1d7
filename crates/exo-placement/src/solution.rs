//! Where a model goes.

use exo_types::{
    Instance, InstanceId, Memory, ModelCard, NodeId, RunnerId, Shard, ShardAssignments, Sharding, TensorShare,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// What one rank holds, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankPlan {
    /// On which node.
    pub node_id: NodeId,
    /// Which layers.
    pub layers: Range<u32>,
    /// Memory that it takes there.
    pub memory: Memory,
}

/// A placement, rank by rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// How the model is cut: in a tensor split every rank has its share of all layers.
    pub sharding: Sharding,
    /// Rank 0 first.
    pub ranks: Vec<RankPlan>,
    /// Context in tokens of every sequence.
    pub context_length: u32,
    /// Sequences at the same time.
    pub max_sequences: u32,
    /// Predicted time of one token, in units that only compare solutions of one problem.
    pub cost: f64,
}

impl Solution {
    /// The instance that it describes. Runners are named after it and their rank.
    pub fn into_instance(self, instance_id: InstanceId, model_card: ModelCard) -> Instance {
        let n_layers = model_card.n_layers;
        let world_size = self.ranks.len() as u32;
        let mut runner_to_shard = BTreeMap::new();
        let mut node_to_runner = BTreeMap::new();
        for (device_rank, rank) in (0u32..).zip(self.ranks) {
            let runner_id = runner_name(&instance_id, device_rank);
            let Range { start: start_layer, end: end_layer } = rank.layers;
            let tensor = match self.sharding {
                Sharding::Pipeline => TensorShare::WHOLE,
                Sharding::Tensor => TensorShare { rank: device_rank, size: world_size },
            };
            let shard = Shard { device_rank, world_size, start_layer, end_layer, n_layers, tensor };
            runner_to_shard.insert(runner_id.clone(), shard);
            node_to_runner.insert(rank.node_id, runner_id);
        }
        Instance {
            instance_id,
            sharding: self.sharding,
            shard_assignments: ShardAssignments { model_card, runner_to_shard, node_to_runner },
            context_length: self.context_length,
            max_sequences: self.max_sequences,
            intent: None,
        }
    }
}

fn runner_name(instance: &InstanceId, rank: u32) -> RunnerId {
    // An id of full length leaves no room for the rank: its beginning is as good a name, since the rank tells them
    // apart and an instance's runners are only ever looked up by their whole name.
    const ROOM: usize = 180;
    let stem: String = instance.as_str().chars().take(ROOM).collect();
    RunnerId::new(format!("{stem}-{rank}")).expect("an id's beginning, a hyphen and digits are an id")
}
