//! What of a machine's hardware the placement of models goes by.

use crate::Memory;
use serde::{Deserialize, Serialize};

/// A node's accelerators, memory and links. Told when it changed enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeHardware {
    /// Bytes in a second that all cores together read from main memory; nothing if it was not measured.
    pub memory_bandwidth: Option<u64>,
    /// Cards that compute, in the order of the bus; those that cannot be used say why.
    pub accelerators: Vec<Accelerator>,
    /// Network interfaces that carry packets and that other nodes can reach, by name.
    pub links: Vec<NodeLink>,
}

/// A card that computes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Accelerator {
    /// `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// What computes on it: `cuda`, `rocm`, `mlx`; empty if nothing of exo's does.
    pub runtime: String,
    /// What code for it is compiled for: `9.0`, `gfx1151`.
    pub architecture: Option<String>,
    /// Memory of its own, or the part of main memory that it may use.
    pub memory_total: Memory,
    /// Of that, what is free.
    pub memory_free: Memory,
    /// Whether that is main memory, which is not to be counted twice.
    pub shares_memory: bool,
    /// Bytes in a second that it moves in its memory.
    pub memory_bandwidth: Option<u64>,
    /// Why it cannot be used; nothing if it can.
    pub unusable: Option<String>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeLink {
    /// `bond0`.
    pub name: String,
    /// `ethernet`, `wireless`, `thunderbolt`, `infiniband`, `bond`, `bridge`, `virtual`.
    pub kind: String,
    /// Megabits in a second; nothing where nobody tells.
    pub speed_mbit: Option<u64>,
    /// Its addresses; those of [`crate::Connection`] are found here.
    pub addresses: Vec<String>,
    /// RDMA devices behind it that are active: `mlx5_0`.
    pub rdma: Vec<String>,
}
