//! Opening a log: what is there, whose it is, and whether it can be trusted.

use crate::disk::Disk;
use crate::members_file::MembersFile;
use crate::raft_types::{Entry, SnapshotMeta, index_of, members_of};
use crate::store::{Identity, Loaded, Store};
use crate::{LogOptions, LogOwner, Members, OpenError, RaftId};
use crate::{dice::Dice, machine};
use exo_state::{State, apply};
use exo_types::{NodeId, SessionId};
use openraft::EntryPayload;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What a log held when it was opened.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// Whose log it is; none: the place is empty.
    pub session: Option<SessionId>,
    /// This life of the log; kept on the disk already.
    pub raft_id: RaftId,
    /// Everything in the log folded, also what is not known to be committed: what a survivor goes on from.
    pub state: Arc<State>,
    /// Who takes part, as last known.
    pub members: Members,
    /// Records folded onto the snapshot.
    pub replayed: u64,
    /// The log was damaged, and others have it: it was put away just now, and this one begins anew.
    pub quarantined: Option<Quarantined>,
    /// Who has the log that was put away, now or in an earlier life, until they have taken this one in again: ask them,
    /// and begin nothing else that goes by the name of this session.
    pub lost: Option<Lost>,
}

/// A damaged log that was put away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is now.
    pub moved_to: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A session whose log is no longer here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub session: SessionId,
    /// Who has it.
    pub members: Members,
}

/// A log that was opened and read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) loaded: Loaded,
    pub(crate) identity: Identity,
    pub(crate) start: machine::Start,
    pub(crate) recovered: Recovered,
}

/// Opens and reads. Blocks.
pub(crate) fn open(disk: Arc<dyn Disk>, options: &LogOptions) -> Result<Opened, OpenError> {
    match try_open(disk.clone(), options) {
        Err(OpenError::Damaged { path, reason }) => {
            let quarantined = quarantine(&*disk, &options.node_id, path, reason)?;
            let mut opened = try_open(disk, options)?;
            opened.recovered.quarantined = Some(quarantined);
            Ok(opened)
        }
        result => result,
    }
}

/// Puts a damaged log away, if somebody else has it. Who that is stays on the disk: this process may end before they
/// have taken it in again.
fn quarantine(disk: &dyn Disk, own: &NodeId, path: String, reason: String) -> Result<Quarantined, OpenError> {
    let unavailable = |error: std::io::Error| OpenError::Unavailable { path: path.clone(), reason: error.to_string() };
    let record = MembersFile::read(disk).map_err(unavailable)?.unwrap_or_default();
    // Learners may lack the end of it.
    if record.members.voters.iter().all(|voter| voter.node_id == *own) {
        return Err(OpenError::Damaged { path, reason });
    }
    let moved_to = disk.quarantine().map_err(unavailable)?;
    tracing::error!(path, reason, moved_to, "the log is damaged; it was put away, and comes again from the others");
    Ok(Quarantined { moved_to, reason })
}

fn try_open(disk: Arc<dyn Disk>, options: &LogOptions) -> Result<Opened, OpenError> {
    let path = disk.name();
    let (mut store, mut loaded) = Store::open(disk)?;
    check_owner(&path, &loaded, options)?;
    write_owner(&mut store, &mut loaded, options)?;
    read(&path, store, loaded)
}

/// What a log does not say of its owner is no objection: it is new, or of a version that wrote less.
fn check_owner(path: &str, loaded: &Loaded, options: &LogOptions) -> Result<(), OpenError> {
    let foreign = |owner| Err(OpenError::Foreign { path: path.to_owned(), owner });
    if let Some(identity) = &loaded.identity
        && identity.node_id != options.node_id
    {
        return foreign(LogOwner::Node(identity.node_id.clone()));
    }
    match (&loaded.cluster, &options.cluster) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            foreign(LogOwner::Cluster { theirs: theirs.clone(), ours: ours.clone() })
        }
        _ => Ok(()),
    }
}

