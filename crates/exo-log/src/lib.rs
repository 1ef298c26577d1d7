//! Io. The durable log of events: appended, fsynced, read again, shortened by snapshots.
//! Knows nothing of who decides which events happen, nor of who follows them.
//!
//! [`EventLog`] is the handle and the seam: append, read, snapshot. Behind it one writer at a time has the [`Storage`] and
//! commits in groups. Replication comes behind the same handle: what is acknowledged is then on a majority of disks instead
//! of one, and nobody in front of it notices.
//!
//! What holds: an append is acknowledged after its fsync; what was not acknowledged is not there after a restart or
//! was in the same breath as what was; every record carries a checksum; damage is told by name, with the remedy.

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
