//! Machines.

use crate::{Memory, NodeId, SessionId};
use serde::{Deserialize, Serialize};

/// What a node's processors are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CpuInfo {
    /// Name that the processor gives itself.
    pub model: String,
    /// Cores without hyper-threads.
    pub physical_cores: u32,
    /// Cores with hyper-threads.
    pub logical_cores: u32,
    /// Instruction set that the kernels use: `avx512`, `avx2`, `portable`.
    pub isa: String,
}

/// What a node is; changes with a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// For people: the host name unless configured.
    pub friendly_name: String,
    /// Version of exo that it runs.
    pub version: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default)]
    pub os: String,
    /// Its processors.
    #[serde(default)]
    pub cpu: CpuInfo,
    /// Addresses at which other nodes reach it, best first: `10.0.0.7`, `fd00::7`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Port of its API, if it runs one.
    #[serde(default)]
    pub api_port: Option<u16>,
}

/// What a node has left; changes all the time, told when it changed enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeResources {
    /// Main memory.
    pub ram_total: Memory,
    /// Main memory that can be had without swapping.
    pub ram_available: Memory,
}

/// Which roles a process plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Roles {
    /// Orders commands.
    #[serde(default)]
    pub master: bool,
    /// Runs models.
    #[serde(default)]
    pub worker: bool,
    /// Serves HTTP.
    #[serde(default)]
    pub api: bool,
}

/// What a process says of itself for as long as it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePresence {
    /// Whose.
    pub node_id: NodeId,
    /// What it does.
    pub roles: Roles,
    /// The session it follows, if it found one.
    #[serde(default)]
    pub session: Option<SessionId>,
}
