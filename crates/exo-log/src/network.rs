//! The way out, as openraft's network.

use crate::PeerCallError;
use crate::pacemaker::Pacemaker;
use crate::raft_types::{LogId, PeerNode, RaftTypes, Snapshot, Vote};
use crate::shared::Shared;
use crate::wire::{
    AppendAnswer, Letter, PreVote, PreVoteAnswer, Refused, Request, SnapshotAnswer, SnapshotPart, TakeOver, VoteAnswer,
    decode_answer,
};
use exo_types::NodeId;
use openraft::error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, InstallSnapshotRequest, InstallSnapshotResponse, SnapshotResponse, VoteRequest,
};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Bytes of a part of a snapshot.
const PART: usize = 512 << 10;

/// For a part of a snapshot without its bytes: a part that is lost costs little more.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes in a microsecond that a slow link carries, and a slow disk takes.
const SLOW_PACE: u64 = 4;

/// No part is waited for any longer.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);

/// Times that a part of a snapshot is sent before the snapshot begins anew.
const PART_ATTEMPTS: usize = 4;

/// For a voter to say what it would do.
const OPINION: Duration = Duration::from_secs(1);

/// How long a peer that does not answer is left alone. openraft asks again at once, so the pause is here.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A member that was told something so lately need not be told apart from that what is committed.
const JUST_NOW: Duration = Duration::from_millis(10);

/// Why a peer said nothing useful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Peer(#[from] PeerCallError),
    #[error("the peer refused: {0}")]
    Refused(#[from] Refused),
    #[error("the message cannot be encoded: {0}")]
    Encode(String),
    #[error("the log is closed")]
    Closed,
}

/// How long a part of a snapshot is waited for, by its size. The last part is installed within its time too: all of the
/// snapshot is written then.
fn patience(part: &SnapshotPart) -> Duration {
    let sent = part.data.len() as u64;
    let is_last = part.offset.saturating_add(sent) >= part.total;
    let written = if is_last { part.total } else { 0 };
    let work = Duration::from_micros(sent.saturating_add(written) / SLOW_PACE);
    FIRST_PATIENCE.saturating_add(work).min(LONGEST_PATIENCE)
}

/// Makes the ways to the peers.
#[derive(Debug, Clone)]
pub(crate) struct Network(pub(crate) Weak<Shared>);

/// The way to one peer.
#[derive(Debug)]
pub(crate) struct Client {
    shared: Weak<Shared>,
    target: u64,
    node: Option<NodeId>,
    pause: Duration,
    agreed: Option<Agreed>,
}

/// What a member has agreed to last.
#[derive(Debug)]
struct Agreed {
    vote: Vote,
    last: Option<LogId>,
    at: Instant,
}

impl Agreed {
    /// Whether the member would learn nothing by it but what is committed.
    fn knows(&self, rpc: &AppendEntriesRequest<RaftTypes>) -> bool {
        let is_known = rpc.entries.is_empty() && rpc.vote == self.vote && rpc.prev_log_id == self.last;
        is_known && self.at.elapsed() < JUST_NOW
    }
}

impl RaftNetworkFactory<RaftTypes> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &PeerNode) -> Client {
        Client { shared: self.0.clone(), target, node: node.0.clone(), pause: FIRST_PAUSE, agreed: None }
    }
}

/// One request to a member and its answer.
async fn call<T: DeserializeOwned>(
    shared: &Shared,
    target: u64,
    node: &NodeId,
    request: Request,
    within: Duration,
) -> Result<T, CallError> {
    let session = shared.changing().session.as_ref().map(|(_, tag)| *tag);
    let session = session.ok_or(CallError::Closed)?;
    let letter = Letter { session, from: shared.own.raft_id.0, to: target, request };
    let bytes = letter.encode().map_err(|error| CallError::Encode(error.to_string()))?;
    let call = shared.peers.call(node, bytes, within);
    let reply = timeout(within, call).await.map_err(|_| PeerCallError::Timeout)??;
    let answer = decode_answer(&reply)?;
    shared.on_peer_heard(target);
    Ok(answer)
}

/// Asks a voter whether this one should lead.
pub(crate) async fn ask_for_vote(shared: Arc<Shared>, target: u64, node: NodeId, ask: PreVote) -> Option<u64> {
    let answer = call::<PreVoteAnswer>(&shared, target, &node, Request::PreVote(ask), OPINION).await;
    answer.is_ok_and(|answer| answer.granted).then_some(target)
}

/// Asks a voter to lead.
pub(crate) async fn ask_to_take_over(
    shared: &Shared,
    target: u64,
    node: &NodeId,
    ask: TakeOver,
) -> Result<(), CallError> {
    call::<()>(shared, target, node, Request::TakeOver(ask), OPINION).await
}

