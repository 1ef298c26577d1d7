//! Parts of models.

use serde::{Deserialize, Serialize};

/// How a model is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sharding {
    /// By layers: every rank has some of them, whole.
    #[default]
    Pipeline,
    /// By heads and columns: every rank has its share of every layer.
    Tensor,
}

/// Why a shard cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Rank out of range.
    #[error("rank {rank} of a world of {world}")]
    Rank {
        /// Given rank.
        rank: u32,
        /// Given world size.
        world: u32,
    },
    /// Not a part of the model.
    #[error("layers {start}..{end} of a model of {n_layers} layers")]
    Layers {
        /// First layer.
        start: u32,
        /// One past the last.
        end: u32,
        /// Layers of the model.
        n_layers: u32,
    },
}

/// What one rank holds. Rank 0 also holds the embedding and the output head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Place in the chain, from 0.
    pub device_rank: u32,
    /// Length of the chain.
    pub world_size: u32,
    /// First layer.
    pub start_layer: u32,
    /// One past the last layer.
    pub end_layer: u32,
    /// Layers of the whole model.
    pub n_layers: u32,
}

impl Shard {
    /// Checks the numbers against each other.
    pub fn check(&self) -> Result<(), ShardError> {
        let Self { device_rank: rank, world_size: world, start_layer: start, end_layer: end, n_layers } = *self;
        if rank >= world {
            return Err(ShardError::Rank { rank, world });
        }
        if start >= end || end > n_layers {
            return Err(ShardError::Layers { start, end, n_layers });
        }
        Ok(())
    }

    /// Number of layers.
    pub fn len(&self) -> u32 {
        self.end_layer.saturating_sub(self.start_layer)
    }

    /// Whether it holds no layer (never true for a checked shard).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
