//! How a collective fails: always typed, always with the rank, never without an end.

use crate::error::LinkError;

/// Why ranks did not get done together. The group is over after it.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// A link failed, or its rank is gone.
    #[error("rank {rank} of the group: {error}")]
    Link {
        /// The other rank.
        rank: usize,
        /// How.
        error: LinkError,
    },
    /// Ranks did not bring their parts in time.
    #[error("nothing from {ranks:?} of the group by the deadline")]
    Late {
        /// Whose parts are missing, or do not take ours.
        ranks: Vec<usize>,
    },
    /// A rank is at another operation: it runs another build, or lost its way.
    #[error("rank {rank} of the group is at operation {found}, this one at {expected}")]
    Mixed {
        /// The other rank.
        rank: usize,
        /// The operation that we are at.
        expected: u64,
        /// What it sent: the operation, if it can be read.
        found: u64,
    },
    /// A rank brought a part of another size.
    #[error("rank {rank} of the group brought {found} values instead of {expected}")]
    Length {
        /// The other rank.
        rank: usize,
        /// What was to come.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// The caller's sizes contradict each other; nothing was sent.
    #[error("the parts of {ranks} ranks have {parts} values, the whole has {whole}")]
    Parts {
        /// Ranks of the group.
        ranks: usize,
        /// Values of all parts.
        parts: usize,
        /// Values of the whole.
        whole: usize,
    },
    /// The system does not let us wait.
    #[error("waiting for the group: {0}")]
    Wait(#[from] std::io::Error),
}
