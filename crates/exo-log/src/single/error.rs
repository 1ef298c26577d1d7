//! One error per operation.

use exo_types::EventIndex;
use std::path::PathBuf;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody has it open.
    #[error("the log {path} is in use by another process; stop the other exo-master, or use another data directory")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error(
        "the log {path} is damaged: {reason}; restore it from a backup, or move it away to begin a new session (placed models must be placed again)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a newer exo.
    #[error("the log {path} was written by a newer exo ({reason}); use that version again")]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is newer.
        reason: String,
    },
    /// The system says no.
    #[error("the log {path} cannot be opened: {reason}; check the directory's owner and free space")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// Why the disk did not do what it was told. Nothing was acknowledged, and nothing of it is there afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log {path} cannot {action}: {reason}; check free space and the disk")]
pub struct StorageError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// The reason.
    pub reason: String,
}

/// Why events were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// They do not follow the last one.
    #[error("event {got} cannot be appended: {expected} is next")]
    NotNext {
        /// The next index.
        expected: EventIndex,
        /// The one given.
        got: EventIndex,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why events cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// They are in a snapshot only.
    #[error("events before {first} were folded into a snapshot")]
    Purged {
        /// The first one kept.
        first: EventIndex,
    },
    /// The disk.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}
