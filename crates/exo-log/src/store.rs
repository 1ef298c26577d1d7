//! The log file: redb, and what stands in it.
//!
//! Table `log`: index → record of (number of the commit, what was committed then, entry). Table `meta`: who, which session,
//! the vote, what is purged, the snapshot. Every commit has a number; when it is complete, the number is noted in the
//! small file `tail`. redb takes the last commit for torn when its pages do not check, and falls back to the one
//! before: that is right for a commit that was never complete, and damage otherwise, which the note tells.

mod file_header;
mod load;
pub(crate) mod record;
mod tail_note;

pub(crate) use load::{Identity, Loaded};
pub(crate) use record::RecordError;

use crate::counters::{Counting, add};
use crate::disk::{Backend, Disk};
use crate::raft_types::{Entry, LogId, SnapshotMeta, Vote};
use crate::{OpenError, StorageError};
use exo_types::SessionId;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const IDENTITY: &str = "identity";
const CLUSTER: &str = "cluster";
const SESSION: &str = "session";
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const TAIL: &str = "tail";
const SNAPSHOT_META: &str = "snapshot.meta";
const SNAPSHOT_DATA: &str = "snapshot.data";

/// Memory that redb may keep pages in; what is read often is kept decoded elsewhere.
const CACHE_BYTES: usize = 4 << 20;

/// The log file, open; closed after a failure until [`Store::reopen`].
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    database: Option<Database>,
    /// Number of the last complete commit.
    commits: u64,
    counting: Arc<Counting>,
}

/// Numbers that go with every commit that is no append.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize)]
struct Tail {
    commits: u64,
    committed: Option<LogId>,
}

/// What is written when a session begins here.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) session: SessionId,
    /// The position that the State and the first membership stand at.
    pub(crate) at: LogId,
    pub(crate) meta: SnapshotMeta,
    pub(crate) data: Vec<u8>,
}

impl Store {
    /// Opens the file, or makes it, and reads everything in it.
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<(Self, Loaded), OpenError> {
        let mut store = Self { disk, database: None, commits: 0, counting: Arc::default() };
        let loaded = store.reopen()?;
        Ok((store, loaded))
    }

    /// Opens the file again after a failure.
    pub(crate) fn reopen(&mut self) -> Result<Loaded, OpenError> {
        self.database = None;
        let path = self.disk.name();
        // What redb does not expect in a file, it may meet with a panic: that is damage too.
        let opened = catch_unwind(AssertUnwindSafe(|| open_and_load(&*self.disk, &self.counting)));
        let (database, loaded) = opened.unwrap_or_else(|panic| {
            Err(OpenError::Damaged { path, reason: format!("it cannot be read at all ({})", panic_text(&*panic)) })
        })?;
        self.commits = loaded.commits;
        self.database = Some(database);
        Ok(loaded)
    }

