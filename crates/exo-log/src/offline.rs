//! Tools for a log that is not open: look, check, copy, bring back.

mod backup;
mod single_log;

pub use backup::{Backup, read_backup};
pub use single_log::{read_single, retire_single};

use crate::disk::{DirectoryDisk, Disk};
use crate::machine::{self, Content};
use crate::members_file::MembersFile;
use crate::opening::{self, Opened};
use crate::raft_types::{LogId, PeerNode, SnapshotMeta, StoredMembership, index_of};
use crate::store::{Beginning, Store};
use crate::{LogOptions, Member, Members, OpenError, RaftId, ToolError};
use exo_state::{State, apply};
use exo_types::{EventIndex, IndexedEvent, NodeId, SessionId};
use openraft::{EntryPayload, Membership};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What is in a log, or in a backup of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Whose log; none when the place is empty.
    pub session: Option<SessionId>,
    /// Which life of which node's log.
    pub raft_id: RaftId,
    /// Who takes part.
    pub members: Members,
    /// The first event that is there as an event.
    pub first_event: EventIndex,
    /// The last event.
    pub last_event: EventIndex,
    /// Records behind the snapshot.
    pub records: u64,
    /// The record that the snapshot reaches to.
    pub snapshot_at: u64,
}

/// Everything of a log, decoded.
struct Whole {
    summary: Summary,
    content: Content,
}

/// Checks every record. Changes nothing but what redb has to repair after a crash.
pub fn verify(directory: &Path) -> Result<Summary, ToolError> {
    read_whole(directory).map(|whole| whole.summary)
}

/// The last events, at most `limit`.
pub fn tail(directory: &Path, limit: usize) -> Result<Vec<IndexedEvent>, ToolError> {
    let events = read_whole(directory)?.content.events;
    let events: Vec<&IndexedEvent> = events.iter().flat_map(|group| group.iter()).collect();
    Ok(events.into_iter().rev().take(limit).rev().cloned().collect())
}

/// Writes a backup: the State and the last events, with checksums. A file that is there already is left alone.
pub fn export(directory: &Path, file: &Path) -> Result<Summary, ToolError> {
    let whole = read_whole(directory)?;
    backup::write(file, &whole.summary, &whole.content)?;
    Ok(whole.summary)
}

/// Writes a backup of a log that runs: the State is somebody else's copy of it. It brings everything back but the
/// last events as events.
pub fn write_backup(file: &Path, session: &SessionId, state: &State) -> Result<Summary, ToolError> {
    let last_event = state.last_event_applied_idx;
    let summary = Summary {
        session: Some(session.clone()),
        raft_id: RaftId::default(),
        members: Members::default(),
        first_event: last_event.next(),
        last_event,
        records: 0,
        snapshot_at: 0,
    };
    backup::write(file, &summary, &Content { state: Arc::new(state.clone()), events: Vec::new() })?;
    Ok(summary)
}

/// Makes a log from a backup, in a new directory: a session of its own, with that node as its only voter.
pub fn restore(
    file: &Path,
    directory: &Path,
    session: SessionId,
    founder: NodeId,
    entropy: u64,
) -> Result<Summary, ToolError> {
    let backup = read_backup(file)?;
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::new(directory));
    let path = disk.name();
    let has_log = disk.has_log().map_err(|error| file_error(&path, &error))?;
    if has_log {
        return Err(ToolError::Occupied { path });
    }
    let Opened { mut store, identity, .. } = opening::open(disk, &LogOptions::new(founder, entropy))?;
    let own = Member { node_id: identity.node_id, raft_id: identity.raft_id };
    // Also what was taken away later is wanted again.
    let state = Arc::new(Arc::unwrap_or_clone(backup.state).reborn());
    let content = Content { state, events: Vec::new() };
    begin(&mut store, &session, &own, &content).map_err(|error| ToolError::File { path, reason: error.to_string() })?;
    store.close();
    verify(directory)
}

/// Writes the beginning of a session with one voter.
pub(crate) fn begin(
    store: &mut Store,
    session: &SessionId,
    own: &Member,
    content: &Content,
) -> Result<SnapshotMeta, crate::StorageError> {
    let failed = |reason: String| crate::StorageError { path: "log".to_owned(), action: "begin a session", reason };
    let data = machine::encode_content(content).map_err(|error| failed(error.to_string()))?;
    let voters = BTreeSet::from([own.raft_id.0]);
    let nodes = BTreeMap::from([(own.raft_id.0, PeerNode(Some(own.node_id.clone())))]);
    // The first position of every log. Who joins gets the State, never a record at this position.
    let at = LogId::default();
    let meta = SnapshotMeta {
        last_log_id: Some(at),
        last_membership: StoredMembership::new(Some(at), Membership::new(vec![voters], nodes)),
        snapshot_id: "seed".to_owned(),
    };
    let beginning = Beginning { session: session.clone(), at, meta: meta.clone(), data };
    store.save_beginning(&beginning)?;
    let members = Members { voters: BTreeSet::from([own.clone()]), learners: BTreeSet::new() };
    let record = MembersFile { session: Some(session.clone()), members };
    record.write(store.disk()).map_err(|error| failed(error.to_string()))?;
    Ok(meta)
}

fn read_whole(directory: &Path) -> Result<Whole, ToolError> {
    let disk: Arc<dyn Disk> = Arc::new(DirectoryDisk::new(directory));
    let path = disk.name();
    let has_log = disk.has_log().map_err(|error| file_error(&path, &error))?;
    if !has_log {
        return Err(ToolError::Missing { path });
    }
    let opened = opening::open_as_is(disk)?;
    let identity = opened.loaded.identity.ok_or(ToolError::Missing { path })?;
    let content = unfold(opened.start, &opened.loaded.entries);
    let last_event = content.state.last_event_applied_idx;
    let first = content.events.iter().flat_map(|group| group.first()).next();
    let summary = Summary {
        session: opened.recovered.session,
        raft_id: identity.raft_id,
        members: opened.recovered.members,
        first_event: first.map_or(last_event.next(), |event| event.idx),
        last_event,
        records: opened.loaded.entries.len() as u64,
        snapshot_at: index_of(opened.loaded.snapshot.and_then(|(meta, _)| meta.last_log_id)),
    };
    let mut store = opened.store;
    store.close();
    Ok(Whole { summary, content })
}

/// The State with every record, and the events that led to it.
fn unfold(start: machine::Start, entries: &[crate::raft_types::Entry]) -> Content {
    let from = start.meta.last_log_id.map_or(0, |at| at.index + 1);
    let mut content = start.content;
    let mut state = (*content.state).clone();
    let mut events = Vec::new();
    for entry in entries.iter().filter(|entry| entry.log_id.index >= from) {
        let EntryPayload::Normal(batch) = &entry.payload else { continue };
        for part in batch.parts() {
            for event in part.on(state.last_event_applied_idx) {
                apply(&mut state, &event);
                events.push(event);
            }
        }
    }
    content.state = Arc::new(state);
    content.events.push(Arc::new(events));
    content
}

fn file_error(path: &str, error: &std::io::Error) -> ToolError {
    ToolError::Open(OpenError::Unavailable { path: path.to_owned(), reason: error.to_string() })
}
