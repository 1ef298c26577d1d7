//! Reading everything, and believing nothing.

use super::record::{self, RecordError};
use super::{
    CLUSTER, Failure, IDENTITY, LOG, META, PURGED, SESSION, SNAPSHOT_DATA, SNAPSHOT_META, TAIL, Tail, VOTE, existing,
};
use crate::RaftId;
use crate::raft_types::{Entry, LogId, SnapshotMeta, Vote, index_of};
use exo_types::{NodeId, SessionId};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) node_id: NodeId,
    pub(crate) raft_id: RaftId,
}

/// What was found in the file.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) identity: Option<Identity>,
    /// The cluster that it belongs to; none in a log of an older version.
    pub(crate) cluster: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    /// As far as it was told; more may be.
    pub(crate) committed: Option<LogId>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) snapshot: Option<(SnapshotMeta, Vec<u8>)>,
    pub(super) commits: u64,
}

impl Loaded {
    /// End of the log.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.last().map(|entry| entry.log_id).or(self.purged)
    }
}

type MetaTable = ReadOnlyTable<&'static str, &'static [u8]>;

pub(super) fn everything(database: &Database) -> Result<Loaded, Failure> {
    let read = database.begin_read()?;
    let mut loaded = Loaded::default();
    if let Some(meta) = existing(read.open_table(META))? {
        loaded.identity = get(&meta, IDENTITY)?;
        loaded.cluster = get(&meta, CLUSTER)?;
        loaded.session = get(&meta, SESSION)?;
        loaded.vote = get(&meta, VOTE)?;
        loaded.purged = get(&meta, PURGED)?;
        let tail: Option<Tail> = get(&meta, TAIL)?;
        loaded.commits = tail.map_or(0, |tail| tail.commits);
        loaded.committed = tail.and_then(|tail| tail.committed);
        loaded.snapshot = snapshot(database)?;
    }
    if let Some(log) = existing(read.open_table(LOG))? {
        for stored in log.iter()? {
            let (index, bytes) = stored?;
            take_entry(&mut loaded, entry(index.value(), bytes.value())?)?;
        }
    }
    check(&loaded)?;
    Ok(loaded)
}

type StoredEntry = (u64, Option<LogId>, Entry);

pub(super) fn entry(index: u64, bytes: &[u8]) -> Result<StoredEntry, RecordError> {
    let what = || format!("record {index}");
    let stored: StoredEntry = record::decode(record::ENTRY, &index.to_le_bytes(), what, bytes)?;
    if stored.2.log_id.index == index { Ok(stored) } else { Err(RecordError::Damaged { what: what() }) }
}

fn take_entry(loaded: &mut Loaded, (number, committed, entry): StoredEntry) -> Result<(), RecordError> {
    let last = loaded.last();
    let follows = entry.log_id.index == last.map_or(0, |last| last.index + 1) && Some(entry.log_id) > last;
    if !follows {
        let index = entry.log_id.index;
        return Err(RecordError::Damaged { what: format!("the order of the records at {index}") });
    }
    loaded.commits = loaded.commits.max(number);
    loaded.committed = loaded.committed.max(committed);
    loaded.entries.push(entry);
    Ok(())
}

/// What must hold between the parts.
fn check(loaded: &Loaded) -> Result<(), RecordError> {
    let damaged = |what: &str| Err(RecordError::Damaged { what: what.to_owned() });
    let snapshot = loaded.snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id);
    if loaded.purged > snapshot {
        return damaged("the snapshot, which must hold what was dropped,");
    }
    if !loaded.entries.is_empty() && loaded.identity.is_none() {
        return damaged("the identity");
    }
    if index_of(loaded.committed) > index_of(loaded.last()).max(index_of(snapshot)) {
        return damaged("the end of the log, which must hold what is committed,");
    }
    Ok(())
}

pub(super) fn snapshot(database: &Database) -> Result<Option<(SnapshotMeta, Vec<u8>)>, Failure> {
    let Some(table) = existing(database.begin_read()?.open_table(META))? else { return Ok(None) };
    let Some(meta) = get::<SnapshotMeta>(&table, SNAPSHOT_META)? else { return Ok(None) };
    let what = || "the snapshot".to_owned();
    let stored = table.get(SNAPSHOT_DATA)?.ok_or_else(|| RecordError::Damaged { what: what() })?;
    let data = record::unframe(record::META, SNAPSHOT_DATA.as_bytes(), what, stored.value())?;
    Ok(Some((meta, data.to_vec())))
}

fn get<T: DeserializeOwned>(table: &MetaTable, key: &str) -> Result<Option<T>, Failure> {
    let Some(stored) = table.get(key)? else { return Ok(None) };
    let what = || format!("the record {key}");
    Ok(Some(record::decode(record::META, key.as_bytes(), what, stored.value())?))
}