    /// Lets go of the file; everything committed is on the disk.
    pub(crate) fn close(&mut self) {
        if self.database.take().is_some() {
            tail_note::write(&*self.disk, self.commits, true);
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// What is counted of this log.
    pub(crate) fn counting(&self) -> Arc<Counting> {
        self.counting.clone()
    }

    pub(crate) fn append(&mut self, entries: &[Entry], committed: Option<LogId>) -> Result<(), StorageError> {
        let (number, counting) = (self.commits + 1, self.counting.clone());
        self.commit("append", |transaction| {
            let mut table = transaction.open_table(LOG)?;
            for entry in entries {
                let index = entry.log_id.index;
                let record = record::encode(record::ENTRY, &index.to_le_bytes(), &(number, committed, entry))?;
                table.insert(index, record.as_slice())?;
                add(&counting.record_bytes, record.len() as u64);
            }
            Ok(())
        })
    }

    /// Takes back everything from that index on.
    pub(crate) fn truncate(&mut self, from: u64, committed: Option<LogId>) -> Result<(), StorageError> {
        let tail = self.next_tail(committed);
        self.commit("take back records", |transaction| {
            transaction.open_table(LOG)?.retain_in(from.., |_, _| false)?;
            put(transaction, TAIL, &tail)
        })
    }

    /// Drops everything up to that position, which is in the snapshot.
    pub(crate) fn purge(&mut self, upto: LogId, committed: Option<LogId>) -> Result<(), StorageError> {
        let tail = self.next_tail(committed);
        self.commit("drop records", |transaction| {
            transaction.open_table(LOG)?.retain_in(..=upto.index, |_, _| false)?;
            put(transaction, PURGED, &upto)?;
            put(transaction, TAIL, &tail)
        })
    }

    pub(crate) fn save_vote(&mut self, vote: Vote, committed: Option<LogId>) -> Result<(), StorageError> {
        let tail = self.next_tail(committed);
        self.commit("save a vote", |transaction| {
            put(transaction, VOTE, &vote)?;
            put(transaction, TAIL, &tail)
        })
    }

    /// Writes whose log it is. The cluster has a record of its own: a version that knows none reads the rest.
    pub(crate) fn save_owner(
        &mut self,
        identity: &Identity,
        cluster: Option<&str>,
        committed: Option<LogId>,
    ) -> Result<(), StorageError> {
        let tail = self.next_tail(committed);
        self.commit("save whose it is", |transaction| {
            put(transaction, IDENTITY, identity)?;
            if let Some(cluster) = cluster {
                put(transaction, CLUSTER, &cluster)?;
            }
            put(transaction, TAIL, &tail)
        })
    }

    pub(crate) fn save_session(&mut self, session: &SessionId) -> Result<(), StorageError> {
        let tail = self.next_tail(None);
        self.commit("save the session", |transaction| {
            put(transaction, SESSION, session)?;
            put(transaction, TAIL, &tail)
        })
    }

    pub(crate) fn save_beginning(&mut self, beginning: &Beginning) -> Result<(), StorageError> {
        let tail = self.next_tail(Some(beginning.at));
        self.commit("begin a session", |transaction| {
            put(transaction, SESSION, &beginning.session)?;
            put(transaction, PURGED, &beginning.at)?;
            put_snapshot(transaction, &beginning.meta, &beginning.data)?;
            put(transaction, TAIL, &tail)
        })
    }

    pub(crate) fn save_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: &[u8],
        committed: Option<LogId>,
    ) -> Result<(), StorageError> {
        let tail = self.next_tail(committed);
        self.commit("save a snapshot", |transaction| {
            put_snapshot(transaction, meta, data)?;
            put(transaction, TAIL, &tail)
        })
    }

    /// What a newer exo might write.
    #[cfg(test)]
    pub(crate) fn save_of_next_version(&mut self) -> Result<(), StorageError> {
        let tail = self.next_tail(None);
        self.commit("save the session", |transaction| {
            let record = record::frame_of(record::VERSION + 1, record::META, SESSION.as_bytes(), b"new");
            transaction.open_table(META)?.insert(SESSION, record.as_slice())?;
            put(transaction, TAIL, &tail)
        })
    }

    pub(crate) fn read_snapshot(&mut self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, StorageError> {
        self.read("read the snapshot", load::snapshot)
    }

    pub(crate) fn read_entries(&mut self, range: Range<u64>) -> Result<Vec<Entry>, StorageError> {
        self.read("read records", |database| {
            let mut entries = Vec::new();
            let Some(table) = existing(database.begin_read()?.open_table(LOG))? else { return Ok(entries) };
            for stored in table.range(range)? {
                let (index, bytes) = stored?;
                entries.push(load::entry(index.value(), bytes.value())?.2);
            }
            Ok(entries)
        })
    }

    fn next_tail(&self, committed: Option<LogId>) -> Tail {
        Tail { commits: self.commits + 1, committed }
    }

    fn commit(
        &mut self,
        action: &'static str,
        write: impl FnOnce(&WriteTransaction) -> Result<(), Failure>,
    ) -> Result<(), StorageError> {
        self.guard(action, |database| {
            let transaction = database.begin_write()?;
            write(&transaction)?;
            Ok(transaction.commit()?)
        })?;
        self.commits += 1;
        tail_note::write(&*self.disk, self.commits, false);
        Ok(())
    }

    fn read<T>(
        &mut self,
        action: &'static str,
        read: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, StorageError> {
        self.guard(action, read)
    }

    /// Works with the database. After a failure it is closed: what redb holds of it is not to be trusted.
    fn guard<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, StorageError> {
        let path = self.disk.name();
        let Some(database) = self.database.take() else {
            return Err(StorageError { path, action, reason: "it failed before".to_owned() });
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(&database)));
        let failure = match result {
            Ok(Ok(value)) => {
                self.database = Some(database);
                return Ok(value);
            }
            Ok(Err(failure)) => failure.to_string(),
            Err(panic) => panic_text(&*panic),
        };
        // Closing what failed may fail with a panic as well.
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
        Err(StorageError { path, action, reason: failure })
    }
}

/// Why work with the database did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Redb(#[from] redb::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

macro_rules! failure_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}

failure_from!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

fn put<T: Serialize>(transaction: &WriteTransaction, key: &str, value: &T) -> Result<(), Failure> {
    let record = record::encode(record::META, key.as_bytes(), value)?;
    transaction.open_table(META)?.insert(key, record.as_slice())?;
    Ok(())
}

fn put_snapshot(transaction: &WriteTransaction, meta: &SnapshotMeta, data: &[u8]) -> Result<(), Failure> {
    put(transaction, SNAPSHOT_META, meta)?;
    let record = record::frame(record::META, SNAPSHOT_DATA.as_bytes(), data);
    transaction.open_table(META)?.insert(SNAPSHOT_DATA, record.as_slice())?;
    Ok(())
}

/// A table that was never written is empty.
fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn open_and_load(disk: &dyn Disk, counting: &Arc<Counting>) -> Result<(Database, Loaded), OpenError> {
    let path = || disk.name();
    let unavailable = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { path: path() },
        _ => OpenError::Unavailable { path: path(), reason: error.to_string() },
    };
    let is_new = !disk.has_log().map_err(unavailable)?;
    let note = tail_note::read(disk).map_err(unavailable)?;
    let file = disk.open().map_err(unavailable)?;
    if let Some(version) = file_header::newer_version(&*file).map_err(unavailable)? {
        let reason = format!("its file has format version {version}");
        return Err(OpenError::Newer { path: path(), reason });
    }
    let backend = Backend { file, counting: counting.clone() };
    let created = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
    let mut database = created.map_err(|error| open_error(path(), error))?;
    // redb checks pages only after a crash; a log is small enough to check them always.
    let whole = is_new || database.check_integrity().map_err(|error| open_error(path(), error))?;
    if !whole {
        return Err(OpenError::Damaged { path: path(), reason: "its pages contradict each other".to_owned() });
    }
    let loaded = load::everything(&database).map_err(|error| failure_of_load(path(), &error))?;
    if let Some(commits) = note
        && commits > loaded.commits
    {
        let missing = commits - loaded.commits;
        let reason = format!("{missing} commits that were complete are missing from its end");
        return Err(OpenError::Damaged { path: path(), reason });
    }
    Ok((database, loaded))
}

fn open_error(path: String, error: DatabaseError) -> OpenError {
    let reason = error.to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(redb::StorageError::Io(io)) if !is_of_content(&io) => {
            OpenError::Unavailable { path, reason }
        }
        // What failed before was the disk.
        DatabaseError::Storage(redb::StorageError::PreviousIo) => OpenError::Unavailable { path, reason },
        _ => OpenError::Damaged { path, reason },
    }
}

fn failure_of_load(path: String, failure: &Failure) -> OpenError {
    let reason = failure.to_string();
    match failure {
        Failure::Record(RecordError::Newer { .. }) => OpenError::Newer { path, reason },
        Failure::Redb(redb::Error::Io(io)) if !is_of_content(io) => OpenError::Unavailable { path, reason },
        Failure::Redb(redb::Error::PreviousIo) => OpenError::Unavailable { path, reason },
        Failure::Record(_) | Failure::Redb(_) => OpenError::Damaged { path, reason },
    }
}

/// Whether the bytes are wrong, and not the disk.
fn is_of_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}
