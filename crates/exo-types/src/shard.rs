//! Parts of models.

use serde::{Deserialize, Serialize};
use std::ops::Range;

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
    /// No share of a stage.
    #[error(
        "rank {rank} of {world} has share {share} of {size}: shares are numbered in the order of the ranks, and all stages have as many"
    )]
    Share {
        /// The rank.
        rank: u32,
        /// Ranks in all.
        world: u32,
        /// Its share.
        share: u32,
        /// Shares of every stage.
        size: u32,
    },
}

/// Which share of the heads and columns of its layers a rank holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorShare {
    /// Its number, from 0.
    pub rank: u32,
    /// So many ranks share the layers.
    pub size: u32,
}

impl TensorShare {
    /// All of them.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// Whether the layers are not shared.
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }
}

impl Default for TensorShare {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// What one rank holds: its share of some layers. The first group of ranks also holds the embedding and the output head.
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
    /// Its share of these layers.
    #[serde(default, skip_serializing_if = "TensorShare::is_whole")]
    pub tensor: TensorShare,
}

impl Shard {
    /// Checks the numbers against each other.
    pub fn check(&self) -> Result<(), ShardError> {
        let Self { device_rank: rank, world_size: world, start_layer: start, end_layer: end, n_layers, tensor } = *self;
        if rank >= world {
            return Err(ShardError::Rank { rank, world });
        }
        if start >= end || end > n_layers {
            return Err(ShardError::Layers { start, end, n_layers });
        }
        let TensorShare { rank: share, size } = tensor;
        if size == 0 || rank % size != share || !world.is_multiple_of(size) {
            return Err(ShardError::Share { rank, world, share, size });
        }
        Ok(())
    }

    /// The rank with the first share of its layers, which steps come to first.
    pub fn leader(&self) -> u32 {
        self.device_rank.saturating_sub(self.tensor.rank)
    }

    /// Whether it is that.
    pub fn is_leader(&self) -> bool {
        self.tensor.rank == 0
    }

    /// The ranks that hold shares of its layers, itself included.
    pub fn group(&self) -> Range<u32> {
        self.leader()..self.leader().saturating_add(self.tensor.size)
    }

    /// The rank that steps come from: of a leader the leader of the layers before, of any other its leader. None for the
    /// leader of all layers: nobody has a step for it.
    pub fn previous(&self) -> Option<u32> {
        if !self.is_leader() {
            return Some(self.leader());
        }
        let (world, size) = (self.world_size, self.tensor.size);
        (world > size).then(|| self.device_rank.saturating_add(world).saturating_sub(size) % world)
    }

    /// The ranks that steps go to: those of its group, if it leads one, and the leader of the layers behind.
    pub fn nexts(&self) -> Vec<u32> {
        if !self.is_leader() {
            return Vec::new();
        }
        let behind = (self.world_size > self.tensor.size).then(|| self.group().end % self.world_size);
        self.group().skip(1).chain(behind).collect()
    }

    /// The ranks that it connects to: the others connect to it. Every two of a group are connected, and each with those
    /// that its steps go to.
    pub fn calls(&self) -> Vec<u32> {
        let of_group = self.group().filter(|rank| *rank > self.device_rank);
        let beyond = self.nexts().into_iter().filter(|rank| !self.group().contains(rank));
        of_group.chain(beyond).collect()
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
