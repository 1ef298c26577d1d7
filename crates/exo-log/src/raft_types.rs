//! The types that openraft works on, named once.

use crate::batch::{Batch, Outcome};
use crate::{Member, Members, RaftId};
use exo_types::NodeId;
use openraft::impls::OneshotResponder;
use openraft::{AnyError, Membership, RaftTypeConfig, StorageIOError, TokioRuntime};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::Arc;

/// The choice of types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RaftTypes;

impl RaftTypeConfig for RaftTypes {
    type D = Arc<Batch>;
    type R = Outcome;
    type NodeId = u64;
    type Node = PeerNode;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = Cursor<Vec<u8>>;
    /// Its random source is used for one thing only: openraft's own election timeout, which is off.
    type AsyncRuntime = TokioRuntime;
    type Responder = OneshotResponder<Self>;
}

/// Where a member is. Only openraft's default has no name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PeerNode(pub(crate) Option<NodeId>);

pub(crate) type Raft = openraft::Raft<RaftTypes>;
pub(crate) type Entry = openraft::Entry<RaftTypes>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, PeerNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, PeerNode>;
pub(crate) type Snapshot = openraft::Snapshot<RaftTypes>;
pub(crate) type RaftStorageError = openraft::StorageError<u64>;

/// A failure of the disk in openraft's words.
pub(crate) fn io_error(error: &(impl std::error::Error + 'static)) -> RaftStorageError {
    StorageIOError::write(AnyError::new(error)).into()
}

/// Index of a position in the log; before the first it is 0.
pub(crate) fn index_of(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index)
}

/// openraft's membership as ours.
pub(crate) fn members_of(membership: &Membership<u64, PeerNode>) -> Members {
    let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
    let mut members = Members::default();
    for (raft_id, node) in membership.nodes() {
        let PeerNode(Some(node_id)) = node else { continue };
        let member = Member { node_id: node_id.clone(), raft_id: RaftId(*raft_id) };
        if voters.contains(raft_id) {
            members.voters.insert(member)
        } else {
            members.learners.insert(member)
        };
    }
    members
}