impl Client {
    async fn call<T: DeserializeOwned>(&mut self, request: Request, within: Duration) -> Result<T, CallError> {
        let (Some(shared), Some(node)) = (self.shared.upgrade(), &self.node) else { return Err(CallError::Closed) };
        let answer = call(&shared, self.target, node, request, within).await;
        drop(shared);
        if answer.is_ok() {
            self.pause = FIRST_PAUSE;
        } else {
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        answer
    }

    /// Wakes the keeper only if something is due at another time then.
    fn tell_pacemaker(&self, tell: impl FnOnce(&mut Pacemaker, Instant)) {
        if let Some(shared) = self.shared.upgrade() {
            let mut pacemaker = shared.pacemaker();
            let due = pacemaker.due();
            tell(&mut pacemaker, Instant::now());
            if pacemaker.due() != due {
                shared.wake.notify_one();
            }
        }
    }

    async fn send_part(&mut self, part: &SnapshotPart) -> Result<SnapshotAnswer, CallError> {
        let mut attempt = 1;
        loop {
            match self.call(Request::Snapshot(part.clone()), patience(part)).await {
                Err(CallError::Peer(_)) if attempt < PART_ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn send_snapshot(&mut self, vote: Vote, snapshot: Snapshot) -> Result<SnapshotResponse<u64>, CallError> {
        let data = snapshot.snapshot.into_inner();
        let checksum = crc32c::crc32c(&data);
        let total = data.len() as u64;
        let mut offset = 0;
        for chunk in data.chunks(PART) {
            let meta = snapshot.meta.clone();
            let part = SnapshotPart { vote, meta, total, checksum, offset, data: chunk.to_vec() };
            match self.send_part(&part).await? {
                SnapshotAnswer::Done(response) => return Ok(response),
                SnapshotAnswer::More => offset += chunk.len() as u64,
            }
        }
        Err(Refused::Garbage.into())
    }
}

fn network_error(error: &CallError) -> NetworkError {
    tracing::debug!(%error, "a peer gave no answer");
    NetworkError::new(error)
}

type CallResult<T, E = RaftError<u64>> = Result<T, RPCError<u64, PeerNode, E>>;

impl RaftNetwork<RaftTypes> for Client {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<RaftTypes>,
        option: RPCOption,
    ) -> CallResult<AppendAnswer> {
        // openraft tells every commit by itself, and the next records only after the answer to that. It goes with them
        // instead, or with a heartbeat in a moment.
        if self.agreed.as_ref().is_some_and(|agreed| agreed.knows(&rpc)) {
            self.tell_pacemaker(Pacemaker::on_untold);
            return Ok(AppendAnswer::Success);
        }
        let (vote, last) = (rpc.vote, rpc.entries.last().map_or(rpc.prev_log_id, |entry| Some(entry.log_id)));
        let answer = self.call(Request::Append(rpc), option.hard_ttl()).await;
        let is_agreed = matches!(answer, Ok(AppendAnswer::Success));
        self.agreed = is_agreed.then(|| Agreed { vote, last, at: Instant::now() });
        if answer.is_err() {
            self.tell_pacemaker(Pacemaker::on_unanswered);
        }
        answer.map_err(|error| RPCError::Network(network_error(&error)))
    }

    async fn install_snapshot(
        &mut self,
        _rpc: InstallSnapshotRequest<RaftTypes>,
        _option: RPCOption,
    ) -> CallResult<InstallSnapshotResponse<u64>, RaftError<u64, openraft::error::InstallSnapshotError>> {
        // Snapshots go as a whole, see `full_snapshot`.
        Err(RPCError::Network(network_error(&CallError::Refused(Refused::Garbage))))
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> CallResult<VoteAnswer> {
        let sanctioned = self.shared.upgrade().is_some_and(|shared| shared.is_sanctioned());
        let request = if sanctioned { Request::SanctionedVote(rpc) } else { Request::Vote(rpc) };
        let answer = self.call(request, option.hard_ttl()).await;
        answer.map_err(|error| RPCError::Network(network_error(&error)))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<RaftTypes, Fatal<u64>>> {
        let sent = self.send_snapshot(vote, snapshot);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sent => sent.map_err(|error| StreamingError::Network(network_error(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft_types::SnapshotMeta;

    fn part(total: u64, offset: u64, length: usize) -> SnapshotPart {
        let (vote, meta) = (Vote::new_committed(1, 1), SnapshotMeta::default());
        SnapshotPart { vote, meta, total, checksum: 0, offset, data: vec![0; length] }
    }

    #[test]
    fn a_part_has_as_much_time_as_its_bytes_take_and_the_last_as_all_of_them() {
        let large = 64 << 20;
        for (part, milliseconds) in [
            (part(1000, 0, 1000), 1000),
            (part(400_000, 0, 400_000), 1200),
            (part(large, 0, 400_000), 1100),
            (part(8_000_000, 7_600_000, 400_000), 3100),
            (part(large, large - 400_000, 400_000), 5000),
            (part(u64::MAX, u64::MAX, 1), 5000),
        ] {
            assert_eq!(patience(&part).as_millis(), milliseconds, "{} bytes from {}", part.data.len(), part.offset);
        }
    }
}
