//! Why a master ends.

use exo_bus::{AnnounceError, BusError};
use exo_log::{FoundError, OpenError};
use std::io;

/// Why a master ended.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// Its log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A session cannot be begun.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// Its log was found damaged while it ran. Begun anew, it puts the log away and gets it from the others.
    #[error("the log is not what it was: {0}; started again, the master gets it from the others, if there are any")]
    Damaged(String),
    /// Where the logs are kept.
    #[error(
        "the directory of the logs cannot be used: {0}; check owner and free space of `master` in the data directory"
    )]
    Home(io::Error),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The claim to lead cannot be told.
    #[error(transparent)]
    Announce(#[from] AnnounceError),
}
