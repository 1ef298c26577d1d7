//! What a log is stored in.

use super::{OpenError, ReadError, StorageError};
use exo_state::State;
use exo_types::{EventIndex, IndexedEvent};

/// What a log held when it was opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// The fold of everything in it; its session and its last index are the log's.
    pub state: State,
    /// Events folded onto the snapshot.
    pub replayed: u64,
}

/// Part of a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In order, without gaps.
    pub events: Vec<IndexedEvent>,
    /// End of the log.
    pub last: EventIndex,
}

/// One disk, or what stands for it. One call at a time.
pub trait Storage: Send + 'static {
    /// Opens and reads everything. Called once, first.
    fn recover(&mut self) -> Result<Recovered, OpenError>;

    /// Writes all events or none, and returns when they are on the disk. They follow the last ones.
    /// After an error the next call finds the storage as it was before the failed one.
    fn append(&mut self, events: &[IndexedEvent]) -> Result<(), StorageError>;

    /// Events from `since` on, at most `limit`, possibly fewer.
    fn read(&mut self, since: EventIndex, limit: usize) -> Result<Page, ReadError>;

    /// Keeps the State, and drops the events before `keep_from`: all or nothing.
    fn save_snapshot(&mut self, state: &State, keep_from: EventIndex) -> Result<(), StorageError>;
}
