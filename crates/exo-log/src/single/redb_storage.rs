//! A log in one redb file.
//!
//! Table `events`: index → record. Table `meta`: `snapshot` → State. Records are framed and checksummed by exo-state.

use super::{OpenError, Page, ReadError, Recovered, Storage, StorageError};
use exo_state::{Applied, CodecError, State, apply, decode_event, decode_state, encode_event, encode_state};
use exo_types::{EventIndex, IndexedEvent};
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SNAPSHOT: &str = "snapshot";

/// Bytes of a page, about: what a message of the bus holds several times over.
const PAGE_BYTES: usize = 4 << 20;

/// Memory that redb may keep pages in; a log is small and read rarely.
const CACHE_BYTES: usize = 4 << 20;

/// Opens or makes a database.
type Create = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send>;

/// Keeps a log in `<directory>/log.redb`.
pub struct RedbStorage {
    path: PathBuf,
    create: Create,
    database: Option<Database>,
    /// End of what was acknowledged. What a failed commit may have left behind it is taken back.
    last: EventIndex,
}

impl RedbStorage {
    /// Opens nothing yet.
    pub fn new(directory: &Path) -> Self {
        Self::created_by(directory, Box::new(|path| Database::builder().set_cache_size(CACHE_BYTES).create(path)))
    }

    fn created_by(directory: &Path, create: Create) -> Self {
        Self { path: directory.join("log.redb"), create, database: None, last: EventIndex(0) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a log out of the way, under a name that tells whose it was. The log must not be open.
    pub fn archive(directory: &Path, label: &str) -> std::io::Result<PathBuf> {
        let archived = directory.join(format!("log.{label}.archived.redb"));
        fs::rename(directory.join("log.redb"), &archived)?;
        Ok(archived)
    }

    fn open(&self) -> Result<Database, OpenError> {
        let database = (self.create)(&self.path).map_err(|error| self.open_error(&error))?;
        let private = fs::set_permissions(&self.path, Permissions::from_mode(0o600));
        private.map_err(|error| OpenError::Unavailable { path: self.path.clone(), reason: error.to_string() })?;
        Ok(database)
    }

    fn open_error(&self, error: &DatabaseError) -> OpenError {
        let path = self.path.clone();
        let reason = error.to_string();
        match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
            DatabaseError::UpgradeRequired(_) => OpenError::Newer { path, reason },
            DatabaseError::Storage(redb::StorageError::Io(io)) if io.kind() != std::io::ErrorKind::InvalidData => {
                OpenError::Unavailable { path, reason }
            }
            _ => OpenError::Damaged { path, reason },
        }
    }

    fn damaged(&self, reason: impl ToString) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), reason: reason.to_string() }
    }

    fn undecodable(&self, what: &str, error: &CodecError) -> OpenError {
        let reason = format!("{what}: {error}");
        match error {
            CodecError::Newer { .. } => OpenError::Newer { path: self.path.clone(), reason },
            _ => self.damaged(reason),
        }
    }

    fn fold(&self, database: &Database) -> Result<Recovered, OpenError> {
        let damaged = |error: redb::Error| self.damaged(error);
        let read = database.begin_read().map_err(|error| damaged(error.into()))?;
        let mut state = State::default();
        if let Some(meta) = existing(read.open_table(META)).map_err(damaged)? {
            let snapshot = meta.get(SNAPSHOT).map_err(|error| damaged(error.into()))?;
            if let Some(bytes) = snapshot {
                state = decode_state(bytes.value()).map_err(|error| self.undecodable("the snapshot", &error))?;
            }
        }
        let mut replayed = 0;
        let Some(events) = existing(read.open_table(EVENTS)).map_err(damaged)? else {
            return Ok(Recovered { state, replayed });
        };
        let first = state.last_event_applied_idx.next().0;
        for entry in events.range(first..).map_err(|error| damaged(error.into()))? {
            let (index, bytes) = entry.map_err(|error| damaged(error.into()))?;
            let what = format!("event {}", index.value());
            let event = decode_event(bytes.value()).map_err(|error| self.undecodable(&what, &error))?;
            if let Applied::OutOfOrder { expected, got } = apply(&mut state, &event) {
                return Err(self.damaged(format!("event {got} stands where {expected} is next")));
            }
            replayed += 1;
        }
        Ok(Recovered { state, replayed })
    }

    /// Runs on the open database; opens it again after a failure.
    fn with<T>(
        &mut self,
        action: &'static str,
        run: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let failed = |path: &Path, reason: String| StorageError { path: path.to_owned(), action, reason };
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen().map_err(|reason| failed(&self.path, reason))?,
        };
        match run(&database) {
            Ok(value) => {
                self.database = Some(database);
                Ok(value)
            }
            // redb refuses everything after an error of the disk, so the file is opened again next time.
            Err(error) => Err(failed(&self.path, error.to_string())),
        }
    }

    fn reopen(&self) -> Result<Database, String> {
        let database = self.open().map_err(|error| error.to_string())?;
        let cut = || -> Result<(), redb::Error> {
            let write = database.begin_write()?;
            write.open_table(EVENTS)?.retain_in(self.last.next().0.., |_, _| false)?;
            Ok(write.commit()?)
        };
        cut().map_err(|error| error.to_string())?;
        Ok(database)
    }
}

