//! What runners are at.

use serde::{Deserialize, Serialize};

/// Why a runner is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerFailure {
    /// What happened and what to do.
    pub error_message: String,
    /// Losses in a row; decides how long to wait before the next try.
    pub attempt: u32,
    /// Whether another try can help; false for a file that is damaged, say.
    pub retry: bool,
}

/// Where a runner is in its life. Told by its worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum RunnerStatus {
    /// The process is being started.
    RunnerIdle,
    /// Reading its layers.
    RunnerLoading {
        /// Layers in memory.
        layers_loaded: u32,
        /// Layers of its shard.
        total_layers: u32,
    },
    /// Its layers are in memory; it listens for the rank before it.
    RunnerLoaded {
        /// `address:port` for the rank before it; none in a world of one.
        tensor_endpoint: Option<String>,
        /// Changes with every process and every new set of links, so that nobody connects to a predecessor.
        incarnation: u64,
    },
    /// Told to connect to the rank after it.
    RunnerConnecting {
        /// Still listening there: the rank before it may connect later than this one.
        #[serde(default)]
        tensor_endpoint: Option<String>,
        /// Its own incarnation.
        incarnation: u64,
    },
    /// Takes requests.
    RunnerReady {
        /// Its own incarnation.
        incarnation: u64,
    },
    /// Ending.
    RunnerShuttingDown,
    /// Ended as wanted; removes it from the State.
    RunnerShutdown,
    /// Ended otherwise.
    RunnerFailed {
        /// Why.
        failure: RunnerFailure,
    },
}

impl RunnerStatus {
    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::RunnerReady { .. })
    }
}
