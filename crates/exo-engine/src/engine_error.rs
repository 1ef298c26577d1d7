//! Why a step failed.

use thiserror::Error;

use crate::{pipeline::RanksError, stage::StageError};

/// A step that failed as a whole. `requests` were running and are gone.
#[derive(Debug, Error)]
pub enum EngineError {
    /// This rank could not compute.
    #[error("the step failed on this node: {cause}")]
    Stage {
        /// Ids of the requests that are gone.
        requests: Vec<u64>,
        /// What went wrong.
        cause: StageError,
    },
    /// Another rank failed or its link broke.
    #[error("the step failed on another node: {cause}")]
    NextStages {
        /// Ids of the requests that are gone.
        requests: Vec<u64>,
        /// What its carrier says.
        cause: RanksError,
    },
}

impl EngineError {
    pub(crate) fn next_stages(cause: RanksError) -> Self {
        Self::NextStages { requests: Vec::new(), cause }
    }

    /// Ids of the requests that are gone.
    pub fn requests(&self) -> &[u64] {
        match self {
            Self::Stage { requests, .. } | Self::NextStages { requests, .. } => requests,
        }
    }

    pub(crate) fn of_requests(self, requests: Vec<u64>) -> Self {
        match self {
            Self::Stage { cause, .. } => Self::Stage { requests, cause },
            Self::NextStages { cause, .. } => Self::NextStages { requests, cause },
        }
    }
}

impl From<StageError> for EngineError {
    fn from(cause: StageError) -> Self {
        match cause {
            StageError::Ranks(_) => Self::next_stages(Box::new(cause)),
            cause => Self::Stage { requests: Vec::new(), cause },
        }
    }
}
