//! The log of one master, as it was before masters replicated it. It goes when nobody uses it any more.

mod error;
mod event_log;
mod memory;
mod redb_storage;
mod storage;

pub use error::{AppendError, OpenError, ReadError, StorageError};
pub use event_log::{Appended, EventLog, SNAPSHOT_EVERY};
pub use memory::{MemoryStorage, WriteSwitch};
pub use redb_storage::RedbStorage;
pub use storage::{Page, Recovered, Storage};
