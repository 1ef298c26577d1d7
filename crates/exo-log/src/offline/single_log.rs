//! The log of one master, as it was before masters replicated it: read once, as the seed of a session.

use crate::OpenError;
use exo_state::{Applied, CodecError, State, apply, decode_event, decode_state};
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const FILE: &str = "log.redb";
const RETIRED: &str = "log.redb.migrated";
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SNAPSHOT: &str = "snapshot";

/// The State of the one-master log in that directory; none when there is no such log. It is the seed that
/// [`crate::EventLog::found`] takes; [`retire_single`] then puts the old log away.
pub fn read_single(directory: &Path) -> Result<Option<State>, OpenError> {
    let file = directory.join(FILE);
    if !file.exists() {
        return Ok(None);
    }
    let path = file.display().to_string();
    let read = catch_unwind(AssertUnwindSafe(|| read(&file)));
    match read {
        Ok(Ok(state)) => Ok(Some(state)),
        Ok(Err(failure)) => Err(failure.tell(path)),
        Err(_) => Err(OpenError::Damaged { path, reason: "it cannot be read at all".to_owned() }),
    }
}

/// Puts the old log away, under a name that nobody opens.
pub fn retire_single(directory: &Path) -> io::Result<PathBuf> {
    let retired = directory.join(RETIRED);
    fs::rename(directory.join(FILE), &retired)?;
    Ok(retired)
}

#[derive(Debug)]
enum Failure {
    Redb(redb::Error),
    Codec(CodecError),
    Gap(String),
}

impl Failure {
    fn tell(self, path: String) -> OpenError {
        match self {
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => OpenError::InUse { path },
            Self::Redb(redb::Error::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                OpenError::Unavailable { path, reason: error.to_string() }
            }
            Self::Codec(error @ CodecError::Newer { .. }) => OpenError::Newer { path, reason: error.to_string() },
            Self::Redb(error) => OpenError::Damaged { path, reason: error.to_string() },
            Self::Codec(error) => OpenError::Damaged { path, reason: error.to_string() },
            Self::Gap(reason) => OpenError::Damaged { path, reason },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

fn read(file: &Path) -> Result<State, Failure> {
    let database = Database::open(file).map_err(|error: DatabaseError| redb::Error::from(error))?;
    let read = database.begin_read()?;
    let mut state = State::default();
    if let Some(meta) = existing(read.open_table(META))?
        && let Some(bytes) = meta.get(SNAPSHOT)?
    {
        state = decode_state(bytes.value()).map_err(Failure::Codec)?;
    }
    let Some(events) = existing(read.open_table(EVENTS))? else { return Ok(state) };
    for entry in events.range(state.last_event_applied_idx.next().0..)? {
        let (_, bytes) = entry?;
        let event = decode_event(bytes.value()).map_err(Failure::Codec)?;
        if let Applied::OutOfOrder { expected, got } = apply(&mut state, &event) {
            return Err(Failure::Gap(format!("event {got} stands where {expected} is next")));
        }
    }
    Ok(state)
}

fn existing<T>(opened: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
