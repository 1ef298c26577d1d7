//! What became of a command.

use crate::{InstanceId, TaskId};
use serde::{Deserialize, Serialize};

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Ordered.
    Pending,
    /// At least one runner has begun.
    Running,
    /// Every runner is ready.
    Complete,
    /// Given up, with the reason in the task.
    Failed,
    /// The instance went away before.
    Cancelled,
}

impl TaskStatus {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// Bringing an instance to life: from the order to the last runner's `RunnerReady`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The id of the command that asked for it, as a task id.
    pub task_id: TaskId,
    /// What is brought to life.
    pub instance_id: InstanceId,
    /// How far it is.
    pub task_status: TaskStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}