/// Writes what is not written of the owner.
fn write_owner(store: &mut Store, loaded: &mut Loaded, options: &LogOptions) -> Result<(), OpenError> {
    let adopted = options.cluster.clone().filter(|_| loaded.cluster.is_none());
    if loaded.identity.is_some() && adopted.is_none() {
        return Ok(());
    }
    let identity = loaded.identity.clone().unwrap_or_else(|| new_identity(options));
    let saved = store.save_owner(&identity, adopted.as_deref(), loaded.committed);
    saved.map_err(|error| OpenError::Unavailable { path: error.path, reason: error.reason })?;
    loaded.identity = Some(identity);
    loaded.cluster = adopted.or(loaded.cluster.take());
    Ok(())
}

/// Opens without asking whose it is, and without putting anything away.
pub(crate) fn open_as_is(disk: Arc<dyn Disk>) -> Result<Opened, OpenError> {
    let path = disk.name();
    let (store, loaded) = Store::open(disk)?;
    read(&path, store, loaded)
}

/// An empty log beside a record of members is one that was put away.
fn lost(disk: &dyn Disk, loaded: &Loaded) -> Option<Lost> {
    if loaded.session.is_some() {
        return None;
    }
    let record = MembersFile::read(disk).ok()??;
    Some(Lost { session: record.session?, members: record.members })
}

fn read(path: &str, store: Store, loaded: Loaded) -> Result<Opened, OpenError> {
    let identity = loaded.identity.clone().ok_or_else(|| OpenError::Damaged {
        path: path.to_owned(),
        reason: "it does not say whose it is".to_owned(),
    })?;
    let start = start_of(path, &loaded)?;
    let (state, replayed) = fold_all(&start, &loaded.entries);
    let recovered = Recovered {
        session: loaded.session.clone(),
        raft_id: identity.raft_id,
        state,
        members: last_members(&start.meta, &loaded.entries),
        replayed,
        quarantined: None,
        lost: lost(store.disk(), &loaded),
    };
    Ok(Opened { store, loaded, identity, start, recovered })
}

fn new_identity(options: &LogOptions) -> Identity {
    // 0 is openraft's default and stands for nobody.
    let raft_id = RaftId(Dice::new(options.entropy).next().max(1));
    Identity { node_id: options.node_id.clone(), raft_id }
}

fn start_of(path: &str, loaded: &Loaded) -> Result<machine::Start, OpenError> {
    let session = loaded.session.clone();
    let Some((meta, data)) = &loaded.snapshot else {
        return Ok(machine::Start { session, meta: SnapshotMeta::default(), content: machine::Content::default() });
    };
    let content = machine::decode_content(data).map_err(|error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error {
            machine::ContentError::Codec(exo_state::CodecError::Newer { .. }) => OpenError::Newer { path, reason },
            _ => OpenError::Damaged { path, reason },
        }
    })?;
    Ok(machine::Start { session, meta: meta.clone(), content })
}

/// The State with every record, as if all were committed. What one that leads would have voided is void here too.
pub(crate) fn fold_all(start: &machine::Start, entries: &[Entry]) -> (Arc<State>, u64) {
    let from = start.meta.last_log_id.map_or(0, |at| at.index + 1);
    let entries = entries.iter().filter(|entry| entry.log_id.index >= from);
    let batches: Vec<_> = entries
        .filter_map(|entry| if let EntryPayload::Normal(batch) = &entry.payload { Some(batch) } else { None })
        .collect();
    if batches.is_empty() {
        return (start.content.state.clone(), 0);
    }
    let mut state = (*start.content.state).clone();
    for part in batches.iter().flat_map(|batch| batch.parts()) {
        for event in part.on(state.last_event_applied_idx) {
            apply(&mut state, &event);
        }
    }
    (Arc::new(state), batches.len() as u64)
}

/// Who takes part by the last record that tells, whether it is known to be committed or not.
pub(crate) fn last_members(meta: &SnapshotMeta, entries: &[Entry]) -> Members {
    let from = index_of(meta.last_log_id);
    let newer = entries.iter().rev().filter(|entry| entry.log_id.index >= from);
    let mut memberships = newer.filter_map(|entry| match &entry.payload {
        EntryPayload::Membership(membership) => Some(membership),
        _ => None,
    });
    members_of(memberships.next().unwrap_or_else(|| meta.last_membership.membership()))
}