/// A table that was never written is empty.
fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Storage for RedbStorage {
    fn recover(&mut self) -> Result<Recovered, OpenError> {
        let database = self.open()?;
        let recovered = self.fold(&database)?;
        self.last = recovered.state.last_event_applied_idx;
        self.database = Some(database);
        Ok(recovered)
    }

    fn append(&mut self, events: &[IndexedEvent]) -> Result<(), StorageError> {
        let encoded = events.iter().map(|event| Ok((event.idx, encode_event(event)?))).collect::<Result<Vec<_>, _>>();
        let records = encoded.map_err(|error: CodecError| self.not_encodable(&error))?;
        self.with("append", |database| {
            let write = database.begin_write()?;
            let mut table = write.open_table(EVENTS)?;
            for (idx, record) in &records {
                table.insert(idx.0, record.as_slice())?;
            }
            drop(table);
            Ok(write.commit()?)
        })?;
        self.last = events.last().map_or(self.last, |event| event.idx);
        Ok(())
    }

    fn read(&mut self, since: EventIndex, limit: usize) -> Result<Page, ReadError> {
        let last = self.last;
        let records = self.with("read", |database| read_records(database, since, last, limit))?;
        let first = records.first().map_or(last.next(), |(idx, _)| *idx);
        if since < first {
            return Err(ReadError::Purged { first });
        }
        let decoded = records.iter().map(|(_, record)| decode_event(record)).collect::<Result<_, _>>();
        let events = decoded.map_err(|error| StorageError {
            path: self.path.clone(),
            action: "read",
            reason: error.to_string(),
        })?;
        Ok(Page { events, last })
    }

    fn save_snapshot(&mut self, state: &State, keep_from: EventIndex) -> Result<(), StorageError> {
        let bytes = encode_state(state).map_err(|error| self.not_encodable(&error))?;
        self.with("save a snapshot", |database| {
            let write = database.begin_write()?;
            write.open_table(META)?.insert(SNAPSHOT, bytes.as_slice())?;
            write.open_table(EVENTS)?.retain_in(..keep_from.0, |_, _| false)?;
            Ok(write.commit()?)
        })
    }
}

impl RedbStorage {
    fn not_encodable(&self, error: &CodecError) -> StorageError {
        StorageError { path: self.path.clone(), action: "encode", reason: error.to_string() }
    }
}

type Record = (EventIndex, Vec<u8>);

fn read_records(
    database: &Database,
    since: EventIndex,
    last: EventIndex,
    limit: usize,
) -> Result<Vec<Record>, redb::Error> {
    let read = database.begin_read()?;
    let Some(table) = existing(read.open_table(EVENTS))? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    let mut bytes = 0;
    for entry in table.range(since.0..=last.0.max(since.0))?.take(limit) {
        let (index, record) = entry?;
        bytes += record.value().len();
        records.push((EventIndex(index.value()), record.value().to_vec()));
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests;
